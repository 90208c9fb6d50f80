"""How long a user without a profile address needs no approval for a first factor."""

from dataclasses import replace

import pytest

from gateway.domain.policy import Registration
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account, User
from gateway.second_factor.enrolment_grace_period import KEPT, OPEN_FOR, EnrolmentGracePeriod
from gateway.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.web.sample import TENANT

pytestmark = [pytest.mark.row("GW-27"), pytest.mark.attack("F5")]
GUARDED = replace(TENANT, policy=replace(TENANT.policy, registration=Registration.GUARDED))
OLD = Account(User("u1", "agent1"), True, (), 1, created_at=0.0)


class Scene:
    """One store, and the days that pass."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.window = EnrolmentGracePeriod(MemoryStore(self.clock), self.clock)

    async def opens(self, account: Account = OLD, tenant: Tenant = GUARDED) -> bool:
        """Whether it is open at a login of this user."""
        return await self.window.is_open(tenant, account)


async def test_it_is_open_from_the_first_login_on_for_fourteen_days_to_the_second() -> None:
    scene = Scene()
    assert await scene.opens()
    scene.clock.advance(OPEN_FOR - 1)
    assert await scene.opens()
    scene.clock.advance(1)
    assert not await scene.opens()


async def test_it_is_open_for_who_was_made_less_than_fourteen_days_ago() -> None:
    scene = Scene()
    await scene.opens()
    scene.clock.advance(100 * 86400)
    made = scene.clock.now()
    scene.clock.advance(OPEN_FOR - 1)
    assert await scene.opens(replace(OLD, created_at=made))
    scene.clock.advance(1)
    assert not await scene.opens(replace(OLD, created_at=made))


async def test_it_opens_not_anew_while_somebody_signs_in_now_and_then() -> None:
    scene = Scene()
    for _ in range(5):
        opens = await scene.opens()
        scene.clock.advance(KEPT / 2)
    assert not opens


async def test_the_days_of_one_tenant_are_not_anothers() -> None:
    scene = Scene()
    await scene.opens()
    scene.clock.advance(OPEN_FOR)
    assert await scene.opens(tenant=replace(GUARDED, id="other"))


@pytest.mark.parametrize("registration", [Registration.OPEN, Registration.ADMIN_CODE])
async def test_where_nothing_is_guarded_no_day_is_counted(registration: Registration) -> None:
    scene = Scene()
    tenant = replace(TENANT, policy=replace(TENANT.policy, registration=registration))
    await scene.opens(tenant=tenant)
    scene.clock.advance(OPEN_FOR)
    assert await scene.opens(tenant=GUARDED)
