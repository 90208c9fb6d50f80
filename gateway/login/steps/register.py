"""The register page: the user chooses a factor and gives what it needs.

Form: `address` for a message factor, which the next page shows again before a code is sent; without it the code goes to
the only known address at once. `code` for an app, whose secret the page shows, and inside a session
`name`, what the user calls its device. `factor` picks among several.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.challenge import Draft, Rejected
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.texts import typed_line
from gateway.login.effects.send_code import ChallengeContexts
from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import AddressConfirmed, AddressGiven, Drafted, Picked, Stopped
from gateway.login.state_machine import LoginState, Step
from gateway.login.steps.verify import CodeCheck
from gateway.observe.audit import AuditEvent
from gateway.observe.redaction import address_hint
from gateway.rendering.languages import Languages
from gateway.rendering.qr_code import qr_svg
from gateway.rendering.step_view import DIGITS, MethodView, StepView, methods_json
from gateway.second_factor import requirement
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.factors import table

MOST_ADDRESS = 254
MOST_NAME = 20
"""Characters of the name of a device; the value of a profile's attribute is limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterView(StepView):
    """`factor` is empty while one of `methods` is to be chosen. `address` is what the user has just typed.

    `known` is the only address that may be enrolled, masked: then the user types none. `totp_secret` and `otpauth`
    belong to an app, `device` is what the user has just called its device.
    """

    factor: str = ""
    address: str = ""
    known: str = ""
    device: str = ""
    digits: int = DIGITS
    methods: Sequence[MethodView] = ()
    totp_secret: str = field(default="", repr=False)
    otpauth: str = field(default="", repr=False)

    @property
    def secret_groups(self) -> tuple[str, ...]:
        """The app's secret in groups of four, as people type it."""
        return tuple(self.totp_secret[i : i + 4] for i in range(0, len(self.totp_secret), 4))

    @property
    def qr_svg(self) -> str:
        """The `otpauth` address as a QR code."""
        return qr_svg(self.otpauth)

    def own_json(self) -> dict[str, Any]:
        """The factors to choose from, and the app's secret."""
        body = {
            "factor": self.factor or None,
            "sent_to": self.known or None,
            "digits": self.digits,
            "methods": methods_json(self.methods),
        }
        return {**body, "secret": self.totp_secret, "otpauth": self.otpauth} if self.totp_secret else body


@dataclass(frozen=True, slots=True)
class RegisterPage:
    """See the module's text."""

    challenges: Challenges
    check: CodeCheck
    contexts: ChallengeContexts
    languages: Languages

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Pick a factor, take an address, or judge the app's first code."""
        login, kind, user = state.login, state.proof.enrolling, state.login.user
        if picked := fields.get("factor"):
            found = next((f for f in state.proof.offered if f.value == picked), None)
            return StepResult((Picked(found),)) if found else _problem(Problem.BAD_INPUT)
        if kind is None or user is None:
            return _problem(Problem.BAD_INPUT)
        if kind not in table.SENT:
            return await self.check.judge(request, state, fields.get("code", ""), name=_device(fields))
        one_press = ""
        if "address" not in fields:
            one_press = requirement.only_address(login.policy, login.contacts, kind)
        typed = one_press or typed_line(fields.get("address", ""))
        if not typed or len(typed) > MOST_ADDRESS:
            return _problem(Problem.BAD_ADDRESS)
        context = self.contexts.delivery(request, login, kind)
        match await self.challenges.factor(context, kind).enrol(user, typed, context):
            case Rejected(problem=problem):
                return _problem(problem)
            case Draft() as draft:
                if not requirement.takes_address(login.policy, login.contacts, kind, draft.address):
                    request.audit.write(AuditEvent.ENROLMENT_REJECTED, user, factor=kind.value)
                    return _problem(Problem.UNKNOWN_ADDRESS)
                confirmed = (AddressConfirmed(draft),) if one_press else ()
                return StepResult((AddressGiven(draft), *confirmed))

    async def create_secret(self, request: LoginRequest, state: LoginState) -> StepResult:
        """The effect `draft`: makes the app's secret that the page shows. Of two requests that make one, one counts."""
        kind, user = state.proof.enrolling, state.login.user
        if kind is None or user is None:
            return StepResult()
        context = self.contexts.delivery(request, state.login, kind)
        match await self.challenges.factor(context, kind).enrol(user, "", context):
            case Draft() as draft:
                return StepResult((Drafted(draft),))
            case Rejected(problem=problem):
                return StepResult((Stopped(ProblemDetail(problem)),))

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> RegisterView:
        """The form, with what was typed just now or taken back to be edited; for an app its secret."""
        login, kind, draft = state.login, state.proof.enrolling, state.login.enrolling.draft
        language = self.languages.get(request.language)
        secret = draft.secret if draft and draft.factor is kind else ""
        name = login.user.username if login.user else ""
        known = requirement.only_address(login.policy, login.contacts, kind)
        delivery = self.contexts.delivery(request, login, kind) if kind and secret else None
        digits = self.challenges.digits(delivery, kind) if kind and delivery else None
        return RegisterView(
            **request.head(Step.REGISTER, login),
            factor=kind.value if kind else "",
            address="" if known else typed_line(fields.get("address", login.enrolling.edited))[:MOST_ADDRESS],
            device=_device(fields),
            known=address_hint(known, login.policy.address_hint) if known else "",
            sent=kind in table.SENT,
            icon=table.icon(kind),
            digits=digits.most if digits else login.policy.otp_length,
            methods=tuple(table.view(f, language) for f in state.proof.offered),
            totp_secret=secret,
            otpauth=table.TYPES[kind].set_up_link(secret, name, request.tenant.branding.name)
            if kind and secret
            else "",
        )


def _device(fields: FormFields) -> str:
    """What the user calls the device of an app."""
    return "".join(filter(str.isprintable, typed_line(fields.get("name", ""))))[:MOST_NAME].strip()


def _problem(problem: Problem) -> StepResult:
    return StepResult(problem_detail=ProblemDetail(problem))
