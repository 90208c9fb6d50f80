"""Tests of the flow: the owner of a login, its continuation, and the Keycloak sessions it ends."""

from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.policy import FactorKind, Method, NoContact
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

METHODS = (EMAIL, Method(FactorKind.TOTP))
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=METHODS)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox, Ben has no factor."""
    return await with_mailbox(CLOUDCX)


def without_secret(browser: LoginBrowser) -> LoginBrowser:
    """Returns a browser with the same tag and without the login's secret."""
    other = browser.copy()
    other.secret = "B" * 43
    return other


async def test_the_tag_alone_does_not_open_a_login(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    assert await browser.login()
    browser.secret = "A" * 43
    assert await browser.login() is None


@pytest.mark.parametrize("name", ["anna", "ben"])
async def test_a_password_with_a_copied_tag_does_not_change_the_existing_login(
    login_harness: LoginHarness, name: str
) -> None:
    browser = await at_the_code(login_harness)
    before = await browser.login()
    await without_secret(browser).act(Step.PASSWORD, username=name, password="right")
    assert await browser.login() == before


async def test_the_password_of_another_user_never_continues_the_existing_login(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    before = browser.copy()
    await browser.act(Step.PASSWORD, username="ben", password="right")
    session = await browser.current()
    assert session
    assert session.username == "ben"
    assert await before.login() is None


async def test_another_user_in_the_same_browser_ends_the_keycloak_session_of_the_first_login(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    first = await browser.login()
    assert first
    assert first.tokens
    await browser.act(Step.PASSWORD, username="ben", password="right")
    assert login_harness.realm.ended == [first.tokens.access]


async def test_a_repeated_password_for_the_same_login_leaves_one_keycloak_session(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    login = await browser.login()
    assert login
    assert login.tokens
    assert set(login_harness.realm.grants) - set(login_harness.realm.ended) == {login.tokens.access}


async def test_a_user_who_returns_to_an_abandoned_login_signs_in_again(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(login_harness.configuration.gateway.limits.login_idle)
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE


@pytest.mark.parametrize(("minutes", "step"), [(59, Step.DONE), (60, Step.PASSWORD)])
async def test_a_login_ends_an_hour_after_its_begin_however_busy_its_user_is(
    login_harness: LoginHarness, minutes: int, step: Step
) -> None:
    browser = await at_the_code(login_harness)
    for _ in range(4):
        login_harness.clock.advance(14 * 60)
        assert not (await browser.act(Step.VERIFY, "resend")).problem_detail
    login_harness.clock.advance((minutes - 4 * 14) * 60)
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is step


@pytest.mark.parametrize(("minutes", "step"), [(14, Step.DONE), (15, Step.PASSWORD)])
async def test_a_login_ends_a_quarter_of_an_hour_after_its_last_step(
    login_harness: LoginHarness, minutes: int, step: Step
) -> None:
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(minutes * 60)
    await browser.act(Step.VERIFY, "resend")
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is step


async def test_setting_up_a_factor_right_after_the_login_keeps_its_keycloak_session(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert await browser.enrol()
    assert login_harness.realm.ended == []


async def test_a_login_that_stops_at_the_password_leaves_no_keycloak_session() -> None:
    strict = replace(PRESETS["efcx"].policy, methods=METHODS[:1], on_no_contact=NoContact.REFUSE)
    login_harness = LoginHarness(strict)
    await login_harness.start()
    result = await LoginBrowser(login_harness, "laptop").act(Step.PASSWORD, username="ben", password="right")
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.NO_CONTACT
    assert set(login_harness.realm.ended) == set(login_harness.realm.grants) != set()


async def test_the_keycloak_session_of_a_stopped_login_is_ended_once() -> None:
    strict = replace(PRESETS["efcx"].policy, methods=METHODS[:1], on_no_contact=NoContact.REFUSE)
    login_harness = LoginHarness(strict)
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    for _ in range(2):
        await browser.act(Step.PASSWORD, username="ben", password="right")
    assert sorted(login_harness.realm.ended) == sorted(login_harness.realm.grants)


async def test_the_password_of_a_fresh_proof_leaves_no_second_keycloak_session(login_harness: LoginHarness) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="ben", password="right")
    (session,) = login_harness.realm.grants
    login_harness.clock.advance(600)
    await browser.enrol()
    await browser.act(Step.PASSWORD, password="right")
    assert set(login_harness.realm.grants) - set(login_harness.realm.ended) == {session}


async def test_a_correct_password_whose_account_cannot_be_read_leaves_no_keycloak_session(
    login_harness: LoginHarness,
) -> None:
    async def unreachable(*_asked: object) -> None:
        raise errors.Unreachable("keycloak", "timeout")

    setattr(login_harness.realm, "account", unreachable)  # noqa: B010  # Keycloak fails after the grant
    with pytest.raises(errors.Unreachable):
        await LoginBrowser(login_harness, "laptop").act(Step.PASSWORD, username="anna", password="right")
    assert set(login_harness.realm.ended) == set(login_harness.realm.grants) != set()


async def test_a_form_of_an_older_round_is_answered_that_the_login_has_moved_on(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    slot, visit = await browser.find(), await browser.visit()
    assert slot.login
    older = {"login": slot.login.id, "round": "7", "form": "f", "code": "000000"}
    result = await login_harness.flow.act(visit, slot, Step.VERIFY, "", older)
    assert result.problem_detail
    assert (result.out_of_order, result.step, result.problem_detail.problem) == (
        True,
        Step.VERIFY,
        Problem.OUT_OF_ORDER,
    )
    other = await login_harness.flow.act(visit, slot, Step.CONFIRM, "", older)
    assert (other.out_of_order, other.step, other.problem_detail) == (True, Step.VERIFY, None)


async def test_a_password_after_the_user_set_up_a_factor_elsewhere_asks_for_that_factor() -> None:
    harness = LoginHarness(replace(PRESETS["efcx"].policy, methods=METHODS))
    await harness.start()
    browser = LoginBrowser(harness, "laptop")
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.REGISTER
    await harness.enrolments.add(harness.tenant, "id-anna", harness.enrolled("anna"), MAILBOX)
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY


async def test_a_cancelled_sign_in_asks_for_another_user_and_a_cancelled_enrolment_leads_back_to_the_session(
    login_harness: LoginHarness,
) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="ben", password="right")
    await browser.enrol()
    left = await browser.act(Step.PASSWORD, "cancel")
    other = await (await at_the_code(login_harness)).act(Step.VERIFY, "cancel")
    assert (left.login, left.problem_detail, await browser.current() is not None) == (None, None, True)
    assert other.problem_detail == ProblemDetail(Problem.CANCELLED)
