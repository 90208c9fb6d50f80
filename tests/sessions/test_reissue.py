"""A session that may do more than before gets a new cookie, and the old cookie opens nothing any more."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.session import Satisfied, Session
from gateway.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.sessions.scene import TENANT, Flaky, Replica, Scene, Stream, same, text

ROUNDS = 15
"""How often a race is run."""


class Wish:
    """A new cookie that is wished for: its `tag` is the old one's, as a browser keeps its tag."""

    def __init__(self, old_cookie: str) -> None:
        self.tag, self.secret = old_cookie.partition(".")[0], text(32)

    @property
    def cookie(self) -> str:
        return f"{self.tag}.{self.secret}"

    async def by(
        self, replica: Replica, session: Session, change: Callable[[Session], Session] = same
    ) -> Session | None:
        """Have it made by `replica`."""
        return await replica.sessions.reissue(TENANT, session.id, change, tag=self.tag, secret=self.secret)


def proved(at: float) -> Callable[[Session], Session]:
    """What a step-up changes."""
    return lambda old: replace(old, proved_at=at, satisfied=Satisfied.PROVED, routes=None)


async def warm(scene: Scene) -> None:
    """Open the connections of the pool, so that what is done at once afterwards really overlaps."""
    await asyncio.gather(*(scene.store.get(f"nothing:{n}") for n in range(16)))


# ------------------------------------------------------------------ one after another


@pytest.mark.row("GW-46")
async def test_the_new_cookie_opens_the_changed_session_on_every_replica(scene: Scene) -> None:
    session, cookie = await scene.open(routes=("/a",), satisfied=Satisfied.NOT_ASKED, proved_at=None)
    wish = Wish(cookie)
    scene.clock.advance(5)
    now = scene.clock.now()
    changed = await wish.by(scene.one, session, proved(now))
    assert changed == replace(session, proved_at=now, satisfied=Satisfied.PROVED, routes=None)
    for replica in (scene.one, scene.two):
        assert await replica.sessions.current(TENANT, wish.cookie) == changed


@pytest.mark.row("GW-46")
async def test_the_old_cookie_opens_nothing_on_any_replica(scene: Scene) -> None:
    session, cookie = await scene.open()
    for replica in (scene.one, scene.two):
        assert await replica.sessions.current(TENANT, cookie)  # each has a copy now
    heard = scene.two.hears("session-changed")
    assert await Wish(cookie).by(scene.one, session)
    assert await scene.one.sessions.current(TENANT, cookie) is None
    async with asyncio.timeout(10):
        await heard.wait()
    assert await scene.two.sessions.current(TENANT, cookie) is None


async def test_the_old_cookie_ends_nothing(scene: Scene) -> None:
    session, cookie = await scene.open()
    wish = Wish(cookie)
    await wish.by(scene.one, session)
    assert await scene.two.sessions.leave(TENANT, cookie) is None
    assert await scene.two.sessions.current(TENANT, wish.cookie) == session


async def test_id_user_start_and_end_stay_whatever_the_change_says(scene: Scene) -> None:
    session, cookie = await scene.open()
    moved = replace(session, id="x", tenant="other", user_id="bea", ends_at=1e12, created_at=0)
    assert await Wish(cookie).by(scene.one, session, lambda _: moved) == session


async def test_its_live_streams_go_on_and_close_with_it(scene: Scene) -> None:
    session, cookie = await scene.open()
    streams = {replica: Stream() for replica in (scene.one, scene.two)}
    for replica, stream in streams.items():
        replica.sessions.register(session.id, stream.close)
    wish = Wish(cookie)
    await wish.by(scene.one, session)
    for replica in streams:
        await replica.sessions.recheck()
        await replica.sessions.used(session)
    assert [stream.times for stream in streams.values()] == [0, 0]
    assert await scene.two.sessions.leave(TENANT, wish.cookie) == session
    for stream in streams.values():
        await stream.wait()
    assert [stream.times for stream in streams.values()] == [1, 1]


