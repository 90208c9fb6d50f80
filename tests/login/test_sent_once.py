"""Tests through the whole flow that a send is claimed first, and that no code is sent to a locked user."""

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.smtp import Message, NotSent, Sent
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
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
