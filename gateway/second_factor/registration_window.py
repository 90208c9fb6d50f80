"""May a first factor be registered without a voucher today? (GW-27, `registration: guarded`)

A user without a verified profile address may, for 14 days after the second factor was switched on for the tenant or
after he was made; then an administrator's code is needed. When it was switched on is noted in the store by the first
login that asks; a store that was lost begins the 14 days anew, which `docs/security.md` says.
"""

from dataclasses import dataclass

from gateway.domain.policy import Registration
from gateway.domain.ports import Clock
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.store.interface import Store

OPEN_FOR = 14 * 86400.0
KEPT = 400 * 86400.0


@dataclass(frozen=True, slots=True)
class RegistrationWindow:
    """See the module's text."""

    store: Store
    clock: Clock

    async def is_open(self, tenant: Tenant, account: Account) -> bool:
        """Whether this user's first factor needs no voucher for want of a profile address."""
        if tenant.policy.registration is not Registration.GUARDED:
            return True
        now, key = self.clock.now(), f"guarded-since:{tenant.id}"
        await self.store.add(key, str(int(now)).encode(), KEPT)  # whoever asks: the days run from the first login on
        if account.created_at is not None and now < account.created_at + OPEN_FOR:
            return True
        raw = await self.store.get(key)
        return raw is not None and now < int(raw) + OPEN_FOR
