"""Accounts that change during a login: the gateway records neither a new session nor a fresh proof."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.domain.problem import Problem
from gateway.login.record import Act, ActKind
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness, LoginPerson
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

pytestmark = pytest.mark.attack("F16")
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60)


def reset(person: LoginPerson) -> None:
    person.credential_date = (person.credential_date or 0) + 1


def demand(person: LoginPerson) -> None:
    person.due = True


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox."""
    return await with_mailbox(EFCX)


@pytest.mark.parametrize("change", [reset, demand])
async def test_an_account_change_during_a_login_opens_no_session(
    login_harness: LoginHarness, change: Callable[[LoginPerson], None]
) -> None:
    browser = await at_the_code(login_harness)
    change(login_harness.realm.people["anna"])
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.ACCOUNT_CHANGED
    assert await browser.current() is None


@pytest.mark.parametrize("change", [reset, demand])
async def test_an_account_change_during_a_fresh_proof_records_no_proof_in_the_session(
    login_harness: LoginHarness, change: Callable[[LoginPerson], None]
) -> None:
    browser = await at_the_code(login_harness)
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE
    before = await browser.current()
    login_harness.clock.advance(600)
    asked = await browser.begin(Act(ActKind.SHOW_CODES))
    assert asked
    assert asked.step is Step.VERIFY
    change(login_harness.realm.people["anna"])
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.step is Step.STOPPED
    now = await browser.current()
    assert before
    assert now is None or now.proved_at == before.proved_at


async def registers(browser: LoginBrowser, address: str) -> None:
    """Goes to the page for the code of a first address."""
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.REGISTER, address=address)
    assert (await browser.act(Step.CONFIRM, "send")).step is Step.VERIFY


@pytest.mark.parametrize("change", [reset, demand])
async def test_an_account_change_during_an_enrolment_saves_no_address(change: Callable[[LoginPerson], None]) -> None:
    login_harness = LoginHarness(EFCX)
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    await registers(browser, "intruder@example.com")
    change(login_harness.realm.people["anna"])
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed("intruder@example.com"))).step is Step.STOPPED
    assert login_harness.enrolled("anna").enrolments == ()


async def test_the_first_proved_one_of_two_parallel_first_enrolments_is_kept() -> None:
    login_harness = LoginHarness(replace(EFCX, otp_expiry=300))
    await login_harness.start()
    first, second = LoginBrowser(login_harness, "laptop"), LoginBrowser(login_harness, "phone")
    await registers(first, "one@example.com")
    login_harness.clock.advance(61)
    await registers(second, "two@example.com")
    assert (await first.act(Step.VERIFY, code=login_harness.mailed("one@example.com"))).step is Step.DONE
    result = await second.act(Step.VERIFY, code=login_harness.mailed("two@example.com"))
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.ENROLMENT_CHANGED
    assert [e.address for e in login_harness.enrolled("anna").enrolments] == ["one@example.com"]
    assert await second.current() is None


async def test_a_session_that_ended_during_a_fresh_proof_is_not_reopened(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    session = await browser.current()
    assert session
    login_harness.clock.advance(600)
    await browser.begin(Act(ActKind.SHOW_CODES))
    await login_harness.sessions.end(login_harness.tenant, session.id)
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.step is Step.PASSWORD
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.LOGIN_EXPIRED
    assert await browser.current() is None


@pytest.mark.row("GW-46")
async def test_an_act_of_a_user_with_edited_enrolments_is_refused_and_audited(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    login_harness.profile.values["id-anna"] = "edited"
    refused = await browser.begin(Act(ActKind.SHOW_CODES))
    assert refused
    assert refused.problem_detail
    assert refused.problem_detail.problem is Problem.ENROLMENT_UNREADABLE
    assert [line.user for line in login_harness.audit if line.event is AuditEvent.ENROLMENT_TAMPERED] == ["anna"]
