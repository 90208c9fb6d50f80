"""Which users finished a login in a browser, and which of them did so last?"""

import pytest

from gateway.crypto.sealing import Key, KeyRing, Sealer
from gateway.login.login_records import BROWSER_KEPT, MOST_USERS, BrowserUsers, KnownUsers
from gateway.store.memory import MemoryStore
from gateway.store.records import Records
from tests.clock import FakeClock, SeededRandom

TENANT, OTHER = "expertflow", "other"


@pytest.fixture
def browsers(clock: FakeClock, random: SeededRandom) -> BrowserUsers:
    """Over an empty store."""
    sealer = Sealer(KeyRing((Key("00000001", b"k" * 32),)), "records", random)
    return BrowserUsers(
        Records(store=MemoryStore(clock), sealer=sealer, clock=clock, name="browser", of=KnownUsers), clock
    )


async def test_the_first_user_of_a_browser_follows_no_other(browsers: BrowserUsers) -> None:
    assert await browsers.remember(TENANT, "b1", "anna") is False
    assert await browsers.knows(TENANT, "b1", "anna")


async def test_the_same_user_again_follows_no_other(browsers: BrowserUsers) -> None:
    assert [await browsers.remember(TENANT, "b1", "anna") for _ in range(3)] == [False] * 3


async def test_another_user_is_told_apart_each_time_the_user_changes(browsers: BrowserUsers) -> None:
    names = ["anna", "bea", "bea", "anna", "bea"]
    assert [await browsers.remember(TENANT, "b1", name) for name in names] == [False, True, False, True, True]
    assert await browsers.knows(TENANT, "b1", "anna")


async def test_another_browser_or_tenant_says_nothing(browsers: BrowserUsers) -> None:
    await browsers.remember(TENANT, "b1", "anna")
    assert await browsers.remember(TENANT, "b2", "bea") is False
    assert await browsers.remember(OTHER, "b1", "bea") is False
    assert not await browsers.knows(TENANT, "b2", "anna")
    assert not await browsers.knows(TENANT, None, "anna")


async def test_of_many_users_the_newest_are_remembered(browsers: BrowserUsers) -> None:
    for number in range(MOST_USERS + 1):
        await browsers.remember(TENANT, "b1", f"user {number}")
    assert not await browsers.knows(TENANT, "b1", "user 0")
    assert await browsers.knows(TENANT, "b1", "user 1")
    assert await browsers.remember(TENANT, "b1", f"user {MOST_USERS}") is False


async def test_a_browser_that_was_not_used_for_long_is_forgotten(browsers: BrowserUsers, clock: FakeClock) -> None:
    await browsers.remember(TENANT, "b1", "anna")
    clock.advance(BROWSER_KEPT)
    assert not await browsers.knows(TENANT, "b1", "anna")
    assert await browsers.remember(TENANT, "b1", "bea") is False
