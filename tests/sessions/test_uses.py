"""Tests of the uses of sessions, which are stored in the background."""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.tasks import BackgroundTasks
from gateway.sessions import uses
from gateway.store.memory import MemoryStore
from tests.fixtures.clock import FakeClock
from tests.fixtures.session_harness import TENANT, SessionHarness


class Slow(MemoryStore):
    """Takes no change of a session while not `open`, refuses the next `refused` ones, and counts the others."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()
        self.refused = self.taken = 0
        self.took = asyncio.Event()

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        if not key.startswith("session:"):
            return await super().swap(key, old, new, ttl)
        self.waiting.set()
        await self.open.wait()
        if self.refused:
            self.refused -= 1
            raise errors.Unreachable("store", "is read-only")
        written = await super().swap(key, old, new, ttl)
        self.taken += written
        self.took.set()
        return written


@pytest.fixture
def store(clock: FakeClock) -> Slow:
    return Slow(clock)


@pytest.fixture
def harness(store: Slow, clock: FakeClock) -> SessionHarness:
    made = SessionHarness(store, clock)  # no replica listens: each request reads the store
    made.renewals.life = 43_200.0  # no token is renewed, which would also change the session
    return made


async def test_no_request_waits_until_its_use_is_stored(harness: SessionHarness, store: Slow) -> None:
    _, cookie = await harness.open()
    store.open.clear()
    harness.clock.advance(60)
    async with asyncio.timeout(5):
        assert await harness.one.sessions.current(TENANT, cookie)
        await store.waiting.wait()
    store.open.set()
    await store.took.wait()


async def test_parallel_requests_on_all_replicas_store_one_use(harness: SessionHarness, store: Slow) -> None:
    session, cookie = await harness.open()
    harness.clock.advance(60)
    for _ in range(5):
        await asyncio.gather(*(r.sessions.current(TENANT, cookie) for r in (harness.one, harness.two) for _ in "abcd"))
    for replica in (harness.one, harness.two):
        await replica.sessions.used(session)
    assert store.taken == 1


async def test_a_use_that_the_store_refused_is_stored_later(
    harness: SessionHarness, store: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "FIRST_PAUSE", 0.001)
    _, cookie = await harness.open()
    store.refused = 3
    harness.clock.advance(1700)
    assert await harness.one.sessions.current(TENANT, cookie)
    await store.took.wait()
    harness.clock.advance(1700)
    assert await harness.two.sessions.current(TENANT, cookie)


async def test_a_store_that_refuses_a_use_is_asked_again_only_after_a_pause(
    harness: SessionHarness, store: Slow
) -> None:
    _, cookie = await harness.open()
    store.refused = 1_000
    harness.clock.advance(60)
    assert await harness.one.sessions.current(TENANT, cookie)
    for _ in range(100):
        await asyncio.sleep(0)
    assert store.refused == 999
    store.refused = 0
    await harness.one.sessions._tasks.close(5)


async def test_a_use_that_is_not_stored_yet_keeps_the_session_from_its_idle_limit(
    harness: SessionHarness, store: Slow
) -> None:
    _, cookie = await harness.open()
    store.open.clear()
    for _ in range(3):
        harness.clock.advance(1700)
        assert await harness.one.sessions.current(TENANT, cookie)
    store.open.set()
    await store.took.wait()


async def test_the_end_of_the_process_waits_for_the_uses(harness: SessionHarness, store: Slow) -> None:
    session, cookie = await harness.open()
    tasks = harness.one.sessions._tasks
    harness.clock.advance(60)
    assert await harness.one.sessions.current(TENANT, cookie)
    await tasks.close(5)
    found = await harness.two.sessions.current(TENANT, cookie)
    assert found == replace(session, used_at=harness.clock.now())
    assert store.taken == 1


async def test_the_late_use_of_an_ended_session_does_not_restore_it(harness: SessionHarness, store: Slow) -> None:
    session, cookie = await harness.open()
    store.open.clear()
    harness.clock.advance(60)
    assert await harness.one.sessions.current(TENANT, cookie)
    await store.waiting.wait()
    await harness.two.sessions.end(TENANT, session.id)
    store.open.set()
    await harness.one.sessions._tasks.close(5)
    for replica in (harness.one, harness.two):
        assert await replica.sessions.current(TENANT, cookie) is None
    assert store.taken == 0


async def test_a_use_is_given_up_after_the_idle_limit(
    harness: SessionHarness, store: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "FIRST_PAUSE", 0.001)
    _, cookie = await harness.open()
    store.refused = 1_000_000
    harness.clock.advance(60)
    assert await harness.one.sessions.current(TENANT, cookie)
    await store.waiting.wait()
    harness.clock.advance(1801)
    tasks: BackgroundTasks = harness.one.sessions._tasks
    await tasks.close(5)
    assert await harness.two.sessions.current(TENANT, cookie) is None


async def test_the_uses_that_wait_are_bounded(
    harness: SessionHarness, store: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "MOST", 3)
    cookies = [(await harness.open())[1] for _ in range(5)]
    store.open.clear()
    harness.clock.advance(60)
    for cookie in cookies:
        assert await harness.one.sessions.current(TENANT, cookie)
    assert len(harness.one.sessions._uses._unstored) == 3
    store.open.set()
    await harness.one.sessions._tasks.close(5)
