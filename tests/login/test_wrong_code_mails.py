"""Tests of the mail to a user when logins with their correct password fail at the code."""

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.smtp import Message
from gateway.domain.problem import Problem
from gateway.login.login_request import LoginRequest
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, with_mailbox

POLICY = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=900)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox."""
    return await with_mailbox(POLICY)


def wrong(code: str) -> str:
    """Returns another code."""
    return f"{(int(code) + 1) % 10**6:06}"


async def login(login_harness: LoginHarness, *, codes: int = 1, right: bool = False) -> None:
    """Enters the correct password in a new browser, wrong codes, and then the correct one if asked to."""
    login_harness.clock.advance(61)
    browser = LoginBrowser(login_harness, f"b{login_harness.requests}")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    code = login_harness.mailed(MAILBOX.address)
    for _ in range(codes):
        await browser.act(Step.VERIFY, code=wrong(code))
    if right:
        assert (await browser.act(Step.VERIFY, code=code)).step is Step.DONE


async def mails(login_harness: LoginHarness) -> list[Message]:
    """Returns the mails about wrong codes, once those under way are sent."""
    for _ in range(200):
        await asyncio.sleep(0)
    return [message for message in login_harness.mails.messages if message.subject.startswith("Wrong codes")]


async def test_the_third_login_in_a_row_with_a_wrong_code_is_mailed_to_the_user(login_harness: LoginHarness) -> None:
    for _ in range(2):
        await login(login_harness)
    assert not await mails(login_harness)
    await login(login_harness)
    assert [mail.to for mail in await mails(login_harness)] == [MAILBOX.address]
    assert [line.details["change"] for line in login_harness.audit if line.event is AuditEvent.ACCOUNT_CHANGE_MAILED]


async def test_several_wrong_codes_of_one_login_count_once(login_harness: LoginHarness) -> None:
    for _ in range(2):
        await login(login_harness, codes=3)
    assert not await mails(login_harness)


async def test_a_correct_code_resets_the_count(login_harness: LoginHarness) -> None:
    for _ in range(2):
        await login(login_harness)
        await login(login_harness, right=True)
    await login(login_harness)
    assert not await mails(login_harness)


async def test_a_user_gets_one_such_mail_a_day(login_harness: LoginHarness) -> None:
    for _ in range(6):
        await login(login_harness)
    assert len(await mails(login_harness)) == 1
    login_harness.clock.advance(86400)
    for _ in range(3):
        await login(login_harness)
    assert len(await mails(login_harness)) == 2


async def test_the_mail_is_in_the_first_language_of_the_installation(
    login_harness: LoginHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = LoginBrowser.visit

    async def arabic(self: LoginBrowser, *login: object) -> LoginRequest:
        return replace(await visit(self, *login), language="ar")  # type: ignore[arg-type]

    monkeypatch.setattr(LoginBrowser, "visit", arabic)
    for _ in range(3):
        await login(login_harness)
    assert [mail.language for mail in await mails(login_harness)] == ["en"]


async def test_codes_that_expired_count_as_no_wrong_codes() -> None:
    login_harness = await with_mailbox(replace(POLICY, otp_expiry=60))
    for n in range(3):
        browser = LoginBrowser(login_harness, f"b{n}")
        await browser.act(Step.PASSWORD, username="anna", password="right")
        code = login_harness.mailed(MAILBOX.address)
        login_harness.clock.advance(61)
        found = await browser.act(Step.VERIFY, code=code)
        assert found.problem_detail
        assert found.problem_detail.problem is Problem.CODE_EXPIRED
    assert not await mails(login_harness)
