"""Tests of the session of a user, from its opening to its end."""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.session import Satisfied
from gateway.sessions import user_index
from gateway.store.memory import MemoryStore
from tests.fixtures.clock import FakeClock
from tests.fixtures.session_harness import ANNA, OTHER_TENANT, TENANT, Flaky, SessionHarness, same, text


async def test_the_cookie_opens_its_session_on_every_replica(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    assert await harness.one.sessions.current(TENANT, cookie) == session
    assert await harness.two.sessions.current(TENANT, cookie) == session


async def test_a_session_names_its_user_and_the_proof(harness: SessionHarness) -> None:
    session, _ = await harness.open(rule="policy", routes=("/unified-admin",))
    assert (session.user_id, session.username, session.display_name) == (ANNA.id, "anna", "Anna A")
    assert (session.roles, session.email) == (("agent",), "anna@cc.example")
    assert (session.satisfied, session.rule, session.routes) == (Satisfied.PROVED, "policy", ("/unified-admin",))
    assert session.ends_at == harness.clock.now() + 43200


async def test_the_public_id_is_not_the_secret_and_opens_nothing(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    assert session.id not in cookie
    tag, _, secret = cookie.partition(".")
    for guess in (session.id, f"{tag}.{session.id}", f"{session.id}.{secret}", f"{tag}.{secret[:-1]}"):
        assert await harness.one.sessions.current(TENANT, guess) is None


GARBAGE = {
    "empty": "",
    "dot": ".",
    "short": "a.b",
    "no dot": "x" * 66,
    "not ascii": "é" * 22 + "." + "a" * 43,
    "new line": "a" * 22 + "." + "a" * 43 + "\n",
    "long": "a" * 100_000,
    "nul": "\0",
}


@pytest.mark.parametrize("value", GARBAGE.values(), ids=GARBAGE)
async def test_an_invalid_cookie_opens_no_session(value: str, harness: SessionHarness) -> None:
    assert await harness.one.sessions.current(TENANT, value) is None


@pytest.mark.parametrize("more", ["\n", "x", ".x", " "])
async def test_a_cookie_with_added_characters_opens_no_session(more: str, harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    assert await harness.one.sessions.current(TENANT, cookie + more) is None


@pytest.mark.row("GW-11")
async def test_a_session_of_one_tenant_does_not_count_at_another(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    assert await harness.one.sessions.current(OTHER_TENANT, cookie) is None
    assert await harness.one.sessions.end(OTHER_TENANT, session.id) is None
    assert await harness.one.sessions.reissue(OTHER_TENANT, session.id, same, tag=text(16), secret=text(32)) is None
    assert await harness.one.sessions.of_user(OTHER_TENANT, ANNA.id) == ()
    assert await harness.one.sessions.current(TENANT, cookie) == session


async def test_opening_twice_with_one_secret_gives_one_session(harness: SessionHarness) -> None:
    tag, secret = text(16), text(32)
    both = [await r.sessions.open(TENANT, harness.new(), tag=tag, secret=secret) for r in (harness.one, harness.two)]
    assert both[0] == both[1]
    assert [e for e, _, _ in harness.one.events + harness.two.events] == ["session_opened"]


async def test_opening_200_times_in_parallel_with_one_secret_gives_one_session(harness: SessionHarness) -> None:
    tag, secret = text(16), text(32)
    replicas = [harness.one.sessions, harness.two.sessions]
    opened = await asyncio.gather(
        *(replicas[n % 2].open(TENANT, harness.new(), tag=tag, secret=secret) for n in range(200))
    )
    assert len({session.id for session, _ in opened}) == 1
    assert len(await harness.one.sessions.of_user(TENANT, ANNA.id)) == 1
    assert len(harness.one.events + harness.two.events) == 1


async def test_an_invalid_secret_opens_no_session(harness: SessionHarness) -> None:
    with pytest.raises(ValueError, match="32"):
        await harness.one.sessions.open(TENANT, harness.new(), tag=text(16), secret="short")


async def test_the_store_shows_neither_cookie_nor_token_nor_user(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    dump = repr({**store._kept})
    for hidden in (cookie.partition(".")[2], session.tokens.access, session.tokens.refresh, "anna@cc.example"):
        assert hidden not in dump


# ------------------------------------------------------------------ limits


async def test_a_session_ends_after_the_idle_limit(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(1800)
    assert await harness.one.sessions.current(TENANT, cookie) is None
    assert harness.one.reasons() == ["idle"]


async def test_only_a_session_that_ended_at_its_idle_limit_is_known_as_such(harness: SessionHarness) -> None:
    (_, idle), (signed_out, left) = await harness.open(), await harness.open()
    await harness.one.sessions.end(TENANT, signed_out.id)
    harness.clock.advance(1800)
    for cookie in (idle, left):
        await harness.one.sessions.current(TENANT, cookie)
    assert [await harness.two.sessions.ended_idle(TENANT, cookie) for cookie in (idle, left)] == [True, False]
    assert not await harness.two.sessions.ended_idle(OTHER_TENANT, idle)


async def test_a_session_used_within_the_idle_limit_continues(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    for _ in range(4):
        harness.clock.advance(1700)
        assert await harness.two.sessions.current(TENANT, cookie)


async def test_a_session_ends_at_the_absolute_limit_in_spite_of_its_use(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    while harness.clock.now() + 1700 < session.ends_at:
        harness.clock.advance(1700)
        assert await harness.one.sessions.current(TENANT, cookie)
    harness.clock.set(session.ends_at)
    assert await harness.one.sessions.current(TENANT, cookie) is None
    assert await harness.one.sessions.of_user(TENANT, ANNA.id) == ()


async def test_an_idle_session_expires_together_with_its_cached_copy(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(1801)
    assert await asyncio.gather(*(harness.one.sessions.current(TENANT, cookie) for _ in range(20))) == [None] * 20
    assert harness.one.reasons() == ["idle"]


async def test_the_use_of_a_session_is_written_at_most_once_a_minute(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    seen = []
    for _ in range(12):
        harness.clock.advance(10)
        current = await harness.one.sessions.current(TENANT, cookie)
        assert current
        seen.append(current.used_at)
    assert sorted(set(seen)) == [session.used_at, session.used_at + 60, session.used_at + 120]


async def test_with_a_short_idle_limit_the_use_is_written_more_often(harness: SessionHarness) -> None:
    tenant = replace(TENANT, session=replace(TENANT.session, idle=30))
    _, cookie = await harness.open(tenant)
    for _ in range(5):
        harness.clock.advance(20)
        assert await harness.one.sessions.current(tenant, cookie)


async def test_an_open_stream_counts_as_use(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    for _ in range(4):
        harness.clock.advance(1700)
        await harness.two.sessions.used(session)
    assert await harness.one.sessions.current(TENANT, cookie)


async def test_an_open_stream_renews_the_token(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    harness.clock.advance(280)
    await harness.one.sessions.used(session)
    assert harness.renewals.calls == 1
    current = await harness.two.sessions.current(TENANT, cookie)
    assert current
    assert current.tokens.access == "access 1"


# ------------------------------------------------------------------ ending and changing


@pytest.mark.row("GW-10")
async def test_an_ended_session_is_ended_on_every_replica(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    for replica in (harness.one, harness.two):
        await replica.sessions.current(TENANT, cookie)
    received = harness.two.receives("session-ended")
    assert await harness.one.sessions.end(TENANT, session.id) == session
    assert await harness.one.sessions.current(TENANT, cookie) is None
    async with asyncio.timeout(1):
        await received.wait()
    assert await harness.two.sessions.current(TENANT, cookie) is None


async def test_ending_a_session_twice_is_audited_once(harness: SessionHarness) -> None:
    session, _ = await harness.open()
    ended = await asyncio.gather(
        *(r.sessions.end(TENANT, session.id) for r in (harness.one, harness.two) for _ in "abc")
    )
    assert [one for one in ended if one] == [session]
    assert harness.one.reasons() + harness.two.reasons() == ["logout"]


async def test_ending_an_unknown_session_does_nothing(harness: SessionHarness) -> None:
    assert await harness.one.sessions.end(TENANT, "nothing") is None


async def test_all_sessions_of_a_user_end_except_the_named_one(harness: SessionHarness) -> None:
    mine = [await harness.open() for _ in range(3)]
    _, hers = await harness.open(user=replace(ANNA, id="bea"))
    ended = await harness.two.sessions.end_all(TENANT, ANNA.id, except_id=mine[1][0].id, reason="administrator")
    assert {session.id for session in ended} == {mine[0][0].id, mine[2][0].id}
    assert await harness.one.sessions.of_user(TENANT, ANNA.id) == (mine[1][0],)
    assert await harness.one.sessions.current(TENANT, hers)
    assert harness.two.reasons() == ["administrator", "administrator"]


async def test_sessions_opened_in_parallel_are_all_listed(harness: SessionHarness) -> None:
    opened = await asyncio.gather(*(harness.open() for _ in range(50)))
    found = await harness.two.sessions.of_user(TENANT, ANNA.id)
    assert {session.id for session in found} == {session.id for session, _ in opened}


async def test_above_the_maximum_of_sessions_the_oldest_session_of_a_user_ends(
    harness: SessionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_index, "MOST", 3)
    opened = [await harness.open() for _ in range(5)]
    for session, cookie in opened:
        stays_open = (session, cookie) in opened[2:]
        assert bool(await harness.one.sessions.current(TENANT, cookie)) is stays_open
    assert harness.one.reasons() == ["too-many", "too-many"]


# ------------------------------------------------------------------ a store that does not answer


async def test_a_store_that_does_not_answer_signs_no_user_out(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    await store.close()
    for call in (
        harness.one.sessions.current(TENANT, cookie),
        harness.one.sessions.end(TENANT, session.id),
        harness.one.sessions.used(session),
        harness.one.sessions.of_user(TENANT, ANNA.id),
    ):
        with pytest.raises(errors.Unreachable):
            await call


async def test_a_read_only_store_keeps_users_signed_in(clock: FakeClock) -> None:
    class ReadOnly(MemoryStore):
        read_only = False

        async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
            if self.read_only:
                raise errors.Unreachable("store", "is read-only")
            return await super().swap(key, old, new, ttl)

    store = ReadOnly(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    store.read_only = True
    clock.advance(120)
    assert await harness.one.sessions.current(TENANT, cookie) == replace(session, used_at=clock.now())


async def test_a_sign_out_needs_no_request_to_keycloak(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    harness.clock.advance(310)
    harness.renewals.answer = errors.Unreachable("keycloak", "does not answer")
    left = await harness.one.sessions.leave(TENANT, cookie)
    assert left is not None
    assert left.id == session.id
    assert harness.renewals.calls == 0
    assert await harness.two.sessions.current(TENANT, cookie) is None


async def test_a_sign_out_without_the_store_ends_the_session_here_at_once_and_elsewhere_once_it_answers(
    clock: FakeClock,
) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    closed: list[str] = []
    harness.one.sessions.register(session.id, lambda: closed.append(session.id))
    harness.one.reported.clear()
    store.away = True
    with pytest.raises(errors.Unreachable):
        await harness.one.sessions.leave(TENANT, cookie)
    assert closed
    assert await harness.one.sessions.current(TENANT, cookie) is None
    store.away = False
    async with asyncio.timeout(10):
        await harness.one.reported.wait()
    assert await harness.two.sessions.current(TENANT, cookie) is None


async def test_the_end_of_a_session_is_announced_although_the_stores_answer_was_lost(clock: FakeClock) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    _, cookie = await harness.open()
    harness.one.reported.clear()
    store.deaf = True
    with pytest.raises(errors.Unreachable):
        await harness.one.sessions.leave(TENANT, cookie)
    store.deaf = False
    async with asyncio.timeout(10):
        await harness.one.reported.wait()
    assert harness.one.reasons() == ["logout"]


async def test_a_session_that_ends_while_its_use_is_stored_opens_nothing(clock: FakeClock) -> None:
    class Ending(MemoryStore):
        reads = 0

        async def get(self, key: str) -> bytes | None:
            self.reads -= 1
            if self.reads == 0:
                await self.delete(key)
            return await super().get(key)

    store = Ending(clock)
    harness = SessionHarness(store, clock)
    _, cookie = await harness.open()
    clock.advance(120)
    store.reads = 2  # the first finds it, before the second it ends
    assert await harness.one.sessions.current(TENANT, cookie)
    assert await harness.one.sessions.current(TENANT, cookie) is None
