"""Tests of trusted browsers: one user, the days of the current policy, and a secret for a single use."""

import asyncio
from dataclasses import replace

import pytest

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing, Sealer
from gateway.second_factor.trusted_browsers import (
    BrowserTags,
    Holder,
    TrustCookie,
    TrustedBrowser,
    TrustedBrowsers,
    TrustVerdict,
)
from gateway.store.records import Records
from tests.fixtures.challenge_harness import POLICY
from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.open_stores import YieldingStore

DAY = 86400.0
LONGEST = 90 * DAY
UNDER_WAY = 30.0

TENANT = "expertflow"
COOKIE = TrustCookie("tag", "first")
ANNA = Holder("anna", credential_date=1, trust_epoch=0)
DAYS_30 = replace(POLICY, trust_browser_days=30)


class TrustHarness:
    """Trusted browsers over a separate store."""

    def __init__(self) -> None:
        self.clock, random = FakeClock(), SeededRandom()
        ring = KeyRing((Key("00000001", random.token_bytes(KEY_BYTES)),))
        self.store = YieldingStore(self.clock)
        self.records = Records(
            store=self.store,
            sealer=Sealer(ring, "trusted-browser", random),
            clock=self.clock,
            name="trusted-browser",
            of=TrustedBrowser,
        )
        by_user = Records(
            store=self.store,
            sealer=Sealer(ring, "trusted-browsers-of", random),
            clock=self.clock,
            name="trusted-browsers-of",
            of=BrowserTags,
        )
        self.trust = TrustedBrowsers(self.records, by_user, self.clock)

    async def verdict(
        self, cookie: TrustCookie = COOKIE, holder: Holder = ANNA, days: int = 30, tenant: str = TENANT
    ) -> TrustVerdict:
        """Returns the verdict on the cookie with a policy of that number of days."""
        return await self.trust.judge(tenant, cookie, holder, replace(POLICY, trust_browser_days=days))


@pytest.fixture
async def harness() -> TrustHarness:
    """Anna's browser has just been trusted."""
    harness = TrustHarness()
    await harness.trust.give(TENANT, COOKIE, ANNA)
    return harness


@pytest.mark.row("CC-12")
async def test_a_trusted_browser_is_recognised(harness: TrustHarness) -> None:
    assert await harness.verdict() is TrustVerdict.TRUSTED


@pytest.mark.row("CC-12")
@pytest.mark.parametrize("cookie", [TrustCookie("other", "first"), TrustCookie("", "first")])
async def test_another_browser_is_not_trusted(harness: TrustHarness, cookie: TrustCookie) -> None:
    assert await harness.verdict(cookie) is TrustVerdict.NONE


@pytest.mark.parametrize("days", [0, 30])
async def test_a_secret_that_the_browser_never_had_changes_nothing(harness: TrustHarness, days: int) -> None:
    assert await harness.verdict(TrustCookie("tag", "guess"), days=days) is TrustVerdict.FORGED
    assert await harness.verdict() is TrustVerdict.TRUSTED


async def test_trusting_another_browser_with_a_known_tag_does_not_end_trust(harness: TrustHarness) -> None:
    ben = replace(ANNA, user_id="ben")
    await harness.trust.give(TENANT, TrustCookie("other", "first"), ben, replaces=TrustCookie("tag", "guess"))
    assert await harness.verdict() is TrustVerdict.TRUSTED


async def test_a_copy_is_recognised_after_a_hundred_uses_of_the_cookie(harness: TrustHarness) -> None:
    cookie = COOKIE
    for number in range(100):
        await harness.trust.rotate(TENANT, cookie, f"next{number}")
        cookie = TrustCookie("tag", f"next{number}")
    harness.clock.advance(30)
    assert await harness.verdict(cookie) is TrustVerdict.TRUSTED
    assert await harness.verdict(COOKIE) is TrustVerdict.STOLEN


