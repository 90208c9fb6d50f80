"""The password page: takes a user name and a password.

Form: `username`, `password`. The act checks the password once. It makes no record unless the password was right (or
right but the account not ready), so the page may stay open overnight.
"""

from dataclasses import dataclass

from gateway.domain import errors
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.secret import Secret
from gateway.domain.texts import typed_line
from gateway.keycloak.token_endpoint import Granted, NotFullySetUp
from gateway.keycloak.users import Users
from gateway.login.final_checks import UPDATE_PASSWORD
from gateway.login.flow import FormFields, StepResult
from gateway.login.identified_user import IdentifiedUser
from gateway.login.login_records import BrowserUsers
from gateway.login.login_request import LoginRequest
from gateway.login.password_check import PasswordCheck
from gateway.login.record import Login, Purpose
from gateway.login.state_machine import LoginState, Step
from gateway.observe.audit import AuditEvent
from gateway.rendering.step_view import StepView

MOST_NAME = 255
MOST_PASSWORD = 1024


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
    identified: IdentifiedUser

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
                request.audit.write(AuditEvent.PASSWORD_ACCEPTED, answer.user)
                return await self.identified.signed_in(request, login, answer.user, answer.tokens)

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
            return await self.identified.known(request, login, account, account.user, None)
        return self.identified.not_ready(request, login, account)
