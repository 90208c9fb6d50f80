"""A due password through the whole flow, including a new password with unknown outcome."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.problem import Problem, ProblemDetail
from gateway.keycloak.token_endpoint import Granted
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, with_mailbox

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
    """Anna's password is due; her factor was correct."""
    login_harness.realm.people["anna"].due = True
    browser = LoginBrowser(login_harness, "laptop")
    assert (await signed_in(login_harness, browser)).step is Step.NEW_PASSWORD
    return browser


class ProcessEnded(BaseException):
    """Simulates a process that has ended."""


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


async def test_a_user_with_a_due_password_proves_a_factor_sets_a_password_and_proves_again(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE
    assert await browser.current()


async def test_the_audit_says_that_a_due_password_was_accepted(login_harness: LoginHarness) -> None:
    await at_the_new_password(login_harness)
    found = [line for line in login_harness.audit if line.event is AuditEvent.PASSWORD_ACCEPTED]
    assert [(line.user, line.details["due"]) for line in found] == [("anna", True)]


async def test_a_login_that_is_left_after_the_new_password_ends_its_session_at_keycloak(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    login_harness.clock.advance(login_harness.configuration.gateway.limits.login_idle + 120)
    assert await login_harness.reaper.end_abandoned() == 1
    assert len(login_harness.realm.ended) == 1


async def test_after_a_refused_new_password_the_user_may_try_another_at_once(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    for _ in range(3):
        refused = await browser.act(Step.NEW_PASSWORD, new_password="weak")
        assert refused.problem_detail
        assert refused.problem_detail.problem is Problem.PASSWORD_REFUSED
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_new_password_with_unknown_outcome_stops_the_login(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    fails("set_password", login_harness.realm, errors.Unreachable("keycloak", "timeout"), after=True)
    result = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.PASSWORD_CHANGED


async def test_a_new_password_stops_the_login_if_the_account_cannot_be_read_afterwards(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    fails("account", login_harness.realm, errors.Unreachable("keycloak", "timeout"), once_set=True)
    result = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert result.step is Step.STOPPED
    assert login_harness.realm.people["anna"].password == "another"


async def test_no_password_is_set_while_the_account_cannot_be_read_and_the_user_may_retry(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    mend = fails("account", login_harness.realm, errors.Unreachable("keycloak", "timeout"))
    with pytest.raises(errors.Unreachable):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    assert login_harness.realm.people["anna"].password == "right"
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_grant_for_another_user_with_the_same_name_opens_nothing(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    ben, realm = login_harness.realm.people["ben"], login_harness.realm

    async def of_ben(*_: Any) -> Granted:
        return Granted(realm._tokens(ben), ben.user)

    setattr(realm, "password", of_ben)  # noqa: B010  # in the way of `fails`
    result = await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.PASSWORD_CHANGED


async def test_a_process_that_ended_while_it_set_the_password_leaves_a_login_that_stops(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    mend = fails("set_password", login_harness.realm, ProcessEnded(), after=True)
    with pytest.raises(ProcessEnded):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    waits = await browser.act(Step.NEW_PASSWORD, new_password="a third")
    assert waits.problem_detail
    assert waits.problem_detail.until
    login_harness.clock.set(waits.problem_detail.until)
    assert (await browser.act(Step.NEW_PASSWORD, new_password="a third")).step is Step.STOPPED
    assert login_harness.realm.people["anna"].password == "another"


async def test_a_rejected_client_is_not_reported_as_a_new_password(login_harness: LoginHarness) -> None:
    browser = await at_the_new_password(login_harness)
    mend = fails("set_password", login_harness.realm, errors.Refused("keycloak", "403"))
    with pytest.raises(errors.Refused):
        await browser.act(Step.NEW_PASSWORD, new_password="another")
    mend()
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


@pytest.mark.parametrize("name", ["set_password", "account"])
async def test_all_other_sessions_end_even_if_the_outcome_of_the_new_password_is_unknown(
    login_harness: LoginHarness, name: str
) -> None:
    other = LoginBrowser(login_harness, "phone")
    await signed_in(login_harness, other)
    assert await other.current()
    browser = await at_the_new_password(login_harness)
    fails(name, login_harness.realm, errors.Unreachable("keycloak", "timeout"), after=True, once_set=name == "account")
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert await other.current() is None


async def test_a_trusted_browser_needs_a_proof_before_and_after_the_new_password(login_harness: LoginHarness) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    assert (await signed_in(login_harness, browser, remember="1")).step is Step.DONE
    assert browser.trust
    login_harness.clock.advance(3600)
    login_harness.realm.people["anna"].due = True
    result = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert result.step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.NEW_PASSWORD
    assert (await browser.act(Step.NEW_PASSWORD, new_password="another")).step is Step.VERIFY


async def test_a_login_abandoned_after_the_new_password_leaves_no_keycloak_session(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_new_password(login_harness)
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    login_harness.clock.advance(login_harness.configuration.gateway.limits.login_idle + 60)
    assert await login_harness.reaper.end_abandoned() == 1


async def test_a_disabled_user_is_not_led_to_a_new_password(login_harness: LoginHarness) -> None:
    login_harness.realm.people["anna"].due = True
    login_harness.realm.disabled.add("anna")
    browser = LoginBrowser(login_harness, "laptop")
    result = await browser.act(Step.PASSWORD, username="anna", password="right")
    assert (result.step, result.state and result.state.problem_detail) == (
        Step.STOPPED,
        ProblemDetail(Problem.ACTION_REQUIRED),
    )
