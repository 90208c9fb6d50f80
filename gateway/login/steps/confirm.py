"""The confirm page: the address is shown again, to edit it or to send the first code there.

Form: `action` `send` or `edit`.
"""

from dataclasses import dataclass
from typing import Any

from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import AddressConfirmed, AddressGiven
from gateway.login.state_machine import LoginState, Step
from gateway.rendering.step_view import StepView
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmView(StepView):
    """`address` is what the user has just typed."""

    factor: str
    address: str
    digits: int

    def own_json(self) -> dict[str, Any]:
        """The address, and how long its code will be."""
        return {"factor": self.factor or None, "digits": self.digits, "address": self.address}


@dataclass(frozen=True, slots=True)
class ConfirmPage:
    """See the module's text."""

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Send or edit."""
        draft = state.login.enrolling.draft
        if action == "edit":
            return StepResult((AddressGiven(None),))
        return StepResult((AddressConfirmed(draft),)) if draft else StepResult()

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> ConfirmView:
        """The address as it was typed."""
        login, draft = state.login, state.login.enrolling.draft
        return ConfirmView(
            **request.head(Step.CONFIRM, login),
            sent=(draft.factor if draft else None) in table.SENT,
            icon=table.icon(draft.factor if draft else None),
            factor=draft.factor.value if draft else "",
            address=table.TYPES[draft.factor].shown(draft.address) if draft else "",
            digits=login.policy.otp_length,
        )
