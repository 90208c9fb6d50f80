"""A password that is due, over the whole flow: what is owed, and what happens when nobody knows whether it is set."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.problem import Problem
from gateway.keycloak.sign_in import Granted
from gateway.login.flow import Went
from gateway.login.record import Step
from gateway.settings.presets import PRESETS
from tests.login.anna import EMAIL, MAILBOX, with_mailbox
from tests.login.world import Browser, World

pytestmark = [pytest.mark.row("SI-10"), pytest.mark.attack("F18")]
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60, trust_browser_days=30)


@pytest.fixture
async def world() -> World:
    """Anna has a mailbox."""
    return await with_mailbox(EFCX)


async def signed_in(world: World, browser: Browser, **fields: Any) -> Went:
    await browser.act(Step.PASSWORD, username="anna", password=world.realm.people["anna"].password)
    return await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address), **fields)


async def at_the_new_password(world: World) -> Browser:
    """Her password is due; her factor was right."""
    world.realm.people["anna"].due = True
    browser = Browser(world, "laptop")
    assert (await signed_in(world, browser)).step is Step.NEW_PASSWORD
    return browser


class Killed(BaseException):
    """A process that is there no more."""


def fails(
    name: str, realm: Any, how: BaseException, *, after: bool = False, once_set: bool = False
) -> Callable[[], None]:
    """Keycloak fails once it is asked for `name`, `after` it did it or before; call the answer to mend it.

    `once_set`: only after a password was set.
    """
    real: Callable[..., Awaitable[Any]] = getattr(realm, name)

    async def failing(*args: Any) -> Any:
        if once_set and realm.people["anna"].password == "right":
            return await real(*args)
        if after:
            await real(*args)
        raise how

    setattr(realm, name, failing)
    return lambda: setattr(realm, name, real)


async def test_factor_new_password_another_factor_and_in(world: World) -> None:
    browser = await at_the_new_password(world)
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))).step is Step.DONE
    assert await browser.current()


async def test_a_password_that_is_refused_may_be_tried_again_at_once(world: World) -> None:
    browser = await at_the_new_password(world)
    for _ in range(3):
        refused = await browser.act(Step.NEW_PASSWORD, new_password="weak")
        assert refused.trouble
        assert refused.trouble.problem is Problem.PASSWORD_REFUSED
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_password_that_may_be_set_stops_the_login_which_never_asks_for_it_again(world: World) -> None:
    browser = await at_the_new_password(world)
    fails("set_password", world.realm, errors.Unreachable("keycloak", "timeout"), after=True)
    went = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert went.step is Step.STOPPED
    assert went.trouble
    assert went.trouble.problem is Problem.PASSWORD_CHANGED


async def test_a_password_that_is_set_stops_the_login_when_nothing_more_can_be_read(world: World) -> None:
    browser = await at_the_new_password(world)
    fails("account", world.realm, errors.Unreachable("keycloak", "timeout"), once_set=True)
    went = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert went.step is Step.STOPPED
    assert world.realm.people["anna"].password == "another"


async def test_nothing_is_set_while_the_account_cannot_be_read_and_it_may_be_tried_again(world: World) -> None:
    browser = await at_the_new_password(world)
    mend = fails("account", world.realm, errors.Unreachable("keycloak", "timeout"))
    with pytest.raises(errors.Unreachable):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    assert world.realm.people["anna"].password == "right"
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_grant_of_another_user_for_the_same_name_opens_nothing(world: World) -> None:
    browser = await at_the_new_password(world)
    ben, realm = world.realm.people["ben"], world.realm

    async def of_ben(*_: Any) -> Granted:
        return Granted(realm._tokens(ben), ben.user)

    setattr(realm, "password", of_ben)  # noqa: B010  # as `fails` does it
    went = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert went.step is Step.STOPPED
    assert went.trouble
    assert went.trouble.problem is Problem.PASSWORD_CHANGED


async def test_a_process_that_ended_while_setting_it_leaves_a_login_that_stops(world: World) -> None:
    browser = await at_the_new_password(world)
    mend = fails("set_password", world.realm, Killed(), after=True)
    with pytest.raises(Killed):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    waits = await browser.act(Step.NEW_PASSWORD, new_password="a third")
    assert waits.trouble
    assert waits.trouble.until
    world.clock.set(waits.trouble.until)
    assert (await browser.act(Step.NEW_PASSWORD, new_password="a third")).step is Step.STOPPED
    assert world.realm.people["anna"].password == "another"


async def test_a_refusal_of_our_own_client_is_no_new_password(world: World) -> None:
    browser = await at_the_new_password(world)
    mend = fails("set_password", world.realm, errors.Refused("keycloak", "403"))
    with pytest.raises(errors.Refused):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


@pytest.mark.parametrize("name", ["set_password", "account"])
async def test_all_other_sessions_end_also_when_it_may_be_set(world: World, name: str) -> None:
    other = Browser(world, "phone")
    await signed_in(world, other)
    assert await other.current()
    browser = await at_the_new_password(world)
    fails(name, world.realm, errors.Unreachable("keycloak", "timeout"), after=True, once_set=name == "account")
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert await other.current() is None


async def test_a_trusted_browser_is_asked_before_and_after(world: World) -> None:
    browser = Browser(world, "laptop")
    assert (await signed_in(world, browser, remember="1")).step is Step.DONE
    assert browser.trust
    world.clock.advance(3600)
    world.realm.people["anna"].due = True
    went = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert went.step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=world.mailed(MAILBOX.address))).step is Step.NEW_PASSWORD
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_login_that_nobody_goes_on_with_after_the_new_password_leaves_no_session_at_keycloak(
    world: World,
) -> None:
    browser = await at_the_new_password(world)
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    world.clock.advance(world.configuration.gateway.limits.login_idle + 60)
    assert await world.reaper.look() == 1
