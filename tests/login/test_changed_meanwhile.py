"""An account that changed while a login was under way: neither a new session nor a fresh proof comes of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.domain.problem import Problem
from gateway.login.record import Act, ActKind, Step
from gateway.settings.presets import PRESETS
from tests.login.anna import EMAIL, MAILBOX, at_the_code, with_mailbox
from tests.login.world import Browser, Person, World

pytestmark = pytest.mark.attack("F16")
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60)


def reset(person: Person) -> None:
    person.credential_date = (person.credential_date or 0) + 1


def demand(person: Person) -> None:
    person.due = True


@pytest.fixture
async def world() -> World:
    """Anna has a mailbox."""
    return await with_mailbox(EFCX)


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
    asked = await browser.begin(Act(ActKind.SHOW_CODES))
    assert asked
    assert asked.step is Step.VERIFY
    change(world.realm.people["anna"])
    went = await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))
    assert went.step is Step.STOPPED
    now = await browser.current()
    assert before
    assert now is None or now.proved_at == before.proved_at


async def registers(browser: Browser, address: str) -> None:
    """Up to the page that asks for the code of a first address."""
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.REGISTER, address=address)
    assert (await browser.act(Step.CONFIRM, "send")).step is Step.VERIFY


@pytest.mark.parametrize("change", [reset, demand])
async def test_no_address_is_kept(change: Callable[[Person], None]) -> None:
    world = World(EFCX)
    await world.start()
    browser = Browser(world, "laptop")
    await registers(browser, "intruder@example.com")
    change(world.realm.people["anna"])
    assert (await browser.act(Step.VERIFY, code=world.mailed("intruder@example.com"))).step is Step.STOPPED
    assert world.enrolled("anna").enrolments == ()


async def test_of_two_first_registrations_under_way_the_one_that_is_proved_first_stands() -> None:
    world = World(replace(EFCX, otp_expiry=300))
    await world.start()
    first, second = Browser(world, "laptop"), Browser(world, "phone")
    await registers(first, "one@example.com")
    world.clock.advance(61)
    await registers(second, "two@example.com")
    assert (await first.act(Step.VERIFY, code=world.mailed("one@example.com"))).step is Step.DONE
    went = await second.act(Step.VERIFY, code=world.mailed("two@example.com"))
    assert went.step is Step.STOPPED
    assert went.trouble
    assert went.trouble.problem is Problem.ENROLMENT_CHANGED
    assert [e.address for e in world.enrolled("anna").enrolments] == ["one@example.com"]
    assert await second.current() is None


async def test_a_session_that_ended_meanwhile_is_not_revived_by_a_fresh_proof(world: World) -> None:
    browser = await at_the_code(world)
    await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))
    session = await browser.current()
    assert session
    world.clock.advance(600)
    await browser.begin(Act(ActKind.SHOW_CODES))
    await world.sessions.end(world.tenant, session.id)
    went = await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))
    assert went.step is Step.PASSWORD
    assert went.trouble
    assert went.trouble.problem is Problem.LOGIN_EXPIRED
    assert await browser.current() is None
