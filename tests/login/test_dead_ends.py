"""No user is stuck on the code page: codes without a message are accepted while no message can be sent."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.configuration import OperatorLimits
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import CHANNEL, LoginBrowser, LoginHarness

METHODS = (Method(FactorKind.EMAIL, CHANNEL.service_identifier), Method(FactorKind.TOTP))
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=METHODS)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """CloudCX; Anna has e-mail and backup codes; no relay accepts a mail."""
    login_harness = LoginHarness(CLOUDCX)
    await login_harness.start()
    codes = backup_code.make(10, login_harness.random)
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), mailbox, codes)
    login_harness.mails.refuses = "down"
    return login_harness


async def on_the_code_page(login_harness: LoginHarness) -> tuple[LoginBrowser, FlowResult]:
    browser = LoginBrowser(login_harness, "laptop")
    return browser, await browser.act(Step.PASSWORD, username="anna", password="right")


@pytest.mark.row("CC-08")
async def test_a_code_that_could_not_be_sent_leaves_the_code_page(login_harness: LoginHarness) -> None:
    _, result = await on_the_code_page(login_harness)
    assert result.step is Step.VERIFY
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.SEND_FAILED


@pytest.mark.row("CC-08", "CC-13")
async def test_a_backup_code_signs_in_while_no_mail_can_be_sent(login_harness: LoginHarness) -> None:
    browser, _ = await on_the_code_page(login_harness)
    result = await browser.act(Step.VERIFY, code=login_harness.enrolled("anna").backup_codes[0])
    assert result.step is Step.DONE
    assert await browser.current()


@pytest.mark.row("CC-08", "CC-16")
async def test_an_administrators_code_signs_in_while_no_mail_can_be_sent(login_harness: LoginHarness) -> None:
    browser, _ = await on_the_code_page(login_harness)
    code = await login_harness.admin.issue(login_harness.tenant.id, "id-anna", "admin")
    assert (await browser.act(Step.VERIFY, code=code)).step is Step.DONE


@pytest.mark.row("CC-17", "CC-19")
async def test_failed_attempts_are_counted_while_no_mail_can_be_sent(login_harness: LoginHarness) -> None:
    browser, _ = await on_the_code_page(login_harness)
    reported = [await browser.act(Step.VERIFY, code="000000") for _ in range(4)]
    assert [w.problem_detail.problem for w in reported if w.problem_detail] == [Problem.WRONG_CODE] * 2 + [
        Problem.WARNING
    ] * 2
    assert (await browser.act(Step.VERIFY, code="000000")).step is Step.STOPPED


async def test_a_mail_that_could_not_be_sent_is_sent_on_request_later(login_harness: LoginHarness) -> None:
    browser, _ = await on_the_code_page(login_harness)
    await browser.act(Step.VERIFY, code="000000")
    login_harness.mails.refuses = ""
    await browser.act(Step.VERIFY, "send")
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))).step is Step.DONE


async def in_the_cooldown(login_harness: LoginHarness) -> tuple[LoginBrowser, FlowResult]:
    """Anna got a code on her phone; now she signs in on her laptop."""
    login_harness.mails.refuses = ""
    await LoginBrowser(login_harness, "phone").act(Step.PASSWORD, username="anna", password="right")
    return await on_the_code_page(login_harness)


@pytest.mark.row("CC-08")
async def test_a_backup_code_signs_in_while_the_next_mail_has_to_wait(login_harness: LoginHarness) -> None:
    browser, waits = await in_the_cooldown(login_harness)
    assert waits.problem_detail == ProblemDetail(Problem.WAIT, login_harness.clock.now() + 60)
    result = await browser.act(Step.VERIFY, code=login_harness.enrolled("anna").backup_codes[0])
    assert result.step is Step.DONE


async def test_after_the_wait_the_page_sends_the_code_by_itself(login_harness: LoginHarness) -> None:
    browser, _ = await in_the_cooldown(login_harness)
    until = login_harness.clock.now() + 60
    login_harness.clock.advance(30)
    assert (await browser.look()).problem_detail == ProblemDetail(Problem.WAIT, until)
    assert len(login_harness.mails.messages) == 1
    login_harness.clock.advance(30)
    assert (await browser.look()).problem_detail is None
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))).step is Step.DONE


async def test_where_only_a_mailed_code_is_accepted_no_entry_is_judged_before_one_is_sent() -> None:
    login_harness = LoginHarness(replace(PRESETS["efcx"].policy, methods=METHODS[:1]))
    await login_harness.start()
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), mailbox)
    login_harness.mails.refuses = "down"
    browser, _ = await on_the_code_page(login_harness)
    result = await browser.act(Step.VERIFY, code="000000")
    assert result.step is Step.VERIFY
    assert not [line for line in login_harness.audit if line.event.value.startswith("code.")]


# ------------------------------------------------------------------ no more codes in this login


async def with_one_send(**changes: Any) -> tuple[LoginHarness, LoginBrowser]:
    """EFCX with one code for each login, which was sent."""
    login_harness = LoginHarness(
        replace(PRESETS["efcx"].policy, methods=METHODS[:1], max_sends=1, otp_expiry=300, **changes)
    )
    await login_harness.start()
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), mailbox)
    browser, _ = await on_the_code_page(login_harness)
    return login_harness, browser


@pytest.mark.row("EF-17")
async def test_an_invalidated_code_without_further_sends_stops_the_login() -> None:
    login_harness, browser = await with_one_send(otp_max_attempts=2)
    for _ in range(2):
        await browser.act(Step.VERIFY, code="000000")
    login_harness.clock.advance(61)
    result = await browser.act(Step.VERIFY, "resend")
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.MAX_SENDS


@pytest.mark.row("EF-19")
async def test_a_login_without_further_sends_names_the_cooldown_and_no_longer_wait() -> None:
    login_harness, browser = await with_one_send()
    login_harness.clock.advance(300)
    result = await browser.act(Step.VERIFY, "resend")
    assert result.problem_detail == ProblemDetail(Problem.MAX_SENDS, login_harness.clock.now() + 60)


async def test_after_the_cooldown_a_new_login_gets_a_code() -> None:
    login_harness, browser = await with_one_send()
    login_harness.clock.advance(301)
    await browser.act(Step.VERIFY, "resend")
    login_harness.clock.advance(60)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))).step is Step.DONE


async def test_a_valid_code_is_accepted_although_no_further_code_may_be_sent() -> None:
    login_harness, browser = await with_one_send()
    login_harness.clock.advance(61)
    refused = await browser.act(Step.VERIFY, "resend")
    assert (refused.step, refused.problem_detail) == (Step.VERIFY, ProblemDetail(Problem.MAX_SENDS))
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))).step is Step.DONE


async def test_a_backup_code_is_accepted_although_no_further_mail_may_be_sent(login_harness: LoginHarness) -> None:
    login_harness.mails.refuses = ""
    login_harness.tenant = replace(login_harness.tenant, policy=replace(CLOUDCX, max_sends=1, resend_cooldown=60))
    browser, _ = await on_the_code_page(login_harness)
    login_harness.clock.advance(CLOUDCX.otp_expiry + 61)
    refused = await browser.act(Step.VERIFY, "resend")
    assert (refused.step, refused.problem_detail) == (Step.VERIFY, ProblemDetail(Problem.MAX_SENDS))
    assert (await browser.act(Step.VERIFY, code=login_harness.enrolled("anna").backup_codes[0])).step is Step.DONE


async def test_a_backup_code_is_accepted_for_a_user_who_reached_the_hourly_send_limit(
    login_harness: LoginHarness,
) -> None:
    login_harness.mails.refuses = ""
    for n in range(OperatorLimits().sends_per_user):
        await LoginBrowser(login_harness, f"browser {n}").act(Step.PASSWORD, username="anna", password="right")
        login_harness.clock.advance(CLOUDCX.resend_cooldown)
    browser, result = await on_the_code_page(login_harness)
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.MAX_SENDS
    assert (await browser.act(Step.VERIFY, code=login_harness.enrolled("anna").backup_codes[0])).step is Step.DONE


async def test_a_valid_code_is_accepted_although_the_next_one_could_not_be_sent(login_harness: LoginHarness) -> None:
    login_harness.mails.refuses = ""
    browser, _ = await on_the_code_page(login_harness)
    login_harness.clock.advance(CLOUDCX.resend_cooldown)
    login_harness.mails.refuses = "down"
    await browser.act(Step.VERIFY, "resend")
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))).step is Step.DONE
