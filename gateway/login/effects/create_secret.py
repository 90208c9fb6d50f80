"""Makes the secret of an app, which the register page shows. Where two requests make one, the first one counts."""

from dataclasses import dataclass

from gateway.domain.challenge import Draft, Rejected
from gateway.domain.problem import ProblemDetail
from gateway.login.check_code import ChallengeContexts
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Drafted, Stopped
from gateway.login.state_machine import LoginState
from gateway.second_factor.challenges import Challenges


@dataclass(frozen=True, slots=True)
class CreateSecret:
    """See the module's text."""

    challenges: Challenges
    contexts: ChallengeContexts

    async def run(self, request: LoginRequest, state: LoginState) -> StepResult:
        """Make it."""
        kind, user = state.proof.enrolling, state.login.user
        if kind is None or user is None:
            return StepResult()
        context = self.contexts.delivery(request, state.login, kind)
        match await self.challenges.factor(context, kind).enrol(user, "", context):
            case Draft() as draft:
                return StepResult((Drafted(draft),))
            case Rejected(problem=problem):
                return StepResult((Stopped(ProblemDetail(problem)),))
