"""The backup-codes page: codes to keep, shown once the first factor is on.

Form: only the button that goes on. The codes are shown in the answer to the form that carried the proof, never by GET:
a script of an app could fetch that. They can be seen again on the account page, after a proof of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Acknowledged
from gateway.login.state_machine import LoginState, Step
from gateway.rendering.step_view import StepView, codes_file
from gateway.second_factor.factors import backup_code


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupCodesView(StepView):
    """`codes` is empty when they were shown before. `host` is where they belong."""

    host: str
    codes: Sequence[str] = field(default=(), repr=False)

    def codes_file(self, name: str) -> str:
        """The backup codes as the lines of a text file, under the name of the tenant."""
        return codes_file(name, self.host, self.codes)

    def own_json(self) -> dict[str, Any]:
        """The codes."""
        return {"codes": list(self.codes)}


@dataclass(frozen=True, slots=True)
class BackupCodesPage:
    """See the module's text."""

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """The user has kept them."""
        return StepResult((Acknowledged(Step.BACKUP_CODES.value),))

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> BackupCodesView:
        """The codes, in the answer to the proof."""
        codes = state.login.enrolments.backup_codes if request.just_proved else ()
        return BackupCodesView(
            **request.head(Step.BACKUP_CODES, state.login),
            host=request.host,
            codes=tuple(map(backup_code.shown, codes)),
        )
