"""Sends a code exactly once, and not before its channel can take it.

A send is claimed in the store by the login and the number of its challenge, so that neither a double click nor another
tab or replica sends it again. A failed send releases its claim; a send without an answer may be claimed again when its
time is over. The effect `challenge` and the button that asks for a new code use it.

A channel with a rate gives slots (`second_factor.send_rate`). A slot is taken before anything is counted. When it lies
in the future the login records that, and the first GET after it sends: the code is made only then, so it never expires
unsent.
"""

from dataclasses import dataclass, replace
from math import inf

import structlog

from gateway.domain.challenge import Challenge
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import GatewayError, Misconfigured
from gateway.domain.policy import FactorKind, SharedAddress, serves
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.keycloak.token_endpoint import Granted, RefreshUnknown, SessionEnded, TokenEndpoint
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import ChallengeSent, Event, Login, Queued, Stopped, TokensRenewed
from gateway.login.state_machine import LoginState
from gateway.observe.audit import AuditEvent
from gateway.observe.redaction import mask_address
from gateway.second_factor.challenges import ChallengeContext, Challenges
from gateway.second_factor.factors import table
from gateway.second_factor.factors.protocol import DeliveryContext
from gateway.second_factor.send_rate import SendRate
from gateway.store.single_use import SingleUse

CLAIM = 30.0
"""Seconds after which a send without an answer may be claimed by another request."""
CALLS = 2
"""Calls of a service that one send may need, each with the whole time of the channel."""
TAG_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
TAG_LENGTH = 3
ASK_AT_LEAST, ASK_BESIDE = 240, 600
"""Seconds after which a page whose code is queued asks again, however far away its slot is; the latter where something
else can be typed meanwhile, which is lost by that."""
RENEW_BEFORE = 2.1 * ASK_BESIDE
"""Seconds before the end of a refresh token at which it is renewed while its user waits for a code."""
_NOT_NOW = (Problem.QUEUED, Problem.WAIT, Problem.SEND_FAILED, Problem.MAX_SENDS)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChallengeContexts:
    """Makes the contexts of a login's pending proof. Sending, checking and showing use the same ones."""

    clock: Clock
    random: Random

    def challenge(self, request: LoginRequest, state: LoginState) -> ChallengeContext | None:
        """The context of the pending proof; None when no proof is pending."""
        login, proof = state.login, state.proof
        if login.user is None or not (proof.methods or proof.extras):
            return None
        return ChallengeContext(
            tenant=request.tenant,
            policy=login.policy,
            limits=request.configuration.gateway.limits,
            user=login.user,
            bound_to=proof.binding,
            app=login.app,
            methods=proof.methods,
            extras=proof.extras,
            takes_any=proof.takes_any,
            enrolments=login.enrolments,
            contacts=login.contacts,
        )

    def delivery(self, request: LoginRequest, login: Login, factor: FactorKind) -> DeliveryContext:
        """The circumstances of a message. Raises `Misconfigured` when its channel is gone and has no successor."""
        return self._context(request, login, factor, _channel(request, login, factor))

    def verification(self, request: LoginRequest, login: Login, factor: FactorKind) -> DeliveryContext:
        """The circumstances of an entry. The channel that sent the code verifies it, whatever the settings say now."""
        sent = login.verification.challenge
        if sent is None or sent.factor is not factor or sent.channel_kind is None:
            return self.delivery(request, login, factor)
        found = request.configuration.channels.get(sent.channel or "")
        channel = found if found and found.kind is sent.channel_kind else None
        return replace(self._context(request, login, factor, channel), sent_by=sent.channel_kind)

    def _context(
        self, request: LoginRequest, login: Login, factor: FactorKind, channel: Channel | None
    ) -> DeliveryContext:
        return DeliveryContext(
            tenant=request.tenant,
            channel=channel,
            digits=login.policy.otp_length,
            expiry=login.policy.otp_expiry,
            language=request.language,
            host=request.host,
            browser=request.browser,
            reference=request.reference,
            now=self.clock.now(),
            random=self.random,
            tag=self._tag(login, factor),
        )

    def _tag(self, login: Login, factor: FactorKind) -> str:
        """A short label on page and message, where users of one mailbox each have a code of their own."""
        own = factor in table.SENT and not table.TYPES[factor].remote
        if not own or login.policy.shared_address is not SharedAddress.SEPARATE:
            return ""
        challenge = login.verification.challenge
        if challenge and challenge.tag:
            return challenge.tag
        return "".join(TAG_LETTERS[self.random.below(len(TAG_LETTERS))] for _ in range(TAG_LENGTH))


