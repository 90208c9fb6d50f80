"""Builds what a page or a program reads of a problem."""

from dataclasses import dataclass
from math import ceil
from typing import Any

from gateway.domain.problem import Problem
from gateway.rendering.languages import Language


@dataclass(frozen=True, slots=True)
class ProblemView:
    """A problem as one user sees it, in their language.

    `retry_after` is whole seconds, `wait` the same in words, `retry_at` the local time of day and `retry_time` the same
    moment in ISO 8601; all of them None or empty when no wait is known. `waiting` is the message, still English, into
    which a page puts its own elements for `wait` and `time`; `over` replaces it then. `whole` joins all for programs.
    """

    code: str
    status: int
    tone: str
    title: str
    text: str
    next: str
    way: str
    retry_after: int | None
    wait: str
    retry_at: str
    retry_time: str
    reference: str
    waiting: str
    over: str
    whole: str

    def as_json(self) -> dict[str, Any]:
        """The `problem` of every JSON answer: code, text, retry_after, reference."""
        return {
            "code": self.code,
            "text": " ".join((self.whole % {"title": self.title, "text": self.text, "next": self.next}).split()),
            "retry_after": self.retry_after,
            "reference": self.reference or None,
        }


def problem_view(
    problem: Problem, language: Language, until: float | None = None, now: float = 0.0, reference: str = ""
) -> ProblemView:
    """`problem` in `language`; `until` (seconds since the epoch) is when its wait ends, None if there is none."""
    row = problem.shown_as
    wait = ceil(until - now) if until is not None and until > now else None
    words = language.duration(wait) if wait else ""
    at = language.time(until) if wait and until is not None else ""
    return ProblemView(
        code=problem.value,
        status=row.status,
        tone=row.tone.value,
        title=language.gettext(row.title),
        text=language.gettext(row.text),
        next=language.gettext(row.waiting) % {"wait": words, "time": at} if wait else language.gettext(row.next),
        way=row.way.value,
        retry_after=wait,
        wait=words,
        retry_at=at,
        retry_time=language.iso(until) if wait and until is not None else "",
        reference=reference,
        waiting=row.waiting,
        over=language.gettext(row.over),
        whole=language.gettext("%(title)s. %(text)s %(next)s"),
    )