@pytest.mark.row("CC-10", "CC-12")
@pytest.mark.parametrize("days", [14, 30, 60, 90])
async def test_trust_ends_after_the_days_of_the_policy(harness: TrustHarness, days: int) -> None:
    harness.clock.advance(days * DAY - 1)
    assert await harness.verdict(days=days) is TrustVerdict.TRUSTED
    harness.clock.advance(1)
    assert await harness.verdict(days=days) is not TrustVerdict.TRUSTED


@pytest.mark.row("CC-12")
@pytest.mark.attack("F26")
async def test_the_age_of_trust_is_judged_by_the_current_policy(harness: TrustHarness) -> None:
    harness.clock.advance(20 * DAY)
    assert await harness.verdict(days=14) is TrustVerdict.TOO_OLD
    assert await harness.verdict(days=30) is TrustVerdict.TRUSTED


@pytest.mark.row("CC-09", "CC-12")
async def test_a_policy_of_every_login_ends_trust_permanently(harness: TrustHarness) -> None:
    assert await harness.verdict(days=0) is TrustVerdict.NONE
    assert await harness.verdict(days=30) is TrustVerdict.NONE


@pytest.mark.attack("F26")
async def test_a_browser_is_trusted_for_one_user_only(harness: TrustHarness) -> None:
    assert await harness.verdict(holder=replace(ANNA, user_id="ben")) is TrustVerdict.OTHER_USER


@pytest.mark.attack("F26")
async def test_trusting_a_browser_for_another_user_ends_trust_for_the_first(harness: TrustHarness) -> None:
    ben, cookie = replace(ANNA, user_id="ben"), TrustCookie("new", "second")
    await harness.trust.give(TENANT, cookie, ben, replaces=COOKIE)
    assert await harness.verdict(cookie, ben) is TrustVerdict.TRUSTED
    assert await harness.verdict(cookie) is TrustVerdict.OTHER_USER
    assert await harness.verdict() is TrustVerdict.NONE


@pytest.mark.attack("F16")
async def test_a_new_password_ends_trust(harness: TrustHarness) -> None:
    assert await harness.verdict(holder=replace(ANNA, credential_date=2)) is TrustVerdict.CHANGED


@pytest.mark.attack("F16")
async def test_a_browser_is_not_trusted_without_a_date_of_the_password(harness: TrustHarness) -> None:
    undated = replace(ANNA, credential_date=None)
    assert await harness.verdict(holder=undated) is TrustVerdict.CHANGED
    await harness.trust.give(TENANT, COOKIE, undated)
    assert await harness.verdict(holder=undated) is TrustVerdict.UNDATED


@pytest.mark.row("CC-12")
async def test_a_changed_factor_ends_trust(harness: TrustHarness) -> None:
    assert await harness.verdict(holder=replace(ANNA, trust_epoch=1)) is TrustVerdict.CHANGED


async def test_trust_applies_to_one_tenant_only(harness: TrustHarness) -> None:
    assert await harness.verdict(tenant="other") is TrustVerdict.NONE


# ------------------------------------------------------------------ the secret


async def test_after_its_use_the_new_secret_is_accepted(harness: TrustHarness) -> None:
    assert await harness.trust.rotate(TENANT, COOKIE, "second")
    assert await harness.verdict(TrustCookie("tag", "second")) is TrustVerdict.TRUSTED


@pytest.mark.row("CC-12")
@pytest.mark.parametrize("seconds", [0, UNDER_WAY - 1])
async def test_a_request_with_the_secret_just_replaced_is_not_trusted_and_does_not_end_trust(
    harness: TrustHarness, seconds: float
) -> None:
    await harness.trust.rotate(TENANT, COOKIE, "second")
    harness.clock.advance(seconds)
    assert await harness.verdict(COOKIE) is TrustVerdict.JUST_USED
    assert await harness.verdict(TrustCookie("tag", "second")) is TrustVerdict.TRUSTED


async def test_an_old_secret_used_later_counts_as_stolen(harness: TrustHarness) -> None:
    await harness.trust.rotate(TENANT, COOKIE, "second")
    harness.clock.advance(UNDER_WAY)
    assert await harness.verdict(COOKIE) is TrustVerdict.STOLEN


