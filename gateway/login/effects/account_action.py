"""Carries out an act of the account page: what shows or changes a user's second factors.

Each act is the end of a login of its own, whose proof was given for this very act, target and set of enrolments. It is
audited and mailed to the user.
"""

from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
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
from gateway.second_factor.trusted_browsers import TrustedBrowsers
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
    trust: TrustedBrowsers
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

    async def codes(self, request: LoginRequest, login: Login) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The unused and the used backup codes as they are shown in the answer to the proof, and nowhere else."""
        user = login.user
        found = await self.enrolments.read(request.tenant, user.id) if user else None
        kept = found if isinstance(found, EnrolmentSet) else EnrolmentSet()
        return tuple(map(backup_code.shown, kept.backup_codes)), tuple(map(backup_code.shown, kept.used_codes))

    async def _carry_out(self, request: LoginRequest, login: Login, user: User, act: Act) -> Problem | None:
        """Returns the problem when it cannot be done as the user saw it."""
        match act.kind:
            case ActKind.TURN_OFF:
                return await self._turn_off(request, login, user, act)
            case ActKind.SHOW_CODES:
                request.audit.write(AuditEvent.BACKUP_CODES_SHOWN, user)
                return None
            case ActKind.NEW_CODES:
                return await self._new_codes(request, login, user)
            case ActKind.SIGN_OUT_EVERYWHERE:
                return await self._sign_out_everywhere(request, login, user)
            case ActKind.END_SESSION:
                return await self._end_session(request, login, user, act)
            case ActKind.END_TRUST:
                return await self._end_trust(request, login, user, act)

    async def _turn_off(self, request: LoginRequest, login: Login, user: User, act: Act) -> Problem | None:
        policy, factor, target = request.tenant.policy, act.factor, act.target
        if factor is None or not may_turn_off(policy, login.enrolments, factor, target):
            return Problem.BAD_INPUT

        def may(now: EnrolmentSet) -> bool:  # another tab may have turned the other one off meanwhile
            return may_turn_off(policy, now, factor, target)

        after = await self.enrolments.turn_off(request.tenant, user.id, factor, may, target=target)
        if after is None:
            return Problem.ENROLMENT_CHANGED
        request.audit.write(AuditEvent.ENROLMENT_REMOVED, user, factor=factor.value)
        await self.mails.notify(request, login, AccountChange(Change.TURNED_OFF, factor, about=act.about))
        return None

    async def _new_codes(self, request: LoginRequest, login: Login, user: User) -> Problem | None:
        wanted = request.tenant.policy.backup_codes
        if not wanted:
            return Problem.BAD_INPUT
        after = await self.enrolments.renew_backup_codes(request.tenant, user.id, backup_code.make(wanted, self.random))
        if after is None:
            return Problem.ENROLMENT_CHANGED
        request.audit.write(AuditEvent.BACKUP_CODES_RENEWED, user)
        await self.mails.notify(request, login, AccountChange(Change.NEW_CODES))
        return None

    async def _sign_out_everywhere(self, request: LoginRequest, login: Login, user: User) -> Problem | None:
        if await self.enrolments.end_trust(request.tenant, user.id) is None:
            return Problem.ENROLMENT_CHANGED
        ended = await self.sessions.end_all(request.tenant, user.id, except_id=login.session, reason="everywhere")
        request.audit.write(AuditEvent.SIGNED_OUT_EVERYWHERE, user, sessions=len(ended))
        await self.mails.notify(request, login, AccountChange(Change.SIGNED_OUT))
        return None

    async def _end_session(self, request: LoginRequest, login: Login, user: User, act: Act) -> Problem | None:
        """Ends one session of this user; one that has ended meanwhile is as the user wanted it."""
        if act.target in (one.id for one in await self.sessions.of_user(request.tenant, user.id)):
            await self.sessions.end(request.tenant, act.target, reason="account-page")
            await self.mails.notify(request, login, AccountChange(Change.SESSION_ENDED, about=act.about))
        return None

    async def _end_trust(self, request: LoginRequest, login: Login, user: User, act: Act) -> Problem | None:
        """Ends the trust of one browser of this user."""
        if await self.trust.end(request.tenant.id, user.id, act.target):
            request.audit.write(AuditEvent.TRUST_ENDED, user)
            await self.mails.notify(request, login, AccountChange(Change.TRUST_ENDED, about=act.about))
        return None