async def test_it_stays_one_session_of_its_user_in_its_place(scene: Scene) -> None:
    (first, cookie), (second, _) = await scene.open(), await scene.open()
    await Wish(cookie).by(scene.one, first)
    assert await scene.two.sessions.of_user(TENANT, first.user_id) == (first, second)


async def test_it_is_reissued_again_and_again_and_ends_at_its_end(scene: Scene) -> None:
    session, cookie = await scene.open()
    cookies = [cookie]
    for _ in range(3):
        wish = Wish(cookie)
        assert await wish.by(scene.one, session)
        cookies.append(wish.cookie)
    assert [bool(await scene.one.sessions.current(TENANT, c)) for c in cookies] == [False, False, False, True]
    scene.clock.set(session.ends_at)
    assert await scene.one.sessions.current(TENANT, cookies[-1]) is None


async def test_what_the_session_was_ended_for_it_is_ended_for_under_its_new_cookie(scene: Scene) -> None:
    session, cookie = await scene.open()
    wish = Wish(cookie)
    await wish.by(scene.one, session)
    assert await scene.two.sessions.end(TENANT, session.id) == session
    assert await scene.one.sessions.current(TENANT, wish.cookie) is None
    assert scene.two.reasons() == ["logout"]
    assert await scene.one.sessions.of_user(TENANT, session.user_id) == ()


async def test_signing_out_everywhere_else_leaves_the_reissued_session(scene: Scene) -> None:
    session, cookie = await scene.open()
    other, _ = await scene.open()
    wish = Wish(cookie)
    await wish.by(scene.one, session)
    assert await scene.two.sessions.end_all(TENANT, session.user_id, except_id=session.id) == (other,)
    assert await scene.one.sessions.current(TENANT, wish.cookie) == session


async def test_an_ended_session_is_not_reissued(scene: Scene) -> None:
    session, cookie = await scene.open()
    await scene.one.sessions.end(TENANT, session.id)
    wish = Wish(cookie)
    assert await wish.by(scene.two, session) is None
    assert await scene.one.sessions.current(TENANT, wish.cookie) is None


@pytest.mark.parametrize(("tag", "secret"), [("a" * 22, "short"), ("short", "a" * 43)], ids=["secret", "tag"])
async def test_an_unfit_secret_changes_nothing(scene: Scene, tag: str, secret: str) -> None:
    session, cookie = await scene.open()
    with pytest.raises(ValueError, match="32"):
        await scene.one.sessions.reissue(TENANT, session.id, same, tag=tag, secret=secret)
    assert await scene.one.sessions.current(TENANT, cookie) == session


async def test_it_is_told_once(scene: Scene) -> None:
    session, cookie = await scene.open()
    wish = Wish(cookie)
    for replica in (scene.one, scene.two, scene.one):
        await wish.by(replica, session)
    told = [(event, session_id) for event, session_id, _ in scene.one.events + scene.two.events]
    assert told == [("session_opened", session.id), ("session_touched", session.id)]


# ------------------------------------------------------------------ twice with one secret


async def test_done_twice_with_one_secret_it_is_the_same_session(scene: Scene) -> None:
    session, cookie = await scene.open()
    wish, now = Wish(cookie), scene.clock.now() + 5
    first = await wish.by(scene.one, session, proved(now))
    assert first == replace(session, proved_at=now, routes=None)
    assert await wish.by(scene.two, session, lambda old: replace(old, routes=("/evil",))) == first
    assert await scene.one.sessions.current(TENANT, wish.cookie) == first


async def test_done_twice_at_once_with_one_secret_it_is_the_same_session(scene: Scene) -> None:
    await warm(scene)
    for _ in range(ROUNDS):
        session, cookie = await scene.open()
        wish = Wish(cookie)
        made = await asyncio.gather(*(wish.by(replica, session) for replica in (scene.one, scene.two) for _ in "ab"))
        assert made == [session] * 4
        assert await scene.two.sessions.current(TENANT, wish.cookie) == session
        assert await scene.one.sessions.current(TENANT, cookie) is None


