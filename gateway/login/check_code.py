"""Checks a typed code: it becomes an event, a problem to show, or the end of the login.

The page that verifies and the page that enrols an app use it.
"""

from dataclasses import dataclass

from gateway.crypto import codes
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import User
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.machine import LoginState
from gateway.login.record import Proved, Stopped
from gateway.observe.audit import AuditEvent
from gateway.second_factor.challenges import ChallengeContext, Challenges, Denied, Verified
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """See the module's text."""

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
