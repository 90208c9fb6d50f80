"""The register page: at which address does a new user want his codes?

Form: `address`. Nothing is sent from here: the address is shown again on the next page.
"""

from dataclasses import dataclass

from gateway.domain.challenge import Draft, Rejected
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, Trouble
from gateway.login import machine
from gateway.login.flow import Acted, Fields
from gateway.login.machine import AddressGiven, Login
from gateway.login.proofs import Proofs
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering.step_view import StepView
from gateway.second_factor import requirement
from gateway.second_factor.challenges import Challenges

MOST_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class RegisterPage:
    """See the module's text."""

    challenges: Challenges
    proofs: Proofs
    clock: Clock
    reports: Reports

    async def act(self, visit: Visit, login: Login, action: str, fields: Fields) -> Acted:
        """Take the address."""
        kind, user = machine.registering(login), login.user
        if action == "cancel":
            return Acted(cancelled=True)
        if kind is None or user is None:
            return Acted()
        typed = fields.get("address", "").strip()
        if not typed or len(typed) > MOST_ADDRESS:
            return Acted(trouble=Trouble(Problem.BAD_ADDRESS))
        about = self.proofs.about(visit, login, kind)
        match await self.challenges.factor(about, kind).register(user, typed, about):
            case Rejected(problem=problem):
                return Acted(trouble=Trouble(problem))
            case Draft() as draft:
                if not requirement.takes_address(login.policy, login.contacts, kind, draft.address):
                    self.reports.tell(visit, AuditEvent.ENROLMENT_REFUSED, user, factor=kind.value)
                    return Acted(trouble=Trouble(Problem.UNKNOWN_ADDRESS))
                return Acted((AddressGiven(draft),))

    async def view(self, visit: Visit, login: Login, fields: Fields) -> StepView:
        """The form, with what was typed: just now, or before it was taken back to be edited."""
        kind = machine.registering(login)
        typed = fields.get("address", login.edited)
        return StepView(
            step="register",
            purpose=login.purpose.value,
            now=self.clock.now(),
            csrf=visit.csrf,
            to=visit.to,
            host=visit.host,
            factor=kind.value if kind else "",
            username=login.user.display_name if login.user else "",
            address=typed.strip()[:MOST_ADDRESS],
            digits=login.policy.otp_length,
        )
