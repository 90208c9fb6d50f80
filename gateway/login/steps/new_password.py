"""The new-password page: Keycloak says that the password must be changed.

Form: `new_password`. Reached only after the factor; the realm's policy decides, and what it says is shown. Keycloak's
yes is recorded before the grant with the new password, and a try of which nobody knows the end stops the login, so
that the page is never shown for a password that is changed already; then another factor is owed. The password itself
is never kept.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.domain import errors
from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak.sign_in import Granted, SignIn
from gateway.keycloak.users import PasswordRefused, Users
from gateway.login.flow import Acted, Fields
from gateway.login.record import Login, PasswordChanged, Step, Stopped, TokensGranted
from gateway.login.reports import Reports
from gateway.login.viewing import view_of
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering.step_view import StepView
from gateway.store.once import Once

MOST_PASSWORD = 1024
TIMEOUT = 30.0
KEPT = 7200.0
"""Seconds for which it is known that a try began; longer than any login lives."""


@dataclass(frozen=True, slots=True)
class NewPasswordPage:
    """See the module's text. `end_everything` ends the user's other sessions and trusted browsers."""

    sign_in: SignIn
    users: Users
    once: Once
    clock: Clock
    chance: Chance
    reports: Reports
    end_everything: Callable[[Tenant, User], Awaitable[None]]

    async def act(self, visit: Visit, login: Login, action: str, fields: Fields) -> Acted:
        """Set it at Keycloak, once."""
        typed, user = fields.get("new_password", ""), login.user
        if action == "cancel":
            return Acted(cancelled=True)
        if user is None or not typed or len(typed) > MOST_PASSWORD:
            return Acted(trouble=Trouble(Problem.BAD_INPUT))
        new, access = Secret(typed), visit.tenant.keycloak
        claim, owner = ("new-password", login.id), self.chance.token_bytes(8).hex()
        if not await self.once.claim(visit.tenant.id, claim, TIMEOUT, owner=owner):
            return Acted(trouble=Trouble(Problem.SAVING, self.clock.now() + TIMEOUT))
        if not await self.once.claim(visit.tenant.id, (*claim, "begun"), KEPT, owner=owner):
            return await self._unknown(visit, user)  # a process that ended meanwhile may have set it
        try:
            refused = await self.users.set_password(access, user.id, new)
        except errors.Unreachable:
            return await self._unknown(visit, user)
        except errors.GatewayError:
            await self._release(visit, claim, owner)
            raise
        if isinstance(refused, PasswordRefused):
            await self._release(visit, claim, owner)
            return Acted(trouble=Trouble(Problem.PASSWORD_REFUSED, detail=refused.text))
        self.reports.tell(visit, AuditEvent.PASSWORD_CHANGED, user)
        try:
            account = await self.users.account(access, user.id)
        except errors.GatewayError:
            return await self._stopped(visit, user)
        changed = PasswordChanged(account.credential_date if account else None)

        async def grant(after: Login) -> Acted:
            if not after.changed or after.stopped or after.tokens:
                return Acted()
            await self.end_everything(visit.tenant, user)
            try:
                granted = await self.sign_in.password(access, user.username, new, visit.client)
            except errors.GatewayError:
                granted = None
            if not isinstance(granted, Granted) or granted.user.id != user.id:
                return Acted((Stopped(Trouble(Problem.PASSWORD_CHANGED)),))
            return Acted((TokensGranted(granted.tokens, granted.user),))

        return Acted((changed,), then=grant)

    async def _unknown(self, visit: Visit, user: User) -> Acted:
        """Whether it is set is not known: only a new login can tell."""
        self.reports.tell(visit, AuditEvent.PASSWORD_UNKNOWN, user)
        return await self._stopped(visit, user)

    async def _stopped(self, visit: Visit, user: User) -> Acted:
        await self.end_everything(visit.tenant, user)
        return Acted((Stopped(Trouble(Problem.PASSWORD_CHANGED)),))

    async def _release(self, visit: Visit, claim: tuple[str, ...], owner: str) -> None:
        """Nothing was set: it may be tried again."""
        for held in ((*claim, "begun"), claim):
            await self.once.release(visit.tenant.id, held, owner=owner)

    async def view(self, visit: Visit, login: Login, fields: Fields) -> StepView:
        """The form."""
        return replace(
            view_of(Step.NEW_PASSWORD, visit, login, self.clock.now()),
            another_code=login.proved is not None,
        )
