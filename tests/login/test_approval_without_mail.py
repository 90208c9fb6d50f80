"""A tenant with apps alone cannot mail an approval code, so only an administrator approves."""

from dataclasses import replace

import pyotp
import pytest

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method, Registration
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness

APP_ALONE = replace(
    PRESETS["efcx"].policy,
    methods=(Method(FactorKind.TOTP),),
    otp_expiry=60,
    otp_max_attempts=5,
    registration=Registration.GUARDED,
)


async def scanned_and_proved(login_harness: LoginHarness, browser: LoginBrowser) -> FlowResult:
    """Sets up an app as Anna, who has a verified profile address."""
    await login_harness.start()
    result = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert result.login
    assert result.login.enrolling.draft
    assert any(contact.verified for contact in result.login.contacts)
    return await browser.act(
        Step.REGISTER, code=pyotp.TOTP(result.login.enrolling.draft.secret).at(int(login_harness.clock.now()))
    )


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_a_guarded_app_enrolment_needs_an_administrators_code_where_no_mail_can_be_sent() -> None:
    login_harness = LoginHarness(APP_ALONE)
    result = await scanned_and_proved(login_harness, LoginBrowser(login_harness, "laptop"))
    assert (result.step, result.problem_detail) == (Step.VERIFY, None)
    assert login_harness.enrolled("anna").enrolments == ()


@pytest.mark.row("GW-27", "CC-16")
async def test_an_administrators_code_completes_a_guarded_app_enrolment_without_mail() -> None:
    login_harness = LoginHarness(APP_ALONE)
    browser = LoginBrowser(login_harness, "laptop")
    await scanned_and_proved(login_harness, browser)
    code = await login_harness.admin.issue(login_harness.tenant.id, "id-anna", "admin")
    assert (await browser.act(Step.VERIFY, code=code)).step is Step.DONE
    assert login_harness.enrolled("anna").of(FactorKind.TOTP)


@pytest.mark.row("GW-27", "EF-22")
@pytest.mark.attack("F5")
async def test_after_a_changed_channel_the_password_alone_cannot_enrol_a_factor() -> None:
    login_harness = LoginHarness(replace(APP_ALONE, registration=Registration.ADMIN_CODE))
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), mailbox)
    result = await scanned_and_proved(login_harness, LoginBrowser(login_harness, "laptop"))
    assert (result.step, result.problem_detail) == (Step.VERIFY, None)
    assert [e.factor for e in login_harness.enrolled("anna").enrolments] == [FactorKind.EMAIL]


@pytest.mark.row("GW-27")
async def test_an_enrolment_needs_no_approval_where_the_tenant_turned_2fa_off_during_the_login() -> None:
    login_harness = LoginHarness(replace(APP_ALONE, registration=Registration.OPEN))
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    result = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert result.login
    assert result.login.enrolling.draft
    off = replace(APP_ALONE, enabled=False, registration=Registration.ADMIN_CODE)
    login_harness.tenant = replace(login_harness.tenant, policy=off)
    result = await browser.act(Step.REGISTER, code=login_harness.code_of(result.login.enrolling.draft.secret))
    assert result.step is Step.DONE
    assert login_harness.enrolled("anna").of(FactorKind.TOTP)
