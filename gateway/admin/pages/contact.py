"""The form with a user's e-mail address and mobile number in Keycloak."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.admin.pages.console import AdminRequest, Console
from gateway.admin.pages.users import USER
from gateway.administration.user_contacts import Contact, UserContacts
from gateway.administration.user_recovery import UserRecovery
from gateway.domain.problem import Problem
from gateway.domain.user import Account
from gateway.services import Services
from gateway.web.endpoint import Failure, Redirect, Reply

FIELDS = ("email", "phone", "verified")


@dataclass(frozen=True, slots=True)
class ContactPages:
    """The page `/-/admin/users/{id}/contact`. Numbers are edited where the tenant sends codes to them."""

    services: Services
    recovery: UserRecovery

    def routes(self, console: Console) -> list[web.RouteDef]:
        """The routes."""
        path = f"/users/{USER}/contact"
        return [console.ask(path, self.ask), console.act(path, self.save)]

    async def ask(self, request: AdminRequest) -> Reply:
        """The form, with what was typed before a confirmation, or what Keycloak has."""
        account = await self._account(request)
        if account is None:
            return Reply(Failure(Problem.USER_GONE))
        user = account.user
        now = {"email": user.email, "phone": user.phone, "verified": "yes" if user.email_verified else ""}
        return self._page(request, account, request.typed or now, {})

    async def save(self, request: AdminRequest) -> Reply:
        """Stores both; a value that cannot be used is a message at its field."""
        account, tenant, typed = await self._account(request), request.own.tenant, request.own.fields
        if account is None:
            return Reply(Failure(Problem.USER_GONE))
        wanted = Contact(typed.get("email", ""), typed.get("phone", ""), typed.get("verified") == "yes")
        if wrong := await UserContacts(self.services, self.recovery).save(tenant, account.user, wanted, request.by):
            return self._page(request, account, typed, wrong)
        return Reply(Redirect(f"{request.url(f'/users/{account.user.id}')}?done=contact"))

    async def _account(self, request: AdminRequest) -> Account | None:
        return await self.services.users.account(request.own.tenant.keycloak, request.user_id)

    def _page(
        self, request: AdminRequest, account: Account, typed: Mapping[str, str], wrong: Mapping[str, str]
    ) -> Reply:
        given = {name: typed.get(name, "") for name in FIELDS}
        numbers = bool(request.own.tenant.keycloak.phone_attribute)
        status = 422 if wrong else 200
        return request.page(
            "contact",
            "users",
            status,
            person=account.user,
            given=given,
            wrong={"email": "", "phone": "", **wrong},
            numbers=numbers,
        )
