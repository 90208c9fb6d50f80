"""Tests that live streams of an app that admits only some users close when the user loses the role."""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain.session import Session
from gateway.sessions import sessions
from gateway.store.memory import MemoryStore
from tests.fixtures.clock import FakeClock
from tests.fixtures.session_harness import ANNA, TENANT, Flaky, Replica, SessionHarness, Stream

pytestmark = pytest.mark.row("GW-40")
LOSES = ("other",)


def admits(session: Session) -> bool:
    return "agent" in session.roles


def watched(replica: Replica, session: Session) -> Stream:
    stream = Stream()
    replica.sessions.watch(session.id, admits, stream.close)
    return stream


async def renewed(harness: SessionHarness, cookie: str, roles: tuple[str, ...] = LOSES) -> None:
    """Renews the tokens on replica one: the newest one has these roles."""
    harness.renewals.user = replace(ANNA, roles=roles)
    harness.clock.advance(harness.renewals.life - 1)
    found = await harness.one.sessions.current(TENANT, cookie)
    assert found
    assert found.roles == roles


async def looked_at(replica: Replica) -> None:
    """Waits for all that the replica does in the background."""
    async with asyncio.timeout(10):
        while replica.sessions._tasks:
            await asyncio.wait(replica.sessions._tasks._running)


async def test_a_stream_closes_on_every_replica_when_the_newest_token_lacks_the_role(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    streams = [watched(replica, session) for replica in (harness.one, harness.two)]
    await renewed(harness, cookie)
    await asyncio.gather(*(stream.wait() for stream in streams))


async def test_a_stream_of_a_user_who_keeps_the_role_stays_open(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    stream = watched(harness.two, session)
    changed = harness.two.receives("session-changed")
    await renewed(harness, cookie, ("agent", "other"))
    await changed.wait()
    await looked_at(harness.two)
    assert stream.times == 0


async def test_streams_of_other_users_stay_open(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    other, _ = await harness.open()
    stays, closes = watched(harness.two, other), watched(harness.two, session)
    await renewed(harness, cookie)
    await closes.wait()
    assert stays.times == 0


async def test_a_stream_that_begins_after_the_role_was_lost_closes(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    await renewed(harness, cookie)
    await watched(harness.two, session).wait()


async def test_a_stream_that_ended_itself_is_not_closed(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    ended, stream = Stream(), watched(harness.two, session)
    harness.two.sessions.watch(session.id, admits, ended.close)()
    await renewed(harness, cookie)
    await stream.wait()
    assert ended.times == 0


@pytest.mark.attack("F23")
async def test_a_stream_closes_when_the_store_responds_again(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "RECHECK_PAUSE", 0.01)
    second = Flaky(clock)
    harness = SessionHarness(second, clock)
    session, cookie = await harness.open()
    await renewed(harness, cookie)
    second.away = True
    stream = watched(harness.two, session)
    await asyncio.sleep(0)
    second.away = False
    await stream.wait()


@pytest.mark.attack("F23")
async def test_a_lost_event_is_made_good_when_events_arrive_again(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    stream = watched(harness.two, session)
    await looked_at(harness.two)
    harness.two.sessions._revocation._changed_handlers.clear()  # the event is lost
    harness.two.sessions.register(session.id, Stream().close)
    await renewed(harness, cookie)
    await harness.two.sessions.recheck()
    assert stream.times == 1


@pytest.mark.attack("F23")
async def test_a_stream_whose_report_of_use_finds_the_role_lost_closes(clock: FakeClock) -> None:
    harness = SessionHarness(MemoryStore(clock), clock)  # no replica listens
    session, cookie = await harness.open()
    stream = watched(harness.two, session)
    await looked_at(harness.two)
    await renewed(harness, cookie)
    assert stream.times == 0
    await harness.two.sessions.used(session)
    assert stream.times == 1