async def test_after_a_theft_neither_browser_is_trusted(harness: TrustHarness) -> None:
    await harness.trust.rotate(TENANT, COOKIE, "second")
    harness.clock.advance(UNDER_WAY)
    await harness.verdict(COOKIE)
    assert await harness.verdict(TrustCookie("tag", "second")) is TrustVerdict.NONE


async def test_the_owners_old_secret_after_two_uses_of_a_copy_reports_the_theft(harness: TrustHarness) -> None:
    await harness.trust.rotate(TENANT, COOKIE, "second")
    await harness.trust.rotate(TENANT, TrustCookie("tag", "second"), "third")
    assert await harness.verdict(COOKIE) is TrustVerdict.STOLEN
    assert await harness.verdict(TrustCookie("tag", "third")) is TrustVerdict.NONE


async def test_using_a_secret_does_not_extend_trust(harness: TrustHarness) -> None:
    harness.clock.advance(20 * DAY)
    await harness.trust.rotate(TENANT, COOKIE, "second")
    harness.clock.advance(10 * DAY)
    assert await harness.verdict(TrustCookie("tag", "second")) is TrustVerdict.TOO_OLD


async def test_the_same_use_repeated_counts_once(harness: TrustHarness) -> None:
    assert [await harness.trust.rotate(TENANT, COOKIE, "second") for _ in range(2)] == [True, True]


async def test_one_of_several_parallel_logins_renews_the_secret(harness: TrustHarness) -> None:
    renewed = await asyncio.gather(*(harness.trust.rotate(TENANT, COOKIE, f"new{n}") for n in range(20)))
    assert renewed.count(True) == 1


async def test_the_record_shows_no_secret(harness: TrustHarness) -> None:
    kept = await harness.records.read(TENANT, COOKIE.tag)
    assert "first" not in repr(kept)
    assert "first" not in repr(COOKIE)


async def test_no_record_is_kept_longer_than_the_longest_trust(harness: TrustHarness) -> None:
    harness.clock.advance(LONGEST)
    assert await harness.records.read(TENANT, COOKIE.tag) is None


async def listed(harness: TrustHarness, holder: Holder = ANNA) -> list[tuple[str, str]]:
    """Returns tag and browser of each trusted browser of a user."""
    return [(one.tag, one.browser) for one in await harness.trust.of_user(TENANT, holder, DAYS_30)]


@pytest.mark.row("CC-12")
async def test_the_trusted_browsers_of_a_user_are_listed_by_their_last_use(harness: TrustHarness) -> None:
    harness.clock.advance(DAY)
    await harness.trust.give(TENANT, TrustCookie("second", "x"), ANNA, browser="Firefox on Linux")
    harness.clock.advance(DAY)
    await harness.trust.rotate(TENANT, COOKIE, "next", browser="Chrome on Windows")
    assert await listed(harness) == [("tag", "Chrome on Windows"), ("second", "Firefox on Linux")]


@pytest.mark.row("CC-12")
async def test_trust_that_no_longer_counts_is_not_listed(harness: TrustHarness) -> None:
    assert await listed(harness, replace(ANNA, trust_epoch=1)) == []
    assert await listed(harness, replace(ANNA, credential_date=2)) == []
    harness.clock.advance(30 * DAY)
    assert await listed(harness) == []


@pytest.mark.row("CC-12")
async def test_the_trust_of_a_browser_ends_for_its_own_user_only(harness: TrustHarness) -> None:
    [known] = await harness.trust.of_user(TENANT, ANNA, DAYS_30)
    assert not await harness.trust.end(TENANT, "ben", known.id)
    assert await harness.verdict() is TrustVerdict.TRUSTED
    assert await harness.trust.end(TENANT, "anna", known.id)
    assert await harness.verdict() is TrustVerdict.NONE
    assert not await harness.trust.end(TENANT, "anna", known.id)


@pytest.mark.row("CC-12")
async def test_browsers_that_are_trusted_at_once_are_all_listed(harness: TrustHarness) -> None:
    await asyncio.gather(*(harness.trust.give(TENANT, TrustCookie(f"tag-{n}", "x"), ANNA) for n in range(8)))
    assert len(await listed(harness)) == 9
