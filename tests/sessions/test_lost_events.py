"""Attack F23: two replicas at one Redis, of which one silently receives no events any more.

The clock of the sessions does not move, so no copy ends by its age: only the heartbeat ends it, in real time.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from tests.fixtures.clock import FakeClock
from tests.fixtures.open_stores import opened
from tests.fixtures.redis_relay import RedisRelay, relayed
from tests.fixtures.session_harness import TENANT, SessionHarness, Stream

pytestmark = [pytest.mark.redis, pytest.mark.attack("F23")]
EFFECTIVE = 1.0
"""Seconds after the confirmed end of a session in which every replica must reject it."""
SESSIONS, WORKERS = 40, 8


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[RedisRelay]:
    async with relayed(redis_url) as made:
        yield made


@pytest.fixture
async def harness(redis_url: str, relay: RedisRelay, clock: FakeClock) -> AsyncIterator[SessionHarness]:
    """Yields two replicas; the second one reaches Redis through the relay."""
    async with opened(redis_url, clock) as first, opened(relay.url, clock) as second:
        made = SessionHarness(first, clock, second=second, monotonic=monotonic)
        async with made.running():
            yield made


async def test_a_stream_of_a_session_that_ends_after_a_silent_loss_of_events_closes_within_two_seconds(
    harness: SessionHarness, relay: RedisRelay
) -> None:
    ending, staying = (await harness.open())[0], (await harness.open())[0]
    stream, other = Stream(), Stream()
    harness.two.sessions.register(ending.id, stream.close)
    harness.two.sessions.register(staying.id, other.close)
    relay.silence(b"SUBSCRIBE")
    await harness.one.sessions.end(TENANT, ending.id)
    async with asyncio.timeout(2):
        await stream.wait()
    assert not other.closed.is_set()


@pytest.mark.parametrize("silent", [False, True])
async def test_no_request_that_starts_a_second_after_the_end_of_its_session_passes(
    harness: SessionHarness, relay: RedisRelay, silent: bool
) -> None:
    opened = [await harness.open() for _ in range(SESSIONS)]
    ended: dict[str, float] = {}
    passed: list[float] = []
    over, received = asyncio.Event(), harness.two.receives("session-ended")

    async def work(number: int) -> None:
        """Sends requests with every cookie in turn, to both replicas."""
        replica = (harness.one, harness.two)[number % 2]
        while not over.is_set():
            for session, cookie in opened:
                started = monotonic()
                if await replica.sessions.current(TENANT, cookie) and session.id in ended:
                    passed.append(started - ended[session.id])
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            group.create_task(work(number))
        if silent:
            relay.silence(b"SUBSCRIBE")
        for session, _ in opened:
            await harness.one.sessions.end(TENANT, session.id)
            ended[session.id] = monotonic()
        asyncio.get_running_loop().call_later(EFFECTIVE + 0.3, over.set)
    assert received.is_set() is not silent
    assert max(passed, default=0) < EFFECTIVE
    for _, cookie in opened:
        for replica in (harness.one, harness.two):
            assert await replica.sessions.current(TENANT, cookie) is None
