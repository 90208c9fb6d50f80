"""How does a login begin inside a session: to set up a factor, or to prove one again?

The user is the session's own. A fresh proof is owed for the account page (unless a factor was judged in the last five
minutes), whatever the tenant's policy asks at sign-in; a stricter route asks what it would ask at sign-in, trust
included. Using trust here does not renew its cookie: several tabs may want the route at once.
"""

from dataclasses import dataclass, replace

from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.session import Session
from gateway.keycloak.users import Users
from gateway.login.flow import Flow, Went
from gateway.login.record import Login, Purpose
from gateway.login.reports import Reports
from gateway.login.trusting import Trusting
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.second_factor import contacts
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.registration_window import RegistrationWindow


@dataclass(frozen=True, slots=True)
class Within:
    """Begins logins of the purposes `enrol` and `step-up`."""

    flow: Flow
    users: Users
    enrolments: Enrolments
    window: RegistrationWindow
    trusting: Trusting
    clock: Clock
    reports: Reports

    async def enrol(self, visit: Visit, session: Session, wanted: FactorKind) -> Went:
        """Set up `wanted`, which the tenant must offer."""
        if visit.tenant.policy.method(wanted) is None:
            return Went(None, Trouble(Problem.BAD_INPUT))
        begun = replace(self.flow.begin(visit), purpose=Purpose.ENROL, wanted=wanted, recent=True)
        return await self._begin(visit, session, begun)

    async def step_up(self, visit: Visit, session: Session, *, recent: bool) -> Went:
        """Prove a factor again (`recent`), or what the route that is wanted asks for."""
        begun = replace(self.flow.begin(visit), purpose=Purpose.STEP_UP, recent=recent, route_asks=True)
        return await self._begin(visit, session, begun)

    async def _begin(self, visit: Visit, session: Session, begun: Login) -> Went:
        account = await self.users.account(visit.tenant.keycloak, session.user_id)
        if account is None or not account.enabled:
            return Went(None, Trouble(Problem.ACCOUNT_CHANGED))
        enrolments = await self.enrolments.read(visit.tenant, session.user_id)
        if isinstance(enrolments, Tampered):
            self.reports.tell(visit, AuditEvent.ENROLMENT_TAMPERED, account.user, finding=enrolments.finding)
            return Went(None, Trouble(Problem.ENROLMENT_UNREADABLE))
        login = replace(
            begun,
            session=session.id,
            user=replace(account.user, roles=session.roles),
            enrolments=enrolments,
            contacts=contacts.of_user(account.user),
            credential_date=account.credential_date,
            password_at=session.password_at,
            fresh=begun.recent and session.is_fresh(self.clock.now()),
            trusted=not begun.recent and await self.trusting.skips(visit, begun.policy, account, enrolments),
            open_registration=await self.window.is_open(visit.tenant, account),
        )
        return await self.flow.keep(visit, login)
