"""Gathers what is known of a user who just proved who they are, by a password here or a sign-in at Keycloak.

The result is the event that begins the login, or the end of it. Whatever fails, the new Keycloak session is ended.
"""

from dataclasses import dataclass, fields

import structlog

from gateway.domain import errors
from gateway.domain.challenge import Elsewhere
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Tokens
from gateway.domain.user import Account, User
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.users import Users
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login, PasswordRight, Purpose, SignedInAtProvider, Stopped
from gateway.observe.audit import AuditEvent
from gateway.second_factor.contacts import Contacts
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.requirement import contacts_of
from gateway.second_factor.trusted_browsers import TrustedBrowsers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IdentifiedUser:
    """See the module's text."""

    users: Users
    contacts: Contacts
    enrolments: Enrolments
    trust: TrustedBrowsers
    clock: Clock
    logout_retries: LogoutRetries

    async def signed_in(
        self, request: LoginRequest, login: Login, user: User, tokens: Tokens, factor: str = ""
    ) -> StepResult:
        """The user has `tokens`; `factor` is what Keycloak's token says in place of a code."""
        try:
            found = await self._signed_in(request, login, user, tokens, factor)
        except errors.GatewayError:
            self._end(request, tokens)
            raise
        if not any(isinstance(event, PasswordRight) for event in found.events) or login.purpose is not Purpose.SIGN_IN:
            self._end(request, tokens)
        return found

    async def _signed_in(
        self, request: LoginRequest, login: Login, user: User, tokens: Tokens, factor: str
    ) -> StepResult:
        if login.purpose is not Purpose.SIGN_IN:
            return self._proof(login, user)
        account = await self.users.account(request.tenant.keycloak, user.id)
        if account is None or not account.enabled:
            return StepResult((Stopped(ProblemDetail(Problem.ACCOUNT_CHANGED)),))
        if login.sso and account.required_actions:  # Keycloak's own page carries out those that it can
            return self.not_ready(request, login, account)
        return await self.known(request, login, account, user, tokens, factor=factor)

    def not_ready(self, request: LoginRequest, login: Login, account: Account | None) -> StepResult:
        """The end of the login of a user for whom Keycloak demands an action that no page here carries out."""
        actions, user = list(account.required_actions) if account else [], account.user if account else None
        facts = {"problem": Problem.ACTION_REQUIRED.value, "required_actions": actions}
        request.audit.write(AuditEvent.LOGIN_STOPPED, user, login=login.id, **facts)
        return StepResult((Stopped(ProblemDetail(Problem.ACTION_REQUIRED)),))

    def _end(self, request: LoginRequest, tokens: Tokens) -> None:
        """End the new session at Keycloak, unless it is the one of this browser's live session."""
        if not tokens.same_session(request.session.tokens if request.session else None):
            self.logout_retries.begin(request.tenant, tokens)

    def _proof(self, login: Login, user: User) -> StepResult:
        """A fresh proof inside a session: only its own user's counts, and its tokens are not kept."""
        if login.user is None or user.id != login.user.id:
            return StepResult(problem_detail=ProblemDetail(Problem.OTHER_USER))
        kind = SignedInAtProvider if login.sso else PasswordRight
        right = kind(login.user, None, login.enrolments, login.contacts, login.credential_date, self.clock.now())
        return StepResult((right,))

    async def known(
        self,
        request: LoginRequest,
        login: Login,
        account: Account,
        user: User,
        tokens: Tokens | None,
        *,
        factor: str = "",
    ) -> StepResult:
        """The event with all that is known of the user. `tokens` is None while a new password is due."""
        tenant = request.tenant
        enrolments: EnrolmentSet | Tampered = EnrolmentSet()
        if login.policy.enabled:
            enrolments = await self.enrolments.read_at_login(tenant, user.id, account)
        if isinstance(enrolments, Tampered):
            request.audit.write(AuditEvent.ENROLMENT_TAMPERED, user, **enrolments.details)
            return StepResult((Stopped(ProblemDetail(Problem.ENROLMENT_UNREADABLE)),))
        channels, asked = request.configuration.channels, login.route_asks
        found = await self.contacts.find(tenant, login.policy, channels, account, user, asked=asked)
        if isinstance(found, Elsewhere):
            return StepResult((Stopped(ProblemDetail(Problem.ENDED_BY_SERVICE, path=found.path)),))
        known = {c.factor for c in contacts_of(account.user, tenant.phone_numbers)}
        if account.user.email and FactorKind.EMAIL not in known:
            log.warning("profile_address_not_usable", tenant=tenant.id, user_id=user.id, reference=request.reference)
        if account.user.phone and FactorKind.SMS not in known:
            log.warning("profile_number_not_usable", tenant=tenant.id, user_id=user.id, reference=request.reference)
        event = PasswordRight(
            user=found.user,
            tokens=tokens,
            enrolments=enrolments,
            contacts=found.contacts,
            credential_date=account.credential_date,
            at=self.clock.now(),
            due=tokens is None,
            trusted=await request.is_trusted(self.trust, login.policy, account, enrolments),
            open_registration=await self.enrolments.in_grace_period(tenant, account),
        )
        return StepResult((_at_provider(event, factor) if login.sso else event,))


def _at_provider(event: PasswordRight, factor: str) -> SignedInAtProvider:
    return SignedInAtProvider(**{one.name: getattr(event, one.name) for one in fields(event)}, factor=factor)
