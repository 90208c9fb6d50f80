"""The contents of a page of a login, for a browser and for a program.

Each step has a view class of its own (`gateway/login/steps`), which extends `StepView`. A view has everything that the
step's template and its JSON may know, so both say the same. It holds no full address but one that the user has just
typed, and no secret but those the step exists to show.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.tenant import Tenant
from gateway.domain.texts import marked as _
from gateway.rendering.languages import Language
from gateway.rendering.problem_view import ProblemView

DIGITS = 6
_NO_FILE_NAME = re.compile(r"[^\w.@+-]+")


@dataclass(frozen=True, slots=True)
class MethodView:
    """A factor to choose: its kind, its name in the user's language, and the masked address of a code.

    `letters` is whether its code may contain letters.
    """

    factor: str
    label: str
    sent_to: str = ""
    icon: str = "shield"
    letters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """The head of every step.

    `step`, `purpose` and `act` are the values of their enums. `login` (the login's id, "" before the password was
    right), `round` and `form` (a random id) are what a form names, so that it counts for this login and round only, and
    the very same form gets the same answer. `sent` is whether the code of this step is sent in a message, `icon` the
    icon of its factor. `act` is what the account page asked for, `act_on` its factor, `act_about` the name of the
    browser or device that it is about.
    """

    step: str
    purpose: str
    csrf: str
    to: str
    login: str = ""
    round: int = 0
    form: str = ""
    act: str = ""
    act_on: str = ""
    act_about: str = ""
    username: str = ""
    sent: bool = False
    icon: str = "shield"
    can_cancel: bool = True

    def own_json(self) -> dict[str, Any]:
        """The keys of this step, over those of every step."""
        return {}


@dataclass(frozen=True, slots=True)
class CodesFile:
    """Backup codes as a text file: its `name`, and above the codes the lines that say where they belong.

    The `used` ones of the same sheet are on the page, not in the file.
    """

    name: str
    head: tuple[str, ...]
    codes: Sequence[str] = field(repr=False)
    used: Sequence[str] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """The content of the file."""
        return "".join(f"{line}\r\n" for line in (*self.head, "", *self.codes))


def codes_file(
    tenant: Tenant, host: str, username: str, codes: Sequence[str], *, language: Language, at: float
) -> CodesFile:
    """The file of the backup codes that `username` got at the moment `at`."""
    head = (
        f"{tenant.branding.name} ({host})",
        language.gettext(_("Username: %(name)s")) % {"name": username},
        language.gettext(_("Made on: %(date)s")) % {"date": language.date(at)},
        language.gettext(_("Each code works once.")),
    )
    name = _NO_FILE_NAME.sub("-", f"{tenant.id}-{username}")
    return CodesFile(f"{name}-backup-codes.txt", head, codes)


def as_json(view: StepView, problem: ProblemView | None) -> dict[str, Any]:
    """The JSON of a step: the same keys for every step, and those that belong to one."""
    body: dict[str, Any] = {
        "step": view.step,
        "purpose": view.purpose,
        "problem": problem.as_json() if problem else None,
        "factor": None,
        "sent_to": None,
        "digits": DIGITS,
        "expires_in": None,
        "resend_in": None,
        "attempts_left": None,
        "methods": [],
        "csrf": view.csrf,
        "to": view.to,
        "login": view.login,
        "round": str(view.round),
        "form": view.form,
    }
    if view.act:
        body |= {"act": view.act, "act_on": view.act_on or None}
    return body | view.own_json()


def methods_json(methods: Sequence[MethodView]) -> list[dict[str, str | None]]:
    """The factors to choose from."""
    return [{"factor": m.factor, "label": m.label, "sent_to": m.sent_to or None} for m in methods]
