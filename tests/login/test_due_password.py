"""A password that is due, over the whole flow: what is owed, also when it is not known whether the password is set."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.problem import Problem
from gateway.keycloak.token_endpoint import Granted
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.login.full_login_harness import LoginBrowser, LoginHarness
from tests.login.registered_user import EMAIL, MAILBOX, with_mailbox

pytestmark = [pytest.mark.row("SI-10"), pytest.mark.attack("F18")]
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60, trust_browser_days=30)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox."""
    return await with_mailbox(EFCX)


async def signed_in(login_harness: LoginHarness, browser: LoginBrowser, **fields: Any) -> FlowResult:
    await browser.act(Step.PASSWORD, username="anna", password=login_harness.realm.people["anna"].password)
    return await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address), **fields)


async def at_the_new_password(login_harness: LoginHarness) -> LoginBrowser:
    """Her password is due; her factor was right."""
    login_harness.realm.people["anna"].due = True
    browser = LoginBrowser(login_harness, "laptop")
    assert (await signed_in(login_harness, browser)).step is Step.NEW_PASSWORD
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


async def test_factor_new_password_another_factor_and_in(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE
    assert await browser.current()


async def test_a_password_that_is_refused_may_be_tried_again_at_once(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    for _ in range(3):
        refused = await browser.act(Step.NEW_PASSWORD, new_password="weak")
        assert refused.problem_detail
        assert refused.problem_detail.problem is Problem.PASSWORD_REFUSED
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_password_that_may_be_set_stops_the_login_which_never_asks_for_it_again(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    fails("set_password", login_harness.realm, errors.Unreachable("keycloak", "timeout"), after=True)
    went = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert went.step is Step.STOPPED
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.PASSWORD_CHANGED


async def test_a_password_that_is_set_stops_the_login_when_nothing_more_can_be_read(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    fails("account", login_harness.realm, errors.Unreachable("keycloak", "timeout"), once_set=True)
    went = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert went.step is Step.STOPPED
    assert login_harness.realm.people["anna"].password == "another"


async def test_nothing_is_set_while_the_account_cannot_be_read_and_it_may_be_tried_again(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    mend = fails("account", login_harness.realm, errors.Unreachable("keycloak", "timeout"))
    with pytest.raises(errors.Unreachable):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    assert login_harness.realm.people["anna"].password == "right"
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_grant_of_another_user_for_the_same_name_opens_nothing(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    ben, realm = login_harness.realm.people["ben"], login_harness.realm

    async def of_ben(*_: Any) -> Granted:
        return Granted(realm._tokens(ben), ben.user)

    setattr(realm, "password", of_ben)  # noqa: B010  # as `fails` does it
    went = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert went.step is Step.STOPPED
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.PASSWORD_CHANGED


async def test_a_process_that_ended_while_setting_it_leaves_a_login_that_stops(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    mend = fails("set_password", login_harness.realm, Killed(), after=True)
    with pytest.raises(Killed):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    waits = await browser.act(Step.NEW_PASSWORD, new_password="a third")
    assert waits.problem_detail
    assert waits.problem_detail.until
    login_harness.clock.set(waits.problem_detail.until)
    assert (await browser.act(Step.NEW_PASSWORD, new_password="a third")).step is Step.STOPPED
    assert login_harness.realm.people["anna"].password == "another"


async def test_a_refusal_of_our_own_client_is_no_new_password(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    mend = fails("set_password", login_harness.realm, errors.Refused("keycloak", "403"))
    with pytest.raises(errors.Refused):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


@pytest.mark.parametrize("name", ["set_password", "account"])
async def test_all_other_sessions_end_also_when_it_may_be_set(login_harness: LoginHarness, name: str) -> None:
    other = LoginBrowser(login_harness, "phone")
    await signed_in(login_harness, other)
    assert await other.current()
    browser = await at_the_new_password(login_harness)
    fails(name, login_harness.realm, errors.Unreachable("keycloak", "timeout"), after=True, once_set=name == "account")
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert await other.current() is None


async def test_a_trusted_browser_is_asked_before_and_after(login_harness: LoginHarness) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    assert (await signed_in(login_harness, browser, remember="1")).step is Step.DONE
    assert browser.trust
    login_harness.clock.advance(3600)
    login_harness.realm.people["anna"].due = True
    went = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert went.step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.NEW_PASSWORD
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_login_that_nobody_goes_on_with_after_the_new_password_leaves_no_session_at_keycloak(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    login_harness.clock.advance(login_harness.configuration.gateway.limits.login_idle + 60)
    assert await login_harness.reaper.end_abandoned() == 1
