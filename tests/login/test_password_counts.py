"""Wrong passwords block their username and address, and never a contact centre or a browser known to the user."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.configuration import Configuration
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import User
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent
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


@pytest.mark.parametrize(("username", "password"), [("agent0", ""), ("", "right"), ("agent0", "x" * 1025)])
async def test_a_form_without_a_name_or_a_password_asks_keycloak_nothing_and_counts_for_nothing(
    login_harness: LoginHarness, username: str, password: str
) -> None:
    for _ in range(2 * MOST):
        found = await LoginBrowser(login_harness, "desk").act(Step.PASSWORD, username=username, password=password)
        assert found.problem_detail == ProblemDetail(Problem.BAD_INPUT)
    assert login_harness.realm.checked == 0
    assert (await signs_in(login_harness, 0, "right")).step is Step.REGISTER


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


# ------------------------------------------------------------------ one user, whatever they type; Keycloak's own lock


async def wrong(login_harness: LoginHarness, typed: str, browser: str = "elsewhere") -> Problem | None:
    """Enters a wrong password from a browser in which the user never signed in; returns the problem."""
    found = await LoginBrowser(login_harness, browser).act(Step.PASSWORD, username=typed, password="wrong")
    return found.problem_detail.problem if found.problem_detail else None


@pytest.fixture
def plain() -> LoginHarness:
    """Has Anna and Ben, and the default limits."""
    return LoginHarness(EFCX)


async def test_username_and_address_of_a_user_have_one_count(plain: LoginHarness) -> None:
    found = [await wrong(plain, ("anna", "anna@example.com", "ANNA")[n % 3]) for n in range(11)]
    assert found == [Problem.WRONG_PASSWORD] * 10 + [Problem.TOO_MANY_PASSWORDS]


async def test_a_known_browser_is_known_by_the_users_address_too(login_harness: LoginHarness) -> None:
    known = await known_browser(login_harness, "desk")
    for _ in range(10):
        await wrong(login_harness, "agent0@example.com", "attacker")
        login_harness.clock.advance(301)
    result = await known.act(Step.PASSWORD, username="agent0@example.com", password="right")
    assert result.step is Step.VERIFY


@pytest.mark.attack("F20")
async def test_twenty_wrong_passwords_from_unknown_browsers_reach_keycloak_in_twelve_hours(plain: LoginHarness) -> None:
    found = []
    for _ in range(60):
        found.append(await wrong(plain, "anna"))
        plain.clock.advance(301)
    assert found.count(Problem.WRONG_PASSWORD) == 20
    plain.clock.advance(12 * 3600)
    assert await wrong(plain, "anna") is Problem.WRONG_PASSWORD


@pytest.mark.attack("F20")
async def test_a_sign_in_at_a_known_browser_frees_the_unknown_ones(login_harness: LoginHarness) -> None:
    known = await known_browser(login_harness, "desk")
    for _ in range(21):
        last = await wrong(login_harness, "agent0", "attacker")
        login_harness.clock.advance(301)
    assert last is Problem.TOO_MANY_PASSWORDS
    assert await types(known, "right") is Step.VERIFY
    assert await wrong(login_harness, "agent0", "attacker") is Problem.WRONG_PASSWORD


@pytest.mark.attack("F20")
async def test_a_lock_of_keycloak_is_shown_at_a_known_browser_only(login_harness: LoginHarness) -> None:
    known = await known_browser(login_harness, "desk")
    until = login_harness.clock.now() + 60
    login_harness.realm.locks["agent0"] = until
    shown = await known.act(Step.PASSWORD, username="agent0", password="right")
    assert shown.problem_detail == ProblemDetail(Problem.LOCKED, until)
    assert await types(LoginBrowser(login_harness, "new"), "right") is Problem.WRONG_PASSWORD


async def test_a_password_that_keycloak_did_not_check_because_of_its_lock_is_not_counted(
    login_harness: LoginHarness,
) -> None:
    known = await known_browser(login_harness, "desk")
    login_harness.realm.locks["agent0"] = login_harness.clock.now() + 60
    assert {await types(known, "right") for _ in range(11)} == {Problem.LOCKED}


async def test_the_audit_names_a_wrong_password_by_one_digest_and_never_by_what_was_typed(plain: LoginHarness) -> None:
    for typed in ("anna", "anna@example.com", "my-Secret-Password"):
        await wrong(plain, typed)
    lines = [line.details for line in plain.audit if line.event is AuditEvent.PASSWORD_REJECTED]
    one, other, password = (line["name_digest"] for line in lines)
    assert one == other != password
    assert "my-Secret-Password" not in repr(plain.audit)
