"""Tests through the whole flow that a send is claimed first, and that no code is sent to a locked user."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.delivery.smtp import Message, NotSent, Sent
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem
from gateway.login.state_machine import Step, state_of
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import CHANNEL, LoginBrowser, LoginHarness

METHODS = (Method(FactorKind.EMAIL, CHANNEL.service_identifier),)
NO_COOLDOWN = replace(
    PRESETS["efcx"].policy, methods=METHODS, resend_cooldown=0
)  # only the claim prevents a second send


async def with_anna(login_harness: LoginHarness) -> LoginHarness:
    """Anna has enrolled her mailbox."""
    await login_harness.start()
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), mailbox)
    return login_harness


@pytest.mark.parametrize("seed", range(5))
async def test_a_code_requested_in_many_parallel_tabs_is_sent_once(seed: int) -> None:
    login_harness = await with_anna(LoginHarness(NO_COOLDOWN, seed))
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    login = await browser.login()
    visit = await browser.visit(login)
    assert login
    page = login_harness.flow.pages[Step.VERIFY]
    await asyncio.gather(*(page.act(visit, state_of(login), "resend", {}) for _ in range(8)))
    assert len(login_harness.mails.messages) == 2


async def test_a_failed_send_may_be_retried_at_once() -> None:
    login_harness = await with_anna(LoginHarness(NO_COOLDOWN))
    browser = LoginBrowser(login_harness, "laptop")
    login_harness.mails.refuses = "down"
    await browser.act(Step.PASSWORD, username="anna", password="right")
    login_harness.mails.refuses = ""
    await browser.look()
    assert len(login_harness.mails.messages) == 1


async def test_a_send_of_a_cancelled_request_may_be_retried_at_once() -> None:
    login_harness = await with_anna(LoginHarness(NO_COOLDOWN))
    browser = LoginBrowser(login_harness, "laptop")
    send = login_harness.mails.send

    async def cancelled(channel: Channel, message: Message) -> Sent | NotSent:
        login_harness.mails.send = send  # type: ignore[method-assign]
        raise asyncio.CancelledError

    login_harness.mails.send = cancelled  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert len(login_harness.mails.messages) == 1


@pytest.mark.row("CC-19", "EF-19")
async def test_no_code_is_sent_to_a_locked_user_for_any_request() -> None:
    strict = replace(PRESETS["cloudcx"].policy, methods=METHODS, resend_cooldown=0)
    login_harness = await with_anna(LoginHarness(strict))
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    for _ in range(5):
        await browser.act(Step.VERIFY, code="000000")
    sent = len(login_harness.mails.messages)
    for other in (browser, LoginBrowser(login_harness, "phone"), LoginBrowser(login_harness, "kiosk")):
        await other.act(Step.PASSWORD, username="anna", password="right")
        for action in ("send", "resend"):
            await other.act(Step.VERIFY, action)
    assert len(login_harness.mails.messages) == sent


# ------------------------------------------------------------------ "Not you?" and the same user again


async def with_a_sent_code(**changes: Any) -> tuple[LoginHarness, LoginBrowser]:
    """EFCX by e-mail: Anna gets a code, and cancels the login."""
    policy = replace(PRESETS["efcx"].policy, methods=METHODS, otp_expiry=300, **changes)
    harness = await with_anna(LoginHarness(policy))
    browser = LoginBrowser(harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.VERIFY, "cancel")
    return harness, browser


async def test_after_a_cancel_the_code_that_was_just_sent_still_signs_the_same_user_in() -> None:
    harness, browser = await with_a_sent_code()
    again = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert (again.step, again.problem_detail) == (Step.VERIFY, None)
    assert len(harness.mails.messages) == 1
    assert (await browser.act(Step.VERIFY, code=harness.mailed("anna@example.com"))).step is Step.DONE


async def test_after_a_cancel_wrong_codes_still_count_for_the_same_code() -> None:
    harness, browser = await with_a_sent_code(otp_max_attempts=2)
    for _ in range(2):
        await browser.act(Step.PASSWORD, username="anna", password="right")
        await browser.act(Step.VERIFY, code="000000")
        await browser.act(Step.VERIFY, "cancel")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    refused = await browser.act(Step.VERIFY, code=harness.mailed("anna@example.com"))
    assert refused.step is Step.VERIFY
    assert refused.problem_detail
    assert refused.problem_detail.problem is Problem.LIMIT_EXCEEDED


async def test_after_a_cancel_another_browser_has_to_wait_for_a_code_of_its_own() -> None:
    harness, _ = await with_a_sent_code()
    other = LoginBrowser(harness, "phone")
    waits = await other.act(Step.PASSWORD, username="anna", password="right")
    assert waits.problem_detail
    assert waits.problem_detail.problem is Problem.WAIT
    refused = await other.act(Step.VERIFY, code=harness.mailed("anna@example.com"))
    assert refused.step is Step.VERIFY


async def test_after_a_cancel_and_the_end_of_the_code_a_new_one_is_sent() -> None:
    harness, browser = await with_a_sent_code()
    harness.clock.advance(301)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert len(harness.mails.messages) == 2


async def test_after_a_cancel_at_the_maximum_of_codes_the_user_starts_over() -> None:
    harness, browser = await with_a_sent_code(max_sends=1)
    harness.clock.advance(61)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert len(harness.mails.messages) == 2
