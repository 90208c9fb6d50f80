"""Tests of the question for a session that needs no task: it confirms only what a request may rely on."""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.sessions.session_key import of_cookie
from gateway.store.protocol import Store
from tests.fixtures.clock import FakeClock
from tests.fixtures.session_harness import OTHER_TENANT, TENANT, Flaky, Replica, SessionHarness, text


async def asked(replica: Replica, cookie: str, tenant: Tenant = TENANT) -> Session | None:
    place = of_cookie(TENANT.id, cookie)
    assert place
    answer: asyncio.Future[Session | None] = asyncio.get_running_loop().create_future()
    replica.sessions.ask(tenant, place, answer.set_result)
    async with asyncio.timeout(10):
        return await answer


async def test_a_session_in_the_store_is_confirmed_on_every_replica(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    assert [await asked(replica, cookie) for replica in (harness.one, harness.two)] == [session, session]


async def test_an_unknown_cookie_is_not_confirmed(harness: SessionHarness) -> None:
    assert await asked(harness.one, f"{text(16)}.{text(32)}") is None


async def test_a_session_is_not_confirmed_for_another_tenant(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    assert await asked(harness.one, cookie, OTHER_TENANT) is None


async def test_a_confirmed_session_is_held(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    await asked(harness.two, cookie)
    place = of_cookie(TENANT.id, cookie)
    assert place
    assert harness.two.sessions.held(TENANT, place) == session


@pytest.mark.attack("F23")
async def test_an_ended_session_is_not_confirmed_on_the_other_replica(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    assert await asked(harness.two, cookie)
    await harness.one.sessions.end(TENANT, session.id)
    assert await asked(harness.two, cookie) is None


@pytest.mark.attack("F23")
async def test_a_session_that_ends_while_the_store_answers_is_not_confirmed(clock: FakeClock) -> None:
    harness = SessionHarness(Flaky(clock), clock)
    session, cookie = await harness.open()
    waiting = asyncio.create_task(asked(harness.one, cookie))
    await asyncio.sleep(0)  # the store has been asked
    await harness.one.sessions.end(TENANT, session.id)
    assert await waiting is None


@pytest.mark.attack("F23")
async def test_a_user_who_has_signed_out_is_not_confirmed_while_the_store_keeps_the_session(clock: FakeClock) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    _, cookie = await harness.open()
    store.deaf = store.keeps = True
    with pytest.raises(errors.Unreachable):
        await harness.one.sessions.leave(TENANT, cookie)
    assert await asked(harness.one, cookie) is None
    store.deaf = store.keeps = False


@pytest.mark.parametrize("seconds", [TENANT.session.idle, TENANT.session.absolute])
async def test_a_session_past_its_limit_is_not_confirmed(harness: SessionHarness, seconds: float) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(seconds)
    assert await asked(harness.one, cookie) is None


async def test_a_session_whose_tokens_are_due_is_not_confirmed(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(harness.renewals.life - 1)
    assert await asked(harness.one, cookie) is None
    assert harness.renewals.calls == 0


async def test_the_use_of_a_confirmed_session_counts(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(61)
    found = await asked(harness.one, cookie)
    assert found
    assert found.used_at == harness.clock.now()


async def test_a_session_stays_the_same_object_while_its_record_does(shared: Store, clock: FakeClock) -> None:
    harness = SessionHarness(shared, clock, copies_count=0)
    _, cookie = await harness.open()
    assert await asked(harness.one, cookie) is await asked(harness.one, cookie)


async def test_a_changed_record_is_confirmed_as_it_is_now(shared: Store, clock: FakeClock) -> None:
    harness = SessionHarness(shared, clock, copies_count=0)
    session, cookie = await harness.open()
    place = of_cookie(TENANT.id, cookie)
    assert place
    await asked(harness.one, cookie)
    changed = replace(session, roles=("other",))
    await harness.two.sessions._records.change(TENANT.id, place.key, lambda kept: replace(kept, session=changed))
    assert await asked(harness.one, cookie) == changed
