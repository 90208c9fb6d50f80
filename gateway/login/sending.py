"""How is a code sent exactly once?

A send is claimed in the store by the login and the number of its challenge, so that neither a double click nor another
tab or replica sends it again; a failed send releases its claim, one that said nothing may be claimed again when its
time is over. Used by the effect `challenge` and by the button that asks for a new code.
"""

from dataclasses import dataclass

from gateway.domain.challenge import Challenge
from gateway.domain.policy import MESSAGE_FACTORS
from gateway.domain.problem import Problem, Trouble
from gateway.login.flow import Acted
from gateway.login.machine import ChallengeSent, Login, Stopped
from gateway.login.proofs import SEND_TIMEOUT, Proofs
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering.masking import mask_address
from gateway.second_factor.challenges import Challenges
from gateway.store.once import Once

CLAIM = SEND_TIMEOUT + 10.0


@dataclass(frozen=True, slots=True)
class Sending:
    """See the module's text."""

    challenges: Challenges
    once: Once
    proofs: Proofs
    reports: Reports

    async def send(self, visit: Visit, login: Login, *, asked_for: bool) -> Acted:
        """Begin the next challenge; `asked_for` when the user pressed the button, and a live code may be left."""
        case = self.proofs.case(visit, login)
        if case is None:
            return Acted()
        claim = ("send", login.id, str(login.round), str(login.asked))
        if not await self.once.claim(visit.tenant.id, claim, CLAIM):
            return Acted()
        kind = case.enrolment.factor
        try:
            begun = await self.challenges.begin(case, self.proofs.about(visit, login, kind), login.asked)
        except BaseException:
            await self.once.release(visit.tenant.id, claim)
            raise
        match begun:
            case Challenge():
                if kind in MESSAGE_FACTORS:
                    to = mask_address(case.enrolment.address)
                    self.reports.tell(
                        visit, AuditEvent.CHALLENGE_SENT, login.user, factor=kind.value, channel=begun.channel, to=to
                    )
                return Acted((ChallengeSent(begun),))
            case Trouble():
                await self.once.release(visit.tenant.id, claim)
                return self._not_sent(visit, login, kind.value, begun, asked_for=asked_for)

    def _not_sent(self, visit: Visit, login: Login, factor: str, trouble: Trouble, *, asked_for: bool) -> Acted:
        failed = trouble.problem is Problem.SEND_FAILED
        event = AuditEvent.CHALLENGE_SEND_FAILED if failed else AuditEvent.LIMIT_REACHED
        self.reports.tell(visit, event, login.user, factor=factor, problem=trouble.problem.value, asked_for=asked_for)
        # The maximum of sends ends the login only when no live code is left.
        live = login.challenge and (login.challenge.expires_at or 0.0) > self.proofs.clock.now()
        if trouble.problem is Problem.MAX_SENDS and not live:
            return Acted((Stopped(trouble),), trouble)
        return Acted(trouble=trouble)
