"""Carries out the acts of the account page that show or change a second factor.

Each is the end of a login of its own, whose proof was given for this very act, target and set of enrolments (GW-46).
What a user did is audited and mailed to them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Random
from gateway.domain.problem import Problem
from gateway.domain.user import User
from gateway.login.account_change_mails import AccountChange, Change
from gateway.login.record import Act, ActKind, Login
from gateway.login.reports import Reports
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors import backup_code
from gateway.second_factor.requirement import may_turn_off
from gateway.sessions.sessions import Sessions

Notify = Callable[[LoginRequest, Login, AccountChange, tuple[EnrolmentSet, EnrolmentSet]], Awaitable[None]]
"""Mails a change of the user's factors to them, in the background; given the sets before and after it."""


@dataclass(frozen=True, slots=True)
class AccountActs:
    """See the module's text."""

    enrolments: Enrolments
    sessions: Sessions
    random: Random
    reports: Reports
    notify: Notify

    async def carry_out(self, visit: LoginRequest, login: Login, user: User, act: Act) -> Problem | None:
        """Do it; the problem when it cannot be done as the user saw it. Raises `errors.Unreachable`."""
        match act.kind:
            case ActKind.TURN_OFF:
                return await self._turn_off(visit, login, user, act.factor)
            case ActKind.SHOW_CODES:
                self.reports.tell(visit, AuditEvent.BACKUP_CODES_SHOWN, user)
                return None
            case ActKind.NEW_CODES:
                return await self._new_codes(visit, login, user)
            case ActKind.SIGN_OUT_EVERYWHERE:
                return await self._sign_out_everywhere(visit, login, user)

    async def codes(self, visit: LoginRequest, login: Login) -> tuple[str, ...]:
        """The unused backup codes as they are shown in the answer to the proof, and nowhere else."""
        user = login.user
        found = await self.enrolments.read(visit.tenant, user.id) if user else None
        return tuple(map(backup_code.shown, found.backup_codes)) if isinstance(found, EnrolmentSet) else ()

    async def _turn_off(
        self, visit: LoginRequest, login: Login, user: User, factor: FactorKind | None
    ) -> Problem | None:
        policy = visit.tenant.policy
        if factor is None or not may_turn_off(policy, login.enrolments, factor):
            return Problem.BAD_INPUT

        def may(now: EnrolmentSet) -> bool:  # another tab may have turned the other one off meanwhile
            return may_turn_off(policy, now, factor)

        after = await self.enrolments.turn_off(visit.tenant, user.id, factor, may)
        if after is None:
            return Problem.ENROLMENT_CHANGED
        self.reports.tell(visit, AuditEvent.ENROLMENT_REMOVED, user, factor=factor.value)
        await self.notify(visit, login, AccountChange(Change.TURNED_OFF, factor), (login.enrolments, after))
        return None

    async def _new_codes(self, visit: LoginRequest, login: Login, user: User) -> Problem | None:
        wanted = visit.tenant.policy.backup_codes
        if not wanted:
            return Problem.BAD_INPUT
        after = await self.enrolments.renew_backup_codes(visit.tenant, user.id, backup_code.make(wanted, self.random))
        if after is None:
            return Problem.ENROLMENT_CHANGED
        self.reports.tell(visit, AuditEvent.BACKUP_CODES_RENEWED, user)
        await self.notify(visit, login, AccountChange(Change.NEW_CODES), (login.enrolments, after))
        return None

    async def _sign_out_everywhere(self, visit: LoginRequest, login: Login, user: User) -> Problem | None:
        if await self.enrolments.end_trust(visit.tenant, user.id) is None:
            return Problem.ENROLMENT_CHANGED
        ended = await self.sessions.end_all(visit.tenant, user.id, except_id=login.session, reason="everywhere")
        self.reports.tell(visit, AuditEvent.SIGNED_OUT_EVERYWHERE, user, sessions=len(ended))
        return None
