"""Carries out an act of the account page: what shows or changes a user's second factors.

Each act is the end of a login of its own, whose proof was given for this very act, target and set of enrolments. It is
audited and mailed to the user.
"""

from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import User
from gateway.login.account_change_mails import AccountChange, AccountChangeMails, Change
from gateway.login.final_checks import FinalChecks
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Act, ActKind, Login, Opened, SessionOpened, Stopped
from gateway.login.state_machine import LoginState
from gateway.observe.audit import AuditEvent
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors import backup_code
from gateway.second_factor.requirement import may_turn_off
from gateway.sessions.sessions import Sessions
from gateway.store.single_use import SingleUse

CLAIMED = 7200.0
"""Seconds for which an act is not carried out again; longer than any login lives."""


@dataclass(frozen=True, slots=True)
class AccountAction:
    """See the module's text."""

    final_checks: FinalChecks
    enrolments: Enrolments
    sessions: Sessions
    single_use: SingleUse
    clock: Clock
    random: Random
    mails: AccountChangeMails

    async def run(self, request: LoginRequest, state: LoginState) -> StepResult:
        """Carry out the one act that this login's proof was given for."""
        login, user, act = state.login, state.login.user, state.login.act
        if user is None or act is None:
            return StepResult((Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),))
        if refused := await self.final_checks.refused_to_open(request, login, user):
            return refused
        claim = ("act", login.id)
        if not await self.single_use.claim(request.tenant.id, claim, CLAIMED):
            return StepResult()  # another request carries it out
        try:
            problem = await self._carry_out(request, login, user, act)
        except BaseException:
            await self.single_use.release(request.tenant.id, claim)
            raise
        if problem:
            return StepResult((Stopped(ProblemDetail(problem)),))
        return StepResult((SessionOpened(Opened(login.session, self.clock.now(), new_session=False)),))

    async def codes(self, request: LoginRequest, login: Login) -> tuple[str, ...]:
        """The unused backup codes as they are shown in the answer to the proof, and nowhere else."""
        user = login.user
        found = await self.enrolments.read(request.tenant, user.id) if user else None
        return tuple(map(backup_code.shown, found.backup_codes)) if isinstance(found, EnrolmentSet) else ()

    async def _carry_out(self, request: LoginRequest, login: Login, user: User, act: Act) -> Problem | None:
        """Returns the problem when it cannot be done as the user saw it."""
        match act.kind:
            case ActKind.TURN_OFF:
                return await self._turn_off(request, login, user, act.factor)
            case ActKind.SHOW_CODES:
                request.audit.write(AuditEvent.BACKUP_CODES_SHOWN, user)
                return None
            case ActKind.NEW_CODES:
                return await self._new_codes(request, login, user)
            case ActKind.SIGN_OUT_EVERYWHERE:
                return await self._sign_out_everywhere(request, login, user)

    async def _turn_off(
        self, request: LoginRequest, login: Login, user: User, factor: FactorKind | None
    ) -> Problem | None:
        policy = request.tenant.policy
        if factor is None or not may_turn_off(policy, login.enrolments, factor):
            return Problem.BAD_INPUT

        def may(now: EnrolmentSet) -> bool:  # another tab may have turned the other one off meanwhile
            return may_turn_off(policy, now, factor)

        after = await self.enrolments.turn_off(request.tenant, user.id, factor, may)
        if after is None:
            return Problem.ENROLMENT_CHANGED
        request.audit.write(AuditEvent.ENROLMENT_REMOVED, user, factor=factor.value)
        await self.mails.notify(request, login, AccountChange(Change.TURNED_OFF, factor), (login.enrolments, after))
        return None

    async def _new_codes(self, request: LoginRequest, login: Login, user: User) -> Problem | None:
        wanted = request.tenant.policy.backup_codes
        if not wanted:
            return Problem.BAD_INPUT
        after = await self.enrolments.renew_backup_codes(request.tenant, user.id, backup_code.make(wanted, self.random))
        if after is None:
            return Problem.ENROLMENT_CHANGED
        request.audit.write(AuditEvent.BACKUP_CODES_RENEWED, user)
        await self.mails.notify(request, login, AccountChange(Change.NEW_CODES), (login.enrolments, after))
        return None

    async def _sign_out_everywhere(self, request: LoginRequest, login: Login, user: User) -> Problem | None:
        if await self.enrolments.end_trust(request.tenant, user.id) is None:
            return Problem.ENROLMENT_CHANGED
        ended = await self.sessions.end_all(request.tenant, user.id, except_id=login.session, reason="everywhere")
        request.audit.write(AuditEvent.SIGNED_OUT_EVERYWHERE, user, sessions=len(ended))
        return None
