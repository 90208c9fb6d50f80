"""Checks at the start that the enrolments in Keycloak belong to this key ring.

A sealed enrolment begins with the id of the key that sealed it. If the realms hold enrolments and this key ring has the
key of none, it is the wrong one: every enrolled user would be stopped. A few enrolments of unknown keys are logged
only, because the administrator of one realm must not be able to keep the gateway of all tenants from starting.
"""

import asyncio
from collections import Counter
from pathlib import Path

import structlog

from gateway.crypto.key_ring import KeyRing, key_of_text
from gateway.domain.configuration import Configuration
from gateway.domain.errors import GatewayError, Misconfigured, Unreachable
from gateway.domain.tenant import Tenant
from gateway.keycloak.users import UserProfiles

MOST_USERS = 500
"""Users of each realm that are read: five requests to Keycloak at the most."""
NAMED = 5
"""Keys that the error names."""
log = structlog.get_logger(__name__)


async def check(
    profiles: UserProfiles, configuration: Configuration, ring: KeyRing, other: tuple[Path, KeyRing] | None = None
) -> None:
    """Read some users of every realm, and compare the keys of their enrolments with the ring.

    `other` is another key ring of this installation, with its file: the error names it if it is the right one.

    Raises `errors.Misconfigured` if there are enrolments and the ring has none of their keys, `errors.Unreachable` if
    a realm did not respond and the others do not settle it. A realm that rejects the gateway counts as one without
    enrolments; `realm_checks` reports it.
    """
    own = frozenset(key.id for key in ring.keys)
    tenants = [tenant for tenant in configuration.tenants if tenant.active and tenant.policy.enabled]
    counts = await asyncio.gather(*(_keys(profiles, tenant) for tenant in tenants))
    known, unknown = 0, Counter[str]()
    for tenant, count in zip(tenants, counts, strict=True):
        if count is None:
            continue
        lacking = Counter({key: number for key, number in count.items() if key not in own})
        known, unknown = known + count.total() - lacking.total(), unknown + lacking
        if lacking:
            log.warning(
                "enrolments_of_other_keys",
                tenant=tenant.id,
                realm=tenant.keycloak.realm,
                keys=sorted(lacking),
                enrolments=lacking.total(),
                read=count.total(),
            )
    if known:
        return
    if None in counts:
        raise Unreachable("keycloak", "a realm did not respond")
    if unknown:
        lacks = ", ".join(sorted(unknown)[:NAMED]) + (" and others" if len(unknown) > NAMED else "")
        has = ", ".join(key.id for key in ring.keys)
        right = other[0] if other and any(key.id in unknown for key in other[1].keys) else None
        raise Misconfigured(
            f"key ring {ring.fingerprint}",
            f"opens none of {unknown.total()} enrolments in Keycloak, so it would stop all enrolled users. It has the "
            f"keys {has}, and they were sealed by {lacks}; {f'use {right}' if right else 'put that key ring back'}. "
            "If it is lost for good, see docs/recovery.md",
        )


async def _keys(profiles: UserProfiles, tenant: Tenant) -> Counter[str] | None:
    """How many enrolments each key sealed; None without a response."""
    try:
        sealed = await profiles.sample(tenant.keycloak, MOST_USERS)
    except Unreachable:
        return None
    except GatewayError:
        return Counter()
    return Counter(filter(None, map(key_of_text, sealed)))
