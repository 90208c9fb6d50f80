"""Confirmations for the administration pages: a factor of the user's own, verified inside the session."""

from dataclasses import replace

import pytest

from gateway.domain.policy import EnrolmentRule
from gateway.domain.problem import Problem
from gateway.domain.session import CONFIRMED_FOR
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

pytestmark = [pytest.mark.row("GW-16"), pytest.mark.attack("F1")]
POLICY = replace(PRESETS["efcx"].policy, methods=(EMAIL,), admin_codes=True, trust_browser_days=30)


async def signed_in() -> LoginBrowser:
    """Returns the browser of a user who signed in with a code by e-mail."""
    harness = await with_mailbox(POLICY)
    browser = await at_the_code(harness)
    await browser.act(Step.VERIFY, code=harness.mailed(MAILBOX.address))
    harness.clock.advance(61)
    return browser


async def confirmed(browser: LoginBrowser) -> bool:
    """Returns whether the session of this browser may change something now."""
    session = await browser.current()
    assert session
    return session.confirmed(browser.login_harness.clock.now())


async def code_of_administrator(browser: LoginBrowser) -> str:
    """Returns a new code for Anna."""
    codes = browser.login_harness.services.admin_codes
    return await codes.issue(browser.login_harness.tenant.id, "id-anna", "Sara")


async def test_a_sign_in_with_a_code_is_no_confirmation() -> None:
    assert not await confirmed(await signed_in())


async def test_a_code_verified_for_the_administration_confirms_for_five_minutes() -> None:
    browser = await signed_in()
    await browser.confirm()
    assert (await browser.act(Step.VERIFY, code=browser.login_harness.mailed(MAILBOX.address))).step is Step.DONE
    assert await confirmed(browser)
    browser.login_harness.clock.advance(CONFIRMED_FOR)
    assert not await confirmed(browser)


async def test_a_proof_for_a_stricter_app_is_no_confirmation() -> None:
    browser = await signed_in()
    await browser.step_up()
    await browser.act(Step.VERIFY, code=browser.login_harness.mailed(MAILBOX.address))
    assert not await confirmed(browser)


async def test_a_user_without_a_factor_is_stopped_whatever_their_password() -> None:
    harness = LoginHarness(replace(POLICY, enrolment=EnrolmentRule.OPTIONAL))
    await harness.start()
    browser = LoginBrowser(harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    result = await browser.confirm()
    assert result
    assert result.step is Step.STOPPED
    assert result.state
    assert result.state.problem_detail
    assert result.state.problem_detail.problem is Problem.FACTOR_NEEDED


@pytest.mark.attack("F19")
async def test_a_code_of_an_administrator_confirms_nothing() -> None:
    browser = await signed_in()
    await browser.confirm()
    result = await browser.act(Step.VERIFY, code=await code_of_administrator(browser))
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.WRONG_CODE
    assert not await confirmed(browser)


@pytest.mark.row("NX-08")
@pytest.mark.attack("F19")
async def test_a_session_opened_by_a_code_of_an_administrator_is_assisted_and_trusts_no_browser() -> None:
    browser = await at_the_code(await with_mailbox(POLICY))
    await browser.act(Step.VERIFY, code=await code_of_administrator(browser), remember="yes")
    session = await browser.current()
    assert session
    assert session.assisted
    assert not browser.trust


@pytest.mark.row("NX-08")
async def test_a_session_of_the_users_own_code_is_not_assisted() -> None:
    session = await (await signed_in()).current()
    assert session
    assert not session.assisted
