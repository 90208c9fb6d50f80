"""Are tokens renewed in time, by one, and does only Keycloak's own no end a session?"""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.domain.session import Session, Tokens
from gateway.domain.tenant import Tenant
from gateway.sessions import refresh
from gateway.sessions.cache import Kept
from gateway.sessions.refresh import Ended, Unjudged, due
from gateway.store.interface import Store
from gateway.store.memory import MemoryStore
from tests.clock import START, FakeClock
from tests.sessions.scene import TENANT, Scene
from tests.web.sample import session

pytestmark = pytest.mark.row("GW-09")
AWAY = errors.Unreachable("keycloak", "does not answer")


async def current(scene: Scene, cookie: str) -> Session:
    found = await scene.one.sessions.current(TENANT, cookie)
    assert found
    return found


@pytest.mark.parametrize(
    ("life", "left", "expected"),
    [
        (300, 60, False),
        (300, 59, True),
        (100, 31, False),
        (100, 29, True),
        (40, 21, False),
        (40, 19, True),
        (10, 6, False),
        (10, 4, True),
        (300, 0, True),
        (300, -5, True),
        (0, 0, True),
        (-5, -5, True),
    ],
)
def test_tokens_are_due_near_their_end(life: float, left: float, expected: bool) -> None:
    kept = Kept(session(access_expires_at=START + life), renewed_at=START)
    assert due(kept, START + life - left) is expected


