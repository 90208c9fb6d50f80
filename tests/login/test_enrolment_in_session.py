"""Enrolments inside a session: the proof that they began with must be recent when they are saved."""

from dataclasses import replace

from gateway.domain.policy import EnrolmentRule, FactorKind
from gateway.domain.problem import Problem
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

POLICY = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=900)
NEW = "new@example.com"


async def enrol(login_harness: LoginHarness, seconds: float) -> FlowResult:
    """Enrols a new address in Anna's session; its code is entered that long after her own proof."""
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    login_harness.clock.advance(61)
    await browser.enrol(FactorKind.EMAIL)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    login_harness.clock.advance(600)
    await browser.act(Step.REGISTER, address=NEW)
    await browser.act(Step.CONFIRM)
    login_harness.clock.advance(seconds - 600)
    return await browser.act(Step.VERIFY, code=login_harness.mailed(NEW))


async def test_an_enrolment_is_saved_within_fifteen_minutes_of_the_own_proof() -> None:
    login_harness = await with_mailbox(POLICY)
    assert (await enrol(login_harness, 899)).step is Step.DONE
    assert [one.address for one in login_harness.enrolled("anna").enrolments] == [NEW]


async def test_an_enrolment_is_not_saved_later() -> None:
    login_harness = await with_mailbox(POLICY)
    result = await enrol(login_harness, 900)
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.LOGIN_EXPIRED
    assert [one.address for one in login_harness.enrolled("anna").enrolments] == [MAILBOX.address]


async def test_the_password_of_a_user_without_a_factor_is_such_a_proof_however_old_the_session_is() -> None:
    login_harness = LoginHarness(replace(POLICY, enrolment=EnrolmentRule.OPTIONAL))
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.DONE
    login_harness.clock.advance(1000)
    await browser.enrol(FactorKind.EMAIL)
    await browser.act(Step.PASSWORD, password="right")
    await browser.act(Step.REGISTER, address=NEW)
    await browser.act(Step.CONFIRM)
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(NEW))).step is Step.DONE
