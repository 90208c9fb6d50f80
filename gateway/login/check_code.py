"""What does a typed code lead to?

Used by the page that verifies and by the one that registers an app: the code is judged once, and becomes an event, a
problem to show, or the end of the login.
"""

from dataclasses import dataclass

from gateway.crypto import codes
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.flow import StepResult
from gateway.login.record import Login, Proved, Stopped
from gateway.login.reports import Reports
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.second_factor.challenges import ChallengeContext, Challenges, Denied, Verified
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """See the module's text."""

    challenges: Challenges
    proofs: ChallengeContexts
    clock: Clock
    reports: Reports

    async def judge(self, visit: LoginRequest, login: Login, typed: str, *, remember: bool = False) -> StepResult:
        """Judge `typed` against what is pending."""
        case, challenge = self.proofs.case(visit, login), login.challenge
        if case is None or challenge is None:
            return StepResult()
        if not _may_be_code(case, codes.fold(typed)):
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))  # no guess: it costs no attempt
        answer = await self.challenges.answer(case, self.proofs.about_of(visit, login), challenge, typed)
        match answer:
            case Verified(factor=factor, enrolments=enrolments):
                self.reports.tell(visit, AuditEvent.CODE_ACCEPTED, login.user, factor=factor.value)
                return StepResult((Proved(challenge, factor, self.clock.now(), remember, enrolments),))
            case Denied(problem_detail=problem_detail, stops=stops):
                self._tell(visit, login, case.counted_as.value if case.counted_as else "any", answer)
                if stops:
                    return StepResult((Stopped(problem_detail, challenge.id),), problem_detail)
                return StepResult(problem_detail=problem_detail)

    def _tell(self, visit: LoginRequest, login: Login, factor: str, wrong: Denied) -> None:
        match wrong.problem_detail.problem:
            case Problem.CODE_EXPIRED:
                event = AuditEvent.CODE_EXPIRED
            case _ if wrong.judged:
                event = AuditEvent.CODE_REJECTED
            case _:
                event = AuditEvent.LIMIT_REACHED
        self.reports.tell(
            visit, event, login.user, factor=factor, problem=wrong.problem_detail.problem.value, failures=wrong.failures
        )
        if wrong.judged and wrong.problem_detail.problem is Problem.LOCKED:
            self.reports.tell(visit, AuditEvent.LOCK_SET, login.user, factor=factor, until=wrong.problem_detail.until)


def _may_be_code(case: ChallengeContext, entry: str) -> bool:
    """Whether `entry` (folded) can be meant as a code; where only digits are asked for, letters cannot."""
    digits = table.digits(case.only, case.policy.otp_length) if not case.extras else None
    return bool(entry) and (digits is None or (entry.isascii() and entry.isdigit()))
