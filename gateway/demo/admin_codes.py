"""How does a visitor get the code of an administrator? He makes one himself, on `/-/demo`.

The same code as of `efcx-gateway user code`, in the store of the running gateway.
"""

from dataclasses import dataclass

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.crypto.signing import Signer
from gateway.domain.ports import Clock, Random
from gateway.second_factor import admin_codes
from gateway.second_factor.admin_codes import AdminCode, AdminCodes
from gateway.second_factor.factors import admin_code
from gateway.store.protocol import Store
from gateway.store.records import Records

MINUTES = int(admin_codes.LIFE // 60)


@dataclass(frozen=True, slots=True)
class DemoAdminCodes:
    """Makes codes with the ring of the running gateway."""

    ring: KeyRing
    clock: Clock
    random: Random

    async def code(self, store: Store, tenant_id: str, user_id: str) -> str:
        """The only one that works for this user from now on, as it is told: three groups of four digits."""
        records = Records(
            store=store,
            sealer=Sealer(self.ring, admin_codes.RECORD, self.random),
            clock=self.clock,
            name=admin_codes.RECORD,
            of=AdminCode,
        )
        codes = AdminCodes(records, Signer(self.ring, admin_codes.PURPOSE), self.clock, self.random)
        return admin_code.shown(await codes.issue(tenant_id, user_id, "the demo's page"))
