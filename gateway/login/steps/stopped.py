"""The stopped page: this login is over; why, and what next.

Nothing can be done on it but sign in again, by the password page.
"""

from dataclasses import dataclass, replace

from gateway.domain.ports import Clock
from gateway.login.flow import Acted, Fields
from gateway.login.record import Login, Step
from gateway.login.viewing import view_of
from gateway.login.visit import Visit
from gateway.rendering.step_view import StepView


@dataclass(frozen=True, slots=True)
class StoppedPage:
    """See the module's text."""

    clock: Clock

    async def act(self, visit: Visit, login: Login, action: str, fields: Fields) -> Acted:
        """A stopped login absorbs everything."""
        return Acted()

    async def view(self, visit: Visit, login: Login, fields: Fields) -> StepView:
        """The reason is the problem beside it."""
        return replace(
            view_of(Step.STOPPED, visit, login, self.clock.now()),
            can_cancel=False,
        )
