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
from gateway.domain.errors import GatewayError, Misconfigured, Unreachable
from gateway.domain.tenant import Tenant
from gateway.keycloak.token_endpoint import TokenEndpoint
from gateway.keycloak.users import UserProfiles, Users

EVERY = 60.0
"""Seconds between two checks without a readiness request."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """The problems that stop one tenant's users from signing in or enrolling; `missing` are sentences for operators."""

    tenant: str
    realm: str
    missing: tuple[str, ...]


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

    async def look(self) -> tuple[Finding, ...]:
        """The current findings; changes since the last check are logged."""
        tenants = [tenant for tenant in self._configuration().tenants if tenant.active]
        answers = await asyncio.gather(*(self._of(tenant) for tenant in tenants))
        found = {finding.tenant: finding for finding in answers if finding.missing}
        for tenant, finding in found.items():
            if self._logged.get(tenant) != finding:
                log.warning("realm_not_ready", tenant=tenant, realm=finding.realm, missing=list(finding.missing))
        for tenant in self._logged.keys() - found.keys():
            log.info("realm_ready", tenant=tenant)
        self._logged = found
        return tuple(found.values())

    async def check(self) -> None:
        """The readiness check; raises `errors.Misconfigured` if anything is missing."""
        if found := await self.look():
            raise Misconfigured(", ".join(f"realm {one.realm}" for one in found), "; ".join(found[0].missing))

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

    async def _of(self, tenant: Tenant) -> Finding:
        access, missing = tenant.keycloak, []
        try:
            await self._token_endpoint.check(access)
        except Unreachable as error:
            return Finding(tenant.id, access.realm, (str(error),))
        except GatewayError as error:
            missing.append(str(error))
        try:
            await self._users.check(access)
            missing.extend(await self._profiles.check_declared(access))
        except GatewayError as error:
            missing.append(str(error))
        return Finding(tenant.id, access.realm, tuple(missing))
