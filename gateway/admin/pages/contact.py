"""The form with a user's e-mail address and mobile number in Keycloak."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.admin.pages.console import AdminRequest, Console
from gateway.admin.pages.users import USER
from gateway.administration.user_recovery import UserRecovery
from gateway.delivery.phone_numbers import e164
from gateway.delivery.smtp import one_address
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
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
        user, access = account.user, tenant.keycloak
        email, phone, wrong = _read(tenant, typed)
        if not wrong:
            verified = typed.get("verified") == "yes" and bool(email)
            number = phone if access.phone_attribute else None
            async with self.services.enrolments.alone(tenant, user.id):
                done = await self.services.profiles.set_contact(access, user.id, email, number, verified=verified)
            if not done:
                wrong = {"email": "taken"}
        if wrong:
            return self._page(request, account, typed, wrong)
        changed = [
            name for name, old, new in (("email", user.email, email), ("phone", user.phone, phone)) if old != new
        ]
        await self.recovery.contact_changed(tenant.id, user, request.by, changed)
        return Reply(Redirect(f"{request.url(f'/users/{user.id}')}?done=contact"))

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


def _read(tenant: Tenant, typed: Mapping[str, str]) -> tuple[str, str, dict[str, str]]:
    """Address and number in the spelling that is stored, and the fields that cannot be used."""
    email, phone = typed.get("email", "").strip(), typed.get("phone", "").strip()
    wrong = {}
    if email and one_address(email) is None:
        wrong["email"] = "bad"
    if phone and tenant.keycloak.phone_attribute:
        found = e164(phone, tenant.phone_numbers)
        if isinstance(found, Problem):
            wrong["phone"] = "not-allowed" if found is Problem.NUMBER_NOT_ALLOWED else "bad"
        else:
            phone = found
    return email, phone, wrong