async def test_of_two_secrets_at_once_one_opens_the_session(scene: Scene) -> None:
    await warm(scene)
    for _ in range(ROUNDS):
        session, cookie = await scene.open()
        wishes = (Wish(cookie), Wish(cookie))
        made = await asyncio.gather(*(w.by(r, session) for w, r in zip(wishes, (scene.one, scene.two), strict=True)))
        opens = [await scene.one.sessions.current(TENANT, wish.cookie) for wish in wishes]
        assert [one for one in opens if one] == [session]
        assert session in made
        assert await scene.one.sessions.current(TENANT, cookie) is None


# ------------------------------------------------------------------ at the same time as something else


ENDINGS: dict[str, Callable[[Replica, Session, str], Any]] = {
    "by id": lambda replica, session, _: replica.sessions.end(TENANT, session.id),
    "everywhere": lambda replica, session, _: replica.sessions.end_all(TENANT, session.user_id),
    "leaving": lambda replica, _, cookie: replica.sessions.leave(TENANT, cookie),
}


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("kind", ["by id", "everywhere"])
async def test_a_session_that_ends_at_the_same_time_stays_ended(scene: Scene, kind: str) -> None:
    await warm(scene)
    for _ in range(ROUNDS):
        session, cookie = await scene.open()
        wish = Wish(cookie)
        await asyncio.gather(wish.by(scene.one, session), ENDINGS[kind](scene.two, session, cookie))
        for value in (cookie, wish.cookie):
            assert await scene.one.sessions.current(TENANT, value) is None
        assert await scene.one.sessions.of_user(TENANT, session.user_id) == ()
    assert scene.two.reasons() == ["logout"] * ROUNDS


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
"""More than a reissue, or an end, makes."""


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("number", range(1, OPERATIONS))
@pytest.mark.parametrize("kind", ENDINGS)
async def test_a_session_that_ends_before_any_step_of_its_reissue_stays_ended(
    clock: FakeClock, number: int, kind: str
) -> None:
    store = Between(clock)
    scene = Scene(store, clock)
    session, cookie = await scene.open()
    wish, ran = Wish(cookie), False

    async def end() -> None:
        nonlocal ran
        ran = True
        await ENDINGS[kind](scene.two, session, cookie)

    store.then, store.number = end, number
    await wish.by(scene.one, session)
    store.number = -1
    if not ran:
        return  # it has fewer operations than that
    left_too_late = kind == "leaving" and await scene.one.sessions.current(TENANT, wish.cookie) is not None
    assert await scene.one.sessions.current(TENANT, cookie) is None
    if left_too_late:  # the old cookie opened nothing when the browser left with it
        assert scene.two.reasons() == []
    else:
        assert await scene.one.sessions.current(TENANT, wish.cookie) is None
        assert (scene.one.reasons() + scene.two.reasons()) == ["logout"]


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("number", range(1, OPERATIONS))
@pytest.mark.parametrize("kind", ["by id", "everywhere"])
async def test_a_reissue_before_any_step_of_the_end_does_not_keep_the_session(
    clock: FakeClock, number: int, kind: str
) -> None:
    store = Between(clock)
    scene = Scene(store, clock)
    session, cookie = await scene.open()
    wish = Wish(cookie)
    store.then, store.number = (lambda: wish.by(scene.one, session)), number
    await ENDINGS[kind](scene.two, session, cookie)
    store.number = -1
    for value in (cookie, wish.cookie):
        assert await scene.one.sessions.current(TENANT, value) is None
    assert scene.two.reasons() == ["logout"]


async def test_tokens_that_are_renewed_at_the_same_time_are_not_lost(scene: Scene) -> None:
    await warm(scene)
    for _ in range(ROUNDS):
        session, cookie = await scene.open()
        wish = Wish(cookie)
        scene.clock.advance(280)  # due, and good for another 20 s
        await asyncio.gather(
            scene.one.sessions.current(TENANT, cookie), wish.by(scene.two, session, proved(scene.clock.now()))
        )
        stands = await scene.two.sessions.current(TENANT, wish.cookie)
        assert stands
        assert stands.proved_at == scene.clock.now()
        assert stands.tokens.access == f"access {scene.renewals.calls}"
        await scene.one.sessions.end(TENANT, session.id)
    assert len(scene.renewals.spent) == len(set(scene.renewals.spent)) == ROUNDS


