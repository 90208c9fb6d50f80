"""Tests of a session that may do more than before: it gets a new cookie, and the old one opens nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.session import Satisfied, Session
from gateway.store.memory import MemoryStore
from tests.fixtures.clock import FakeClock
from tests.fixtures.session_harness import TENANT, Flaky, Replica, SessionHarness, Stream, same, text

ROUNDS = 15
"""Number of repetitions of a race."""


class NewCookie:
    """A requested new cookie: its `tag` is the old one's, as a browser keeps its tag."""

    def __init__(self, old_cookie: str) -> None:
        self.tag, self.secret = old_cookie.partition(".")[0], text(32)

    @property
    def cookie(self) -> str:
        return f"{self.tag}.{self.secret}"

    async def by(
        self, replica: Replica, session: Session, change: Callable[[Session], Session] = same
    ) -> Session | None:
        """Requests the new cookie from `replica`."""
        return await replica.sessions.reissue(TENANT, session.id, change, tag=self.tag, secret=self.secret)


def proved(at: float) -> Callable[[Session], Session]:
    """Returns the change of a step-up."""
    return lambda old: replace(old, proved_at=at, satisfied=Satisfied.PROVED, routes=None)


async def warm(harness: SessionHarness) -> None:
    """Opens the connections of the pool, so that later parallel calls really overlap."""
    await asyncio.gather(*(harness.store.get(f"nothing:{n}") for n in range(16)))


# ------------------------------------------------------------------ one after another


@pytest.mark.row("GW-46")
async def test_the_new_cookie_opens_the_changed_session_on_every_replica(harness: SessionHarness) -> None:
    session, cookie = await harness.open(routes=("/a",), satisfied=Satisfied.NOT_ASKED, proved_at=None)
    new_cookie = NewCookie(cookie)
    harness.clock.advance(5)
    now = harness.clock.now()
    changed = await new_cookie.by(harness.one, session, proved(now))
    assert changed == replace(session, proved_at=now, satisfied=Satisfied.PROVED, routes=None)
    for replica in (harness.one, harness.two):
        assert await replica.sessions.current(TENANT, new_cookie.cookie) == changed


