"""Makes and keeps the code that an administrator gives to a user.

At most one is live: a new one replaces it. The administrator sees it once. The gateway keeps a keyed digest, with the
administrator's name, for 30 minutes.
"""

from dataclasses import dataclass

from gateway.crypto import codes
from gateway.crypto.signing import Signer
from gateway.domain.ports import Clock, Random
from gateway.store.records import Records

DIGITS = 12
"""Digits only, so that an administrator can read them out by telephone."""
LIFE = 1800.0
RECORD = "admin-code"
PURPOSE = "admin-code"
"""Purpose of the `Signer`."""


@dataclass(frozen=True, slots=True)
class AdminCode:
    """What the gateway keeps of a live code."""

    digest: str
    issuer: str
    made_at: float


@dataclass(frozen=True, slots=True)
class AdminCodes:
    """Makes, reads and removes administrator's codes."""

    records: Records[AdminCode]
    signer: Signer
    clock: Clock
    random: Random

    async def issue(self, tenant_id: str, user_id: str, issuer: str) -> str:
        """A new code for the user, the only one that works from now on; show it once."""
        code = codes.make(DIGITS, self.random)
        now = self.clock.now()
        digest = codes.digest(self.signer, code, PURPOSE, tenant_id, user_id)
        await self.records.write(tenant_id, user_id, AdminCode(digest, issuer, now), now + LIFE)
        return code

    async def live(self, tenant_id: str, user_id: str) -> AdminCode | None:
        """The record of the newest code, for 30 minutes, used or not."""
        return await self.records.read(tenant_id, user_id)

    def matches(self, digest: str, entry: str, tenant_id: str, user_id: str) -> bool:
        """Whether `entry` is the code of this digest."""
        return codes.matches(self.signer, digest, entry, PURPOSE, tenant_id, user_id)