async def test_a_renewal_under_way_is_waited_for(scene: Scene) -> None:
    session, cookie = await scene.open()
    wish = Wish(cookie)
    scene.clock.advance(310)
    scene.renewals.go_on.clear()
    renewing = asyncio.create_task(scene.one.sessions.current(TENANT, cookie))
    await scene.renewals.entered.wait()
    reissuing = asyncio.create_task(wish.by(scene.two, session, lambda old: replace(old, routes=("/a",))))
    await warm(scene)
    assert not reissuing.done()
    scene.renewals.go_on.set()
    found = await reissuing
    assert await renewing
    assert found
    assert (found.tokens.access, found.routes) == ("access 1", ("/a",))
    # The use is noted by the first request that reads the session after its renewal: before the reissue, or after it.
    assert await scene.one.sessions.current(TENANT, wish.cookie) == replace(found, used_at=scene.clock.now())


# ------------------------------------------------------------------ a store that does not answer


async def test_a_reissue_that_the_store_cut_short_is_finished_by_the_next_try(clock: FakeClock) -> None:
    store = Flaky(clock)
    scene = Scene(store, clock)
    session, cookie = await scene.open()
    wish = Wish(cookie)
    for lost in ("keeps", "deaf"):
        setattr(store, lost, True)
        with pytest.raises(errors.Unreachable):
            await wish.by(scene.one, session)
        setattr(store, lost, False)
        assert await wish.by(scene.two, session) == session
        assert await scene.one.sessions.current(TENANT, wish.cookie) == session
        assert await scene.one.sessions.current(TENANT, cookie) is None
        cookie, wish = wish.cookie, Wish(cookie)


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("kind", ENDINGS)
async def test_a_reissue_that_the_store_cut_short_leaves_no_cookie_that_outlives_the_end(
    clock: FakeClock, kind: str
) -> None:
    store = Flaky(clock)
    scene = Scene(store, clock)
    session, cookie = await scene.open()
    wish = Wish(cookie)
    store.keeps = True
    with pytest.raises(errors.Unreachable):
        await wish.by(scene.one, session)
    store.keeps = False
    await ENDINGS[kind](scene.two, session, cookie)
    for value in (cookie, wish.cookie):
        assert await scene.one.sessions.current(TENANT, value) is None
    assert scene.two.reasons() == ["logout"]


async def test_an_end_is_told_though_the_store_goes_away_right_after_it(clock: FakeClock) -> None:
    class GoesAway(Flaky):
        async def delete(self, key: str) -> bool:
            deleted = await super().delete(key)
            self.away = True
            return deleted

    store = GoesAway(clock)
    scene = Scene(store, clock)
    (session, _), stream = await scene.open(), Stream()
    scene.two.sessions.register(session.id, stream.close)
    assert await scene.two.sessions.end(TENANT, session.id) == session
    assert (scene.two.reasons(), stream.times) == (["logout"], 1)


@pytest.mark.row("GW-10")
@pytest.mark.parametrize("by", ["one", "two"])
@pytest.mark.parametrize("seen", [True, False])
async def test_leaving_without_the_store_closes_the_streams_of_a_reissued_session(
    clock: FakeClock, by: str, *, seen: bool
) -> None:
    store = Flaky(clock)
    scene = Scene(store, clock)
    session, cookie = await scene.open()
    wish, replica, stream = Wish(cookie), getattr(scene, by), Stream()
    assert await wish.by(scene.one, session)
    if seen or by == "two":  # a browser with a stream here came with its cookie here
        assert await replica.sessions.current(TENANT, wish.cookie)
    replica.sessions.register(session.id, stream.close)
    clock.advance(600)  # no copy counts any more
    store.away = True
    with pytest.raises(errors.Unreachable):
        await replica.sessions.leave(TENANT, wish.cookie)
    assert stream.times == 1
    assert await replica.sessions.current(TENANT, wish.cookie) is None
