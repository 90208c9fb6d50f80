"""Nobody is stuck on the code page: what can be typed without a message is taken while no message can be sent."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem, Trouble
from gateway.login.flow import Went
from gateway.login.record import Step
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from gateway.settings.snapshot import OperatorLimits
from tests.login.world import CHANNEL, Browser, World

METHODS = (Method(FactorKind.EMAIL, CHANNEL.service_identifier), Method(FactorKind.TOTP))
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=METHODS)


@pytest.fixture
async def world() -> World:
    """CloudCX; Anna has e-mail and backup codes; no relay takes a mail."""
    world = World(CLOUDCX)
    await world.start()
    codes = backup_code.make(10, world.chance)
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), mailbox, codes)
    world.mails.refuses = "down"
    return world


async def on_the_code_page(world: World) -> tuple[Browser, Went]:
    browser = Browser(world, "laptop")
    return browser, await browser.act(Step.PASSWORD, username="anna", password="right")


@pytest.mark.row("CC-08")
async def test_a_code_that_could_not_be_sent_leaves_the_code_page(world: World) -> None:
    _, went = await on_the_code_page(world)
    assert went.step is Step.VERIFY
    assert went.trouble
    assert went.trouble.problem is Problem.SEND_FAILED


@pytest.mark.row("CC-08", "CC-13")
async def test_a_backup_code_signs_in_while_no_mail_can_be_sent(world: World) -> None:
    browser, _ = await on_the_code_page(world)
    went = await browser.act(Step.VERIFY, code=world.enrolled("anna").backup_codes[0])
    assert went.step is Step.DONE
    assert await browser.current()


@pytest.mark.row("CC-08", "CC-16")
async def test_an_administrators_code_signs_in_while_no_mail_can_be_sent(world: World) -> None:
    browser, _ = await on_the_code_page(world)
    code = await world.admin.issue(world.tenant.id, "id-anna", "admin")
    assert (await browser.act(Step.VERIFY, code=code)).step is Step.DONE


@pytest.mark.row("CC-17", "CC-19")
async def test_what_is_typed_while_no_mail_can_be_sent_counts_as_ever(world: World) -> None:
    browser, _ = await on_the_code_page(world)
    told = [await browser.act(Step.VERIFY, code="000000") for _ in range(4)]
    assert [w.trouble.problem for w in told if w.trouble] == [Problem.WRONG_CODE] * 2 + [Problem.WARNING] * 2
    assert (await browser.act(Step.VERIFY, code="000000")).step is Step.STOPPED


async def test_a_mail_that_could_not_be_sent_is_sent_on_request_later(world: World) -> None:
    browser, _ = await on_the_code_page(world)
    await browser.act(Step.VERIFY, code="000000")
    world.mails.refuses = ""
    await browser.act(Step.VERIFY, "send")
    assert (await browser.act(Step.VERIFY, code=world.mailed("anna@example.com"))).step is Step.DONE


async def test_where_only_a_mailed_code_counts_nothing_typed_is_judged_before_one_was_sent() -> None:
    world = World(replace(PRESETS["efcx"].policy, methods=METHODS[:1]))
    await world.start()
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), mailbox)
    world.mails.refuses = "down"
    browser, _ = await on_the_code_page(world)
    went = await browser.act(Step.VERIFY, code="000000")
    assert went.step is Step.VERIFY
    assert not [line for line in world.audit if line.event.value.startswith("code.")]


# ------------------------------------------------------------------ no more codes in this login


async def with_one_send(**changes: Any) -> tuple[World, Browser]:
    """EFCX with one code a login; it went out."""
    world = World(replace(PRESETS["efcx"].policy, methods=METHODS[:1], max_sends=1, otp_expiry=300, **changes))
    await world.start()
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), mailbox)
    browser, _ = await on_the_code_page(world)
    return world, browser


@pytest.mark.row("EF-17")
async def test_a_code_that_is_dead_keeps_no_login_alive_that_may_send_no_more() -> None:
    world, browser = await with_one_send(otp_max_attempts=2)
    for _ in range(2):
        await browser.act(Step.VERIFY, code="000000")
    world.clock.advance(61)
    went = await browser.act(Step.VERIFY, "resend")
    assert went.step is Step.STOPPED
    assert went.trouble
    assert went.trouble.problem is Problem.MAX_SENDS


@pytest.mark.row("EF-19")
async def test_a_login_that_may_send_no_more_tells_nobody_to_come_back_tomorrow() -> None:
    world, browser = await with_one_send()
    world.clock.advance(300)
    went = await browser.act(Step.VERIFY, "resend")
    assert went.trouble == Trouble(Problem.MAX_SENDS, world.clock.now() + 60)


async def test_after_that_wait_a_new_login_gets_its_code() -> None:
    world, browser = await with_one_send()
    world.clock.advance(301)
    await browser.act(Step.VERIFY, "resend")
    world.clock.advance(60)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert (await browser.act(Step.VERIFY, code=world.mailed("anna@example.com"))).step is Step.DONE


async def test_a_live_code_is_good_though_no_other_may_be_sent() -> None:
    world, browser = await with_one_send()
    world.clock.advance(61)
    refused = await browser.act(Step.VERIFY, "resend")
    assert (refused.step, refused.trouble) == (Step.VERIFY, Trouble(Problem.MAX_SENDS))
    assert (await browser.act(Step.VERIFY, code=world.mailed("anna@example.com"))).step is Step.DONE


async def test_a_backup_code_signs_in_though_no_other_mail_may_be_sent(world: World) -> None:
    world.mails.refuses = ""
    world.tenant = replace(world.tenant, policy=replace(CLOUDCX, max_sends=1, resend_cooldown=60))
    browser, _ = await on_the_code_page(world)
    world.clock.advance(CLOUDCX.otp_expiry + 61)
    refused = await browser.act(Step.VERIFY, "resend")
    assert (refused.step, refused.trouble) == (Step.VERIFY, Trouble(Problem.MAX_SENDS))
    assert (await browser.act(Step.VERIFY, code=world.enrolled("anna").backup_codes[0])).step is Step.DONE


async def test_a_backup_code_signs_in_who_may_be_sent_no_mail_for_an_hour(world: World) -> None:
    world.mails.refuses = ""
    for n in range(OperatorLimits().sends_per_user):
        await Browser(world, f"browser {n}").act(Step.PASSWORD, username="anna", password="right")
        world.clock.advance(CLOUDCX.resend_cooldown)
    browser, went = await on_the_code_page(world)
    assert went.trouble
    assert went.trouble.problem is Problem.MAX_SENDS
    assert (await browser.act(Step.VERIFY, code=world.enrolled("anna").backup_codes[0])).step is Step.DONE


async def test_a_live_code_is_good_though_the_next_one_could_not_be_sent(world: World) -> None:
    world.mails.refuses = ""
    browser, _ = await on_the_code_page(world)
    world.clock.advance(CLOUDCX.resend_cooldown)
    world.mails.refuses = "down"
    await browser.act(Step.VERIFY, "resend")
    assert (await browser.act(Step.VERIFY, code=world.mailed("anna@example.com"))).step is Step.DONE
