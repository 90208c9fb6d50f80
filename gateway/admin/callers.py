"""The caller of an act of administration, and the authority that they have.

Two authorities exist. The *operator* runs the gateway: tenants, hosts, routes, addresses and channels. A *tenant
administrator* changes `twoFAConfigs` of one tenant and helps its users. A program is a tenant administrator by a token
that Keycloak issued to a listed client for the gateway's API. Its roles are read from Keycloak for each request.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from gateway.admin.denials import Denial, Reason
from gateway.domain.ports import Clock
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from gateway.keycloak.tokens import LEEWAY, TokenRefused, Verifier
from gateway.keycloak.users import Users

OPERATOR = "operator"

CallerOf = Callable[[web.Request], Awaitable["Caller | Denial"]]
"""Recognises the caller of a request."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is for the audit. `tenant` is the id of the only tenant that the caller administers; "" for the operator.

    An operator has the authority of every tenant's administrator too.
    """

    name: str
    tenant: str = ""

    @property
    def is_operator(self) -> bool:
        """Whether the caller runs the gateway."""
        return not self.tenant

    def administers(self, tenant_id: str) -> bool:
        """Whether the caller may change what an administrator of this tenant may change."""
        return self.tenant in ("", tenant_id)


@dataclass(frozen=True, slots=True)
class ServiceAccounts:
    """Recognises programs by the bearer token of a request."""

    verifier: Verifier
    users: Users
    clock: Clock

    async def caller(self, request: web.Request, tenant: Tenant) -> Caller | Denial:
        """The program that sends `request`, an administrator of `tenant`. Raises what Keycloak's clients raise.

        A token that another realm signed, or none, is a 401. A token of this realm without the right is a 403.
        """
        api, token = tenant.api, _bearer(request)
        if not api.clients:
            return Denial(Reason.NOT_FOUND, cause="gateway.api names no clients")
        if not token:
            return _unknown("no bearer token")
        now = self.clock.now()
        try:
            claims = (await self.verifier.signed(tenant.keycloak, token, now)).claims
        except TokenRefused as refused:
            return _unknown(refused.detail)
        until, bearer = claims.get("exp"), f"{claims.get('preferred_username')} by client {claims.get('azp')}"
        if not isinstance(until, int) or until + LEEWAY < now:
            return _unknown("the token has expired")
        try:
            account = await self.verifier.verify_service_account(tenant.keycloak, token, now, api.clients, api.audience)
        except TokenRefused as refused:
            cause = f"{bearer}: {refused.detail}"
            return Denial(Reason.FORBIDDEN, "The token is not one of a listed client for this API.", cause=cause)
        authority = await self.users.authority(tenant.keycloak, account.id)
        if authority is None or authority.roles.isdisjoint(api.roles):
            cause = f"client {account.client} has none of the roles {', '.join(sorted(api.roles))}"
            return Denial(Reason.FORBIDDEN, "The service account lacks the role for this API.", cause=cause)
        return Caller(f"client {account.client}", tenant.id)


def operator(request: web.Request, token: Secret) -> Caller | Denial:
    """The operator, by the operations token in `request`."""
    given = _bearer(request).encode("utf-8", "surrogateescape")
    if token and hmac.compare_digest(given, token.value.encode()):
        return Caller(OPERATOR)
    return _unknown("not the operations token" if token else "operations_token is not set")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _unknown(cause: str) -> Denial:
    return Denial(Reason.NOT_AUTHENTICATED, cause=cause, headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
