"""An administrator who makes a code for somebody, at the gateway's own store."""

from gateway.crypto.sealing import Sealer
from gateway.crypto.signing import Signer
from gateway.domain.ports import SystemChance
from gateway.second_factor import admin_codes
from gateway.second_factor.admin_codes import AdminCode, AdminCodes
from gateway.store.records import Records
from tests.journeys.conftest import Site
from tests.neighbours.keycloak_admin import Person as User


async def admin_code(site: Site, user: User) -> str:
    """The only code of an administrator that works for `user` from now on."""
    chance, ring = SystemChance(), site.settings.ring()
    records = Records(
        store=site.store,
        sealer=Sealer(ring, admin_codes.RECORD, chance),
        clock=site.clock,
        name=admin_codes.RECORD,
        of=AdminCode,
    )
    codes = AdminCodes(records, Signer(ring, admin_codes.PURPOSE), site.clock, chance)
    return await codes.issue(site.configuration.tenants[0].id, user.id, "an administrator")
