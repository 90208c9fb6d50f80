"""A send is claimed before it is made, and nothing is sent to a locked user: through the whole flow."""

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.mail import NotSent, Sent
from gateway.delivery.message import Message
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.login.record import Step
from gateway.settings.presets import PRESETS
from tests.login.world import CHANNEL, Browser, World

METHODS = (Method(FactorKind.EMAIL, CHANNEL.service_identifier),)
NO_COOLDOWN = replace(PRESETS["efcx"].policy, methods=METHODS, resend_cooldown=0)  # only the claim is in the way


async def with_anna(world: World) -> World:
    """Anna has registered her mailbox."""
    await world.start()
    mailbox = Enrolment(FactorKind.EMAIL, "anna@example.com")
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), mailbox)
    return world


@pytest.mark.parametrize("seed", range(5))
async def test_a_code_asked_for_in_many_tabs_at_once_is_sent_once(seed: int) -> None:
    world = await with_anna(World(NO_COOLDOWN, seed))
    browser = Browser(world, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    login = await browser.login()
    visit = await browser.visit(login)
    assert login
    page = world.flow.pages[Step.VERIFY]
    await asyncio.gather(*(page.act(visit, login, "resend", {}) for _ in range(8)))
    assert len(world.mails.messages) == 2


async def test_a_send_that_failed_may_be_begun_again_at_once() -> None:
    world = await with_anna(World(NO_COOLDOWN))
    browser = Browser(world, "laptop")
    world.mails.refuses = "down"
    await browser.act(Step.PASSWORD, username="anna", password="right")
    world.mails.refuses = ""
    await browser.look()
    assert len(world.mails.messages) == 1


async def test_a_send_of_a_request_that_was_given_up_may_be_begun_again_at_once() -> None:
    world = await with_anna(World(NO_COOLDOWN))
    browser = Browser(world, "laptop")
    send = world.mails.send

    async def given_up(channel: Channel, message: Message) -> Sent | NotSent:
        world.mails.send = send  # type: ignore[method-assign]
        raise asyncio.CancelledError

    world.mails.send = given_up  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert len(world.mails.messages) == 1


@pytest.mark.row("CC-19", "EF-19")
async def test_nothing_is_sent_to_a_locked_user_whatever_he_tries() -> None:
    strict = replace(PRESETS["cloudcx"].policy, methods=METHODS, resend_cooldown=0)
    world = await with_anna(World(strict))
    browser = Browser(world, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    for _ in range(5):
        await browser.act(Step.VERIFY, code="000000")
    sent = len(world.mails.messages)
    for other in (browser, Browser(world, "phone"), Browser(world, "kiosk")):
        await other.act(Step.PASSWORD, username="anna", password="right")
        for action in ("send", "resend"):
            await other.act(Step.VERIFY, action)
    assert len(world.mails.messages) == sent
