"""Tests that open streams close when their session ends, on every replica, even after missed events."""

import asyncio

import pytest

from gateway.domain import errors
from gateway.sessions import revocation, sessions
from gateway.store.memory import MemoryStore
from tests.fixtures import quick_loop
from tests.fixtures.clock import FakeClock
from tests.fixtures.session_harness import TENANT, SessionHarness, Stream


async def test_every_open_stream_of_an_ended_session_closes_on_every_replica(harness: SessionHarness) -> None:
    session, _ = await harness.open()
    streams = [Stream() for _ in range(4)]
    for number, stream in enumerate(streams):
        (harness.one, harness.two)[number % 2].sessions.register(session.id, stream.close)
    await harness.one.sessions.end(TENANT, session.id)
    await asyncio.gather(*(stream.wait() for stream in streams))
    assert [stream.times for stream in streams] == [1, 1, 1, 1]


async def test_streams_of_other_sessions_stay_open(harness: SessionHarness) -> None:
    ending, staying = (await harness.open())[0], (await harness.open())[0]
    stream, other = Stream(), Stream()
    harness.two.sessions.register(ending.id, stream.close)
    harness.two.sessions.register(staying.id, other.close)
    await harness.one.sessions.end(TENANT, ending.id)
    await stream.wait()
    assert not other.closed.is_set()


async def test_a_stream_that_ended_itself_is_not_closed(harness: SessionHarness) -> None:
    session, _ = await harness.open()
    stream = Stream()
    harness.one.sessions.register(session.id, stream.close)()
    await harness.one.sessions.end(TENANT, session.id)
    assert stream.times == 0


async def test_one_of_two_streams_with_the_same_function_can_be_unregistered(harness: SessionHarness) -> None:
    session, _ = await harness.open()
    stream = Stream()
    forget = harness.one.sessions.register(session.id, stream.close)
    harness.one.sessions.register(session.id, stream.close)
    forget()
    forget()
    await harness.one.sessions.end(TENANT, session.id)
    assert stream.times == 1


async def test_a_stream_registered_right_after_the_end_closes_at_once(harness: SessionHarness) -> None:
    session, _ = await harness.open()
    await harness.one.sessions.end(TENANT, session.id)
    stream = Stream()
    harness.one.sessions.register(session.id, stream.close)
    assert stream.times == 1


async def test_a_stream_that_fails_to_close_does_not_keep_the_next_one_open(harness: SessionHarness) -> None:
    session, _ = await harness.open()

    def fail() -> None:
        raise ZeroDivisionError

    stream = Stream()
    harness.one.sessions.register(session.id, fail)
    harness.one.sessions.register(session.id, stream.close)
    await harness.one.sessions.end(TENANT, session.id)
    assert stream.times == 1


async def test_a_stream_whose_report_of_use_finds_no_session_closes(clock: FakeClock) -> None:
    harness = SessionHarness(MemoryStore(clock), clock)  # no replica listens
    session, _ = await harness.open()
    stream = Stream()
    harness.two.sessions.register(session.id, stream.close)
    await harness.one.sessions.end(TENANT, session.id)
    assert stream.times == 0
    await harness.two.sessions.used(session)
    assert stream.times == 1


class Cut(MemoryStore):
    """Loses messages while `deaf`, can cut its subscriptions, and fails the next reads and announced ends."""

    deaf = False
    failing_reads = 0
    failing_sends = 0

    async def publish(self, channel: str, message: bytes) -> None:
        if self.failing_sends and b"session-ended" in message:
            self.failing_sends -= 1
            raise errors.Unreachable("store", "ConnectionError")
        if not self.deaf:
            await super().publish(channel, message)

    async def get(self, key: str) -> bytes | None:
        if self.failing_reads:
            self.failing_reads -= 1
            raise errors.Unreachable("store", "ConnectionError")
        return await super().get(key)

    def cut(self) -> None:
        for queues in self._subscribers.values():
            for queue in queues:
                queue.put_nowait(None)


