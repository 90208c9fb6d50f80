"""How long a user without a profile address needs no approval for a first factor."""

from dataclasses import replace

import pytest

from gateway.domain.policy import Registration
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account, User
from gateway.second_factor.enrolments import GRACE_PERIOD, GUARD_LIFE
from tests.second_factor.challenge_harness import ChallengeHarness
from tests.web.sample import TENANT

pytestmark = [pytest.mark.row("GW-27"), pytest.mark.attack("F5")]
GUARDED = replace(TENANT, policy=replace(TENANT.policy, registration=Registration.GUARDED))
OLD = Account(User("u1", "agent1"), True, (), 1, created_at=0.0)


class Scene:
    """One store, and the days that pass."""

    def __init__(self) -> None:
        harness = ChallengeHarness()
        self.clock, self.enrolments = harness.clock, harness.enrolments

    async def opens(self, account: Account = OLD, tenant: Tenant = GUARDED) -> bool:
        """Whether it is open at a login of this user."""
        return await self.enrolments.in_grace_period(tenant, account)


async def test_it_is_open_from_the_first_login_on_for_fourteen_days_to_the_second() -> None:
    scene = Scene()
    assert await scene.opens()
    scene.clock.advance(GRACE_PERIOD - 1)
    assert await scene.opens()
    scene.clock.advance(1)
    assert not await scene.opens()


async def test_it_is_open_for_who_was_made_less_than_fourteen_days_ago() -> None:
    scene = Scene()
    await scene.opens()
    scene.clock.advance(100 * 86400)
    made = scene.clock.now()
    scene.clock.advance(GRACE_PERIOD - 1)
    assert await scene.opens(replace(OLD, created_at=made))
    scene.clock.advance(1)
    assert not await scene.opens(replace(OLD, created_at=made))


async def test_it_opens_not_anew_while_somebody_signs_in_now_and_then() -> None:
    scene = Scene()
    for _ in range(5):
        opens = await scene.opens()
        scene.clock.advance(GUARD_LIFE / 2)
    assert not opens


async def test_the_days_of_one_tenant_are_not_anothers() -> None:
    scene = Scene()
    await scene.opens()
    scene.clock.advance(GRACE_PERIOD)
    assert await scene.opens(tenant=replace(GUARDED, id="other"))


@pytest.mark.parametrize("registration", [Registration.OPEN, Registration.ADMIN_CODE])
async def test_where_nothing_is_guarded_no_day_is_counted(registration: Registration) -> None:
    scene = Scene()
    tenant = replace(TENANT, policy=replace(TENANT.policy, registration=registration))
    await scene.opens(tenant=tenant)
    scene.clock.advance(GRACE_PERIOD)
    assert await scene.opens(tenant=GUARDED)
