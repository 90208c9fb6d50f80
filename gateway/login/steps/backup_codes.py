"""The backup-codes page: codes to keep, shown once the first factor is on.

Form: only the button that goes on. The codes are shown in the answer to the form that carried the proof, never by GET:
a script of an app could fetch that. They can be seen again on the account page, after a proof of its own.
"""

from dataclasses import dataclass
from typing import Any

from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Acknowledged
from gateway.login.state_machine import LoginState, Step
from gateway.rendering.languages import Languages
from gateway.rendering.step_view import CodesFile, StepView, codes_file
from gateway.second_factor.factors import backup_code


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupCodesView(StepView):
    """`file` is None when the codes were shown before."""

    file: CodesFile | None = None

    def own_json(self) -> dict[str, Any]:
        """The codes."""
        return {"codes": list(self.file.codes) if self.file else []}


@dataclass(frozen=True, slots=True)
class BackupCodesPage:
    """See the module's text."""

    languages: Languages

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """The user has kept them."""
        return StepResult((Acknowledged(Step.BACKUP_CODES.value),))

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> BackupCodesView:
        """The codes, in the answer to the proof."""
        login = state.login
        head = request.head(Step.BACKUP_CODES, login)
        if not request.just_proved or login.user is None:
            return BackupCodesView(**head)
        codes = tuple(map(backup_code.shown, login.enrolments.backup_codes))
        language = self.languages.get(request.language, request.tenant.zone)
        file = codes_file(
            request.tenant, request.host, login.user.username, codes, language=language, at=login.moved_at
        )
        return BackupCodesView(**head, file=file)
