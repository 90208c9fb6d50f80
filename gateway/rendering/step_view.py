"""What one step of a login shows, to a person and to a program.

`StepView` is made by a step and says everything its template and its JSON may know, so both tell the same. It holds no
full address but one that the user has just typed, and no secret but those the step exists to show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import segno

from gateway.domain.problem import ProblemDetail
from gateway.rendering.problem_texts import ProblemView

ASK_WHETHER_UNIQUE_FROM = 2
"""Failures after which the code page says to ask whether the address is unique (EF-21)."""


@dataclass(frozen=True, slots=True)
class MethodView:
    """A factor to choose: its kind, its name in the user's language, and the masked address of a code.

    `letters` tells whether its code may hold letters.
    """

    factor: str
    label: str
    sent_to: str = ""
    icon: str = "shield"
    letters: bool = False


@dataclass(frozen=True, slots=True)
class StepView:
    """One step; times in seconds since the epoch, judged against `now`.

    `step`, `purpose`, `act` and `factor` are the values of their enums. `login` (the login's id, "" before the password
    was right), `round` and `form` (a random id) are what a form names, so that it counts for this login and round only,
    and the very same form gets the same answer. `sent` is whether the code of `factor` travels in a message, `icon` the
    factor's. `act` is what the account page asked for, `act_on` its factor.
    `address` is what the user has just typed (register, confirm), `sent_to` is masked. `can_resend` is whether another
    code can be asked for at all, `can_edit` whether the address can still be changed. `remember_days` 0 offers no
    trusted browser. `totp_secret` and `otpauth` belong to `register` with an app, `codes` to `backup-codes` and to the
    end of an act that shows them, `location` to `done`: where the browser goes next.

    Of `verify`: `any_of` are the codes that one page takes (CC-13), with an empty `factor` where several methods are
    meant; `message` the factor by which a code can be sent, `sent_already` whether one was, `answerable` whether a code
    would be judged now; `no_codes_left` that all backup codes are used; `approving_first` that the enrolment must be
    approved first; `after_password` that a new password has just been set; `held` why nothing that is typed would be
    judged now, which is shown when there is nothing newer to show. Of `new-password`: `another_code` that a code is
    asked for after it, `asks_current` that the current password is asked for too.
    """

    step: str
    purpose: str
    now: float
    csrf: str
    to: str
    host: str
    login: str = ""
    round: int = 0
    form: str = ""
    act: str = ""
    act_on: str = ""
    factor: str = ""
    sent: bool = False
    icon: str = "shield"
    username: str = ""
    address: str = ""
    sent_to: str = ""
    digits: int = 6
    expires_at: float | None = None
    resend_at: float | None = None
    can_resend: bool = False
    can_edit: bool = False
    attempts_left: int | None = None
    failures: int = 0
    methods: Sequence[MethodView] = ()
    remember_days: int = 0
    tag: str = ""
    totp_secret: str = field(default="", repr=False)
    otpauth: str = field(default="", repr=False)
    codes: Sequence[str] = field(default=(), repr=False)
    location: str = ""
    any_of: Sequence[MethodView] = ()
    message: str = ""
    sent_already: bool = False
    answerable: bool = True
    no_codes_left: bool = False
    approving_first: bool = False
    after_password: bool = False
    asks_current: bool = False
    another_code: bool = False
    held: ProblemDetail | None = None
    can_cancel: bool = True
    sso: bool = False

    @property
    def expires_in(self) -> int | None:
        """Whole seconds the code still works; 0 when it is over, None when it does not expire."""
        return _left(self.expires_at, self.now)

    @property
    def resend_in(self) -> int | None:
        """Whole seconds until another code may be asked for; None when there is none to ask for."""
        return (_left(self.resend_at, self.now) or 0) if self.can_resend else None

    @property
    def several_failures(self) -> bool:
        """Whether the page should say to ask if the address is unique."""
        return (self.sent or self.sent_already) and self.failures >= ASK_WHETHER_UNIQUE_FROM

    @property
    def letters(self) -> bool:
        """Whether a code typed here may hold letters: then a phone must not offer digits only."""
        return any(method.letters for method in self.any_of)

    def takes(self, factor: str) -> bool:
        """Whether the page takes such codes besides its own."""
        return any(method.factor == factor for method in self.any_of)

    def codes_file(self, name: str) -> str:
        """The backup codes as the lines of a text file, under the name of whom they are for."""
        return codes_file(name, self.host, self.codes)

    @property
    def secret_groups(self) -> tuple[str, ...]:
        """The app's secret in groups of four, as people type it."""
        return tuple(self.totp_secret[i : i + 4] for i in range(0, len(self.totp_secret), 4))

    @property
    def qr_svg(self) -> str:
        """The `otpauth` address as an inline SVG; needs no image from anywhere."""
        # Always dark on light, also in the dark scheme: many apps cannot read an inverted code.
        return segno.make(self.otpauth, micro=False, error="m").svg_inline(
            scale=4, border=3, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
        )


def codes_file(name: str, host: str, codes: Sequence[str]) -> str:
    """Backup codes as the lines of a text file that says where they belong."""
    return "".join(f"{line}\r\n" for line in (f"{name} ({host})", "", *codes))


def as_json(view: StepView, problem: ProblemView | None) -> dict[str, Any]:
    """The JSON of a step (design, "Public surface"); the same keys for every step, and those that belong to one."""
    body: dict[str, Any] = {
        "step": view.step,
        "purpose": view.purpose,
        "problem": problem.as_json() if problem else None,
        "factor": view.factor or None,
        "sent_to": view.sent_to or None,
        "digits": view.digits,
        "expires_in": view.expires_in,
        "resend_in": view.resend_in,
        "attempts_left": view.attempts_left,
        "methods": [{"factor": m.factor, "label": m.label, "sent_to": m.sent_to or None} for m in view.methods],
        "csrf": view.csrf,
        "to": view.to,
        "login": view.login,
        "round": str(view.round),
        "form": view.form,
    }
    if view.act:
        body |= {"act": view.act, "act_on": view.act_on or None}
    if view.tag:
        body["tag"] = view.tag
    if view.any_of:
        body["any_of"] = [m.factor for m in view.any_of]
    if view.approving_first:
        body["vouching"] = True
    if view.step == "confirm":
        body["address"] = view.address
    if view.step == "register" and view.totp_secret:
        body |= {"secret": view.totp_secret, "otpauth": view.otpauth}
    if view.asks_current:
        body["asks_current"] = True
    if view.codes or view.step == "backup-codes":
        body["codes"] = list(view.codes)
    if view.location:
        body["location"] = view.location
    return body


def _left(at: float | None, now: float) -> int | None:
    return None if at is None else max(0, ceil(at - now))
