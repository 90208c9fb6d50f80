"""The password page: takes a user name and a password.

Form: `username`, `password`. The act checks the password once, and gathers what is known of the user. It makes no
record unless the password was right (or right but the account not ready), so the page may stay open overnight.
"""

from dataclasses import dataclass

import structlog

from gateway.domain import errors
from gateway.domain.challenge import Elsewhere
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.secret import Secret
from gateway.domain.texts import typed_line
from gateway.domain.user import Account
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.token_endpoint import Granted, NotFullySetUp
from gateway.keycloak.users import Users
from gateway.login.final_checks import UPDATE_PASSWORD
from gateway.login.flow import FormFields, StepResult
from gateway.login.login_records import BrowserUsers
from gateway.login.login_request import LoginRequest
from gateway.login.password_check import PasswordCheck
from gateway.login.record import Login, PasswordRight, Purpose, Stopped
from gateway.login.state_machine import LoginState, Step
from gateway.observe.audit import AuditEvent
from gateway.rendering.step_view import StepView
from gateway.second_factor.contacts import Contacts
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.requirement import contacts_of
from gateway.second_factor.trusted_browsers import TrustedBrowsers

MOST_NAME = 255
MOST_PASSWORD = 1024
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordView(StepView):
    """`sso`: the tenant offers a sign-on elsewhere. `remembered`: the user name is that of this browser's last user."""

    sso: bool = False
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class PasswordPage:
    """See the module's text."""

    password_check: PasswordCheck
    browsers: BrowserUsers
    users: Users
    contacts: Contacts
    enrolments: Enrolments
    trust: TrustedBrowsers
    clock: Clock
    logout_retries: LogoutRetries

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Sign in."""
        login = state.login
        typed = login.user.username if login.user else fields.get("username", "")
        username, password = typed_line(typed), fields.get("password", "")
        if not username or not password or len(username) > MOST_NAME or len(password) > MOST_PASSWORD:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))
        answer = await self.password_check.ask(request, username, Secret(password))
        match answer:
            case ProblemDetail():
                return StepResult(problem_detail=answer)
            case NotFullySetUp():
                return await self._not_ready(request, login, username)
            case Granted():
                try:
                    return await self._granted(request, login, answer)
                except errors.GatewayError:
                    self.logout_retries.begin(request.tenant, answer.tokens)
                    raise

    async def view(self, request: LoginRequest, state: LoginState | None, fields: FormFields) -> PasswordView:
        """The form; a typed user name is kept, a password never."""
        login = state.login if state else None
        typed = typed_line(fields.get("username", ""))[:MOST_NAME]
        remembered = "" if login or "username" in fields else await self._remembered(request)
        head = {
            **request.head(Step.PASSWORD, login),
            "username": login.user.username if login and login.user else typed or remembered,
            "can_cancel": login is not None and login.purpose is not Purpose.SIGN_IN,
        }
        return PasswordView(**head, remembered=remembered != "")

    async def forget(self, request: LoginRequest) -> None:
        """The user says that the name on the page is not theirs: this browser shows it no more."""
        await self.browsers.forget(request.tenant.id, request.browser_id)

    async def _remembered(self, request: LoginRequest) -> str:
        """The user who finished a login in this browser last; none for a program, and none at a shared desk."""
        if request.as_data or request.browser_is_new or not request.tenant.may_trust_from(request.client):
            return ""
        try:
            return await self.browsers.last(request.tenant.id, request.browser_id)
        except errors.GatewayError:  # the store is down: the user types their name
            return ""

    async def _not_ready(self, request: LoginRequest, login: Login, username: str) -> StepResult:
        """The password is right, the account is not ready: a due password has its own page, all else stops."""
        account = await self.users.find(request.tenant.keycloak, username)
        if account is not None and account.enabled and account.required_actions == (UPDATE_PASSWORD,):
            request.audit.write(AuditEvent.PASSWORD_ACCEPTED, account.user, due=True)
            return await self._known(request, login, account, None)
        request.audit.write(
            AuditEvent.LOGIN_STOPPED,
            account.user if account else None,
            login=login.id,
            problem=Problem.ACTION_REQUIRED.value,
            required_actions=list(account.required_actions) if account else [],
        )
        return StepResult((Stopped(ProblemDetail(Problem.ACTION_REQUIRED)),))

    async def _granted(self, request: LoginRequest, login: Login, granted: Granted) -> StepResult:
        request.audit.write(AuditEvent.PASSWORD_ACCEPTED, granted.user)
        if login.purpose is not Purpose.SIGN_IN:
            return self._proof(request, login, granted)
        account = await self.users.account(request.tenant.keycloak, granted.user.id)
        if account is None or not account.enabled:
            self.logout_retries.begin(request.tenant, granted.tokens)
            return StepResult((Stopped(ProblemDetail(Problem.ACCOUNT_CHANGED)),))
        return await self._known(request, login, account, granted)

    def _proof(self, request: LoginRequest, login: Login, granted: Granted) -> StepResult:
        """A fresh proof inside a session: only its own user's password counts; the grant's session is not kept."""
        self.logout_retries.begin(request.tenant, granted.tokens)
        if login.user is None or granted.user.id != login.user.id:
            return StepResult(problem_detail=ProblemDetail(Problem.OTHER_USER))
        right = PasswordRight(
            login.user, None, login.enrolments, login.contacts, login.credential_date, self.clock.now()
        )
        return StepResult((right,))

    async def _known(
        self, request: LoginRequest, login: Login, account: Account, granted: Granted | None
    ) -> StepResult:
        """Gather what is known of the user, once."""
        tenant, user = request.tenant, granted.user if granted else account.user
        enrolments: EnrolmentSet | Tampered = EnrolmentSet()
        if login.policy.enabled:
            enrolments = await self.enrolments.read_at_login(tenant, user.id, account)
        if isinstance(enrolments, Tampered):
            request.audit.write(AuditEvent.ENROLMENT_TAMPERED, user, **enrolments.details)
            if granted:
                self.logout_retries.begin(tenant, granted.tokens)
            return StepResult((Stopped(ProblemDetail(Problem.ENROLMENT_UNREADABLE)),))
        channels, asked = request.configuration.channels, login.route_asks
        found = await self.contacts.find(tenant, login.policy, channels, account, user, asked=asked)
        if isinstance(found, Elsewhere):
            if granted:
                self.logout_retries.begin(tenant, granted.tokens)
            return StepResult((Stopped(ProblemDetail(Problem.ENDED_BY_SERVICE, path=found.path)),))
        known = {c.factor for c in contacts_of(account.user, tenant.phone_numbers)}
        if account.user.email and FactorKind.EMAIL not in known:
            log.warning("profile_address_not_usable", tenant=tenant.id, user_id=user.id, reference=request.reference)
        if account.user.phone and FactorKind.SMS not in known:
            log.warning("profile_number_not_usable", tenant=tenant.id, user_id=user.id, reference=request.reference)
        event = PasswordRight(
            user=found.user,
            tokens=granted.tokens if granted else None,
            enrolments=enrolments,
            contacts=found.contacts,
            credential_date=account.credential_date,
            at=self.clock.now(),
            due=granted is None,
            trusted=await request.is_trusted(self.trust, login.policy, account, enrolments),
            open_registration=await self.enrolments.in_grace_period(tenant, account),
        )
        return StepResult((event,))
