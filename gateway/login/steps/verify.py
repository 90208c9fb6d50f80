"""The verify page: what is the code?

Form: `code`; `action` `resend` asks for a new one, `edit` goes back to the address while registering. One page for
every message factor; what is wrong is said by one sentence for wrong, superseded and used codes.
"""

from dataclasses import dataclass

from gateway.crypto import codes
from gateway.domain.policy import MESSAGE_FACTORS
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, Trouble
from gateway.login.flow import Acted, Fields
from gateway.login.machine import AddressGiven, Login, Proved, Stopped
from gateway.login.proofs import Proofs
from gateway.login.reports import Reports
from gateway.login.sending import Sending
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering.masking import mask_address
from gateway.rendering.step_view import StepView
from gateway.second_factor.challenges import Challenges, Right, Wrong


@dataclass(frozen=True, slots=True)
class VerifyPage:
    """See the module's text."""

    challenges: Challenges
    sending: Sending
    proofs: Proofs
    clock: Clock
    reports: Reports

    async def act(self, visit: Visit, login: Login, action: str, fields: Fields) -> Acted:
        """Judge a code, send a new one, or go back to the address."""
        match action:
            case "cancel":
                return Acted(cancelled=True)
            case "edit":
                return Acted((AddressGiven(None),))
            case "resend" | "send":
                return await self.sending.send(visit, login, asked_for=True)
        return await self._judge(visit, login, fields.get("code", ""))

    async def view(self, visit: Visit, login: Login, fields: Fields) -> StepView:
        """Where the code went, how long it works, when a new one may be asked for."""
        case = self.proofs.case(visit, login)
        challenge, now = login.challenge, self.clock.now()
        if case is None:
            return StepView(
                step="verify", purpose=login.purpose.value, now=now, csrf=visit.csrf, to=visit.to, host=visit.host
            )
        kind = case.enrolment.factor
        left = await self.challenges.left(case, self.proofs.about(visit, login, kind), challenge)
        message = kind in MESSAGE_FACTORS
        return StepView(
            step="verify",
            purpose=login.purpose.value,
            now=now,
            csrf=visit.csrf,
            to=visit.to,
            host=visit.host,
            factor=kind.value,
            username=login.user.display_name if login.user else "",
            sent_to=mask_address(case.enrolment.address) if message else "",
            digits=login.policy.otp_length,
            expires_at=challenge.expires_at if challenge else None,
            resend_at=left.resend_at,
            can_resend=message,
            can_edit=message and case.registering,
            attempts_left=left.attempts,
            failures=left.failures,
            tag=challenge.tag if challenge else "",
        )

    async def _judge(self, visit: Visit, login: Login, typed: str) -> Acted:
        case, challenge = self.proofs.case(visit, login), login.challenge
        if case is None or challenge is None:
            return Acted()
        if not codes.fold(typed):
            return Acted(trouble=Trouble(Problem.BAD_INPUT))
        kind = case.enrolment.factor
        answer = await self.challenges.answer(case, self.proofs.about(visit, login, kind), challenge, typed)
        match answer:
            case Right(factor=factor):
                self.reports.tell(visit, AuditEvent.CODE_RIGHT, login.user, factor=factor.value)
                return Acted((Proved(challenge, factor, self.clock.now()),))
            case Wrong(trouble=trouble, stops=stops):
                self._tell(visit, login, kind.value, answer)
                if stops:
                    return Acted((Stopped(trouble, challenge.id),), trouble)
                return Acted(trouble=trouble)

    def _tell(self, visit: Visit, login: Login, factor: str, wrong: Wrong) -> None:
        match wrong.trouble.problem:
            case Problem.CODE_EXPIRED:
                event = AuditEvent.CODE_EXPIRED
            case _ if wrong.judged:
                event = AuditEvent.CODE_WRONG
            case _:
                event = AuditEvent.LIMIT_REACHED
        self.reports.tell(
            visit, event, login.user, factor=factor, problem=wrong.trouble.problem.value, failures=wrong.failures
        )
        if wrong.judged and wrong.trouble.problem is Problem.LOCKED:
            self.reports.tell(visit, AuditEvent.LOCK_SET, login.user, factor=factor, until=wrong.trouble.until)