async def test_a_fresh_token_is_not_renewed(scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(240)
    assert (await current(scene, cookie)).tokens.access == "access 0"
    assert scene.renewals.calls == 0


@pytest.mark.parametrize("seconds", [241, 300, 900])
async def test_a_token_near_or_past_its_end_is_renewed(seconds: float, scene: Scene) -> None:
    opened, cookie = await scene.open()
    scene.clock.advance(seconds)
    found = await current(scene, cookie)
    assert (found.tokens.access, found.id, found.ends_at) == ("access 1", opened.id, opened.ends_at)
    assert scene.renewals.spent == ["refresh 0"]


async def test_the_renewed_token_is_what_the_next_renewal_spends(scene: Scene) -> None:
    _, cookie = await scene.open()
    for _ in range(3):
        scene.clock.advance(290)
        await current(scene, cookie)
    assert scene.renewals.spent == ["refresh 0", "refresh 1", "refresh 2"]


@pytest.mark.parametrize("seconds", [290, 310], ids=["still valid", "ended"])
async def test_200_requests_at_the_end_on_two_replicas_ask_keycloak_once(seconds: float, scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(seconds)
    replicas = (scene.one.sessions, scene.two.sessions)
    found = await asyncio.gather(*(replicas[n % 2].current(TENANT, cookie) for n in range(200)))
    assert scene.renewals.calls == 1
    allowed = {"access 0", "access 1"} if seconds < 300 else {"access 1"}
    assert {one.tokens.access for one in found if one} <= allowed
    assert None not in found


async def test_while_the_token_is_valid_others_do_not_wait_for_its_renewal(scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(290)
    scene.renewals.go_on.clear()
    first = asyncio.create_task(current(scene, cookie))
    await scene.renewals.entered.wait()
    for replica in (scene.one, scene.two):
        other = await replica.sessions.current(TENANT, cookie)
        assert other
        assert other.tokens.access == "access 0"
    scene.renewals.go_on.set()
    assert (await first).tokens.access == "access 1"


async def test_while_the_token_is_valid_nobody_waits_long_for_a_keycloak_that_hangs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "STALL", 0.01)
    _, cookie = await scene.open()
    scene.clock.advance(290)
    scene.renewals.go_on.clear()
    assert (await current(scene, cookie)).tokens.access == "access 0"
    scene.renewals.go_on.set()
    await asyncio.gather(*scene.one.sessions._refresh._flights.values())
    assert (await current(scene, cookie)).tokens.access == "access 1"
    assert scene.renewals.calls == 1


async def test_a_browser_that_goes_away_does_not_lose_the_new_token(scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(310)
    scene.renewals.go_on.clear()
    gone = asyncio.create_task(current(scene, cookie))
    await scene.renewals.entered.wait()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    scene.renewals.go_on.set()
    assert (await current(scene, cookie)).tokens.access == "access 1"
    assert scene.renewals.calls == 1


async def test_only_invalid_grant_ends_the_session(scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(290)
    scene.renewals.answer = Ended("Session not active")
    answers = await asyncio.gather(*(scene.one.sessions.current(TENANT, cookie) for _ in range(20)))
    assert None in answers  # the one whose flight it was; the others go on with a token that is still valid
    assert await scene.two.sessions.current(TENANT, cookie) is None
    assert scene.one.reasons() == ["keycloak"]


@pytest.mark.parametrize(
    "failure", [AWAY, errors.Refused("keycloak", "invalid_client"), errors.Unreachable("keycloak", "500")], ids=str
)
async def test_after_a_failed_renewal_the_old_token_goes_on_while_valid(failure: Exception, scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(290)
    scene.renewals.answer = failure
    assert (await current(scene, cookie)).tokens.access == "access 0"
    assert not scene.one.reasons()


@pytest.mark.parametrize("failure", [AWAY, errors.Refused("keycloak", "invalid_client")], ids=str)
async def test_with_the_token_ended_a_failed_renewal_is_raised_and_signs_nobody_out(
    failure: errors.GatewayError, scene: Scene
) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(310)
    scene.renewals.answer = failure
    with pytest.raises(type(failure)):
        await scene.one.sessions.current(TENANT, cookie)
    scene.renewals.answer = None
    assert (await current(scene, cookie)).tokens.access == "access 2"


async def test_while_keycloak_is_away_a_valid_token_is_not_tried_at_every_request(scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(250)
    scene.renewals.answer = AWAY
    for _ in range(10):
        await current(scene, cookie)
    assert scene.renewals.calls == 1
    scene.clock.advance(5)
    scene.renewals.answer = None
    assert (await current(scene, cookie)).tokens.access == "access 2"


async def test_a_session_that_ends_during_its_renewal_stays_ended(scene: Scene) -> None:
    opened, cookie = await scene.open()
    scene.clock.advance(310)
    scene.renewals.go_on.clear()
    waiting = asyncio.create_task(scene.one.sessions.current(TENANT, cookie))
    await scene.renewals.entered.wait()
    await scene.two.sessions.end(TENANT, opened.id)
    scene.renewals.go_on.set()
    assert await waiting is None
    assert await scene.two.sessions.current(TENANT, cookie) is None


async def test_a_flight_overtaken_after_its_lock_fell_does_not_end_the_session(shared: Store, clock: FakeClock) -> None:
    scene = Scene(shared, clock)
    _, cookie = await scene.open()
    clock.advance(310)
    scene.renewals.go_on.clear()
    slow = asyncio.create_task(current(scene, cookie))
    await scene.renewals.entered.wait()
    clock.advance(60)  # the lock of the slow flight falls
    scene.renewals.entered.clear()
    quick = asyncio.create_task(scene.two.sessions.current(TENANT, cookie))
    await scene.renewals.entered.wait()
    scene.renewals.go_on.set()
    assert await quick is not None
    assert (await slow).tokens.access_expires_at > clock.now()
    assert scene.renewals.calls == 2
    found = {(await r.sessions.current(TENANT, cookie)) for r in (scene.one, scene.two)}
    assert len(found) == 1
    assert not scene.one.reasons() + scene.two.reasons()


async def test_a_spent_token_of_an_overtaken_flight_is_not_keycloaks_no(shared: Store, clock: FakeClock) -> None:
    scene = Scene(shared, clock)
    renew, go_on, asked = scene.renewals, asyncio.Event(), asyncio.Event()

    async def refused_late(tenant: Tenant, tokens: Tokens) -> Tokens | Ended:
        asked.set()
        await go_on.wait()
        return Ended("Token is not active")

    _, cookie = await scene.open()
    clock.advance(310)
    scene.one.sessions._refresh._refresher = refused_late
    slow = asyncio.create_task(current(scene, cookie))
    await asked.wait()
    clock.advance(60)  # the lock of the slow flight falls
    assert await scene.two.sessions.current(TENANT, cookie)
    go_on.set()
    assert (await slow).tokens.access == f"access {renew.calls}"
    assert not scene.one.reasons()


async def test_a_refresh_token_is_kept_though_what_came_with_it_could_not_be_judged(scene: Scene) -> None:
    _, cookie = await scene.open()
    scene.clock.advance(310)
    scene.renewals.answer = Unjudged(Secret("refresh of an unknown key"), AWAY)
    with pytest.raises(errors.Unreachable):
        await scene.one.sessions.current(TENANT, cookie)
    scene.renewals.answer = None
    assert (await current(scene, cookie)).tokens.access == "access 2"
    assert scene.renewals.spent == ["refresh 0", "refresh of an unknown key"]


async def test_a_token_that_comes_after_a_newer_one_does_not_take_its_place(shared: Store, clock: FakeClock) -> None:
    scene = Scene(shared, clock)
    go_on, asked = asyncio.Event(), asyncio.Event()

    async def late(tenant: Tenant, tokens: Tokens) -> Tokens | Ended:
        asked.set()
        await go_on.wait()
        return replace(scene.renewals.tokens(), access="late", refresh="late")

    _, cookie = await scene.open()
    clock.advance(310)
    scene.one.sessions._refresh._refresher = late
    slow = asyncio.create_task(current(scene, cookie))
    await asked.wait()
    clock.advance(60)  # the lock of the slow flight falls
    newer = await scene.two.sessions.current(TENANT, cookie)
    go_on.set()
    await slow
    assert await scene.two.sessions.current(TENANT, cookie) == newer


async def test_a_token_that_keycloak_gave_is_written_though_the_store_stumbles(clock: FakeClock) -> None:
    class Stumbling(MemoryStore):
        failures = 0

        async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
            if self.failures:
                self.failures -= 1
                raise errors.Unreachable("store", "TimeoutError")
            return await super().swap(key, old, new, ttl)

    store = Stumbling(clock)
    scene = Scene(store, clock)
    _, cookie = await scene.open()
    clock.advance(310)
    store.failures = 2
    assert (await current(scene, cookie)).tokens.access == "access 1"
    assert (await current(scene, cookie)).tokens.access == "access 1"
    assert scene.renewals.calls == 1
