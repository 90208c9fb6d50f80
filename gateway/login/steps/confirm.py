"""The confirm page: is this address right? It is shown again, to edit or to send the first code to.

Form: `action` `send` or `edit`.
"""

from dataclasses import dataclass, replace

from gateway.domain.ports import Clock
from gateway.login.flow import FormFields, StepResult
from gateway.login.record import AddressConfirmed, AddressGiven, Login, Step
from gateway.login.viewing import view_of
from gateway.login.visit import LoginRequest
from gateway.rendering.step_view import StepView
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True)
class ConfirmPage:
    """See the module's text."""

    clock: Clock

    async def act(self, visit: LoginRequest, login: Login, action: str, fields: FormFields) -> StepResult:
        """Send or edit."""
        match action:
            case "cancel":
                return StepResult(cancelled=True)
            case "edit":
                return StepResult((AddressGiven(None),))
        return StepResult((AddressConfirmed(login.draft),)) if login.draft else StepResult()

    async def view(self, visit: LoginRequest, login: Login, fields: FormFields) -> StepView:
        """The address as it was typed."""
        return replace(
            view_of(Step.CONFIRM, visit, login, self.clock.now()),
            factor=login.draft.factor.value if login.draft else "",
            sent=table.sends(login.draft.factor if login.draft else None),
            icon=table.icon(login.draft.factor if login.draft else None),
            address=login.draft.address if login.draft else "",
            digits=login.policy.otp_length,
            can_edit=True,
        )
