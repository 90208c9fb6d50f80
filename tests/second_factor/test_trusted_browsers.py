"""Tests of trusted browsers: one user, the days of the current policy, and a secret for a single use."""

import asyncio
from dataclasses import replace

import pytest

from gateway.crypto.sealing import KEY_BYTES, Key, KeyRing, Sealer
from gateway.second_factor.trusted_browsers import (
    DAY,
    LONGEST,
    UNDER_WAY,
    Holder,
    TrustCookie,
    TrustedBrowser,
    TrustedBrowsers,
    TrustVerdict,
)
from gateway.store.records import Records
from tests.clock import FakeClock, SeededRandom
from tests.second_factor.challenge_harness import POLICY
from tests.store.open_stores import YieldingStore

TENANT = "expertflow"
COOKIE = TrustCookie("tag", "first")
ANNA = Holder("anna", credential_date=1, trust_epoch=0)
DAYS_30 = replace(POLICY, trust_browser_days=30)


class Scene:
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
        self.trust = TrustedBrowsers(self.records, self.clock)

    async def worth(
        self, cookie: TrustCookie = COOKIE, holder: Holder = ANNA, days: int = 30, tenant: str = TENANT
    ) -> TrustVerdict:
        """Returns the verdict on the cookie with a policy of that number of days."""
        return await self.trust.judge(tenant, cookie, holder, replace(POLICY, trust_browser_days=days))


@pytest.fixture
async def scene() -> Scene:
    """Anna's browser has just been trusted."""
    scene = Scene()
    await scene.trust.give(TENANT, COOKIE, ANNA)
    return scene


@pytest.mark.row("CC-12")
async def test_a_trusted_browser_is_recognised(scene: Scene) -> None:
    assert await scene.worth() is TrustVerdict.TRUSTED


@pytest.mark.row("CC-12")
@pytest.mark.parametrize("cookie", [TrustCookie("other", "first"), TrustCookie("", "first")])
async def test_another_browser_is_not_trusted(scene: Scene, cookie: TrustCookie) -> None:
    assert await scene.worth(cookie) is TrustVerdict.NONE


async def test_a_wrong_secret_with_a_known_tag_counts_as_a_copy_and_ends_trust(scene: Scene) -> None:
    assert await scene.worth(TrustCookie("tag", "guess")) is TrustVerdict.STOLEN
    assert await scene.worth() is TrustVerdict.NONE


@pytest.mark.row("CC-10", "CC-12")
@pytest.mark.parametrize("days", [14, 30, 60, 90])
async def test_trust_ends_after_the_days_of_the_policy(scene: Scene, days: int) -> None:
    scene.clock.advance(days * DAY - 1)
    assert await scene.worth(days=days) is TrustVerdict.TRUSTED
    scene.clock.advance(1)
    assert await scene.worth(days=days) is not TrustVerdict.TRUSTED


@pytest.mark.row("CC-12")
@pytest.mark.attack("F26")
async def test_the_age_of_trust_is_judged_by_the_current_policy(scene: Scene) -> None:
    scene.clock.advance(20 * DAY)
    assert await scene.worth(days=14) is TrustVerdict.TOO_OLD
    assert await scene.worth(days=30) is TrustVerdict.TRUSTED


@pytest.mark.row("CC-09", "CC-12")
async def test_a_policy_of_every_login_ends_trust_permanently(scene: Scene) -> None:
    assert await scene.worth(days=0) is TrustVerdict.NONE
    assert await scene.worth(days=30) is TrustVerdict.NONE


@pytest.mark.attack("F26")
async def test_a_browser_is_trusted_for_one_user_only(scene: Scene) -> None:
    assert await scene.worth(holder=replace(ANNA, user_id="ben")) is TrustVerdict.OTHER_USER


@pytest.mark.attack("F26")
async def test_trusting_a_browser_for_another_user_ends_trust_for_the_first(scene: Scene) -> None:
    ben, cookie = replace(ANNA, user_id="ben"), TrustCookie("tag", "second")
    await scene.trust.give(TENANT, cookie, ben)
    assert await scene.worth(cookie, ben) is TrustVerdict.TRUSTED
    assert await scene.worth(cookie) is TrustVerdict.OTHER_USER


