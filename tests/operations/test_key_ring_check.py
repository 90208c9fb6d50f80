"""Tests of the check that store and key ring belong together."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.crypto.key_ring import Key, KeyRing
from gateway.domain.channel import TlsSettings
from gateway.domain.errors import Misconfigured, Unreachable
from gateway.domain.ports import SystemRandom
from gateway.operations import key_ring_check
from gateway.store.protocol import Store
from gateway.store.redis import RedisStore
from tests.fixtures.clock import FakeClock
from tests.fixtures.open_stores import opened
from tests.fixtures.ports import free_port


@pytest.fixture(params=["", pytest.param("redis_url", marks=pytest.mark.redis)], ids=["memory", "redis"])
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return str(request.getfixturevalue(request.param)) if request.param else ""


@pytest.fixture
async def store(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Yields an empty store of each kind."""
    async with opened(address, clock) as made:
        yield made


def key() -> Key:
    random = SystemRandom()
    return Key(random.token_bytes(4).hex(), random.token_bytes(32))


async def test_an_empty_store_records_the_key_ring_and_recognises_it_later(store: Store) -> None:
    ring = KeyRing((key(),))
    assert await key_ring_check.check(store, ring)
    assert not await key_ring_check.check(store, ring)


async def test_another_key_ring_is_refused_and_both_are_named(store: Store) -> None:
    right, wrong = KeyRing((key(),)), KeyRing((key(),))
    await key_ring_check.check(store, right)
    with pytest.raises(Misconfigured) as refused:
        await key_ring_check.check(store, wrong)
    said = str(refused.value)
    assert right.fingerprint in said
    assert wrong.fingerprint in said
    assert "1 of the 1 keys" in said
    assert "\n" not in said
    assert not await key_ring_check.check(store, right)


async def test_a_key_ring_with_a_further_key_is_accepted_as_a_rotation(store: Store) -> None:
    first = key()
    await key_ring_check.check(store, KeyRing((first,)))
    assert await key_ring_check.check(store, KeyRing((key(), first)))


async def test_after_a_rotation_the_key_ring_without_the_new_key_is_refused(store: Store) -> None:
    first = key()
    await key_ring_check.check(store, KeyRing((key(), first)))
    with pytest.raises(Misconfigured, match="1 of the 2 keys"):
        await key_ring_check.check(store, KeyRing((first,)))


async def test_the_order_of_the_keys_does_not_matter(store: Store) -> None:
    one, other = key(), key()
    await key_ring_check.check(store, KeyRing((one, other)))
    assert not await key_ring_check.check(store, KeyRing((other, one)))


async def test_two_replicas_that_rotate_in_parallel_leave_a_store_that_knows_all_keys(store: Store) -> None:
    first, second = key(), key()
    rings = [KeyRing((first,)), KeyRing((second, first))]
    await asyncio.gather(*(key_ring_check.check(store, ring) for ring in rings), return_exceptions=True)
    assert not await key_ring_check.check(store, rings[1])
    with pytest.raises(Misconfigured):
        await key_ring_check.check(store, rings[0])


async def test_the_record_shows_no_key(store: Store) -> None:
    ring = KeyRing((key(),))
    await key_ring_check.check(store, ring)
    held = await store.get(key_ring_check.KEY)
    assert held is not None
    for reported in (ring.keys[0].value, ring.keys[0].value.hex().encode(), ring.keys[0].id.encode()):
        assert reported not in held


async def test_a_damaged_record_is_refused(store: Store) -> None:
    await store.set(key_ring_check.KEY, b"{", 60)
    with pytest.raises(Misconfigured, match="damaged"):
        await key_ring_check.check(store, KeyRing((key(),)))


async def test_a_store_that_is_down_is_unreachable_and_not_misconfigured() -> None:
    down = RedisStore(url=f"redis://127.0.0.1:{free_port()}/0", prefix="test:", timeout=1.0, tls=TlsSettings())
    with pytest.raises(Unreachable):
        await key_ring_check.check(down, KeyRing((key(),)))
    await down.close()


async def test_the_file_with_the_right_key_ring_is_named(store: Store) -> None:
    right, wrong = KeyRing((key(),)), KeyRing((key(),))
    await key_ring_check.check(store, right)
    with pytest.raises(Misconfigured, match=r"use /etc/gateway/ring\.key"):
        await key_ring_check.check(store, wrong, (Path("/etc/gateway/ring.key"), right))
    with pytest.raises(Misconfigured, match="put that key ring back"):
        await key_ring_check.check(store, wrong, (Path("/etc/gateway/ring.key"), KeyRing((key(),))))


async def test_a_comparison_records_nothing(store: Store) -> None:
    await key_ring_check.compare(store, KeyRing((key(),)))
    assert await store.get(key_ring_check.KEY) is None


async def test_a_key_ring_with_a_further_key_is_not_exactly_the_stores_key_ring(store: Store) -> None:
    first = key()
    await key_ring_check.check(store, KeyRing((first,)))
    await key_ring_check.compare(store, KeyRing((first,)), exactly=True)
    with pytest.raises(Misconfigured, match="it has 1 more"):
        await key_ring_check.compare(store, KeyRing((key(), first)), exactly=True)
