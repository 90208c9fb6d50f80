"""How is a code sent exactly once, and not before its channel can take it?

A send is claimed in the store by the login and the number of its challenge, so that neither a double click nor another
tab or replica sends it again; a failed send releases its claim, one that said nothing may be claimed again when its
time is over. Used by the effect `challenge` and by the button that asks for a new code.

A channel with a rate gives slots (`delivery.pace`). A slot is taken before anything is counted; when it lies in the
future the login records that, and the first GET after it sends: the code is made only then, so it never expires unsent.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from math import inf

import structlog

from gateway.delivery.send_rate import SendRate
from gateway.domain.challenge import Challenge
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import GatewayError
from gateway.domain.ports import Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.login import pending_proof
from gateway.login.challenge_context import SEND_TIMEOUT, ChallengeContexts
from gateway.login.flow import StepResult
from gateway.login.record import ChallengeSent, Event, Login, Queued, Stopped, TokensRenewed
from gateway.login.reports import Reports
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.rendering.masking import mask_address
from gateway.second_factor.challenges import ChallengeContext, Challenges
from gateway.store.single_use import SingleUse

CLAIM = SEND_TIMEOUT + 10.0
ASK_AT_LEAST, ASK_BESIDE = 240, 600
"""Seconds after which a page whose code is queued asks again, however far away its slot is; the latter where something
else can be typed meanwhile, which is lost by that."""
RENEW_BEFORE = 2.1 * ASK_BESIDE
"""Seconds before the end of a refresh token at which it is renewed while its user waits for a code."""
Renew = Callable[[Tenant, Tokens], Awaitable[Tokens | None]]
"""New tokens; None when the session is over at Keycloak. Raises `errors.GatewayError` when that cannot be told."""
_NOT_SOON = (Problem.QUEUED, Problem.SEND_FAILED, Problem.MAX_SENDS)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CodeSending:
    """See the module's text."""

    challenges: Challenges
    once: SingleUse
    proofs: ChallengeContexts
    random: Random
    reports: Reports
    pace: SendRate
    renew: Renew

    async def begin(self, visit: LoginRequest, login: Login) -> StepResult:
        """The challenge that is due: a code goes out at once, or one is waited for."""
        if login.queued_until is not None:
            return await self._queued(visit, login, asked_for=False)
        to = pending_proof.message(login) if pending_proof.sends_at_once(login) else None
        return await self._begin(visit, login, to, asked_for=False)

    async def send(self, visit: LoginRequest, login: Login) -> StepResult:
        """The button: a code, or a new one. A live code may be left."""
        if login.queued_until is not None:
            return await self._queued(visit, login, asked_for=True)
        to = pending_proof.message(login)
        if to is None:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))  # an app's code is not sent
        return await self._begin(visit, login, to, asked_for=True)

    async def _queued(self, visit: LoginRequest, login: Login, *, asked_for: bool) -> StepResult:
        """A code that has to wait: still, or not any longer."""
        to, until = pending_proof.message(login), login.queued_until or 0.0
        if to is None:
            return StepResult((Queued(None, login.asked, login.round),))
        if self.proofs.clock.now() >= until:
            return await self._begin(visit, login, to, asked_for=asked_for)
        return StepResult(await self._kept_alive(visit, login), ProblemDetail(Problem.QUEUED, until))

    async def _begin(self, visit: LoginRequest, login: Login, to: Enrolment | None, *, asked_for: bool) -> StepResult:
        case = self.proofs.case(visit, login)
        if case is None:
            return StepResult()
        if to is None:
            begun = await self.challenges.begin(case, self.proofs.about_of(visit, login), login.asked, None)
            return (
                StepResult((ChallengeSent(begun),))
                if isinstance(begun, Challenge)
                else StepResult(problem_detail=begun)
            )
        return await self._claimed(visit, login, case, to, asked_for=asked_for)

    async def _claimed(
        self, visit: LoginRequest, login: Login, case: ChallengeContext, to: Enrolment, *, asked_for: bool
    ) -> StepResult:
        claim, owner = ("send", login.id, str(login.round), str(login.asked)), self.random.token_bytes(8).hex()
        if not await self.once.claim(visit.tenant.id, claim, CLAIM, owner=owner):
            return StepResult()
        channel, holder = self.proofs.about(visit, login, to.factor).channel, f"{case.tenant.id}/{case.user.id}"
        try:
            if held := await self._held(case, to, channel, holder):
                await self.once.release(visit.tenant.id, claim, owner=owner)
                return await self._not_sent(visit, login, case, to, held, asked_for=asked_for)
            begun = await self.challenges.begin(case, self.proofs.about_of(visit, login), login.asked, to)
        except BaseException:
            await self.once.release(visit.tenant.id, claim, owner=owner)
            raise
        match begun:
            case Challenge():
                self.reports.tell(
                    visit,
                    AuditEvent.CODE_SENT,
                    login.user,
                    factor=to.factor.value,
                    channel=begun.channel,
                    to=mask_address(to.address),
                )
                return StepResult((ChallengeSent(begun),))
            case ProblemDetail():
                if channel:
                    await self.pace.not_used(channel, holder)
                await self.once.release(visit.tenant.id, claim, owner=owner)
                return await self._not_sent(visit, login, case, to, begun, asked_for=asked_for)

    async def _held(
        self, case: ChallengeContext, to: Enrolment, channel: Channel | None, holder: str
    ) -> ProblemDetail | None:
        """Why no code can go now. Who may have none takes no slot: nobody can fill a queue by a button."""
        if held := await self.challenges.held(case, to):
            return held
        at = await self.pace.take(channel, holder) if channel else None
        return None if at is None else ProblemDetail(Problem.QUEUED, at)

    async def _kept_alive(self, visit: LoginRequest, login: Login) -> tuple[Event, ...]:
        """A queue may be longer than Keycloak keeps an idle session: renews the tokens of whoever is still there."""
        tokens = login.tokens
        if tokens is None or (tokens.refresh_expires_at or inf) > self.proofs.clock.now() + RENEW_BEFORE:
            return ()
        claim = ("renew", login.id, str(tokens.refresh_expires_at))
        if not await self.once.claim(visit.tenant.id, claim, CLAIM):
            return ()
        try:
            renewed = await self.renew(visit.tenant, tokens)
        except GatewayError as error:
            log.warning("waiting_login_not_renewed", tenant=visit.tenant.id, what=error.what, reference=visit.reference)
            return ()
        return (TokensRenewed(renewed) if renewed else Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),)

    async def _not_sent(
        self,
        visit: LoginRequest,
        login: Login,
        case: ChallengeContext,
        to: Enrolment,
        problem_detail: ProblemDetail,
        *,
        asked_for: bool,
    ) -> StepResult:
        others = len(pending_proof.methods(login)) > 1 or bool(pending_proof.extras(login))
        beside = self._beside(login) if others and problem_detail.problem in _NOT_SOON else ()
        if problem_detail.problem is Problem.QUEUED:
            return StepResult(
                (*beside, Queued(problem_detail.until, login.asked + len(beside), login.round)), problem_detail
            )
        failed = problem_detail.problem is Problem.SEND_FAILED
        event = AuditEvent.CODE_NOT_SENT if failed else AuditEvent.LIMIT_REACHED
        problem = problem_detail.problem.value
        self.reports.tell(visit, event, login.user, factor=to.factor.value, problem=problem, asked_for=asked_for)
        # The maximum of sends ends the login only when no live code is left, and nothing else can be typed.
        if problem_detail.problem is Problem.MAX_SENDS and not others and not await self._lives(case, login.challenge):
            cooled = self.proofs.clock.now() + login.policy.resend_cooldown
            stopped = replace(problem_detail, until=problem_detail.until or cooled)
            return StepResult((Stopped(stopped),), stopped)
        if login.queued_until is not None and login.challenge is not None:
            return StepResult((Queued(None, login.asked, login.round),), problem_detail)
        return StepResult(beside, problem_detail)

    async def _lives(self, case: ChallengeContext, challenge: Challenge | None) -> bool:
        """Whether a code that was sent can still be right."""
        if challenge is None or (challenge.expires_at or 0.0) <= self.proofs.clock.now():
            return False
        return (await self.challenges.left(case, challenge)).attempts > 0

    def _beside(self, login: Login) -> tuple[Event, ...]:
        """While no message goes out, whatever needs none can be typed: an app's code, a backup code, an
        administrator's."""
        if login.challenge is not None:
            return ()
        now, challenge_id = self.proofs.clock.now(), self.random.token_bytes(12).hex()
        return (ChallengeSent(Challenge(challenge_id, None, pending_proof.binding(login), login.asked, issued_at=now)),)
