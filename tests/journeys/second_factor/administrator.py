"""An administrator who makes a code for a user, in the gateway's store."""

from gateway.crypto.sealing import Sealer
from gateway.crypto.signing import Signer
from gateway.domain.ports import SystemRandom
from gateway.second_factor import admin_codes
from gateway.second_factor.admin_codes import AdminCode, AdminCodes
from gateway.store.records import Records
from tests.dependencies.keycloak_admin import Person as User
from tests.journeys.conftest import Site


async def admin_code(site: Site, user: User) -> str:
    """Returns a new administrator's code for `user`; it replaces all earlier ones."""
    random, ring = SystemRandom(), site.settings.ring()
    records = Records(
        store=site.store,
        sealer=Sealer(ring, admin_codes.RECORD, random),
        clock=site.clock,
        name=admin_codes.RECORD,
        of=AdminCode,
    )
    codes = AdminCodes(records, Signer(ring, admin_codes.PURPOSE), site.clock, random)
    return await codes.issue(site.configuration.tenants[0].id, user.id, "an administrator")
