"""The register page: what does a new user want his codes by, and where?

Form: `address` for a message factor (nothing is sent from here: the address is shown again on the next page); `code`
for an app, whose secret the page shows; `factor` picks among several.
"""

from dataclasses import dataclass, replace

from gateway.domain.challenge import Draft, Rejected
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login import pending_proof
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.check_code import CodeCheck
from gateway.login.flow import FormFields, StepResult
from gateway.login.record import AddressGiven, Login, Picked, Step
from gateway.login.reports import Reports
from gateway.login.viewing import view_of
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.rendering.languages import Languages
from gateway.rendering.step_view import StepView
from gateway.second_factor import requirement
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.factors import table

MOST_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class RegisterPage:
    """See the module's text."""

    challenges: Challenges
    answering: CodeCheck
    proofs: ChallengeContexts
    languages: Languages
    clock: Clock
    reports: Reports

    async def act(self, visit: LoginRequest, login: Login, action: str, fields: FormFields) -> StepResult:
        """Pick a factor, take an address, or judge the app's first code."""
        kind, user = pending_proof.registering(login), login.user
        if action == "cancel":
            return StepResult(cancelled=True)
        if picked := fields.get("factor"):
            found = next((f for f in pending_proof.offered(login) if f.value == picked), None)
            return (
                StepResult((Picked(found),)) if found else StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))
            )
        if kind is None or user is None:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))
        if not table.sends(kind):
            return await self.answering.judge(visit, login, fields.get("code", ""))
        typed = fields.get("address", "").strip()
        if not typed or len(typed) > MOST_ADDRESS:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_ADDRESS))
        about = self.proofs.about(visit, login, kind)
        match await self.challenges.factor(about, kind).enrol(user, typed, about):
            case Rejected(problem=problem):
                return StepResult(problem_detail=ProblemDetail(problem))
            case Draft() as draft:
                if not requirement.takes_address(login.policy, login.contacts, kind, draft.address):
                    self.reports.tell(visit, AuditEvent.ENROLMENT_REJECTED, user, factor=kind.value)
                    return StepResult(problem_detail=ProblemDetail(Problem.UNKNOWN_ADDRESS))
                return StepResult((AddressGiven(draft),))

    async def view(self, visit: LoginRequest, login: Login, fields: FormFields) -> StepView:
        """The form, with what was typed just now or taken back to be edited; for an app its secret."""
        kind = pending_proof.registering(login)
        language = self.languages.get(visit.language)
        typed = fields.get("address", login.edited)
        secret = login.draft.secret if login.draft and login.draft.factor is kind else ""
        name = login.user.username if login.user else ""
        return replace(
            view_of(Step.REGISTER, visit, login, self.clock.now()),
            factor=kind.value if kind else "",
            address=typed.strip()[:MOST_ADDRESS],
            sent=table.sends(kind),
            icon=table.icon(kind),
            digits=(table.digits(kind, login.policy.otp_length) if secret else None) or login.policy.otp_length,
            methods=tuple(table.view(f, language) for f in pending_proof.offered(login)),
            totp_secret=secret,
            otpauth=table.TYPES[kind].set_up_link(secret, name, visit.tenant.branding.name) if kind and secret else "",
        )
