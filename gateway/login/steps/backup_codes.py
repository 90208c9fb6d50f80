"""The backup-codes page: codes to keep, shown once the first factor is on.

Form: only the button that goes on. The codes are shown in the answer to the form that carried the proof, never by GET:
a script of an app could fetch that. They can be seen again on the account page, after a proof of its own.
"""

from dataclasses import dataclass, replace

from gateway.domain.ports import Clock
from gateway.login.flow import FormFields, StepResult
from gateway.login.record import CodesNoted, Login, Step
from gateway.login.viewing import view_of
from gateway.login.visit import LoginRequest
from gateway.rendering.step_view import StepView
from gateway.second_factor.factors import backup_code


@dataclass(frozen=True, slots=True)
class BackupCodesPage:
    """See the module's text."""

    clock: Clock

    async def act(self, visit: LoginRequest, login: Login, action: str, fields: FormFields) -> StepResult:
        """The user has kept them."""
        return StepResult(cancelled=True) if action == "cancel" else StepResult((CodesNoted(),))

    async def view(self, visit: LoginRequest, login: Login, fields: FormFields) -> StepView:
        """The codes, in the answer to the proof."""
        return replace(
            view_of(Step.BACKUP_CODES, visit, login, self.clock.now()),
            codes=tuple(map(backup_code.shown, login.enrolments.backup_codes)) if visit.just_proved else (),
        )
