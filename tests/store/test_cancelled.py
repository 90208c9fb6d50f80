"""Tests of tasks that are cancelled while they wait for the store."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.domain.channel import TlsSettings
from gateway.domain.ports import SystemRandom
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.redis import RedisStore
from gateway.store.replica_events import ReplicaEvents
from tests.fixtures.clock import FakeClock

TURNS = 50
"""Turns of the loop; more than a subscription on a new connection takes (35)."""
LIMIT = 10.0
"""Seconds after which a test fails because its task has not ended."""


def opened(address: str, clock: FakeClock) -> Store:
    """Returns a store without a connection."""
    return RedisStore(url=address, prefix="test:", timeout=60.0, tls=TlsSettings()) if address else MemoryStore(clock)


async def cancelled_after(turns: int, work: Awaitable[object]) -> asyncio.Future[object]:
    """Returns `work` as a task that was cancelled once after that number of turns, and then had time to end."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=LIMIT)
    return task


async def test_the_replica_event_listener_ends_wherever_it_is_cancelled(address: str, clock: FakeClock) -> None:
    for turns in range(TURNS):
        store = opened(address, clock)
        task = await cancelled_after(turns, ReplicaEvents(store=store, random=SystemRandom())._listen_for_ever())
        assert task.cancelled(), turns
        await store.close()


VERBS: dict[str, Callable[[Store], Awaitable[object]]] = {
    "get": lambda store: store.get("k"),
    "set": lambda store: store.set("k", b"1", 60),
    "append": lambda store: store.append("k", b"1", keep=1, ttl=60),
    "publish": lambda store: store.publish("c", b"1"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_no_store_operation_returns_a_result_to_a_cancelled_task(
    verb: str, address: str, clock: FakeClock
) -> None:
    """A task that could not be cancelled here would continue, perhaps endlessly."""
    over = cancelled = 0
    for turns in range(TURNS):
        store = opened(address, clock)
        task = asyncio.ensure_future(VERBS[verb](store))
        for _ in range(turns):
            await asyncio.sleep(0)
        over += task.done()
        task.cancel()
        await asyncio.wait([task], timeout=LIMIT)
        cancelled += task.cancelled()
        await store.close()
    assert over + cancelled == TURNS
