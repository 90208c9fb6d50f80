"""How is a code sent exactly once?

A send is claimed in the store by the login and the number of its challenge, so that neither a double click nor another
tab or replica sends it again; a failed send releases its claim, one that said nothing may be claimed again when its
time is over. Used by the effect `challenge` and by the button that asks for a new code.
"""

from dataclasses import dataclass

from gateway.domain.challenge import Challenge
from gateway.domain.enrolment import Enrolment
from gateway.domain.ports import Chance
from gateway.domain.problem import Problem, Trouble
from gateway.login import aims
from gateway.login.flow import Acted
from gateway.login.proofs import SEND_TIMEOUT, Proofs
from gateway.login.record import ChallengeSent, Login, Stopped
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering.masking import mask_address
from gateway.second_factor.challenges import Case, Challenges
from gateway.store.once import Once

CLAIM = SEND_TIMEOUT + 10.0


@dataclass(frozen=True, slots=True)
class Sending:
    """See the module's text."""

    challenges: Challenges
    once: Once
    proofs: Proofs
    chance: Chance
    reports: Reports

    async def begin(self, visit: Visit, login: Login) -> Acted:
        """The challenge that is due: a code goes out at once, or one is waited for."""
        to = aims.message(login) if aims.sends_at_once(login) else None
        return await self._begin(visit, login, to, asked_for=False)

    async def send(self, visit: Visit, login: Login) -> Acted:
        """The button: a code, or a new one. A live code may be left."""
        to = aims.message(login)
        return await self._begin(visit, login, to, asked_for=True) if to else Acted()

    async def _begin(self, visit: Visit, login: Login, to: Enrolment | None, *, asked_for: bool) -> Acted:
        case = self.proofs.case(visit, login)
        if case is None:
            return Acted()
        if to is None:
            begun = await self.challenges.begin(case, self.proofs.about_of(visit, login), login.asked, None)
            return Acted((ChallengeSent(begun),)) if isinstance(begun, Challenge) else Acted(trouble=begun)
        return await self._claimed(visit, login, case, to, asked_for=asked_for)

    async def _claimed(self, visit: Visit, login: Login, case: Case, to: Enrolment, *, asked_for: bool) -> Acted:
        claim, owner = ("send", login.id, str(login.round), str(login.asked)), self.chance.token_bytes(8).hex()
        if not await self.once.claim(visit.tenant.id, claim, CLAIM, owner=owner):
            return Acted()
        try:
            begun = await self.challenges.begin(case, self.proofs.about_of(visit, login), login.asked, to)
        except BaseException:
            await self.once.release(visit.tenant.id, claim, owner=owner)
            raise
        match begun:
            case Challenge(channel=channel):
                self.reports.tell(
                    visit,
                    AuditEvent.CHALLENGE_SENT,
                    login.user,
                    factor=to.factor.value,
                    channel=channel,
                    to=mask_address(to.address),
                )
                return Acted((ChallengeSent(begun),))
            case Trouble():
                await self.once.release(visit.tenant.id, claim, owner=owner)
                return self._not_sent(visit, login, to.factor.value, begun, asked_for=asked_for)

    def _not_sent(self, visit: Visit, login: Login, factor: str, trouble: Trouble, *, asked_for: bool) -> Acted:
        failed = trouble.problem is Problem.SEND_FAILED
        event = AuditEvent.CHALLENGE_SEND_FAILED if failed else AuditEvent.LIMIT_REACHED
        self.reports.tell(visit, event, login.user, factor=factor, problem=trouble.problem.value, asked_for=asked_for)
        # The maximum of sends ends the login only when no live code is left, and nothing else can be typed.
        live = login.challenge and (login.challenge.expires_at or 0.0) > self.proofs.clock.now()
        others = len(aims.methods(login)) > 1 or aims.extras(login)
        if trouble.problem is Problem.MAX_SENDS and not live and not others:
            return Acted((Stopped(trouble),), trouble)
        return Acted(trouble=trouble)
