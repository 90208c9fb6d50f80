"""Decides whether a user may enrol a first factor without an approval (`registration: guarded`).

A user without a verified profile address may do so for 14 days after the second factor was switched on for the tenant,
or after Keycloak created the user. Later they need an administrator's code. The first login that asks notes the start
in the store. A lost store begins the 14 days anew.
"""

from dataclasses import dataclass

from gateway.domain.policy import Registration
from gateway.domain.ports import Clock
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.store.protocol import Store

OPEN_FOR = 14 * 86400.0
KEPT = 400 * 86400.0


@dataclass(frozen=True, slots=True)
class EnrolmentGracePeriod:
    """See the module's text."""

    store: Store
    clock: Clock

    async def is_open(self, tenant: Tenant, account: Account) -> bool:
        """Whether this user's first factor needs no approval although they have no profile address."""
        if tenant.policy.registration is not Registration.GUARDED:
            return True
        now, since = self.clock.now(), await self._since(tenant)
        if account.created_at is not None and now < account.created_at + OPEN_FOR:
            return True
        return since is not None and now < since + OPEN_FOR

    async def _since(self, tenant: Tenant) -> int | None:
        """When the first login of the tenant asked. Each login that asks lengthens the life of the note."""
        key = f"guarded-since:{tenant.id}"
        await self.store.add(key, str(int(self.clock.now())).encode(), KEPT)
        raw = await self.store.get(key)
        if raw is None:
            return None
        await self.store.swap(key, raw, raw, KEPT)
        return int(raw)
