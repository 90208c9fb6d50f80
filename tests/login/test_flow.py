"""Whose login is it, which one goes on, and which Keycloak session ends when one takes the place of another?"""

from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.policy import FactorKind, Method, NoContact
from gateway.domain.problem import Problem
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.login.full_login_harness import LoginBrowser, LoginHarness
from tests.login.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

METHODS = (EMAIL, Method(FactorKind.TOTP))
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=METHODS)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox, Ben has set up nothing."""
    return await with_mailbox(CLOUDCX)


def forgetful(browser: LoginBrowser) -> LoginBrowser:
    """A browser of the same tag that does not know the login's secret."""
    other = browser.copy()
    other.secret = "B" * 43
    return other


async def test_a_login_is_nobodys_who_knows_its_tag_only(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    assert await browser.login()
    browser.secret = "A" * 43
    assert await browser.login() is None


@pytest.mark.parametrize("name", ["anna", "ben"])
async def test_a_password_with_a_copied_tag_leaves_the_login_that_is_there_as_it_is(
    login_harness: LoginHarness, name: str
) -> None:
    browser = await at_the_code(login_harness)
    before = await browser.login()
    await forgetful(browser).act(Step.PASSWORD, username=name, password="right")
    assert await browser.login() == before


async def test_another_users_password_never_goes_on_with_the_login_that_is_there(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    before = browser.copy()
    await browser.act(Step.PASSWORD, username="ben", password="right")
    session = await browser.current()
    assert session
    assert session.username == "ben"
    assert await before.login() is None


async def test_another_user_in_the_same_browser_ends_the_login_of_the_first_at_keycloak(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    first = await browser.login()
    assert first
    assert first.tokens
    await browser.act(Step.PASSWORD, username="ben", password="right")
    assert login_harness.realm.ended == [first.tokens.access]


async def test_a_password_typed_again_for_the_same_login_leaves_one_session_at_keycloak(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    login = await browser.login()
    assert login
    assert login.tokens
    assert set(login_harness.realm.grants) - set(login_harness.realm.ended) == {login.tokens.access}


async def test_whoever_comes_back_to_a_dead_login_signs_in_anew(login_harness: LoginHarness) -> None:
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(login_harness.configuration.gateway.limits.login_idle)
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE


async def test_setting_up_a_factor_right_after_the_login_leaves_its_session_at_keycloak(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert await browser.enrol()
    assert login_harness.realm.ended == []


async def test_a_login_that_stops_at_its_password_leaves_no_session_at_keycloak() -> None:
    strict = replace(PRESETS["efcx"].policy, methods=METHODS[:1], on_no_contact=NoContact.REFUSE)
    login_harness = LoginHarness(strict)
    await login_harness.start()
    went = await LoginBrowser(login_harness, "laptop").act(Step.PASSWORD, username="ben", password="right")
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.NO_CONTACT
    assert set(login_harness.realm.ended) == set(login_harness.realm.grants) != set()


async def test_the_password_of_a_fresh_proof_leaves_no_second_session_at_keycloak(login_harness: LoginHarness) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="ben", password="right")
    (session,) = login_harness.realm.grants
    login_harness.clock.advance(600)
    await browser.enrol()
    await browser.act(Step.PASSWORD, password="right")
    assert set(login_harness.realm.grants) - set(login_harness.realm.ended) == {session}


async def test_a_right_password_whose_account_cannot_be_read_leaves_no_session_at_keycloak(
    login_harness: LoginHarness,
) -> None:
    async def unreachable(*_asked: object) -> None:
        raise errors.Unreachable("keycloak", "timeout")

    setattr(login_harness.realm, "account", unreachable)  # noqa: B010  # Keycloak goes away after the grant
    with pytest.raises(errors.Unreachable):
        await LoginBrowser(login_harness, "laptop").act(Step.PASSWORD, username="anna", password="right")
    assert set(login_harness.realm.ended) == set(login_harness.realm.grants) != set()


async def test_a_form_of_an_older_round_of_the_same_page_is_told_that_the_login_moved_on(
    login_harness: LoginHarness,
) -> None:
    browser = await at_the_code(login_harness)
    slot, visit = await browser.find(), await browser.visit()
    assert slot.login
    older = {"login": slot.login.id, "round": "7", "form": "f", "code": "000000"}
    went = await login_harness.flow.act(visit, slot, Step.VERIFY, "", older)
    assert went.problem_detail
    assert (went.out_of_order, went.step, went.problem_detail.problem) == (True, Step.VERIFY, Problem.OUT_OF_ORDER)
    other = await login_harness.flow.act(visit, slot, Step.CONFIRM, "", older)
    assert (other.out_of_order, other.step, other.problem_detail) == (True, Step.VERIFY, None)
