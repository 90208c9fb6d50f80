"""Begins a login inside a session: to set up a factor, to prove one for a stricter route, or for one act.

The user is the session's own. Setting up a factor and each act of the account page ask for a proof of their own, given
for that very act: a factor where the user has one, else the password; the sign-in and a trusted browser never count. A
stricter route asks what it would ask at sign-in, trust included; with `skipWhenVerified` a factor proved in this
session is enough. Using trust here does not renew its cookie: several tabs may want the route at once.
"""

from dataclasses import dataclass, replace
from functools import partial

from gateway.domain.challenge import Elsewhere
from gateway.domain.enrolment import EnrolmentSet
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
from gateway.second_factor.requirement import is_managed, may_set_up, may_turn_off
from gateway.second_factor.trusted_browsers import Holder, TrustedBrowsers
from gateway.sessions.sessions import Sessions


@dataclass(frozen=True, slots=True)
class AccountForm:
    """The form of the account page that asked.

    `form` is its random id ("" for a link): the same form begins the same login. `version` is that of the user's
    enrolments as the page showed them. `target` names the app that a new one takes the place of, see `Login.target`.
    """

    form: str = ""
    version: int | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class BeginInSession:
    """Begins logins of the purposes `enrol` and `step-up`; `slot` is that of the browser's login cookie."""

    flow: Flow
    users: Users
    contacts: Contacts
    enrolments: Enrolments
    trust: TrustedBrowsers
    sessions: Sessions

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
        secrets, asked = self.flow.secrets, (purpose.value, str(wanted), what, request.app, session.id, form.target)
        fields = {"form": form.form, "asked": "/".join(asked)}
        secret = secrets.after(request.secret or "", secrets.form(request.tenant.id, request.secret, "begin", fields))
        begun = replace(
            self.flow.begin(request, secret),
            purpose=purpose,
            wanted=wanted,
            act=act,
            target=form.target,
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
        if begun.wanted and not may_set_up(request.tenant.policy, enrolments, begun.wanted, begun.target):
            return FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        if begun.act:
            holder = Holder(session.user_id, account.credential_date, enrolments.trust_epoch)
            about = await self._about(request, begun.act, holder, enrolments)
            if about is None:
                return FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
            begun = replace(begun, act=replace(begun.act, about=about))
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

    async def _about(self, request: LoginRequest, act: Act, holder: Holder, enrolments: EnrolmentSet) -> str | None:
        """What the target of an act is called; None if the user has no such target, or may not do that to it."""
        tenant, policy = request.tenant, request.tenant.policy
        match act.kind:
            case ActKind.TURN_OFF if act.factor:
                named = (one.name for one in enrolments.all_of(act.factor) if one.id == act.target)
                return next(named, "") if may_turn_off(policy, enrolments, act.factor, act.target) else None
            case ActKind.END_SESSION:
                sessions = await self.sessions.of_user(tenant, holder.user_id)
                return next((one.browser for one in sessions if one.id == act.target), None)
            case ActKind.END_TRUST:
                browsers = await self.trust.of_user(tenant.id, holder, policy)
                return next((one.browser for one in browsers if one.id == act.target), None)
        return ""