@pytest.mark.parametrize("failing_reads", [0, 3])
async def test_a_session_that_ended_during_a_gap_in_the_replica_events_is_found_after_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, failing_reads: int
) -> None:
    monkeypatch.setattr(sessions, "RECHECK_PAUSE", 0.001)
    store = Cut(clock)
    harness = SessionHarness(store, clock)
    async with harness.running():
        ending, staying = (await harness.open())[0], (await harness.open())[0]
        stream, other = Stream(), Stream()
        harness.two.sessions.register(ending.id, stream.close)
        harness.two.sessions.register(staying.id, other.close)
        store.deaf = True
        await harness.one.sessions.end(TENANT, ending.id)
        store.deaf, store.failing_reads = False, failing_reads
        store.cut()
        await stream.wait()
        assert not other.closed.is_set()


def test_the_end_of_a_session_whose_event_the_store_refused_twice_is_effective_within_a_second(
    clock: FakeClock,
) -> None:
    store = Cut(clock)

    async def closed_after() -> float:
        harness, now = SessionHarness(store, clock), asyncio.get_running_loop().time
        async with harness.running():
            session, _ = await harness.open()
            stream = Stream()
            harness.two.sessions.register(session.id, stream.close)
            store.failing_sends, ended = 2, now()
            await harness.one.sessions.end(TENANT, session.id)
            await stream.wait()
            return now() - ended

    assert quick_loop.run(closed_after()) < 1


async def test_one_listener_receives_the_id_of_every_session_that_ends_on_any_replica(harness: SessionHarness) -> None:
    ending, staying = (await harness.open())[0], (await harness.open())[0]
    ended: list[str] = []
    stream = Stream()
    harness.two.sessions.on_end(ended.append)
    harness.two.sessions.register(ending.id, stream.close)
    await harness.one.sessions.end(TENANT, ending.id)
    await stream.wait()
    assert set(ended) == {ending.id}
    assert staying.id not in ended


async def test_an_unregistered_listener_receives_nothing(harness: SessionHarness) -> None:
    session, _ = await harness.open()
    ended: list[str] = []
    harness.one.sessions.on_end(ended.append)()
    await harness.one.sessions.end(TENANT, session.id)
    assert ended == []


async def test_a_listener_receives_the_sessions_it_serves_that_ended_during_a_gap(clock: FakeClock) -> None:
    store = Cut(clock)
    harness = SessionHarness(store, clock)
    async with harness.running():
        ending, staying = (await harness.open())[0], (await harness.open())[0]
        ended, received = [], asyncio.Event()

        def listen(session_id: str) -> None:
            ended.append(session_id)
            received.set()

        harness.two.sessions.on_end(listen, lambda: [ending.id, staying.id])
        store.deaf = True
        await harness.one.sessions.end(TENANT, ending.id)
        store.deaf = False
        store.cut()
        await received.wait()
        await harness.two.sessions.recheck()
        assert set(ended) == {ending.id}


@pytest.mark.row("NX-03")
@pytest.mark.attack("F23")
@pytest.mark.parametrize("failures", [1, 2])
async def test_an_end_of_which_the_store_took_no_event_at_first_reaches_the_other_replica(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    monkeypatch.setattr(revocation, "PAUSES", (0.001, 0.001))

    class Failing(MemoryStore):
        left = failures

        async def publish(self, channel: str, message: bytes) -> None:
            if b"session-ended" in message and self.left:
                self.left -= 1
                raise errors.Unreachable("store", "ConnectionError")
            await super().publish(channel, message)

    harness = SessionHarness(Failing(clock), clock)
    async with harness.running():
        session, cookie = await harness.open()
        assert await harness.two.sessions.current(TENANT, cookie)  # replica two has a copy of its own
        stream = Stream()
        harness.two.sessions.register(session.id, stream.close)
        await harness.one.sessions.end(TENANT, session.id)
        await stream.wait()
        assert await harness.two.sessions.current(TENANT, cookie) is None
