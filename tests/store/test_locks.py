"""Tests of locks: valid on all replicas, expiring in time, and released only by their holder."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.domain import errors
from gateway.domain.ports import SystemRandom
from gateway.store.locks import LocalLocks, StoreLock
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from tests.fixtures.clock import FakeClock


def locks(store: Store, clock: FakeClock) -> tuple[StoreLock, StoreLock]:
    """Returns the locks of two replicas."""
    return StoreLock(store, clock, SystemRandom()), StoreLock(store, clock, SystemRandom())


async def most_inside(replicas: Sequence[StoreLock], times: int) -> int:
    """Returns the largest number of `times` holders that were inside together."""
    inside = most = 0

    async def work(lock: StoreLock) -> None:
        nonlocal inside, most
        async with lock.hold("user:1", wait=60, ttl=60):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(replicas[n % len(replicas)]) for n in range(times)))
    return most


async def test_one_of_100_parallel_holders_on_two_replicas_has_the_lock(shared: Store, clock: FakeClock) -> None:
    assert await most_inside(locks(shared, clock), 100) == 1


async def test_locks_of_different_names_are_independent(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    async with one.hold("a", wait=0, ttl=60), two.hold("b", wait=0, ttl=60):
        pass


async def test_a_held_lock_is_a_conflict_on_this_replica_and_on_another(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    async with one.hold("user:1", wait=0, ttl=60):
        for lock in (one, two):
            with pytest.raises(errors.Conflict):
                async with lock.hold("user:1", wait=0.02, ttl=60):
                    pass


async def test_the_conflict_does_not_name_the_user(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    async with one.hold("user:hush", wait=0, ttl=60):
        with pytest.raises(errors.Conflict) as caught:
            async with two.hold("user:hush", wait=0, ttl=60):
                pass
    assert "hush" not in str(caught.value)


async def test_a_lock_is_released_after_an_error(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    with pytest.raises(ZeroDivisionError):
        async with one.hold("a", wait=0, ttl=60):
            raise ZeroDivisionError
    async with two.hold("a", wait=0, ttl=60):
        pass


async def test_a_lock_is_released_after_its_holder_was_cancelled(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    entered = asyncio.Event()

    async def stay() -> None:
        async with one.hold("a", wait=0, ttl=60):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stay())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with two.hold("a", wait=0, ttl=60):
        pass


async def test_a_lock_is_released_if_its_requester_was_cancelled_before_the_answer(clock: FakeClock) -> None:
    class Slow(MemoryStore):
        slow = True

        async def add(self, key: str, value: bytes, ttl: float) -> bool:
            added = await super().add(key, value, ttl)
            if self.slow:
                self.slow = False
                taken.set()
                await asyncio.Event().wait()
            return added

    taken = asyncio.Event()
    one, two = locks(Slow(clock), clock)
    asking = asyncio.create_task(one.hold("a", wait=60, ttl=60).__aenter__())
    await taken.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    async with two.hold("a", wait=0, ttl=60):
        pass


async def test_an_expired_lock_can_be_acquired_by_another_holder(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    async with one.hold("a", wait=0, ttl=30):
        clock.advance(30)
        async with two.hold("a", wait=0, ttl=30):
            pass


async def test_a_late_holder_does_not_release_the_lock_of_its_successor(shared: Store, clock: FakeClock) -> None:
    one, two = locks(shared, clock)
    third, _ = locks(shared, clock)
    slow = one.hold("a", wait=0, ttl=30)
    await slow.__aenter__()
    clock.advance(30)
    async with two.hold("a", wait=0, ttl=30):
        await slow.__aexit__(None, None, None)
        with pytest.raises(errors.Conflict):
            async with third.hold("a", wait=0, ttl=30):
                pass


async def test_a_store_that_does_not_answer_is_unreachable_and_no_conflict(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await store.close()
    with pytest.raises(errors.Unreachable):
        async with locks(store, clock)[0].hold("a", wait=0, ttl=60):
            pass


async def test_losing_the_store_while_holding_a_lock_does_not_fail_the_work(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    async with locks(store, clock)[0].hold("a", wait=0, ttl=60):
        await store.close()


async def test_local_turns_are_given_in_order() -> None:
    turns, order = LocalLocks(), []

    async def work(number: int) -> None:
        async with turns.turn("a"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(n) for n in range(20)))
    assert order == list(range(20))


async def test_a_local_queue_without_waiting_tasks_is_deleted() -> None:
    turns = LocalLocks()
    async with turns.turn("a"):
        waiting = asyncio.create_task(turns.turn("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert len(turns) == 0
