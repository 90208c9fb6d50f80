"""Tests of the grace period in which a user without a profile address needs no approval for a first factor."""

from dataclasses import replace

import pytest

from gateway.domain.policy import Registration
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account, User
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.sample_tenants import TENANT

GRACE_PERIOD = 14 * 86400.0
GUARD_LIFE = 400 * 86400.0

pytestmark = [pytest.mark.row("GW-27"), pytest.mark.attack("F5")]
GUARDED = replace(TENANT, policy=replace(TENANT.policy, registration=Registration.GUARDED))
OLD = Account(User("u1", "agent1"), True, (), 1, created_at=0.0)


class GracePeriodHarness:
    """One store, and a clock that advances."""

    def __init__(self) -> None:
        harness = ChallengeHarness()
        self.clock, self.enrolments = harness.clock, harness.enrolments

    async def opens(self, account: Account = OLD, tenant: Tenant = GUARDED) -> bool:
        """Returns whether the grace period is open at a login of this user."""
        return await self.enrolments.in_grace_period(tenant, account)


async def test_the_grace_period_lasts_exactly_fourteen_days_from_the_first_login_at_the_tenant() -> None:
    harness = GracePeriodHarness()
    assert await harness.opens()
    harness.clock.advance(GRACE_PERIOD - 1)
    assert await harness.opens()
    harness.clock.advance(1)
    assert not await harness.opens()


async def test_the_grace_period_of_a_new_account_lasts_fourteen_days_from_its_creation() -> None:
    harness = GracePeriodHarness()
    await harness.opens()
    harness.clock.advance(100 * 86400)
    made = harness.clock.now()
    harness.clock.advance(GRACE_PERIOD - 1)
    assert await harness.opens(replace(OLD, created_at=made))
    harness.clock.advance(1)
    assert not await harness.opens(replace(OLD, created_at=made))


async def test_the_grace_period_does_not_restart_with_later_logins() -> None:
    harness = GracePeriodHarness()
    for _ in range(5):
        opens = await harness.opens()
        harness.clock.advance(GUARD_LIFE / 2)
    assert not opens


async def test_the_grace_period_is_counted_for_each_tenant() -> None:
    harness = GracePeriodHarness()
    await harness.opens()
    harness.clock.advance(GRACE_PERIOD)
    assert await harness.opens(tenant=replace(GUARDED, id="other"))


@pytest.mark.parametrize("registration", [Registration.OPEN, Registration.ADMIN_CODE])
async def test_the_grace_period_is_not_counted_where_enrolments_are_not_guarded(registration: Registration) -> None:
    harness = GracePeriodHarness()
    tenant = replace(TENANT, policy=replace(TENANT.policy, registration=registration))
    await harness.opens(tenant=tenant)
    harness.clock.advance(GRACE_PERIOD)
    assert await harness.opens(tenant=GUARDED)
