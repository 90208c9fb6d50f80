"""Begins a login inside a session: to set up a factor, to prove one for a stricter route, or for one act.

The user is the session's own. Setting up a factor and each act of the account page ask for a proof of their own, given
for that very act: a factor where the user has one, else the password; the sign-in and a trusted browser never count
(GW-46). A stricter route asks what it would ask at sign-in, trust included. Using trust here does not renew its cookie:
several tabs may want the route at once.
"""

from dataclasses import dataclass, replace

from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Session
from gateway.keycloak.users import Users
from gateway.login.flow import Flow, FlowResult
from gateway.login.login_records import Slot
from gateway.login.record import Act, ActKind, Login, Purpose
from gateway.login.reports import Reports
from gateway.login.trusting import Trusting
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.second_factor import contacts
from gateway.second_factor.enrolment_grace_period import EnrolmentGracePeriod
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.requirement import may_turn_off


@dataclass(frozen=True, slots=True)
class AccountForm:
    """The form of the account page that asked.

    `form` is its random id ("" for a link): the same form begins the same login. `version` is that of the user's
    enrolments as the page showed them.
    """

    form: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True)
class BeginInSession:
    """Begins logins of the purposes `enrol` and `step-up`; `slot` is what the browser's login cookie stands for."""

    flow: Flow
    users: Users
    enrolments: Enrolments
    window: EnrolmentGracePeriod
    trusting: Trusting
    clock: Clock
    reports: Reports

    async def enrol(
        self, visit: LoginRequest, slot: Slot, session: Session, wanted: FactorKind, asked: AccountForm
    ) -> FlowResult:
        """Set up `wanted`, which the tenant must offer."""
        if visit.tenant.policy.method(wanted) is None:
            return FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        return await self._once(visit, slot, session, asked, Purpose.ENROL, wanted=wanted)

    async def act(self, visit: LoginRequest, slot: Slot, session: Session, act: Act, asked: AccountForm) -> FlowResult:
        """Prove a factor, or the password, for `act`."""
        return await self._once(visit, slot, session, asked, Purpose.STEP_UP, act=act)

    async def step_up(self, visit: LoginRequest, slot: Slot, session: Session) -> FlowResult:
        """Prove what the route that is wanted asks for."""
        return await self._once(visit, slot, session, AccountForm(), Purpose.STEP_UP)

    async def _once(
        self,
        visit: LoginRequest,
        slot: Slot,
        session: Session,
        form: AccountForm,
        purpose: Purpose,
        *,
        wanted: FactorKind | None = None,
        act: Act | None = None,
    ) -> FlowResult:
        """One login for a double click, and for tabs that ask at once with the same cookies."""
        secrets, asked = self.flow.secrets, (purpose.value, str(wanted), str(act), visit.app, session.id)
        fields = {"form": form.form, "asked": "/".join(asked)}
        secret = secrets.after(visit.secret or "", secrets.form(visit.tenant.id, visit.secret, "begin", fields))
        recent = wanted is not None or act is not None

        async def begin() -> FlowResult:
            begun = replace(
                self.flow.begin(visit, secret), purpose=purpose, wanted=wanted, act=act, recent=recent, route_asks=True
            )
            return await self._begin(visit, slot, secret, begun, form.version)

        name = (visit.tenant.id, secrets.entry(visit.secret or "", form.form, *asked))
        return await self.flow.beginnings.join(name, begin)

    async def _begin(
        self, visit: LoginRequest, slot: Slot, secret: str, begun: Login, version: int | None
    ) -> FlowResult:
        session = visit.session
        if session is None:
            return FlowResult(None, ProblemDetail(Problem.LOGIN_EXPIRED))
        account = await self.users.account(visit.tenant.keycloak, session.user_id)
        if account is None or not account.enabled:
            return FlowResult(None, ProblemDetail(Problem.ACCOUNT_CHANGED))
        enrolments = await self.enrolments.read(visit.tenant, session.user_id)
        if isinstance(enrolments, Tampered):
            self.reports.tell(visit, AuditEvent.ENROLMENT_TAMPERED, account.user, finding=enrolments.finding)
            return FlowResult(None, ProblemDetail(Problem.ENROLMENT_UNREADABLE))
        if version is not None and version != enrolments.version:
            return FlowResult(
                None, ProblemDetail(Problem.ENROLMENT_CHANGED)
            )  # the page that asked shows what is no more
        act = begun.act
        off = act.factor if act and act.kind is ActKind.TURN_OFF else None
        if off and not may_turn_off(visit.tenant.policy, enrolments, off):
            return FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        login = replace(
            begun,
            session=session.id,
            user=replace(account.user, roles=session.roles),
            enrolments=enrolments,
            contacts=contacts.of_user(account.user),
            credential_date=account.credential_date,
            password_at=session.password_at,
            trusted=not begun.recent and await self.trusting.skips(visit, begun.policy, account, enrolments),
            open_registration=await self.window.is_open(visit.tenant, account),
        )
        return await self.flow.begin_in_session(visit, slot.login, secret, login)
