"""A tenant with apps alone has nothing to mail a voucher's code by: then only an administrator vouches (GW-27)."""

from dataclasses import replace

import pyotp
import pytest

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method, Registration
from gateway.login.flow import Went
from gateway.login.record import Step
from gateway.settings.presets import PRESETS
from tests.login.world import Browser, World

APP_ALONE = replace(
    PRESETS["efcx"].policy,
    methods=(Method(FactorKind.TOTP),),
    otp_expiry=60,
    otp_max_attempts=5,
    registration=Registration.GUARDED,
)


async def scanned_and_proved(world: World, browser: Browser) -> Went:
    """Anna, who has a verified profile address, sets up an app."""
    await world.start()
    went = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert went.login
    assert went.login.draft
    assert any(contact.verified for contact in went.login.contacts)
    return await browser.act(Step.REGISTER, code=pyotp.TOTP(went.login.draft.secret).at(int(world.clock.now())))


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_a_guarded_app_waits_for_an_administrators_code_where_nothing_can_be_mailed() -> None:
    world = World(APP_ALONE)
    went = await scanned_and_proved(world, Browser(world, "laptop"))
    assert (went.step, went.trouble) == (Step.VERIFY, None)
    assert world.enrolled("anna").enrolments == ()


@pytest.mark.row("GW-27", "CC-16")
async def test_the_administrators_code_then_lets_in() -> None:
    world = World(APP_ALONE)
    browser = Browser(world, "laptop")
    await scanned_and_proved(world, browser)
    code = await world.admin.issue(world.tenant.id, "id-anna", "admin")
    assert (await browser.act(Step.VERIFY, code=code)).step is Step.DONE
    assert world.enrolled("anna").of(FactorKind.TOTP)


@pytest.mark.row("GW-27", "EF-22")
@pytest.mark.attack("F5")
async def test_a_changed_channel_opens_no_registration_to_a_password_alone() -> None:
    world = World(replace(APP_ALONE, registration=Registration.ADMIN_CODE))
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), mailbox)
    went = await scanned_and_proved(world, Browser(world, "laptop"))
    assert (went.step, went.trouble) == (Step.VERIFY, None)
    assert [e.factor for e in world.enrolled("anna").enrolments] == [FactorKind.EMAIL]
