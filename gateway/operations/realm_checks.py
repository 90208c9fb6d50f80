"""Checks that the realm of every active tenant is set up for the gateway.

The checks run at the start, every `EVERY` seconds, and with each readiness request. The log names what is missing and
how to set it, once for each tenant and again when it changes. The gateway serves users meanwhile: in a realm that is
not set up, only its own logins fail.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from gateway.domain.configuration import Configuration
from gateway.domain.errors import GatewayError, Misconfigured
from gateway.domain.policy import RegistrationContact
from gateway.domain.tenant import Tenant
from gateway.domain.web_services import ServiceSet, WebServices
from gateway.keycloak import brute_force_settings
from gateway.keycloak.http_errors import URL, where
from gateway.keycloak.token_endpoint import IssuerDiffers, TokenEndpoint
from gateway.keycloak.users import UserProfiles, Users

EVERY = 60.0
"""Seconds between two checks without a readiness request."""
ANSWERED_WITHIN = 2.5
"""Seconds for a tenant's checks in a readiness request, which `Readiness` gives up a little later."""

_EDITABLE = (
    "users may edit the attribute {}, or nothing shows that they cannot, so no value there counts; in "
    "Keycloak's admin console: Realm settings, User profile, who can edit: admin only"
)

_TESTS = "live: test lets the services for tests decide who signs in; write live: production"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one tenant's realm, in sentences for operators.

    `missing` stops users from signing in or enrolling. `warnings` name dangers.
    """

    tenant: str
    realm: str
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class RealmChecks:
    """The checks of all tenants of the configuration in force."""

    def __init__(
        self,
        token_endpoint: TokenEndpoint,
        users: Users,
        profiles: UserProfiles,
        configuration: Callable[[], Configuration],
    ) -> None:
        self._token_endpoint = token_endpoint
        self._users = users
        self._profiles = profiles
        self._configuration = configuration
        self._logged: dict[str, Finding] = {}
        self._again = asyncio.Event()

    async def look(self, limit: float | None = None) -> tuple[Finding, ...]:
        """The current findings; changes since the last check are logged. `limit`: seconds for each tenant."""
        tenants = [tenant for tenant in self._configuration().tenants if tenant.active]
        found = await asyncio.gather(*(self._of(tenant, limit) for tenant in tenants))
        for one in found:
            self._tell(one, self._logged.get(one.tenant) or Finding(one.tenant, one.realm))
        self._logged = {one.tenant: one for one in found}
        return tuple(one for one in found if one.missing or one.warnings)

    async def check(self) -> tuple[str, ...]:
        """The readiness check: the warnings. Raises `errors.Misconfigured` if anything is missing."""
        found = await self.look(ANSWERED_WITHIN)
        if missing := [f"tenant {one.tenant}: {'; '.join(one.missing)}" for one in found if one.missing]:
            raise Misconfigured("; ".join(missing))
        return tuple(f"tenant {one.tenant}: {warning}" for one in found for warning in one.warnings)

    def look_again(self) -> None:
        """Makes `follow` check at once, because the settings have changed."""
        self._again.set()

    async def follow(self) -> None:
        """Check now and every `EVERY` seconds, until cancelled."""
        while True:
            self._again.clear()
            try:
                await self.look()
            except Exception:  # an unexpected response must not end the checks; the next one may be valid
                log.exception("realms_not_checked")
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._again.wait()

    def _tell(self, now: Finding, before: Finding) -> None:
        if now.missing and now.missing != before.missing:
            log.warning("realm_not_ready", tenant=now.tenant, realm=now.realm, missing=list(now.missing))
        if before.missing and not now.missing:
            log.info("realm_ready", tenant=now.tenant)
        if now.warnings and now.warnings != before.warnings:
            log.warning("realm_has_dangers", tenant=now.tenant, realm=now.realm, dangers=list(now.warnings))

    async def _of(self, tenant: Tenant, limit: float | None) -> Finding:
        access = tenant.keycloak
        missing: list[str] = []
        warnings: list[str] = []
        try:
            async with asyncio.timeout(limit):
                await self._compare(tenant, missing, warnings)
        except TimeoutError:
            missing.append(f"{where(access)}: no response within {limit:g} s; check {URL}")
        return Finding(tenant.id, access.realm, tuple(missing), tuple(warnings))

    def _services_of(self, tenant: Tenant) -> WebServices | None:
        """The web services that name the contacts of this tenant's users."""
        channel = self._configuration().channels.get(tenant.policy.contact_service or "")
        return channel.service if channel and isinstance(channel.service, WebServices) else None

    async def _compare(self, tenant: Tenant, missing: list[str], warnings: list[str]) -> None:
        access, policy = tenant.keycloak, tenant.policy
        try:
            await self._token_endpoint.check_issuer(access)
        except IssuerDiffers as error:
            missing.append(str(error))
        except GatewayError as error:  # without the realm's document, the further checks can only repeat this
            missing.append(str(error))
            return
        try:
            warnings.extend(await self._token_endpoint.check(access))
        except GatewayError as error:
            missing.append(str(error))
        try:
            await self._users.check(access)
            realm = await self._users.realm_settings(access)
            limits = self._configuration().gateway.limits
            warnings.extend(f"{where(access)}: {danger}" for danger in brute_force_settings.dangers(realm, limits))
            missing.extend(await self._profiles.check_declared(access))
            needed = services.attributes if (services := self._services_of(tenant)) else frozenset()
            if access.phone_attribute and policy.registration_contact is RegistrationContact.PROFILE:
                needed |= {access.phone_attribute}
            for name in sorted(needed - await self._users.guarded(access, needed)):
                warnings.append(f"{where(access)}: {_EDITABLE.format(name)}")
            if services and services.live is ServiceSet.TEST:
                warnings.append(f"contact service {policy.contact_service}: {_TESTS}")
        except GatewayError as error:
            missing.append(str(error))
