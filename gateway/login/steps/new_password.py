"""The new-password page: the user sets a password where Keycloak demands it.

Form: `new_password`; where the directory tells no date of the current password, `current_password` too. Reached only
after the factor; the realm's policy decides, and what it says is shown. The page may have been left open for an hour,
so the account is read again under a lock of the user before the password is set: it must still be due, and be the same
password that this login began with. Where no date tells that, Keycloak must still call the current password right, and
due. Keycloak's yes is recorded before the grant with the new password, and a try whose end is not known stops the
login, so that the page is never shown for a password that is changed already; then another factor is owed. No password
is kept.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.domain import errors
from gateway.domain.ports import Clock, Lock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account, User
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.token_endpoint import Granted, TokenEndpoint
from gateway.keycloak.users import PasswordRefused, Users
from gateway.login.account_change_mails import AccountChange, AccountChangeMails, Change
from gateway.login.final_checks import changed, refused
from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.password_check import PasswordCheck
from gateway.login.record import Login, PasswordChanged, Stopped, TokensGranted
from gateway.login.state_machine import LoginState, Step
from gateway.observe.audit import AuditEvent
from gateway.rendering.languages import Languages
from gateway.rendering.password_rules import password_rules
from gateway.rendering.step_view import StepView
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.sessions.sessions import Sessions
from gateway.store.single_use import SingleUse

MOST_PASSWORD = 1024
TIMEOUT = 30.0
KEPT = 7200.0
"""Seconds for which it is known that a try began; longer than any login lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPasswordView(StepView):
    """`another_code`: a code is asked for afterwards. `asks_current`: the current password is asked for too.

    `rules` are those of the realm, as far as the gateway may read them. `account` is the name for the browser's
    password manager, which is the one that the user signs in with.
    """

    account: str = ""
    another_code: bool = False
    asks_current: bool = False
    rules: tuple[str, ...] = ()

    def own_json(self) -> dict[str, Any]:
        """Whether the current password is asked for."""
        return {"asks_current": True} if self.asks_current else {}


