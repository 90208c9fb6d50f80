"""Rewrites the plain heads of an app's answers, and remembers how.

Pure. `headers.response_fields` says what a browser gets of a head. What it said for one head holds for every head with
the same status and the same keys of its lines (`head_lines`). Such heads differ only in lines that pass as they are.
"""

import re
from typing import NamedTuple

from gateway.domain.tenant import Route, Tenant
from gateway.proxy import headers
from gateway.proxy.head_lines import AnswerLines, Role, decoded
from gateway.web.request_check import Checked, listed

MOST_RULES = 64
"""Heads of different keys that are remembered for each route and kind of request."""
MOST_FIELDS = 256
_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")


class Rule(NamedTuple):
    """How heads with the same keys are rewritten."""

    status: int
    first: bytes
    """The status line for the browser."""
    changes: tuple[tuple[int, bytes], ...]
    """The lines that differ from what was sent, by their number."""
    added: bytes
    usual: bool
    """Whether the connection of the app stays open after the answer, and the answer is no event stream."""
    keep_alive: bool
    events: bool
    """Whether the answer is an event stream."""
    keeps: bool
    """Whether the head may stay in memory: it has no cookie."""


class PlainAnswer(NamedTuple):
    """The head of an answer; `length` of its body, None where no body can follow."""

    rule: Rule
    size: int
    """Bytes of the head at the app, with its end."""
    head: bytes
    """For the browser, without framing and the end."""
    length: int | None
    framing: bytes
    """The line that tells the browser the length, or b""."""


class AnswerRules:
    """The rules for the answers of one route to one kind of request."""

    def __init__(
        self, checked: Checked, route: Route, tenant: Tenant, prefix: str, lines: AnswerLines, *, private: bool
    ) -> None:
        self._checked = checked
        self._route = route
        self._tenant = tenant
        self._prefix = prefix
        self._lines = lines
        self._private = private
        self._known: dict[tuple[bytes, ...], Rule | None] = {}
        self._last: tuple[bytes, PlainAnswer | None] = (b"", None)

    def read(self, data: bytes) -> PlainAnswer | None:
        """Read the head at the beginning of `data`; None if it is not whole or not plain: no length, or no HTTP/1.1."""
        last_head, last = self._last
        if last is not None and data.startswith(last_head):
            return last
        end = data.find(_END)
        if end < 0:
            return None
        answer = self._read(data[:end])
        if answer is not None and answer.rule.keeps:
            self._last = data[: answer.size], answer
        return answer

    def _read(self, head: bytes) -> PlainAnswer | None:
        lines = head.split(b"\r\n")
        known, length = self._lines, None
        keys, passed = [lines[0]], [b""]
        for line in lines[1:]:
            key, part, role, value = known[line]
            if role is not Role.NONE:
                if role is not Role.LENGTH or length is not None:
                    return None
                length = int(value)
            keys.append(key)
            passed.append(part)
        whole = tuple(keys)
        rule = self._known.get(whole)
        if rule is None:
            rule = self._made(whole, lines)
            if rule is None:
                return None
        for number, part in rule.changes:
            passed[number] = part
        passed[0] = rule.first
        passed.append(rule.added)
        empty = rule.status in (204, 304) or self._checked.method == "HEAD"
        if length is None and not empty:
            return None
        framing = b"" if length is None or rule.status == 204 else b"Content-Length: %d\r\n" % length
        return PlainAnswer(rule, len(head) + len(_END), b"".join(passed), None if empty else length, framing)

    def _made(self, keys: tuple[bytes, ...], lines: list[bytes]) -> Rule | None:
        first = _STATUS.fullmatch(lines[0])
        if first is None or len(lines) > MOST_FIELDS:
            return None
        status, fields = int(first[1]), decoded(lines[1:])
        wanted = headers.response_fields(
            fields, self._checked, self._route, self._tenant, self._prefix, status=status, private=self._private
        )
        changes, at = [], 0
        for number, (name, value) in enumerate(fields, 1):
            there = at < len(wanted) and wanted[at][0] is name
            if not there:
                changes.append((number, b""))
                continue
            if wanted[at][1] != value:
                changes.append((number, headers.field_lines(((name, wanted[at][1]),))))
            at += 1
        kinds = [value for name, value in fields if name.lower() == "content-type"]
        connection = listed(value for name, value in fields if name.lower() == "connection")
        keep_alive, events = "close" not in connection, headers.is_event_stream(kinds)
        rule = Rule(
            status,
            b"HTTP/1.1 %d %b\r\n" % (status, first[2] or b""),
            tuple(changes),
            headers.field_lines(wanted[at:]),
            keep_alive and not events,
            keep_alive,
            events,
            not any(name.lower() == "set-cookie" for name, _ in fields),
        )
        if len(self._known) >= MOST_RULES:
            self._known.clear()
        self._known[keys] = rule
        return rule
