"""Directories that do not tell when a password was set: the gateway asks for more, never for less."""

from dataclasses import replace

import pytest

from gateway.domain.problem import Problem
from gateway.login.record import Act, ActKind
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

pytestmark = pytest.mark.attack("F16")
POLICY = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=900, trust_browser_days=30)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox, and a password without a date."""
    login_harness = await with_mailbox(POLICY)
    login_harness.realm.people["anna"].credential_date = None
    return login_harness


async def enter_code(login_harness: LoginHarness, browser: LoginBrowser) -> Step:
    """Enters the mailed code and asks for a trusted browser; returns the step that follows."""
    return (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address), remember="on")).step


async def test_a_browser_is_not_trusted(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    assert await enter_code(login_harness, browser) is Step.DONE
    assert browser.trust == ""


async def test_a_browser_is_trusted_where_the_password_has_a_date(login_harness: LoginHarness) -> None:
    login_harness.realm.people["anna"].credential_date = 1
    browser = await at_the_code(login_harness)
    assert await enter_code(login_harness, browser) is Step.DONE
    assert browser.trust


async def test_trust_ends_when_the_directory_stops_reporting_a_date(login_harness: LoginHarness) -> None:
    anna = login_harness.realm.people["anna"]
    anna.credential_date = 1
    browser = await at_the_code(login_harness)
    await enter_code(login_harness, browser)
    anna.credential_date = None
    browser.session = ""
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY


@pytest.mark.parametrize(("seconds", "step"), [(599, Step.DONE), (600, Step.STOPPED)])
async def test_a_sign_in_must_end_within_ten_minutes(login_harness: LoginHarness, seconds: int, step: Step) -> None:
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(seconds)
    assert await enter_code(login_harness, browser) is step


async def test_a_sign_in_that_took_too_long_asks_to_start_again(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(600)
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.LOGIN_EXPIRED
    assert await browser.current() is None


async def test_an_act_of_the_account_page_must_end_within_ten_minutes(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    await enter_code(login_harness, browser)
    login_harness.clock.advance(900)
    await browser.begin(Act(ActKind.SHOW_CODES))
    login_harness.clock.advance(599)
    assert await enter_code(login_harness, browser) is Step.DONE
    await browser.begin(Act(ActKind.SHOW_CODES))
    login_harness.clock.advance(600)
    assert await enter_code(login_harness, browser) is Step.STOPPED


async def test_a_correct_password_begins_a_login_instead_of_continuing_an_older_one(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    before = await browser.login()
    await browser.act(Step.PASSWORD, username="anna", password="right")
    after = await browser.login()
    assert before
    assert after
    assert before.id != after.id