@dataclass(frozen=True, slots=True)
class NewPasswordPage:
    """See the module's text."""

    token_endpoint: TokenEndpoint
    password_check: PasswordCheck
    users: Users
    single_use: SingleUse
    clock: Clock
    random: Random
    lock: Lock
    enrolments: Enrolments
    sessions: Sessions
    logout_retries: LogoutRetries
    languages: Languages
    mails: AccountChangeMails

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Set it at Keycloak, once."""
        login, typed, user = state.login, fields.get("new_password", ""), state.login.user
        if user is None or not typed or len(typed) > MOST_PASSWORD:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))
        current = fields.get("current_password", "")
        if login.credential_date is None and not 0 < len(current) <= MOST_PASSWORD:
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))
        new, access = Secret(typed), request.tenant.keycloak
        try:
            async with self.lock.hold(f"new-password:{request.tenant.id}:{user.id}", wait=TIMEOUT, ttl=2 * TIMEOUT):
                found = await self._set(request, login, user, Secret(current), new)
        except errors.Conflict:
            return StepResult(problem_detail=ProblemDetail(Problem.SAVING, self.clock.now() + TIMEOUT))
        if isinstance(found, StepResult):
            return found

        async def grant(after: Login) -> StepResult:
            if not after.changed or after.stopped or after.tokens:
                return StepResult()
            await self._end_everything(request.tenant, user)
            try:
                granted = await self.token_endpoint.password(access, user.username, new, request.client)
            except errors.GatewayError:
                granted = None
            if not isinstance(granted, Granted) or granted.user.id != user.id:
                return StepResult((Stopped(ProblemDetail(Problem.PASSWORD_CHANGED)),))
            return StepResult((TokensGranted(granted.tokens, granted.user),))

        return StepResult((PasswordChanged(found.credential_date),), then=grant)

    async def _set(
        self, request: LoginRequest, login: Login, user: User, current: Secret, new: Secret
    ) -> Account | StepResult:
        """Read, set, read again; the account as it is afterwards. The caller holds the user's lock.

        Keycloak has no conditional write: a password that an administrator sets between our reading and our writing is
        overwritten. That window is one request long (`docs/security.md`).
        """
        access = request.tenant.keycloak
        claim, owner = ("new-password", login.id), self.random.token_bytes(8).hex()
        if not await self.single_use.claim(request.tenant.id, claim, TIMEOUT, owner=owner):
            return StepResult(problem_detail=ProblemDetail(Problem.SAVING, self.clock.now() + TIMEOUT))
        if not await self.single_use.claim(request.tenant.id, (*claim, "begun"), KEPT, owner=owner):
            return await self._unknown(request, user)  # a process that ended meanwhile may have set it
        try:
            problem = await self._not_the_same(request, login, user, current)
        except errors.GatewayError:
            await self._release(request, claim, owner)
            raise
        if problem:
            await self._release(request, claim, owner)
            return problem
        try:
            answer = await self.users.set_password(access, user.id, new)
        except errors.Unreachable:
            return await self._unknown(request, user)
        except errors.GatewayError:
            await self._release(request, claim, owner)
            raise
        if isinstance(answer, PasswordRefused):
            await self._release(request, claim, owner)
            return StepResult(problem_detail=ProblemDetail(Problem.PASSWORD_REFUSED, detail=answer.text))
        request.audit.write(AuditEvent.PASSWORD_CHANGED, user)
        await self.mails.notify(request, login, AccountChange(Change.PASSWORD_CHANGED))
        try:
            account = await self.users.account(access, user.id)
        except errors.GatewayError:
            return await self._stopped(request, user)
        return account or await self._stopped(request, user)

    async def _not_the_same(
        self, request: LoginRequest, login: Login, user: User, current: Secret
    ) -> StepResult | None:
        """The end of a login whose password is due no more, or is another one, or whose factors were changed since."""
        account = await self.users.account(request.tenant.keycloak, user.id)
        finding = changed(login, account) if account else "disabled"
        if not finding and (request.tenant.policy.enabled or login.policy.enabled):
            kept = await self.enrolments.read(request.tenant, user.id, account)
            if isinstance(kept, Tampered) or not kept.same_factors(login.enrolments):
                finding = "enrolments"
        if not finding and login.credential_date is None:
            answer = await self.password_check.ask(request, user.username, current)
            if isinstance(answer, ProblemDetail):
                return StepResult(problem_detail=answer)
            if isinstance(answer, Granted):
                self.logout_retries.begin(request.tenant, answer.tokens)
                finding = "required actions"
        return refused(request, login, user, finding) if finding else None

    async def _unknown(self, request: LoginRequest, user: User) -> StepResult:
        """Whether it is set is not known: only a new login can tell."""
        request.audit.write(AuditEvent.PASSWORD_CHANGE_UNKNOWN, user)
        return await self._stopped(request, user)

    async def _stopped(self, request: LoginRequest, user: User) -> StepResult:
        await self._end_everything(request.tenant, user)
        return StepResult((Stopped(ProblemDetail(Problem.PASSWORD_CHANGED)),))

    async def _end_everything(self, tenant: Tenant, user: User) -> None:
        """End the user's other sessions, here and at Keycloak."""
        await self.sessions.end_all(tenant, user.id, reason="password")
        with suppress(
            errors.GatewayError
        ):  # those at Keycloak that are not ours; a password change ends none (measured)
            await self.users.end_sessions(tenant.keycloak, user.id)

    async def _release(self, request: LoginRequest, claim: tuple[str, ...], owner: str) -> None:
        """Nothing was set: it may be tried again."""
        for held in ((*claim, "begun"), claim):
            await self.single_use.release(request.tenant.id, held, owner=owner)

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> NewPasswordView:
        """The form."""
        login = state.login
        return NewPasswordView(
            **request.head(Step.NEW_PASSWORD, login),
            account=login.user.username if login.user else "",
            another_code=login.proved is not None,
            asks_current=login.credential_date is None,
            rules=() if request.as_data else await self._rules(request),
        )

    async def _rules(self, request: LoginRequest) -> tuple[str, ...]:
        try:
            realm = await self.users.realm_settings(request.tenant.keycloak)
        except errors.GatewayError:  # the page works without them
            return ()
        return password_rules(realm.get("passwordPolicy"), self.languages.get(request.language))
