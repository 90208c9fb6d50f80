"""Tests of the demo's dependencies."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.crypto.key_ring import KeyRing
from gateway.demo import start
from gateway.demo.configuration import Options, configure
from gateway.demo.dependencies import Dependencies, dependencies, register
from gateway.domain.configuration import Configuration
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import SystemClock
from gateway.services import open_services

CLOCK = SystemClock()


async def test_only_the_disabled_agent_is_disabled(running_dependencies: Dependencies) -> None:
    for people in running_dependencies.people.values():
        assert [p.user.username for p in people if not p.user.enabled] == ["dora"]


async def test_only_the_registered_agent_has_sealed_enrolments_and_at_each_tenant(
    running_dependencies: Dependencies,
) -> None:
    ring = start.new_ring(CLOCK)
    kinds = {}
    configuration = configure(Options(), running_dependencies)
    for tenant in configuration.tenants:
        async with open_services(lambda: configuration, ring) as services:
            await register(tenant, running_dependencies, services.enrolments)
        for person in running_dependencies.people[tenant.id]:
            kept = await enrolled(configuration, tenant, ring, person.user.id)
            assert kept.backup_codes == person.backup_codes
            assert [(e.factor, e.address, e.secret) for e in kept.enrolments] == [
                (e.factor, e.address, e.secret) for e in person.enrolments
            ]
            if kept.enrolments:
                kinds[tenant.id] = (person.user.username, [e.factor for e in kept.enrolments], len(kept.backup_codes))
    assert kinds == {
        "expertflow": ("ben", [FactorKind.EMAIL], 0),
        "efcx": ("ben", [FactorKind.TOTP], 0),
        "cloudcx": ("ben", [FactorKind.EMAIL, FactorKind.TOTP], 10),
    }


async def test_secrets_and_backup_codes_are_new_at_each_start(running_dependencies: Dependencies) -> None:
    async with dependencies(CLOCK) as others:
        for tenant_id, people in running_dependencies.people.items():
            for mine, theirs in zip(people, others.people[tenant_id], strict=True):
                assert {e.secret for e in mine.enrolments if e.secret}.isdisjoint(e.secret for e in theirs.enrolments)
                assert set(mine.backup_codes).isdisjoint(theirs.backup_codes)


async def test_two_parallel_demos_share_no_port(running_dependencies: Dependencies) -> None:
    async with dependencies(CLOCK) as others:
        assert others.inbox.port != running_dependencies.inbox.port
        assert others.provider != running_dependencies.provider


@pytest.mark.attack("F28")
async def test_the_identity_provider_answers_loopback_names_only(running_dependencies: Dependencies) -> None:
    url = f"{running_dependencies.provider}/auth/realms/expertflow/.well-known/openid-configuration"
    async with ClientSession() as browser:
        async with browser.get(url) as response:
            assert response.status == 200
        async with browser.get(url, headers={"Host": "evil.example"}) as response:
            assert response.status == 421


@pytest.mark.attack("F28")
async def test_every_port_of_the_demo_is_on_loopback(running_dependencies: Dependencies) -> None:
    urls = [running_dependencies.provider, *running_dependencies.apps.values()]
    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    await asyncio.gather(*(_refused_elsewhere(int(url.rpartition(":")[2])) for url in urls))


async def _refused_elsewhere(port: int) -> None:
    """Asserts that another loopback address of this machine refuses connections, so no other address accepts any."""
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.2", port)


async def enrolled(configuration: Configuration, tenant: Any, ring: KeyRing, user_id: str) -> EnrolmentSet:
    """Returns the enrolments of a user, read as the gateway reads them."""
    async with open_services(lambda: configuration, ring) as services:
        found = await services.enrolments.read(tenant, user_id)
    assert isinstance(found, EnrolmentSet)
    return found
