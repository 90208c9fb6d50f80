"""What stands around the demo's gateway."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.demo import start
from gateway.demo.configuration import Options, configure
from gateway.demo.neighbours import Neighbours, neighbours, register
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import SystemChance, SystemClock
from gateway.keycloak.connection import Connections
from gateway.keycloak.profile import Profile
from gateway.second_factor.enrolments import Enrolments
from gateway.store.locks import StoreLock
from gateway.store.memory import MemoryStore

CLOCK = SystemClock()


async def test_the_disabled_agent_is_disabled_and_the_others_are_not(around: Neighbours) -> None:
    assert [p.user.username for p in around.people if not p.user.enabled] == ["dora"]


async def test_the_registered_agent_has_a_sealed_set_with_his_address(around: Neighbours) -> None:
    tenant = configure(Options(), around).tenants[0]
    ring = start.new_ring(CLOCK)
    await register(tenant, around, ring, CLOCK)
    found = {p.user.username: await enrolled(tenant, ring, p.user.id) for p in around.people}
    addresses = {name: [e.address for e in kept.enrolments] for name, kept in found.items()}
    assert addresses == {"anna": [], "ben": ["ben@example.com"], "sara": [], "adam": [], "dora": []}


async def test_two_demos_at_once_share_no_port(around: Neighbours) -> None:
    async with neighbours(CLOCK) as others:
        assert others.inbox.port != around.inbox.port
        assert others.provider != around.provider


@pytest.mark.attack("F28")
async def test_the_identity_provider_answers_loopback_names_only(around: Neighbours) -> None:
    url = f"{around.provider}/auth/realms/expertflow/.well-known/openid-configuration"
    async with ClientSession() as browser:
        async with browser.get(url) as response:
            assert response.status == 200
        async with browser.get(url, headers={"Host": "evil.example"}) as response:
            assert response.status == 421


@pytest.mark.attack("F28")
async def test_every_port_of_the_demo_is_on_loopback(around: Neighbours) -> None:
    urls = [around.provider, *around.apps.values()]
    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    await asyncio.gather(*(_refused_elsewhere(int(url.rpartition(":")[2])) for url in urls))


async def _refused_elsewhere(port: int) -> None:
    """Another loopback address of this machine is not listened on, so no other address is."""
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.2", port)


async def enrolled(tenant: Any, ring: KeyRing, user_id: str) -> EnrolmentSet:
    """The set of a user, read as the gateway reads it."""
    store, connections, chance = MemoryStore(CLOCK), Connections(), SystemChance()
    reader = Enrolments(
        profile=Profile(connections),
        store=store,
        sets=Sealer(ring, "enrolments", chance),
        guards=Sealer(ring, "guards", chance),
        lock=StoreLock(store, CLOCK, chance),
        clock=CLOCK,
        on_unguarded=lambda _tenant, _user: None,
    )
    found = await reader.read(tenant, user_id)
    await connections.close()
    await store.close()
    assert isinstance(found, EnrolmentSet)
    assert all(e.factor is FactorKind.EMAIL for e in found.enrolments)
    return found
