"""Wrong passwords block their username and address, and never a contact centre or a browser known to the user."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.configuration import Configuration
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem
from gateway.domain.user import User
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import CHANNEL, LoginBrowser, LoginHarness, LoginPerson

EMAIL = Method(FactorKind.EMAIL, CHANNEL.service_identifier)
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60)
MOST = 3


class Strict(LoginHarness):
    """Allows so few wrong passwords of one address that a test reaches the limit."""

    @property
    def configuration(self) -> Configuration:
        found = super().configuration
        limits = replace(found.gateway.limits, password_failures_per_client=MOST)
        return replace(found, gateway=replace(found.gateway, limits=limits))


@pytest.fixture
def login_harness() -> LoginHarness:
    """Has more users than one address may fail for."""
    login_harness = Strict(EFCX)
    for number in range(2 * MOST):
        name = f"agent{number}"
        login_harness.realm.people[name] = LoginPerson(User(f"id-{name}", name, f"{name}@example.com", True))
    return login_harness


async def signs_in(login_harness: LoginHarness, number: int, password: str, place: str = "desk") -> FlowResult:
    """Signs in from a new browser; browsers of one place have one address."""
    return await LoginBrowser(login_harness, f"{place}{number}").act(
        Step.PASSWORD, username=f"agent{number}", password=password
    )


@pytest.mark.attack("F20")
async def test_correct_passwords_never_count_against_the_address_of_a_contact_centre(
    login_harness: LoginHarness,
) -> None:
    await signs_in(login_harness, 0, "wrong")
    for number in range(2 * MOST):
        assert (await signs_in(login_harness, number, "right")).step is Step.REGISTER


@pytest.mark.attack("F20")
async def test_wrong_passwords_for_many_usernames_block_only_the_clients_address(login_harness: LoginHarness) -> None:
    for number in range(MOST):
        await signs_in(login_harness, number, "wrong")
    held = await signs_in(login_harness, MOST, "right")
    assert held.problem_detail
    assert held.problem_detail.problem is Problem.TOO_MANY_PASSWORDS
    assert (await signs_in(login_harness, MOST, "right", place="elsewhere")).step is Step.REGISTER


@pytest.mark.attack("F20")
async def test_a_correct_password_does_not_clear_wrong_passwords_of_other_usernames_at_the_address(
    login_harness: LoginHarness,
) -> None:
    for number in range(MOST - 1):
        await signs_in(login_harness, number, "wrong")
    assert (await signs_in(login_harness, MOST, "right")).step is Step.REGISTER
    await signs_in(login_harness, MOST - 1, "wrong")
    held = await signs_in(login_harness, MOST + 1, "right")
    assert held.problem_detail
    assert held.problem_detail.problem is Problem.TOO_MANY_PASSWORDS


async def test_a_password_that_keycloak_did_not_check_counts_for_nothing(login_harness: LoginHarness) -> None:
    judged = login_harness.realm.password

    async def unreachable(*_asked: Any) -> Any:
        raise errors.Unreachable("keycloak", "timeout")

    setattr(login_harness.realm, "password", unreachable)  # noqa: B010  # Keycloak is down for a while
    for _ in range(2 * login_harness.configuration.gateway.limits.password_failures_per_user):
        reported = await signs_in(login_harness, 0, "right")
        assert reported.problem_detail
        assert reported.problem_detail.problem is Problem.SIGN_IN_UNAVAILABLE
    setattr(login_harness.realm, "password", judged)  # noqa: B010
    assert (await signs_in(login_harness, 0, "right")).step is Step.REGISTER


async def test_a_correct_password_clears_the_users_wrong_passwords(login_harness: LoginHarness) -> None:
    most = login_harness.configuration.gateway.limits.password_failures_per_user
    for _ in range(2):
        for number in range(most - 1):
            reported = await LoginBrowser(login_harness, f"{number}").act(
                Step.PASSWORD, username="agent0", password="wrong"
            )
            assert reported.problem_detail
            assert reported.problem_detail.problem is Problem.WRONG_PASSWORD
        assert (await signs_in(login_harness, 0, "right")).step is Step.REGISTER


async def known_browser(login_harness: LoginHarness, name: str) -> LoginBrowser:
    """Returns a browser in which the first user has finished a login."""
    address, browser = "agent0@example.com", LoginBrowser(login_harness, name)
    found = login_harness.enrolled("agent0")
    if not found.enrolments:
        mailbox = Enrolment(FactorKind.EMAIL, address)
        await login_harness.enrolments.add(login_harness.tenant, "id-agent0", found, mailbox)
    await browser.act(Step.PASSWORD, username="agent0", password="right")
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(address))).step is Step.DONE
    login_harness.clock.advance(3600)
    return browser


async def types(browser: LoginBrowser, password: str) -> Problem | Step | None:
    """Types a password for the first user. Returns the problem, or the step after it."""
    result = await browser.act(Step.PASSWORD, username="agent0", password=password)
    return result.problem_detail.problem if result.problem_detail else result.step


@pytest.mark.attack("F20")
async def test_wrong_passwords_from_one_address_do_not_block_a_known_browser_behind_it(
    login_harness: LoginHarness,
) -> None:
    known = await known_browser(login_harness, "desk")
    for number in range(1, MOST + 1):
        await signs_in(login_harness, number, "wrong")
    assert await types(LoginBrowser(login_harness, "desk, new"), "right") is Problem.TOO_MANY_PASSWORDS
    assert await types(known, "right") is Step.VERIFY


@pytest.mark.attack("F20")
async def test_wrong_passwords_in_one_known_browser_do_not_block_the_users_other_known_browser(
    login_harness: LoginHarness,
) -> None:
    copied, own = await known_browser(login_harness, "attacker"), await known_browser(login_harness, "desk")
    most = login_harness.configuration.gateway.limits.password_failures_per_user
    assert [await types(copied, "wrong") for _ in range(most)] == [Problem.WRONG_PASSWORD] * most
    assert await types(copied, "right") is Problem.TOO_MANY_PASSWORDS
    assert await types(own, "right") is Step.VERIFY


@pytest.mark.attack("F20")
@pytest.mark.parametrize(("place", "step"), [("desk", Step.VERIFY), ("elsewhere", Step.PASSWORD)])
async def test_a_known_browser_of_the_user_is_served_before_parallel_attempts_with_the_username(
    login_harness: LoginHarness, place: str, step: Step
) -> None:
    address = "agent0@example.com"
    mailbox = Enrolment(FactorKind.EMAIL, address)
    await login_harness.enrolments.add(login_harness.tenant, "id-agent0", login_harness.enrolled("agent0"), mailbox)
    flow_harness = LoginBrowser(login_harness, "desk")
    await flow_harness.act(Step.PASSWORD, username="agent0", password="right")
    assert (await flow_harness.act(Step.VERIFY, code=login_harness.mailed(address))).step is Step.DONE
    login_harness.clock.advance(3600)
    go, judged = asyncio.Event(), login_harness.realm.password

    async def delayed(*asked: Any) -> Any:
        await go.wait()
        return await judged(*asked)

    setattr(login_harness.realm, "password", delayed)  # noqa: B010  # a slow Keycloak

    async def types(browser: LoginBrowser, password: str) -> FlowResult:
        return await browser.act(Step.PASSWORD, username="agent0", password=password)

    attackers = [asyncio.create_task(types(LoginBrowser(login_harness, name), "wrong")) for name in "abcdefghijk"]
    for _ in range(2000):
        await asyncio.sleep(0)
    victim = asyncio.create_task(types(LoginBrowser(login_harness, place), "right"))
    for _ in range(2000):
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*attackers)
    assert (await victim).step is step
