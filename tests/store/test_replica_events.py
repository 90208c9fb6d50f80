"""Tests of replica events: each replica receives the others' events, and notices when it does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import structlog

from gateway.domain import errors
from gateway.domain.ports import SystemRandom
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.replica_events import EventFields, ReplicaEvents
from tests.fixtures.clock import FakeClock


class LossyStore(MemoryStore):
    """Silently loses every message while `deaf`, and can cut its subscriptions."""

    deaf = False

    async def publish(self, channel: str, message: bytes) -> None:
        if not self.deaf:
            await super().publish(channel, message)

    def cut(self) -> None:
        for queues in self._subscribers.values():
            for queue in queues:
                queue.put_nowait(None)


class Mail:
    """Records the events that a replica received, for a test to wait for."""

    def __init__(self, replica_events: ReplicaEvents, kind: str = "news") -> None:
        self.received: asyncio.Queue[EventFields] = asyncio.Queue()
        self.stop = replica_events.on(kind, self.received.put_nowait)

    async def next(self) -> EventFields:
        async with asyncio.timeout(10):
            return await self.received.get()


def replica(store: Store, monotonic: Callable[[], float] | None = None) -> ReplicaEvents:
    if monotonic is None:
        return ReplicaEvents(store=store, random=SystemRandom())
    return ReplicaEvents(store=store, random=SystemRandom(), monotonic=monotonic)


@asynccontextmanager
async def running(*replicas: ReplicaEvents) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for replica_events in replicas:
            await stack.enter_async_context(replica_events.running())
        async with asyncio.timeout(10):
            await asyncio.gather(*(replica_events.ready() for replica_events in replicas))
        yield


async def test_every_replica_receives_an_event_including_its_sender(shared: Store) -> None:
    one, two = replica(shared), replica(shared)
    mails = Mail(one), Mail(two)
    async with running(one, two):
        await one.tell("news", about="x")
        assert [await mail.next() for mail in mails] == [{"about": "x"}, {"about": "x"}]


async def test_only_handlers_of_the_events_kind_are_called(shared: Store) -> None:
    one = replica(shared)
    news, other = Mail(one), Mail(one, "other")
    async with running(one):
        await one.tell("other", n="1")
        await one.tell("news", n="2")
        assert await news.next() == {"n": "2"}
        assert await other.next() == {"n": "1"}


async def test_a_stopped_handler_receives_no_further_events(shared: Store) -> None:
    one = replica(shared)
    stopped, going = Mail(one), Mail(one)
    stopped.stop()
    async with running(one):
        await one.tell("news")
        await going.next()
        assert stopped.received.empty()


async def test_a_replica_is_connected_while_its_heartbeats_return(shared: Store) -> None:
    one = replica(shared, FakeClock().now)
    before = one.alive
    async with running(one):
        during = one.alive
    assert (before, during, one.alive) == (False, True, False)


@pytest.mark.attack("F23")
async def test_a_silently_lost_subscription_is_noticed_within_half_a_second() -> None:
    clock = FakeClock()
    store = LossyStore(clock)
    one = replica(store, clock.now)
    async with running(one):
        store.deaf = True
        clock.advance(0.5)
        assert one.alive
        clock.advance(0.01)
        assert not one.alive


async def test_a_cut_subscription_is_opened_again_and_the_gap_is_reported() -> None:
    store = LossyStore(FakeClock())
    one = replica(store)
    mail, gap = Mail(one), asyncio.Event()
    one.on_gap(gap.set)
    async with running(one):
        assert not gap.is_set()
        store.cut()
        async with asyncio.timeout(10):
            await gap.wait()
        await one.tell("news", n="after")
        assert await mail.next() == {"n": "after"}


async def test_a_store_that_is_down_at_the_start_is_connected_later() -> None:
    class Away(MemoryStore):
        away = True

        @asynccontextmanager
        async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
            if self.away:
                self.away = False
                raise ConnectionError("of a kind that nobody expects")
            async with super().subscribe(channel) as messages:
                yield messages

    async with running(replica(Away(FakeClock()))):
        pass


async def test_a_failing_handler_does_not_stop_the_replica_from_receiving_events(shared: Store) -> None:
    one = replica(shared)

    def fail(_: EventFields) -> None:
        raise ZeroDivisionError

    one.on("news", fail)
    mail = Mail(one)
    async with running(one):
        await one.tell("news", n="1")
        assert await mail.next() == {"n": "1"}


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b"3", b'{"kind": 5}', b'{"kind":"beat","number":"x"}'])
async def test_invalid_messages_on_the_channel_are_ignored(garbage: bytes, shared: Store) -> None:
    one = replica(shared)
    mail = Mail(one)
    async with running(one):
        await shared.publish("notices", garbage)
        await one.tell("news", n="1")
        assert await mail.next() == {"n": "1"}


async def test_the_heartbeat_of_another_replica_does_not_count() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    one = replica(store, clock.now)
    one._take(b'{"kind":"beat","sender":"somebody","number":"1"}')
    assert not one.alive


@pytest.mark.slow
async def test_a_long_outage_of_the_store_is_logged_once_and_so_is_its_end() -> None:
    class Away(MemoryStore):
        tries = 0

        @asynccontextmanager
        async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
            self.tries += 1
            if self.tries <= 4:
                raise errors.Unreachable("store", "ConnectionError")
            async with super().subscribe(channel) as messages:
                yield messages

    with structlog.testing.capture_logs() as lines:
        async with running(replica(Away(FakeClock()))):
            pass
    assert [(line["event"], line.get("why")) for line in lines] == [
        ("replica_events_lost", "store: ConnectionError"),
        ("replica_events_received", None),
    ]
