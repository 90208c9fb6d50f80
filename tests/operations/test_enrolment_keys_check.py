"""Tests of the check that enrolments in Keycloak and key ring belong together."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing, Sealer
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.errors import Misconfigured, Refused, Unreachable
from gateway.domain.secret import Secret
from gateway.domain.tenant import KeycloakAccess, Tenant
from gateway.keycloak.users import UserProfiles
from gateway.operations.enrolment_keys_check import check
from tests.fixtures.clock import SeededRandom
from tests.fixtures.sample_tenants import TENANT

SETTINGS = GatewaySettings(Address("", 0), Address("", 0), StoreSettings(Secret("memory://")))
OURS, THEIRS = (KeyRing((Key(name, name.encode() * 4),)) for name in ("aaaaaaaa", "bbbbbbbb"))
OTHER = replace(TENANT, id="other", keycloak=replace(TENANT.keycloak, realm="other"))


class Sampled(UserProfiles):
    """The enrolments of each realm, or the error that a look at it raises."""

    def __init__(self, realms: Mapping[str, tuple[str, ...] | Exception]) -> None:
        self._realms = realms

    async def sample(self, access: KeycloakAccess, most: int) -> tuple[str, ...]:
        """Has the interface of `UserProfiles.sample`."""
        found = self._realms.get(access.realm, ())
        if isinstance(found, Exception):
            raise found
        return found


def sealed(ring: KeyRing) -> str:
    return Sealer(ring, "enrolments", SeededRandom()).seal_text(b"{}", "of a user")


async def look(
    realms: Mapping[str, tuple[str, ...] | Exception], *tenants: Tenant, other: tuple[Path, KeyRing] | None = None
) -> None:
    assert len(OURS.keys[0].value) == KEY_BYTES
    await check(Sampled(realms), Configuration(SETTINGS, tenants or (TENANT,), {}, ""), OURS, other)


async def test_a_key_ring_that_opens_no_enrolment_is_refused_and_the_keys_are_named() -> None:
    with pytest.raises(Misconfigured) as refused:
        await look({"expertflow": (sealed(THEIRS), sealed(THEIRS))})
    said = str(refused.value)
    for wanted in (
        OURS.fingerprint,
        "none of 2 enrolments",
        "keys aaaaaaaa",
        "sealed by bbbbbbbb",
        "put that key ring",
    ):
        assert wanted in said


async def test_the_error_names_the_file_that_has_the_right_key() -> None:
    with pytest.raises(Misconfigured, match=r"use /etc/gateway/ring\.key"):
        await look({"expertflow": (sealed(THEIRS),)}, other=(Path("/etc/gateway/ring.key"), THEIRS))


async def test_realms_without_enrolments_accept_every_key_ring() -> None:
    await look({"expertflow": ()})


async def test_some_enrolments_of_other_keys_are_logged_with_their_keys() -> None:
    with capture_logs() as logged:
        await look({"expertflow": (sealed(OURS), sealed(THEIRS), "damaged, é")})
    (line,) = logged
    told = {name: line[name] for name in ("event", "tenant", "keys", "enrolments", "read")}
    assert told == {
        "event": "enrolments_of_other_keys",
        "tenant": "expertflow",
        "keys": ["bbbbbbbb"],
        "enrolments": 1,
        "read": 2,
    }


async def test_the_realm_of_one_tenant_does_not_keep_the_gateway_of_another_from_starting() -> None:
    await look({"expertflow": (sealed(OURS),), "other": (sealed(THEIRS),)}, TENANT, OTHER)


async def test_without_an_answer_of_every_realm_the_gateway_is_not_refused_yet() -> None:
    down = Unreachable("keycloak", "down")
    with pytest.raises(Unreachable):
        await look({"expertflow": (sealed(THEIRS),), "other": down}, TENANT, OTHER)
    await look({"expertflow": (sealed(OURS),), "other": down}, TENANT, OTHER)


async def test_a_realm_that_rejects_the_gateway_counts_as_one_without_enrolments() -> None:
    await look({"expertflow": Refused("realm expertflow", "no role")})