@pytest.mark.row("GW-46")
async def test_the_old_cookie_opens_nothing_on_any_replica(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    for replica in (harness.one, harness.two):
        assert await replica.sessions.current(TENANT, cookie)  # each has a copy now
    received = harness.two.receives("session-changed")
    assert await NewCookie(cookie).by(harness.one, session)
    assert await harness.one.sessions.current(TENANT, cookie) is None
    async with asyncio.timeout(10):
        await received.wait()
    assert await harness.two.sessions.current(TENANT, cookie) is None


async def test_the_old_cookie_ends_nothing(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    await new_cookie.by(harness.one, session)
    assert await harness.two.sessions.leave(TENANT, cookie) is None
    assert await harness.two.sessions.current(TENANT, new_cookie.cookie) == session


async def test_a_reissue_cannot_change_id_user_start_or_end_of_the_session(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    moved = replace(session, id="x", tenant="other", user_id="bea", ends_at=1e12, created_at=0)
    assert await NewCookie(cookie).by(harness.one, session, lambda _: moved) == session


async def test_the_open_streams_of_a_reissued_session_continue_and_close_with_it(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    streams = {replica: Stream() for replica in (harness.one, harness.two)}
    for replica, stream in streams.items():
        replica.sessions.register(session.id, stream.close)
    new_cookie = NewCookie(cookie)
    await new_cookie.by(harness.one, session)
    for replica in streams:
        await replica.sessions.recheck()
        await replica.sessions.used(session)
    assert [stream.times for stream in streams.values()] == [0, 0]
    assert await harness.two.sessions.leave(TENANT, new_cookie.cookie) == session
    for stream in streams.values():
        await stream.wait()
    assert [stream.times for stream in streams.values()] == [1, 1]


async def test_a_reissued_session_keeps_its_place_in_the_users_list_of_sessions(harness: SessionHarness) -> None:
    (first, cookie), (second, _) = await harness.open(), await harness.open()
    await NewCookie(cookie).by(harness.one, first)
    assert await harness.two.sessions.of_user(TENANT, first.user_id) == (first, second)


async def test_a_session_can_be_reissued_several_times_and_keeps_its_end(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    cookies = [cookie]
    for _ in range(3):
        new_cookie = NewCookie(cookie)
        assert await new_cookie.by(harness.one, session)
        cookies.append(new_cookie.cookie)
    assert [bool(await harness.one.sessions.current(TENANT, c)) for c in cookies] == [False, False, False, True]
    harness.clock.set(session.ends_at)
    assert await harness.one.sessions.current(TENANT, cookies[-1]) is None


async def test_a_reissued_session_is_ended_for_the_same_reason_as_any_other(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    await new_cookie.by(harness.one, session)
    assert await harness.two.sessions.end(TENANT, session.id) == session
    assert await harness.one.sessions.current(TENANT, new_cookie.cookie) is None
    assert harness.two.reasons() == ["logout"]
    assert await harness.one.sessions.of_user(TENANT, session.user_id) == ()


async def test_signing_out_everywhere_else_keeps_the_reissued_session(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    other, _ = await harness.open()
    new_cookie = NewCookie(cookie)
    await new_cookie.by(harness.one, session)
    assert await harness.two.sessions.end_all(TENANT, session.user_id, except_id=session.id) == (other,)
    assert await harness.one.sessions.current(TENANT, new_cookie.cookie) == session


async def test_an_ended_session_is_not_reissued(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    await harness.one.sessions.end(TENANT, session.id)
    new_cookie = NewCookie(cookie)
    assert await new_cookie.by(harness.two, session) is None
    assert await harness.one.sessions.current(TENANT, new_cookie.cookie) is None


@pytest.mark.parametrize(("tag", "secret"), [("a" * 22, "short"), ("short", "a" * 43)], ids=["secret", "tag"])
async def test_an_invalid_secret_reissues_nothing(harness: SessionHarness, tag: str, secret: str) -> None:
    session, cookie = await harness.open()
    with pytest.raises(ValueError, match="32"):
        await harness.one.sessions.reissue(TENANT, session.id, same, tag=tag, secret=secret)
    assert await harness.one.sessions.current(TENANT, cookie) == session


async def test_a_reissue_is_not_audited_as_a_new_session(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    for replica in (harness.one, harness.two, harness.one):
        await new_cookie.by(replica, session)
    reported = [(event, session_id) for event, session_id, _ in harness.one.events + harness.two.events]
    assert reported == [("session_opened", session.id)]


# ------------------------------------------------------------------ twice with one secret


async def test_two_reissues_with_one_secret_give_the_same_session(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    new_cookie, now = NewCookie(cookie), harness.clock.now() + 5
    first = await new_cookie.by(harness.one, session, proved(now))
    assert first == replace(session, proved_at=now, routes=None)
    assert await new_cookie.by(harness.two, session, lambda old: replace(old, routes=("/evil",))) == first
    assert await harness.one.sessions.current(TENANT, new_cookie.cookie) == first


async def test_two_parallel_reissues_with_one_secret_give_the_same_session(harness: SessionHarness) -> None:
    await warm(harness)
    for _ in range(ROUNDS):
        session, cookie = await harness.open()
        new_cookie = NewCookie(cookie)
        made = await asyncio.gather(
            *(new_cookie.by(replica, session) for replica in (harness.one, harness.two) for _ in "ab")
        )
        assert made == [session] * 4
        assert await harness.two.sessions.current(TENANT, new_cookie.cookie) == session
        assert await harness.one.sessions.current(TENANT, cookie) is None


async def test_one_cookie_of_two_parallel_reissues_with_different_secrets_opens_the_session(
    harness: SessionHarness,
) -> None:
    await warm(harness)
    for _ in range(ROUNDS):
        session, cookie = await harness.open()
        new_cookies = (NewCookie(cookie), NewCookie(cookie))
        made = await asyncio.gather(
            *(w.by(r, session) for w, r in zip(new_cookies, (harness.one, harness.two), strict=True))
        )
        opens = [await harness.one.sessions.current(TENANT, new_cookie.cookie) for new_cookie in new_cookies]
        assert [one for one in opens if one] == [session]
        assert session in made
        assert await harness.one.sessions.current(TENANT, cookie) is None


# ------------------------------------------------------------------ at the same time as something else


ENDINGS: dict[str, Callable[[Replica, Session, str], Any]] = {
    "by id": lambda replica, session, _: replica.sessions.end(TENANT, session.id),
    "everywhere": lambda replica, session, _: replica.sessions.end_all(TENANT, session.user_id),
    "signing out": lambda replica, _, cookie: replica.sessions.leave(TENANT, cookie),
}


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("kind", ["by id", "everywhere"])
async def test_a_session_that_ends_during_its_reissue_stays_ended(harness: SessionHarness, kind: str) -> None:
    await warm(harness)
    for _ in range(ROUNDS):
        session, cookie = await harness.open()
        new_cookie = NewCookie(cookie)
        await asyncio.gather(new_cookie.by(harness.one, session), ENDINGS[kind](harness.two, session, cookie))
        for value in (cookie, new_cookie.cookie):
            assert await harness.one.sessions.current(TENANT, value) is None
        assert await harness.one.sessions.of_user(TENANT, session.user_id) == ()
    assert harness.two.reasons() == ["logout"] * ROUNDS


class Between(MemoryStore):
    """Runs `then` once, just before its operation number `number`."""

    number = -1
    then: Callable[[], Any]

    async def _count(self) -> None:
        self.number -= 1
        if self.number == 0:
            await self.then()

    async def get(self, key: str) -> bytes | None:
        await self._count()
        return await super().get(key)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self._count()
        await super().set(key, value, ttl)

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        await self._count()
        return await super().swap(key, old, new, ttl)

    async def delete(self, key: str) -> bool:
        await self._count()
        return await super().delete(key)


OPERATIONS = 14
"""More operations than a reissue or a sign-out makes."""


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("number", range(1, OPERATIONS))
@pytest.mark.parametrize("kind", ENDINGS)
async def test_a_session_that_ends_before_any_step_of_its_reissue_stays_ended(
    clock: FakeClock, number: int, kind: str
) -> None:
    store = Between(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    new_cookie, ran = NewCookie(cookie), False

    async def end() -> None:
        nonlocal ran
        ran = True
        await ENDINGS[kind](harness.two, session, cookie)

    store.then, store.number = end, number
    await new_cookie.by(harness.one, session)
    store.number = -1
    if not ran:
        return  # it has fewer operations than that
    left_too_late = kind == "signing out" and await harness.one.sessions.current(TENANT, new_cookie.cookie) is not None
    assert await harness.one.sessions.current(TENANT, cookie) is None
    if left_too_late:  # the old cookie opened nothing when the browser signed out with it
        assert harness.two.reasons() == []
    else:
        assert await harness.one.sessions.current(TENANT, new_cookie.cookie) is None
        assert (harness.one.reasons() + harness.two.reasons()) == ["logout"]


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("number", range(1, OPERATIONS))
@pytest.mark.parametrize("kind", ["by id", "everywhere"])
async def test_a_reissue_before_any_step_of_the_sign_out_does_not_keep_the_session(
    clock: FakeClock, number: int, kind: str
) -> None:
    store = Between(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    store.then, store.number = (lambda: new_cookie.by(harness.one, session)), number
    await ENDINGS[kind](harness.two, session, cookie)
    store.number = -1
    for value in (cookie, new_cookie.cookie):
        assert await harness.one.sessions.current(TENANT, value) is None
    assert harness.two.reasons() == ["logout"]


async def test_tokens_renewed_in_parallel_are_not_lost(harness: SessionHarness) -> None:
    await warm(harness)
    for _ in range(ROUNDS):
        session, cookie = await harness.open()
        new_cookie = NewCookie(cookie)
        harness.clock.advance(280)  # due, and valid for another 20 s
        await asyncio.gather(
            harness.one.sessions.current(TENANT, cookie),
            new_cookie.by(harness.two, session, proved(harness.clock.now())),
        )
        stays_open = await harness.two.sessions.current(TENANT, new_cookie.cookie)
        assert stays_open
        assert stays_open.proved_at == harness.clock.now()
        assert stays_open.tokens.access == f"access {harness.renewals.calls}"
        await harness.one.sessions.end(TENANT, session.id)
    assert len(harness.renewals.spent) == len(set(harness.renewals.spent)) == ROUNDS


async def test_a_reissue_waits_for_a_running_renewal(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    harness.clock.advance(310)
    harness.renewals.go_on.clear()
    renewing = asyncio.create_task(harness.one.sessions.current(TENANT, cookie))
    await harness.renewals.entered.wait()
    reissuing = asyncio.create_task(new_cookie.by(harness.two, session, lambda old: replace(old, routes=("/a",))))
    await warm(harness)
    assert not reissuing.done()
    harness.renewals.go_on.set()
    found = await reissuing
    assert await renewing
    assert found
    assert (found.tokens.access, found.routes) == ("access 1", ("/a",))
    # The use is noted by the first request that reads the session after its renewal: before the reissue, or after it.
    assert await harness.one.sessions.current(TENANT, new_cookie.cookie) == replace(found, used_at=harness.clock.now())


# ------------------------------------------------------------------ a store that does not answer


async def test_a_reissue_interrupted_by_the_store_is_completed_by_a_retry(clock: FakeClock) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    for lost in ("keeps", "deaf"):
        setattr(store, lost, True)
        with pytest.raises(errors.Unreachable):
            await new_cookie.by(harness.one, session)
        setattr(store, lost, False)
        assert await new_cookie.by(harness.two, session) == session
        assert await harness.one.sessions.current(TENANT, new_cookie.cookie) == session
        assert await harness.one.sessions.current(TENANT, cookie) is None
        cookie, new_cookie = new_cookie.cookie, NewCookie(cookie)


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("kind", ENDINGS)
async def test_a_reissue_interrupted_by_the_store_leaves_no_cookie_that_outlives_the_session(
    clock: FakeClock, kind: str
) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    new_cookie = NewCookie(cookie)
    store.keeps = True
    with pytest.raises(errors.Unreachable):
        await new_cookie.by(harness.one, session)
    store.keeps = False
    await ENDINGS[kind](harness.two, session, cookie)
    for value in (cookie, new_cookie.cookie):
        assert await harness.one.sessions.current(TENANT, value) is None
    assert harness.two.reasons() == ["logout"]


async def test_the_end_of_a_session_is_announced_although_the_store_fails_right_after_it(clock: FakeClock) -> None:
    class FailsAfterDelete(Flaky):
        async def delete(self, key: str) -> bool:
            deleted = await super().delete(key)
            self.away = True
            return deleted

    store = FailsAfterDelete(clock)
    harness = SessionHarness(store, clock)
    (session, _), stream = await harness.open(), Stream()
    harness.two.sessions.register(session.id, stream.close)
    assert await harness.two.sessions.end(TENANT, session.id) == session
    assert (harness.two.reasons(), stream.times) == (["logout"], 1)


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("by", ["one", "two"])
@pytest.mark.parametrize("seen", [True, False])
async def test_a_sign_out_without_the_store_closes_the_streams_of_a_reissued_session(
    clock: FakeClock, by: str, *, seen: bool
) -> None:
    store = Flaky(clock)
    harness = SessionHarness(store, clock)
    session, cookie = await harness.open()
    new_cookie, replica, stream = NewCookie(cookie), getattr(harness, by), Stream()
    assert await new_cookie.by(harness.one, session)
    if seen or by == "two":  # a browser with a stream here has sent its cookie here
        assert await replica.sessions.current(TENANT, new_cookie.cookie)
    replica.sessions.register(session.id, stream.close)
    clock.advance(600)  # no cached copy is valid any longer
    store.away = True
    with pytest.raises(errors.Unreachable):
        await replica.sessions.leave(TENANT, new_cookie.cookie)
    assert stream.times == 1
    assert await replica.sessions.current(TENANT, new_cookie.cookie) is None
