"""Tests of token renewal: in time, by one request, and ended only by Keycloak's refusal."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.domain.session import Session, Tokens
from gateway.domain.tenant import KeycloakAccess
from gateway.keycloak.token_endpoint import Granted, RefreshUnknown, SessionEnded
from gateway.sessions import refresh
from gateway.sessions.cache import SessionRecord
from gateway.sessions.refresh import due
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from tests.fixtures.clock import START, FakeClock
from tests.fixtures.sample_tenants import session
from tests.fixtures.session_harness import TENANT, Renewals, SessionHarness

pytestmark = pytest.mark.row("GW-09")
AWAY = errors.Unreachable("keycloak", "does not answer")


async def current(harness: SessionHarness, cookie: str) -> Session:
    found = await harness.one.sessions.current(TENANT, cookie)
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
def test_a_token_is_due_for_renewal_near_its_expiry(life: float, left: float, expected: bool) -> None:
    kept = SessionRecord(session(access_expires_at=START + life), renewed_at=START)
    assert due(kept, START + life - left) is expected


async def test_a_fresh_token_is_not_renewed(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(240)
    assert (await current(harness, cookie)).tokens.access == "access 0"
    assert harness.renewals.calls == 0


@pytest.mark.parametrize("seconds", [241, 300, 900])
async def test_a_token_near_or_past_its_expiry_is_renewed(seconds: float, harness: SessionHarness) -> None:
    opened, cookie = await harness.open()
    harness.clock.advance(seconds)
    found = await current(harness, cookie)
    assert (found.tokens.access, found.id, found.ends_at) == ("access 1", opened.id, opened.ends_at)
    assert harness.renewals.spent == ["refresh 0"]


async def test_the_next_renewal_uses_the_new_refresh_token(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    for _ in range(3):
        harness.clock.advance(290)
        await current(harness, cookie)
    assert harness.renewals.spent == ["refresh 0", "refresh 1", "refresh 2"]


@pytest.mark.parametrize("seconds", [290, 310], ids=["still valid", "ended"])
async def test_200_parallel_requests_on_two_replicas_renew_the_token_once(
    seconds: float, harness: SessionHarness
) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(seconds)
    replicas = (harness.one.sessions, harness.two.sessions)
    found = await asyncio.gather(*(replicas[n % 2].current(TENANT, cookie) for n in range(200)))
    assert harness.renewals.calls == 1
    allowed = {"access 0", "access 1"} if seconds < 300 else {"access 1"}
    assert {one.tokens.access for one in found if one} <= allowed
    assert None not in found


async def test_a_replica_with_a_copy_of_the_session_hears_of_its_new_token(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    for replica in (harness.one, harness.two):
        assert await replica.sessions.current(TENANT, cookie)
    heard = harness.two.receives("session-changed")
    harness.clock.advance(241)
    await current(harness, cookie)
    async with asyncio.timeout(5):
        await heard.wait()
    harness.renewals.answer = AWAY
    other = await harness.two.sessions.current(TENANT, cookie)
    assert other
    assert other.tokens.access == "access 1"


async def test_a_slow_renewal_keeps_its_lock_for_two_time_limits_of_keycloak(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(301)
    harness.renewals.go_on.clear()
    first = asyncio.create_task(harness.one.sessions.current(TENANT, cookie))
    await harness.renewals.entered.wait()
    harness.clock.advance(2 * TENANT.keycloak.timeout)
    second = asyncio.create_task(harness.two.sessions.current(TENANT, cookie))
    for _ in range(50):
        await asyncio.sleep(0)
    assert harness.renewals.calls == 1
    harness.renewals.go_on.set()
    found = await asyncio.gather(first, second)
    assert {one.tokens.access for one in found if one} == {"access 1"}


async def test_30_seconds_after_a_replica_died_in_a_renewal_another_one_renews_the_token(
    harness: SessionHarness,
) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(301)
    harness.renewals.go_on.clear()
    dead = asyncio.create_task(harness.one.sessions.current(TENANT, cookie))
    await harness.renewals.entered.wait()
    harness.renewals.entered.clear()
    harness.clock.advance(30)
    other = asyncio.create_task(harness.two.sessions.current(TENANT, cookie))
    async with asyncio.timeout(5):
        await harness.renewals.entered.wait()
    harness.renewals.go_on.set()
    await asyncio.gather(dead, other)


async def test_while_the_token_is_valid_other_requests_do_not_wait_for_its_renewal(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(290)
    harness.renewals.go_on.clear()
    first = asyncio.create_task(current(harness, cookie))
    await harness.renewals.entered.wait()
    for replica in (harness.one, harness.two):
        other = await replica.sessions.current(TENANT, cookie)
        assert other
        assert other.tokens.access == "access 0"
    harness.renewals.go_on.set()
    assert (await first).tokens.access == "access 1"


async def test_while_the_token_is_valid_no_request_waits_long_for_a_keycloak_that_does_not_answer(
    harness: SessionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "STALL", 0.01)
    _, cookie = await harness.open()
    harness.clock.advance(290)
    harness.renewals.go_on.clear()
    assert (await current(harness, cookie)).tokens.access == "access 0"
    harness.renewals.go_on.set()
    await asyncio.gather(*harness.one.sessions._refresh._single_flight.values())
    assert (await current(harness, cookie)).tokens.access == "access 1"
    assert harness.renewals.calls == 1


async def test_a_disconnected_browser_does_not_lose_the_new_token(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(310)
    harness.renewals.go_on.clear()
    gone = asyncio.create_task(current(harness, cookie))
    await harness.renewals.entered.wait()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    harness.renewals.go_on.set()
    assert (await current(harness, cookie)).tokens.access == "access 1"
    assert harness.renewals.calls == 1


async def test_only_the_error_invalid_grant_ends_the_session(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(290)
    harness.renewals.answer = SessionEnded("Session not active")
    answers = await asyncio.gather(*(harness.one.sessions.current(TENANT, cookie) for _ in range(20)))
    assert None in answers  # the request that renewed it; the others continue with a token that is still valid
    assert await harness.two.sessions.current(TENANT, cookie) is None
    assert harness.one.reasons() == ["keycloak"]


@pytest.mark.parametrize(
    "failure", [AWAY, errors.Refused("keycloak", "invalid_client"), errors.Unreachable("keycloak", "500")], ids=str
)
async def test_after_a_failed_renewal_the_old_token_is_used_while_it_is_valid(
    failure: Exception, harness: SessionHarness
) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(290)
    harness.renewals.answer = failure
    assert (await current(harness, cookie)).tokens.access == "access 0"
    assert not harness.one.reasons()


@pytest.mark.parametrize("failure", [AWAY, errors.Refused("keycloak", "invalid_client")], ids=str)
async def test_after_the_tokens_expiry_a_failed_renewal_is_raised_and_does_not_sign_the_user_out(
    failure: errors.GatewayError, harness: SessionHarness
) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(310)
    harness.renewals.answer = failure
    with pytest.raises(type(failure)):
        await harness.one.sessions.current(TENANT, cookie)
    harness.renewals.answer = None
    assert (await current(harness, cookie)).tokens.access == "access 2"


async def test_while_keycloak_is_down_a_valid_token_is_not_renewed_at_every_request(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(250)
    harness.renewals.answer = AWAY
    for _ in range(10):
        await current(harness, cookie)
    assert harness.renewals.calls == 1
    harness.clock.advance(5)
    harness.renewals.answer = None
    assert (await current(harness, cookie)).tokens.access == "access 2"


async def test_a_session_that_ends_during_its_renewal_stays_ended(harness: SessionHarness) -> None:
    opened, cookie = await harness.open()
    harness.clock.advance(310)
    harness.renewals.go_on.clear()
    waiting = asyncio.create_task(harness.one.sessions.current(TENANT, cookie))
    await harness.renewals.entered.wait()
    await harness.two.sessions.end(TENANT, opened.id)
    harness.renewals.go_on.set()
    assert await waiting is None
    assert await harness.two.sessions.current(TENANT, cookie) is None


async def test_a_renewal_that_outlived_its_lock_keeps_the_session(shared: Store, clock: FakeClock) -> None:
    harness = SessionHarness(shared, clock)
    _, cookie = await harness.open()
    clock.advance(310)
    harness.renewals.go_on.clear()
    slow = asyncio.create_task(current(harness, cookie))
    await harness.renewals.entered.wait()
    clock.advance(60)  # the lock of the slow renewal expires
    harness.renewals.entered.clear()
    quick = asyncio.create_task(harness.two.sessions.current(TENANT, cookie))
    await harness.renewals.entered.wait()
    harness.renewals.go_on.set()
    assert await quick is not None
    assert (await slow).tokens.access_expires_at > clock.now()
    assert harness.renewals.calls == 2
    found = {(await r.sessions.current(TENANT, cookie)) for r in (harness.one, harness.two)}
    assert len(found) == 1
    assert not harness.one.reasons() + harness.two.reasons()


async def test_a_used_refresh_token_of_an_overtaken_renewal_does_not_end_the_session(
    shared: Store, clock: FakeClock
) -> None:
    harness = SessionHarness(shared, clock)
    renew, go_on, asked = harness.renewals, asyncio.Event(), asyncio.Event()

    class RefusedLate(Renewals):
        async def refresh(self, access: KeycloakAccess, tokens: Tokens) -> SessionEnded:
            asked.set()
            await go_on.wait()
            return SessionEnded("Token is not active")

    _, cookie = await harness.open()
    clock.advance(310)
    harness.one.sessions._refresh._token_endpoint = RefusedLate(clock)
    slow = asyncio.create_task(current(harness, cookie))
    await asked.wait()
    clock.advance(60)  # the lock of the slow renewal expires
    assert await harness.two.sessions.current(TENANT, cookie)
    go_on.set()
    assert (await slow).tokens.access == f"access {renew.calls}"
    assert not harness.one.reasons()


async def test_a_new_refresh_token_is_kept_although_its_access_token_could_not_be_verified(
    harness: SessionHarness,
) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(310)
    harness.renewals.answer = RefreshUnknown(Secret("refresh of an unknown key"), AWAY)
    with pytest.raises(errors.Unreachable):
        await harness.one.sessions.current(TENANT, cookie)
    harness.renewals.answer = None
    assert (await current(harness, cookie)).tokens.access == "access 2"
    assert harness.renewals.spent == ["refresh 0", "refresh of an unknown key"]


@pytest.mark.parametrize("rotates", [True, False], ids=["another refresh token each time", "the same refresh token"])
async def test_a_token_that_arrives_after_a_newer_one_does_not_replace_it(
    shared: Store, clock: FakeClock, rotates: bool
) -> None:
    harness = SessionHarness(shared, clock)
    harness.renewals.rotates = rotates
    go_on, asked = asyncio.Event(), asyncio.Event()

    class Late(Renewals):
        async def refresh(self, access: KeycloakAccess, tokens: Tokens) -> Granted:
            asked.set()
            await go_on.wait()
            late = harness.renewals.tokens()
            return Granted(replace(late, access="late", refresh="late" if rotates else late.refresh), self.user)

    _, cookie = await harness.open()
    clock.advance(310)
    harness.one.sessions._refresh._token_endpoint = Late(clock)
    slow = asyncio.create_task(current(harness, cookie))
    await asked.wait()
    clock.advance(60)  # the lock of the slow renewal expires
    newer = await harness.two.sessions.current(TENANT, cookie)
    go_on.set()
    await slow
    assert await harness.two.sessions.current(TENANT, cookie) == newer


async def test_a_new_token_is_written_although_the_store_fails_at_first(clock: FakeClock) -> None:
    class FailingStore(MemoryStore):
        failures = 0

        async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
            if self.failures:
                self.failures -= 1
                raise errors.Unreachable("store", "TimeoutError")
            return await super().swap(key, old, new, ttl)

    store = FailingStore(clock)
    harness = SessionHarness(store, clock)
    _, cookie = await harness.open()
    clock.advance(310)
    store.failures = 2
    assert (await current(harness, cookie)).tokens.access == "access 1"
    assert (await current(harness, cookie)).tokens.access == "access 1"
    assert harness.renewals.calls == 1


async def test_a_renewed_token_updates_the_users_roles_name_and_address(harness: SessionHarness) -> None:
    session, cookie = await harness.open()
    assert session.roles == ("agent",)
    harness.clock.advance(310)
    harness.renewals.user = replace(harness.renewals.user, roles=(), first_name="Annika", email="annika@cc.example")
    renewed = await current(harness, cookie)
    assert (renewed.roles, renewed.display_name, renewed.email) == ((), "Annika A", "annika@cc.example")
    assert renewed.id == session.id


@pytest.mark.row("GW-40")
async def test_a_renewed_token_updates_the_roles_of_clients_and_the_groups(harness: SessionHarness) -> None:
    harness.renewals.user = replace(harness.renewals.user, client_roles=("app:admin",), groups=("/agents",))
    session, cookie = await harness.open()
    harness.clock.advance(310)
    given = await current(harness, cookie)
    harness.clock.advance(310)
    harness.renewals.user = replace(harness.renewals.user, client_roles=(), groups=())
    taken = await current(harness, cookie)
    assert [(one.client_roles, one.groups) for one in (session, given, taken)] == [
        ((), ()),
        (("app:admin",), ("/agents",)),
        ((), ()),
    ]


@pytest.mark.row("GW-40")
def test_a_session_of_a_version_without_groups_has_none() -> None:
    adapter = TypeAdapter(SessionRecord)
    record = adapter.dump_python(SessionRecord(session(), 0.0), mode="json")
    for name in ("client_roles", "groups"):
        del record["session"][name]
    found = adapter.validate_python(record).session
    assert (found.client_roles, found.groups) == ((), ())


async def test_a_renewed_token_of_another_user_ends_the_session(harness: SessionHarness) -> None:
    _, cookie = await harness.open()
    harness.clock.advance(310)
    harness.renewals.user = replace(harness.renewals.user, id="f:1:eve")
    assert await harness.one.sessions.current(TENANT, cookie) is None
    assert harness.one.reasons() == ["keycloak"]
