"""Does each replica hear the others, and know when it does not?"""

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
from tests.clock import FakeClock


class Deaf(MemoryStore):
    """Loses every message in silence while `deaf`, and can cut its subscriptions."""

    deaf = False

    async def publish(self, channel: str, message: bytes) -> None:
        if not self.deaf:
            await super().publish(channel, message)

    def cut(self) -> None:
        for queues in self._subscribers.values():
            for queue in queues:
                queue.put_nowait(None)


class Mail:
    """What a replica heard, to wait for."""

    def __init__(self, replica_events: ReplicaEvents, kind: str = "news") -> None:
        self.heard: asyncio.Queue[EventFields] = asyncio.Queue()
        self.stop = replica_events.on(kind, self.heard.put_nowait)

    async def next(self) -> EventFields:
        async with asyncio.timeout(10):
            return await self.heard.get()


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


async def test_every_replica_hears_a_notice_the_teller_included(shared: Store) -> None:
    one, two = replica(shared), replica(shared)
    mails = Mail(one), Mail(two)
    async with running(one, two):
        await one.tell("news", about="x")
        assert [await mail.next() for mail in mails] == [{"about": "x"}, {"about": "x"}]


async def test_only_handlers_of_the_kind_are_called(shared: Store) -> None:
    one = replica(shared)
    news, other = Mail(one), Mail(one, "other")
    async with running(one):
        await one.tell("other", n="1")
        await one.tell("news", n="2")
        assert await news.next() == {"n": "2"}
        assert await other.next() == {"n": "1"}


async def test_a_stopped_handler_hears_nothing_more(shared: Store) -> None:
    one = replica(shared)
    stopped, going = Mail(one), Mail(one)
    stopped.stop()
    async with running(one):
        await one.tell("news")
        await going.next()
        assert stopped.heard.empty()


async def test_a_replica_is_alive_while_its_beats_come_back(shared: Store) -> None:
    one = replica(shared, FakeClock().now)
    before = one.alive
    async with running(one):
        during = one.alive
    assert (before, during, one.alive) == (False, True, False)


@pytest.mark.attack("F23")
async def test_a_silently_dropped_subscription_is_noticed_within_half_a_second() -> None:
    clock = FakeClock()
    store = Deaf(clock)
    one = replica(store, clock.now)
    async with running(one):
        store.deaf = True
        clock.advance(0.5)
        assert one.alive
        clock.advance(0.01)
        assert not one.alive


async def test_a_cut_subscription_is_opened_anew_and_the_gap_is_told() -> None:
    store = Deaf(FakeClock())
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


async def test_a_store_that_is_away_at_first_is_found_later() -> None:
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


async def test_a_handler_that_fails_does_not_make_the_replica_deaf(shared: Store) -> None:
    one = replica(shared)

    def fail(_: EventFields) -> None:
        raise ZeroDivisionError

    one.on("news", fail)
    mail = Mail(one)
    async with running(one):
        await one.tell("news", n="1")
        assert await mail.next() == {"n": "1"}


@pytest.mark.parametrize("garbage", [b"", b"\xff", b"[]", b"3", b'{"kind": 5}', b'{"kind":"beat","number":"x"}'])
async def test_garbage_on_the_channel_is_passed_over(garbage: bytes, shared: Store) -> None:
    one = replica(shared)
    mail = Mail(one)
    async with running(one):
        await shared.publish("notices", garbage)
        await one.tell("news", n="1")
        assert await mail.next() == {"n": "1"}


async def test_another_replica_s_beat_does_not_speak_for_us() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    one = replica(store, clock.now)
    one._take(b'{"kind":"beat","sender":"somebody","number":"1"}')
    assert not one.alive


@pytest.mark.slow
async def test_a_store_that_is_away_for_long_is_told_once_and_so_is_its_return() -> None:
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
