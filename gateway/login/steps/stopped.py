"""The stopped page: this login is over; why, and what next. The user can only sign in again, by the password page."""

from dataclasses import dataclass

from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Step
from gateway.login.state_machine import LoginState
from gateway.rendering.step_view import StepView


@dataclass(frozen=True, slots=True)
class StoppedPage:
    """See the module's text."""

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """A stopped login absorbs everything."""
        return StepResult()

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> StepView:
        """The reason is the problem beside it."""
        return StepView(**request.head(Step.STOPPED, state.login), can_cancel=False)
