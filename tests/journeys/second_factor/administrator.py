"""An administrator who makes a code for a user, in the gateway's store."""

from gateway.crypto.key_ring import Sealer, Signer
from gateway.domain.ports import SystemRandom
from gateway.second_factor.factors.admin_code import PURPOSE, RECORD, AdminCode, AdminCodeFactor
from gateway.store.records import Records
from tests.dependencies.keycloak_admin import Person as User
from tests.journeys.conftest import Site


async def admin_code(site: Site, user: User) -> str:
    """Returns a new administrator's code for `user`; it replaces all earlier ones."""
    random, ring = SystemRandom(), site.settings.ring()
    records = Records(
        store=site.store,
        sealer=Sealer(ring, RECORD, random),
        clock=site.clock,
        name=RECORD,
        of=AdminCode,
    )
    codes = AdminCodeFactor(records, Signer(ring, PURPOSE), site.clock, random)
    return await codes.issue(site.configuration.tenants[0].id, user.id, "an administrator")
