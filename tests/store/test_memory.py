"""Tests of the memory store: it frees expired values, and ends when it is closed."""

import asyncio

import pytest

from gateway.domain import errors
from gateway.store.counters import Reserved, Rule
from gateway.store.memory import MemoryStore
from tests.fixtures.clock import START, FakeClock


async def test_a_value_expires(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await store.set("k", b"1", 60)
    clock.advance(60)
    assert await store.get("k") is None
    assert await store.add("k", b"2", 60)


async def test_a_second_write_extends_the_lifetime(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await store.set("k", b"1", 60)
    clock.advance(59)
    await store.set("k", b"2", 60)
    clock.advance(59)
    await store.set("other", b"1", 1)
    assert await store.get("k") == b"2"


async def test_later_writes_free_expired_values(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    for n in range(5000):
        await store.set(f"k{n}", bytes(100), 60)
    clock.advance(61)
    await store.set("k", b"1", 60)
    assert store.size == 1


async def test_endless_writes_to_one_key_use_little_memory(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    for _ in range(20_000):
        await store.set("k", b"1", 10_000)
    assert store.size == 1
    assert store.noted_ends < 2_000


async def test_counters_are_freed_a_day_after_their_expiry(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    rule = Rule(count="c", lock="l", window=60, steps=((1, 59.0),))
    assert await store.reserve([rule], START) == Reserved((1,))
    clock.advance(86400 + 61)
    await store.reserve([Rule(count="d", lock="m", window=60, steps=())], clock.now())
    await store.reserve([Rule(count="d", lock="m", window=60, steps=((2, 1.0),))], clock.now())
    assert store.size == 2


async def test_a_closed_store_is_unreachable(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await store.close()
    with pytest.raises(errors.Unreachable):
        await store.get("k")


async def test_closing_ends_a_subscription(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    async with store.subscribe("c") as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await store.close()
        with pytest.raises(errors.Unreachable):
            await waiting