@pytest.mark.attack("F16")
async def test_a_new_password_ends_trust(scene: Scene) -> None:
    assert await scene.worth(holder=replace(ANNA, credential_date=2)) is TrustVerdict.CHANGED


@pytest.mark.row("CC-12")
async def test_a_changed_factor_ends_trust(scene: Scene) -> None:
    assert await scene.worth(holder=replace(ANNA, trust_epoch=1)) is TrustVerdict.CHANGED


async def test_trust_applies_to_one_tenant_only(scene: Scene) -> None:
    assert await scene.worth(tenant="other") is TrustVerdict.NONE


async def test_revoked_trust_is_deleted(scene: Scene) -> None:
    await scene.trust.take(TENANT, COOKIE.tag)
    assert await scene.worth() is TrustVerdict.NONE


# ------------------------------------------------------------------ the secret


async def test_after_its_use_the_new_secret_is_accepted(scene: Scene) -> None:
    assert await scene.trust.rotate(TENANT, COOKIE, "second")
    assert await scene.worth(TrustCookie("tag", "second")) is TrustVerdict.TRUSTED


@pytest.mark.row("CC-12")
@pytest.mark.parametrize("seconds", [0, UNDER_WAY - 1])
async def test_a_request_with_the_secret_just_replaced_is_not_trusted_and_does_not_end_trust(
    scene: Scene, seconds: float
) -> None:
    await scene.trust.rotate(TENANT, COOKIE, "second")
    scene.clock.advance(seconds)
    assert await scene.worth(COOKIE) is TrustVerdict.JUST_USED
    assert await scene.worth(TrustCookie("tag", "second")) is TrustVerdict.TRUSTED


async def test_an_old_secret_used_later_counts_as_stolen(scene: Scene) -> None:
    await scene.trust.rotate(TENANT, COOKIE, "second")
    scene.clock.advance(UNDER_WAY)
    assert await scene.worth(COOKIE) is TrustVerdict.STOLEN


async def test_after_a_theft_neither_browser_is_trusted(scene: Scene) -> None:
    await scene.trust.rotate(TENANT, COOKIE, "second")
    scene.clock.advance(UNDER_WAY)
    await scene.worth(COOKIE)
    assert await scene.worth(TrustCookie("tag", "second")) is TrustVerdict.NONE


async def test_the_owners_old_secret_after_two_uses_of_a_copy_reports_the_theft(scene: Scene) -> None:
    await scene.trust.rotate(TENANT, COOKIE, "second")
    await scene.trust.rotate(TENANT, TrustCookie("tag", "second"), "third")
    assert await scene.worth(COOKIE) is TrustVerdict.STOLEN
    assert await scene.worth(TrustCookie("tag", "third")) is TrustVerdict.NONE


async def test_using_a_secret_does_not_extend_trust(scene: Scene) -> None:
    scene.clock.advance(20 * DAY)
    await scene.trust.rotate(TENANT, COOKIE, "second")
    scene.clock.advance(10 * DAY)
    assert await scene.worth(TrustCookie("tag", "second")) is TrustVerdict.TOO_OLD


async def test_the_same_use_repeated_counts_once(scene: Scene) -> None:
    assert [await scene.trust.rotate(TENANT, COOKIE, "second") for _ in range(2)] == [True, True]


async def test_of_parallel_logins_one_renews_the_secret(scene: Scene) -> None:
    renewed = await asyncio.gather(*(scene.trust.rotate(TENANT, COOKIE, f"new{n}") for n in range(20)))
    assert renewed.count(True) == 1


async def test_the_record_shows_no_secret(scene: Scene) -> None:
    kept = await scene.records.read(TENANT, COOKIE.tag)
    assert "first" not in repr(kept)
    assert "first" not in repr(COOKIE)


async def test_no_record_is_kept_longer_than_the_longest_trust(scene: Scene) -> None:
    scene.clock.advance(LONGEST)
    assert await scene.records.read(TENANT, COOKIE.tag) is None
