"""The stopped page: this login is over; why, and what next.

Nothing can be done on it but sign in again, by the password page.
"""

from dataclasses import dataclass, replace

from gateway.domain.ports import Clock
from gateway.login.flow import FormFields, StepResult
from gateway.login.record import Login, Step
from gateway.login.viewing import view_of
from gateway.login.visit import LoginRequest
from gateway.rendering.step_view import StepView


@dataclass(frozen=True, slots=True)
class StoppedPage:
    """See the module's text."""

    clock: Clock

    async def act(self, visit: LoginRequest, login: Login, action: str, fields: FormFields) -> StepResult:
        """A stopped login absorbs everything."""
        return StepResult()

    async def view(self, visit: LoginRequest, login: Login, fields: FormFields) -> StepView:
        """The reason is the problem beside it."""
        return replace(
            view_of(Step.STOPPED, visit, login, self.clock.now()),
            can_cancel=False,
        )
