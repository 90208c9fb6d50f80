"""Tests of the validity of local copies of sessions."""

import pytest

from gateway.domain import errors
from gateway.domain.ports import SystemRandom
from gateway.sessions.cache import SessionCache, SessionRecord
from gateway.sessions.session_key import SessionKey, of_cookie
from gateway.sessions.sessions import Sessions
from gateway.store.memory import MemoryStore
from gateway.store.replica_events import ReplicaEvents
from tests.fixtures.clock import START, FakeClock
from tests.fixtures.sample_tenants import session
from tests.fixtures.session_harness import OTHER_TENANT, TENANT, Flaky, SessionHarness

OLDEST = 5.0

KEPT = SessionRecord(session(), START)


def place(number: int = 1) -> SessionKey:
    return SessionKey("t", "tag", str(number))


class ScriptedEvents(ReplicaEvents):
    connected = True

    @property
    def alive(self) -> bool:
        return self.connected


@pytest.fixture
def events() -> ScriptedEvents:
    return ScriptedEvents(store=MemoryStore(FakeClock()), random=SystemRandom())


@pytest.fixture
def copies(events: ScriptedEvents, clock: FakeClock) -> SessionCache:
    return SessionCache(replica_events=events, clock=clock, most=3)


def test_a_cached_copy_is_valid_while_replica_events_arrive(copies: SessionCache, events: ScriptedEvents) -> None:
    copies.put(place(), KEPT, copies.mark())
    assert copies.get(place()) == KEPT
    events.connected = False
    assert copies.get(place()) is None


def test_a_cached_copy_is_valid_for_a_few_seconds(copies: SessionCache, clock: FakeClock) -> None:
    copies.put(place(), KEPT, copies.mark())
    clock.advance(OLDEST + 0.01)
    assert copies.get(place()) is None


def test_a_cached_copy_with_a_future_time_is_not_valid(copies: SessionCache, clock: FakeClock) -> None:
    copies.put(place(), KEPT, copies.mark())
    clock.set(START - 1)
    assert copies.get(place()) is None


def test_a_dropped_copy_is_removed(copies: SessionCache) -> None:
    copies.put(place(), KEPT, copies.mark())
    copies.drop(place())
    assert copies.get(place()) is None


def test_a_gap_in_the_replica_events_removes_every_copy(copies: SessionCache) -> None:
    copies.put(place(), KEPT, copies.mark())
    copies.clear()
    assert copies.get(place()) is None


def test_a_value_read_before_a_drop_is_not_cached_after_it(copies: SessionCache) -> None:
    mark = copies.mark()
    copies.drop(place())
    copies.put(place(), KEPT, mark)
    assert copies.get(place()) is None


def test_a_value_read_before_a_gap_in_the_replica_events_is_not_cached_after_it(copies: SessionCache) -> None:
    mark = copies.mark()
    copies.clear()
    copies.put(place(), KEPT, mark)
    assert copies.get(place()) is None


def test_the_least_recently_used_copy_is_evicted(copies: SessionCache) -> None:
    for number in (1, 2, 3):
        copies.put(place(number), KEPT, copies.mark())
    copies.get(place(1))
    copies.put(place(4), KEPT, copies.mark())
    assert [bool(copies.get(place(n))) for n in (1, 2, 3, 4)] == [True, False, True, True]
    assert len(copies) == 3


class Counting(MemoryStore):
    """Counts reads, and can silently lose every message."""

    reads = 0
    deaf = False

    async def get(self, key: str) -> bytes | None:
        self.reads += 1
        return await super().get(key)

    async def publish(self, channel: str, message: bytes) -> None:
        if not self.deaf:
            await super().publish(channel, message)


async def reads(store: Counting, sessions: Sessions, cookie: str, times: int = 10) -> int:
    before = store.reads
    for _ in range(times):
        assert await sessions.current(TENANT, cookie)
    return store.reads - before


async def test_while_replica_events_arrive_the_store_is_read_once(clock: FakeClock) -> None:
    store = Counting(clock)
    harness = SessionHarness(store, clock)
    async with harness.running():
        _, cookie = await harness.open()
        assert await reads(store, harness.one.sessions, cookie) == 1


async def test_without_replica_events_every_request_reads_the_store(clock: FakeClock) -> None:
    store = Counting(clock)
    harness = SessionHarness(store, clock)
    _, cookie = await harness.open()
    assert await reads(store, harness.one.sessions, cookie) == 10


@pytest.mark.attack("F23")
async def test_half_a_second_after_a_silently_lost_subscription_an_ended_session_opens_nothing(
    clock: FakeClock,
) -> None:
    store = Counting(clock)
    harness = SessionHarness(store, clock)
    async with harness.running():
        session, cookie = await harness.open()
        assert await harness.two.sessions.current(TENANT, cookie)
        store.deaf = True
        await harness.one.sessions.end(TENANT, session.id)
        clock.advance(0.51)
        assert await harness.two.sessions.current(TENANT, cookie) is None


# ------------------------------------------------------------------ the lookup without a wait


def of(cookie: str) -> SessionKey:
    found = of_cookie(TENANT.id, cookie)
    assert found
    return found


async def test_a_session_with_a_valid_copy_is_held(clock: FakeClock) -> None:
    harness = SessionHarness(MemoryStore(clock), clock)
    async with harness.running():
        session, cookie = await harness.open()
        assert harness.one.sessions.held(TENANT, of(cookie)) is None
        assert await harness.one.sessions.current(TENANT, cookie) == session
        assert harness.one.sessions.held(TENANT, of(cookie)) == session


@pytest.mark.parametrize("seconds", [0.51, 280.0, 1800.0, 43200.0])
async def test_a_copy_that_is_old_or_needs_an_answer_is_not_held(clock: FakeClock, seconds: float) -> None:
    harness = SessionHarness(MemoryStore(clock), clock)
    async with harness.running():
        _, cookie = await harness.open()
        await harness.one.sessions.current(TENANT, cookie)
        clock.advance(seconds)
        assert harness.one.sessions.held(TENANT, of(cookie)) is None


async def test_a_session_is_not_held_for_another_tenant(clock: FakeClock) -> None:
    harness = SessionHarness(MemoryStore(clock), clock)
    async with harness.running():
        _, cookie = await harness.open()
        await harness.one.sessions.current(TENANT, cookie)
        assert harness.one.sessions.held(OTHER_TENANT, of(cookie)) is None


async def test_a_session_is_not_held_from_the_moment_when_it_ends(clock: FakeClock) -> None:
    harness = SessionHarness(MemoryStore(clock), clock)
    async with harness.running():
        session, cookie = await harness.open()
        await harness.one.sessions.current(TENANT, cookie)
        await harness.one.sessions.end(TENANT, session.id)
        assert harness.one.sessions.held(TENANT, of(cookie)) is None


async def test_with_copies_turned_off_every_request_reads_the_store(clock: FakeClock) -> None:
    store = Counting(clock)
    harness = SessionHarness(store, clock, copies_count=0)
    async with harness.running():
        _, cookie = await harness.open()
        assert await reads(store, harness.one.sessions, cookie) == 10
        assert harness.one.sessions.held(TENANT, of(cookie)) is None


async def test_a_session_that_is_read_while_its_user_signs_out_without_the_store_is_not_held(clock: FakeClock) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    async with harness.running():
        session, cookie = await harness.open()
        await harness.one.sessions.current(TENANT, cookie)
        store.keeps = True
        with pytest.raises(errors.Unreachable):
            await harness.one.sessions.leave(TENANT, cookie)
        await harness.one.sessions.used(session)
        assert harness.one.sessions.held(TENANT, of(cookie)) is None
