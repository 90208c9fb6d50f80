"""Writes the user's sealed set with the new enrolment to Keycloak. A set that was changed meanwhile stops the login.

Account, policy and approval are judged again first: an enrolment is saved only as today's policy allows it.
"""

from dataclasses import dataclass

from gateway.domain.ports import Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.account_change_mails import AccountChange, AccountChangeMails, Change
from gateway.login.final_checks import FinalChecks
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Saved, Stopped
from gateway.login.state_machine import LoginState
from gateway.observe.audit import AuditEvent
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors import backup_code
from gateway.store.single_use import SingleUse

REPORTED = 7200.0
"""Seconds for which an enrolment is not audited and mailed again; longer than any login lives."""


@dataclass(frozen=True, slots=True)
class SaveEnrolment:
    """See the module's text."""

    final_checks: FinalChecks
    enrolments: Enrolments
    single_use: SingleUse
    random: Random
    mails: AccountChangeMails

    async def run(self, request: LoginRequest, state: LoginState) -> StepResult:
        """Write it."""
        login, user, new = state.login, state.login.user, state.login.enrolled
        if user is None or new is None:
            return StepResult()
        if refused := await self.final_checks.refused_to_save(request, login, user):
            return refused
        enrolment, factor = new.enrolment, new.enrolment.factor
        codes = backup_code.make(login.policy.backup_codes, self.random) if new.first else ()
        saved = await self.enrolments.add(
            request.tenant, user.id, login.enrolments, enrolment, codes, target=login.target
        )
        if saved is None:
            request.audit.write(AuditEvent.ENROLMENT_CONFLICT, user, factor=factor.value)
            return StepResult((Stopped(ProblemDetail(Problem.ENROLMENT_CHANGED)),))
        reported = ("registered", login.id)  # two replicas may have saved it
        if await self.single_use.claim(request.tenant.id, reported, REPORTED):
            request.audit.write(AuditEvent.ENROLMENT_ADDED, user, factor=factor.value)
            change = AccountChange(Change.ENROLLED, factor, enrolment.address, about=enrolment.name)
            await self.mails.notify(request, login, change)
        return StepResult((Saved(saved),))
