"""Which administrator's code is live for a user?

At most one: a new one replaces it. It is shown once to the administrator who makes it; what is kept is a keyed digest,
with who made it, for 30 minutes.
"""

from dataclasses import dataclass

from gateway.crypto import codes
from gateway.crypto.signing import Signer
from gateway.domain.ports import Clock, Random
from gateway.second_factor.factors import admin_code
from gateway.store.records import Records

LIFE = 1800.0
RECORD = "admin-code"
PURPOSE = "admin-code"
"""Name of the records, and purpose of the `Signer`."""


@dataclass(frozen=True, slots=True)
class AdminCode:
    """What is kept of a live code."""

    digest: str
    issuer: str
    made_at: float


@dataclass(frozen=True, slots=True)
class AdminCodes:
    """Makes, reads and takes back administrator's codes."""

    records: Records[AdminCode]
    signer: Signer
    clock: Clock
    random: Random

    async def issue(self, tenant_id: str, user_id: str, issuer: str) -> str:
        """A new code for the user, the only one that works from now on; show it once."""
        code = codes.make(admin_code.DIGITS, self.random)
        now = self.clock.now()
        digest = admin_code.digest(self.signer, code, tenant_id, user_id)
        await self.records.write(tenant_id, user_id, AdminCode(digest, issuer, now), now + LIFE)
        return code

    async def live(self, tenant_id: str, user_id: str) -> AdminCode | None:
        """The record of the newest code, for 30 minutes; whether it was used is `consuming`'s to know."""
        return await self.records.read(tenant_id, user_id)

    async def forget(self, tenant_id: str, user_id: str) -> None:
        """It is taken back."""
        await self.records.remove(tenant_id, user_id)
