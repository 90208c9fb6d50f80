"""An account that changed while a login was under way: neither a new session nor a fresh proof comes of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem
from gateway.login.record import Purpose, Step
from gateway.settings.presets import PRESETS
from tests.login.world import CHANNEL, Browser, Person, World

pytestmark = pytest.mark.attack("F16")
EMAIL = Method(FactorKind.EMAIL, CHANNEL.service_identifier)
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60)
MAILBOX = Enrolment(FactorKind.EMAIL, "anna@example.com")


def reset(person: Person) -> None:
    person.credential_date += 1


def demand(person: Person) -> None:
    person.due = True


@pytest.fixture
async def world() -> World:
    """Anna has a mailbox."""
    world = World(EFCX)
    await world.start()
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), MAILBOX)
    return world


async def at_the_code(world: World) -> Browser:
    browser = Browser(world, "laptop")
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
    return browser


@pytest.mark.parametrize("change", [reset, demand])
async def test_no_session_is_opened(world: World, change: Callable[[Person], None]) -> None:
    browser = await at_the_code(world)
    change(world.realm.people["anna"])
    went = await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))
    assert went.step is Step.STOPPED
    assert went.trouble
    assert went.trouble.problem is Problem.ACCOUNT_CHANGED
    assert await browser.current() is None


@pytest.mark.parametrize("change", [reset, demand])
async def test_no_fresh_proof_is_noted_in_a_session(world: World, change: Callable[[Person], None]) -> None:
    browser = await at_the_code(world)
    assert (await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))).step is Step.DONE
    before = await browser.current()
    world.clock.advance(600)
    asked = await browser.within(Purpose.STEP_UP)
    assert asked
    assert asked.step is Step.VERIFY
    change(world.realm.people["anna"])
    went = await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))
    assert went.step is Step.STOPPED
    now = await browser.current()
    assert before
    assert now is None or now.proved_at == before.proved_at
