"""The challenge of a login's pending proof: its contexts for `second_factor`, and the check of a typed code.

Sending, checking and showing use the same contexts, so they are about the same proof.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.crypto import codes
from gateway.domain.channel import Channel
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import FactorKind, SharedAddress
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import User
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login, Proved, Stopped
from gateway.login.state_machine import LoginState
from gateway.observe.audit import AuditEvent
from gateway.second_factor.challenges import ChallengeContext, Challenges, Denied, Verified
from gateway.second_factor.factors import table
from gateway.second_factor.factors.protocol import DeliveryContext

SEND_TIMEOUT = 20.0
"""Seconds after which a send that said nothing may be claimed by another request."""
TAG_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
TAG_LENGTH = 3


@dataclass(frozen=True, slots=True)
class ChallengeContexts:
    """Makes the contexts."""

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
            client=request.client,
            methods=proof.methods,
            extras=proof.extras,
            takes_any=proof.takes_any,
            enrolments=login.enrolments,
        )

    def delivery(self, request: LoginRequest, login: Login, factor: FactorKind) -> DeliveryContext:
        """The circumstances of a message. Raises `Misconfigured` when its channel is gone and has no successor."""
        return DeliveryContext(
            tenant=request.tenant,
            channel=_channel(request, login, factor),
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

    def delivery_of(self, request: LoginRequest, login: Login) -> Callable[[FactorKind], DeliveryContext]:
        """The circumstances by factor."""
        return lambda factor: self.delivery(request, login, factor)

    def _tag(self, login: Login, factor: FactorKind) -> str:
        """A short label on page and message, where users of one mailbox each have a code of their own."""
        if not table.sends(factor) or login.policy.shared_address is not SharedAddress.SEPARATE:
            return ""
        challenge = login.verification.challenge
        if challenge and challenge.tag:
            return challenge.tag
        return "".join(TAG_LETTERS[self.random.below(len(TAG_LETTERS))] for _ in range(TAG_LENGTH))


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """Checks a typed code: it becomes an event, a problem to show, or the end of the login.

    The page that verifies and the page that enrols an app use it.
    """

    challenges: Challenges
    contexts: ChallengeContexts
    clock: Clock

    async def judge(
        self, request: LoginRequest, state: LoginState, typed: str, *, remember: bool = False
    ) -> StepResult:
        """Judge `typed` against what is pending."""
        context, challenge = self.contexts.challenge(request, state), state.login.verification.challenge
        if context is None or challenge is None:
            return StepResult()
        if not _may_be_code(context, codes.fold(typed)):
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))  # no guess: it costs no attempt
        delivery_of = self.contexts.delivery_of(request, state.login)
        match await self.challenges.answer(context, delivery_of, challenge, typed):
            case Verified(factor=factor, enrolments=enrolments):
                request.audit.write(AuditEvent.CODE_ACCEPTED, context.user, factor=factor.value)
                return StepResult((Proved(challenge, factor, self.clock.now(), remember, enrolments),))
            case Denied(problem_detail=problem_detail, stops=stops) as denied:
                _audit(request, context.user, context.counted_as.value if context.counted_as else "any", denied)
                stopped = (Stopped(problem_detail, challenge.id),) if stops else ()
                return StepResult(stopped, problem_detail)


def _channel(request: LoginRequest, login: Login, factor: FactorKind) -> Channel | None:
    """The channel pinned in the login; when it was replaced meanwhile, the tenant's present one of that type.

    None where the factor needs none.
    """
    pinned, present = login.policy.by_factor.get(factor), request.tenant.policy.by_factor.get(factor)
    if pinned is None or pinned.channel is None:
        return None
    channels = request.configuration.channels
    successor = channels.get(present.channel) if present and present.channel else None
    found = channels.get(pinned.channel) or successor
    if found is None:
        raise Misconfigured("channels", f"{pinned.channel} is no longer configured")
    return found


def _audit(request: LoginRequest, user: User, factor: str, denied: Denied) -> None:
    problem_detail = denied.problem_detail
    event = AuditEvent.CODE_REJECTED if denied.judged else AuditEvent.LIMIT_REACHED
    if problem_detail.problem is Problem.CODE_EXPIRED:
        event = AuditEvent.CODE_EXPIRED
    request.audit.write(event, user, factor=factor, problem=problem_detail.problem.value, failures=denied.failures)
    if denied.judged and problem_detail.problem is Problem.LOCKED:
        request.audit.write(AuditEvent.LOCK_SET, user, factor=factor, until=problem_detail.until)


def _may_be_code(context: ChallengeContext, entry: str) -> bool:
    """Whether `entry` (folded) can be meant as a code; where only digits are asked for, letters cannot."""
    digits = table.digits(context.only, context.policy.otp_length) if not context.extras else None
    return bool(entry) and (digits is None or (entry.isascii() and entry.isdigit()))