@dataclass(frozen=True, slots=True)
class SendCode:
    """See the module's text."""

    challenges: Challenges
    single_use: SingleUse
    contexts: ChallengeContexts
    random: Random
    send_rate: SendRate
    token_endpoint: TokenEndpoint

    async def run(self, request: LoginRequest, state: LoginState) -> StepResult:
        """The challenge that is due: a code is sent at once, or the challenge waits for an entry that needs none."""
        if state.login.verification.queued_until is not None:
            return await self._queued(request, state, asked_for=False)
        return await self._begin(request, state, state.proof.sends_at_once, asked_for=False)

    async def send(self, request: LoginRequest, state: LoginState, *, replaces: bool = False) -> StepResult:
        """The button: a code, or a new one. An older code may still work, unless the new one `replaces` it."""
        if state.login.verification.queued_until is not None:
            return await self._queued(request, state, asked_for=True)
        to = state.proof.message
        if to is None:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))  # an app's code is not sent
        return await self._begin(request, state, to, asked_for=not replaces, replaces=replaces)

    async def _queued(self, request: LoginRequest, state: LoginState, *, asked_for: bool) -> StepResult:
        """A code that waits for its channel: still, or no longer."""
        to, verification = state.proof.message, state.login.verification
        until = verification.queued_until or 0.0
        if to is None:
            return StepResult((Queued(None, verification.next_number, verification.round),))
        if self.contexts.clock.now() >= until:
            return await self._begin(request, state, to, asked_for=asked_for)
        context = self.contexts.challenge(request, state)
        held = await self.challenges.held(context, to) if context else None
        cools = held is not None and held.problem is Problem.WAIT
        why = ProblemDetail(Problem.WAIT if cools else Problem.QUEUED, until)
        return StepResult(await self._kept_alive(request, state.login), why)

    async def _begin(
        self, request: LoginRequest, state: LoginState, to: Enrolment | None, *, asked_for: bool, replaces: bool = False
    ) -> StepResult:
        context, number = self.contexts.challenge(request, state), state.login.verification.next_number
        if context is None:
            return StepResult()
        if to is None:
            return StepResult((ChallengeSent(self.challenges.waiting(context, number)),))
        claim = ("send", state.login.id, str(state.login.verification.round), str(number))
        owner = self.random.token_bytes(8).hex()
        delivery = self.contexts.delivery(request, state.login, to.factor)
        service = delivery.channel.service if delivery.channel else None
        longest = CLAIM + (CALLS * service.timeout if service else 0.0)
        if not await self.single_use.claim(request.tenant.id, claim, longest, owner=owner):
            return StepResult()
        try:
            sent = await self._sent(context, delivery, number, to)
        except BaseException:
            await self.single_use.release(request.tenant.id, claim, owner=owner)
            raise
        if isinstance(sent, Challenge):
            request.audit.write(
                AuditEvent.CODE_SENT,
                context.user,
                factor=to.factor.value,
                channel=sent.channel,
                to=mask_address(to.address),
            )
            return StepResult((ChallengeSent(sent),))
        await self.single_use.release(request.tenant.id, claim, owner=owner)
        if sent.problem is Problem.ENDED_BY_SERVICE:
            facts = {"factor": to.factor.value, "problem": sent.problem.value}
            request.audit.write(AuditEvent.CODE_NOT_SENT, context.user, **facts)
            return StepResult((Stopped(sent),), sent)
        return await self._not_sent(request, state, context, to, sent, asked_for=asked_for, replaces=replaces)

    async def _sent(
        self, context: ChallengeContext, delivery: DeliveryContext, number: int, to: Enrolment
    ) -> Challenge | ProblemDetail:
        """The challenge, or why no code can be sent now.

        A user who may not have a code takes no slot, so no user can fill the queue of a channel by a button.
        """
        channel, holder = delivery.channel, f"{context.tenant.id}/{context.user.id}"
        paced = channel if channel and channel.rate_per_minute else None
        if paced:
            if held := await self.challenges.held(context, to):
                return held
            at = await self.send_rate.take(paced, holder)
            if at is not None:
                return ProblemDetail(Problem.QUEUED, at)
        sent = await self.challenges.send(context, delivery, number, to)
        if paced and not isinstance(sent, Challenge):
            await self.send_rate.not_used(paced, holder)
        return sent

    async def _kept_alive(self, request: LoginRequest, login: Login) -> tuple[Event, ...]:
        """Renews the tokens of a user who waits: a queue may be longer than Keycloak keeps an idle session."""
        tokens = login.tokens
        if tokens is None or (tokens.refresh_expires_at or inf) > self.contexts.clock.now() + RENEW_BEFORE:
            return ()
        claim = ("renew", login.id, str(tokens.refresh_expires_at))
        if not await self.single_use.claim(request.tenant.id, claim, CLAIM):
            return ()
        try:
            renewed = await self.token_endpoint.refresh(request.tenant.keycloak, tokens)
        except GatewayError as error:
            log.warning(
                "waiting_login_not_renewed", tenant=request.tenant.id, what=error.what, reference=request.reference
            )
            return ()
        match renewed:
            case SessionEnded():
                return (Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),)
            case RefreshUnknown(refresh=refresh):
                return (TokensRenewed(replace(tokens, refresh=refresh.value)),)
            case Granted():
                return (TokensRenewed(renewed.tokens),)

    async def _not_sent(
        self,
        request: LoginRequest,
        state: LoginState,
        context: ChallengeContext,
        to: Enrolment,
        problem_detail: ProblemDetail,
        *,
        asked_for: bool,
        replaces: bool,
    ) -> StepResult:
        verification, problem = state.login.verification, problem_detail.problem
        others = len(context.methods) > 1 or bool(context.extras)
        beside: tuple[Event, ...] = ()
        if others and problem in _NOT_NOW and verification.challenge is None:  # codes that need no message work now
            challenge_id, now = self.random.token_bytes(12).hex(), self.contexts.clock.now()
            waiting = Challenge(challenge_id, None, context.bound_to, verification.next_number, issued_at=now)
            beside = (ChallengeSent(waiting),)
        if problem is Problem.QUEUED or (problem is Problem.WAIT and beside):
            number = verification.next_number + len(beside)
            return StepResult((*beside, Queued(problem_detail.until, number, verification.round)), problem_detail)
        event = AuditEvent.CODE_NOT_SENT if problem is Problem.SEND_FAILED else AuditEvent.LIMIT_REACHED
        request.audit.write(
            event,
            context.user,
            factor=to.factor.value,
            to=mask_address(to.address),
            problem=problem.value,
            limit=problem_detail.limit or None,
            asked_for=asked_for,
        )
        # The maximum of sends ends the login only when no live code is left, and no other entry can be given.
        lives = not replaces and await self._lives(context, verification.challenge)
        if problem is Problem.MAX_SENDS and not others and not lives:
            policy = state.login.policy
            until = problem_detail.until or self.contexts.clock.now() + policy.resend_cooldown
            stopped = replace(problem_detail, until=until, path=policy.max_sends_path)
            return StepResult((Stopped(stopped),), stopped)
        if verification.queued_until is not None and verification.challenge is not None:
            return StepResult((Queued(None, verification.next_number, verification.round),), problem_detail)
        return StepResult(beside, problem_detail)

    async def _lives(self, context: ChallengeContext, challenge: Challenge | None) -> bool:
        """Whether a code that was sent can still be right."""
        if challenge is None or (challenge.expires_at or 0.0) <= self.contexts.clock.now():
            return False
        return (await self.challenges.left(context, challenge)).attempts > 0


def _channel(request: LoginRequest, login: Login, factor: FactorKind) -> Channel | None:
    """The channel pinned in the login; when it was replaced meanwhile, the tenant's present one of that type.

    None where the factor needs none.
    """
    pinned, present = login.policy.by_factor.get(factor), request.tenant.policy.by_factor.get(factor)
    if pinned is None or pinned.channel is None:
        return None
    for method in (pinned, present):
        found = request.configuration.channels.get(method.channel or "") if method else None
        if found and serves(found.type, factor):
            return found
    raise Misconfigured("channels", f"{pinned.channel} is no longer configured")
