"""Begins a login inside a session: to set up a factor, to prove one for a stricter route, or for one act.

The user is the session's own. Setting up a factor and each act of the account page ask for a proof of their own, given
for that very act: a factor where the user has one, else the password; the sign-in and a trusted browser never count. A
stricter route asks what it would ask at sign-in, trust included; with `skipWhenVerified` a factor proved in this
session is enough. Using trust here does not renew its cookie: several tabs may want the route at once.
"""

from dataclasses import dataclass, replace
from functools import partial

from gateway.domain.challenge import Elsewhere
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Satisfied, Session
from gateway.keycloak.users import Users
from gateway.login.flow import Flow, FlowResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import ADMINISTER, Act, ActKind, Login, Purpose, Slot
from gateway.observe.audit import AuditEvent
from gateway.second_factor.contacts import Contacts
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.requirement import is_managed, may_turn_off
from gateway.second_factor.trusted_browsers import TrustedBrowsers


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
    """Begins logins of the purposes `enrol` and `step-up`; `slot` is that of the browser's login cookie."""

    flow: Flow
    users: Users
    contacts: Contacts
    enrolments: Enrolments
    trust: TrustedBrowsers

    async def begin(
        self,
        request: LoginRequest,
        slot: Slot,
        session: Session,
        form: AccountForm | None = None,
        *,
        wanted: FactorKind | None = None,
        act: Act | None = None,
        administers: bool = False,
    ) -> FlowResult:
        """Set up `wanted`, prove a factor or the password for `act`, or prove what the wanted route asks for.

        `administers`: prove a factor of the user's own, for changes on the administration pages.

        There is one login for a double click, and for tabs that ask at once with the same cookies.
        """
        if wanted and (wanted not in request.tenant.policy.by_factor or is_managed(request.tenant.policy, wanted)):
            return FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        form, purpose = form or AccountForm(), Purpose.ENROL if wanted else Purpose.STEP_UP
        what = ADMINISTER if administers else str(act)
        secrets, asked = self.flow.secrets, (purpose.value, str(wanted), what, request.app, session.id)
        fields = {"form": form.form, "asked": "/".join(asked)}
        secret = secrets.after(request.secret or "", secrets.form(request.tenant.id, request.secret, "begin", fields))
        begun = replace(
            self.flow.begin(request, secret),
            purpose=purpose,
            wanted=wanted,
            act=act,
            recent=wanted is not None or act is not None or administers,
            route_asks=True,
            administers=administers,
        )
        name = (request.tenant.id, request.secret or "", form.form, *asked)
        begin = partial(self._begin, request, slot, session, begun, secret=secret, version=form.version)
        return await self.flow.beginnings.join(name, begin)

    async def _begin(
        self, request: LoginRequest, slot: Slot, session: Session, begun: Login, *, secret: str, version: int | None
    ) -> FlowResult:
        account = await self.users.account(request.tenant.keycloak, session.user_id)
        if account is None or not account.enabled:
            return FlowResult(None, ProblemDetail(Problem.ACCOUNT_CHANGED))
        enrolments = await self.enrolments.read(request.tenant, session.user_id, account)
        if isinstance(enrolments, Tampered):
            request.audit.write(AuditEvent.ENROLMENT_TAMPERED, account.user, **enrolments.details)
            return FlowResult(None, ProblemDetail(Problem.ENROLMENT_UNREADABLE))
        if version is not None and version != enrolments.version:
            return FlowResult(None, ProblemDetail(Problem.ENROLMENT_CHANGED))  # since the page that asked was shown
        act = begun.act
        off = act.factor if act and act.kind is ActKind.TURN_OFF else None
        if off and not may_turn_off(request.tenant.policy, enrolments, off):
            return FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        user, channels = replace(account.user, roles=session.roles), request.configuration.channels
        known = await self.contacts.find(request.tenant, begun.policy, channels, account, user, asked=not begun.recent)
        if isinstance(known, Elsewhere):
            stopped = ProblemDetail(Problem.ENDED_BY_SERVICE, path=known.path)
            login = replace(begun, session=session.id, user=user, stopped=stopped)
            return await self.flow.begin_in_session(request, slot.login, secret, login)
        login = replace(
            begun,
            session=session.id,
            user=known.user,
            enrolments=enrolments,
            contacts=known.contacts,
            credential_date=account.credential_date,
            password_at=session.password_at,
            verified=not begun.recent and session.satisfied is Satisfied.PROVED,
            trusted=not begun.recent and await request.is_trusted(self.trust, begun.policy, account, enrolments),
            open_registration=await self.enrolments.in_grace_period(request.tenant, account),
        )
        return await self.flow.begin_in_session(request, slot.login, secret, login)
