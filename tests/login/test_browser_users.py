"""Tests of the users known in a browser, and of the last of them."""

import pytest

from gateway.crypto.key_ring import Key, KeyRing, Sealer
from gateway.login.login_records import BrowserUsers, KnownUsers
from gateway.store.memory import MemoryStore
from gateway.store.records import Records
from tests.fixtures.clock import FakeClock, SeededRandom

BROWSER_KEPT = 180 * 86400.0
MOST_USERS = 20

TENANT, OTHER = "expertflow", "other"


@pytest.fixture
def browsers(clock: FakeClock, random: SeededRandom) -> BrowserUsers:
    """Returns known browsers over an empty store."""
    sealer = Sealer(KeyRing((Key("00000001", b"k" * 32),)), "records", random)
    return BrowserUsers(
        Records(store=MemoryStore(clock), sealer=sealer, clock=clock, name="browser", of=KnownUsers), clock
    )


async def test_the_first_user_of_a_browser_is_no_change_of_user(browsers: BrowserUsers) -> None:
    assert await browsers.remember(TENANT, "b1", "anna") is False
    assert await browsers.knows(TENANT, "b1", "anna")


async def test_the_same_user_again_is_no_change_of_user(browsers: BrowserUsers) -> None:
    assert [await browsers.remember(TENANT, "b1", "anna") for _ in range(3)] == [False] * 3


async def test_each_change_of_the_user_is_recognised(browsers: BrowserUsers) -> None:
    names = ["anna", "bea", "bea", "anna", "bea"]
    assert [await browsers.remember(TENANT, "b1", name) for name in names] == [False, True, False, True, True]
    assert await browsers.knows(TENANT, "b1", "anna")


async def test_a_user_is_known_only_in_the_same_browser_at_the_same_tenant(browsers: BrowserUsers) -> None:
    await browsers.remember(TENANT, "b1", "anna")
    assert await browsers.remember(TENANT, "b2", "bea") is False
    assert await browsers.remember(OTHER, "b1", "bea") is False
    assert not await browsers.knows(TENANT, "b2", "anna")
    assert not await browsers.knows(TENANT, None, "anna")


async def test_the_newest_of_many_users_are_remembered(browsers: BrowserUsers) -> None:
    for number in range(MOST_USERS + 1):
        await browsers.remember(TENANT, "b1", f"user {number}")
    assert not await browsers.knows(TENANT, "b1", "user 0")
    assert await browsers.knows(TENANT, "b1", "user 1")
    assert await browsers.remember(TENANT, "b1", f"user {MOST_USERS}") is False


async def test_a_browser_unused_for_a_long_time_is_forgotten(browsers: BrowserUsers, clock: FakeClock) -> None:
    await browsers.remember(TENANT, "b1", "anna")
    clock.advance(BROWSER_KEPT)
    assert not await browsers.knows(TENANT, "b1", "anna")
    assert await browsers.remember(TENANT, "b1", "bea") is False


async def test_the_name_of_the_last_user_is_shown_until_it_is_forgotten(browsers: BrowserUsers) -> None:
    await browsers.remember(TENANT, "b1", "anna", "Anna")
    await browsers.remember(TENANT, "b1", "bea", "Bea")
    assert await browsers.last(TENANT, "b1") == "Bea"
    await browsers.forget(TENANT, "b1")
    assert await browsers.last(TENANT, "b1") == ""
    assert await browsers.knows(TENANT, "b1", "bea")


async def test_a_login_at_a_shared_desk_removes_the_name(browsers: BrowserUsers) -> None:
    await browsers.remember(TENANT, "b1", "anna", "Anna")
    await browsers.remember(TENANT, "b1", "anna")
    assert await browsers.last(TENANT, "b1") == ""
