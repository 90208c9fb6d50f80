"""Tests of tenants that take addresses from the user record: users enrol none, and the record decides each time."""

import asyncio
from dataclasses import replace

import pytest

from gateway.account.overview import overview
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import OnMaximum
from gateway.domain.problem import Problem
from gateway.login.state_machine import Step
from gateway.second_factor.challenges import Denied, Verified
from gateway.settings.presets import PRESETS
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.full_login_harness import LANGUAGES, LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL

SINCH = replace(PRESETS["sinch"].policy, methods=(EMAIL,))


@pytest.fixture
async def login_harness() -> LoginHarness:
    """No user has enrolled anything."""
    login_harness = LoginHarness(SINCH)
    await login_harness.start()
    return login_harness


async def signs_in(login_harness: LoginHarness, name: str) -> LoginBrowser:
    """Signs Anna in with the code at the address of her record."""
    browser = LoginBrowser(login_harness, name)
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
    address = login_harness.realm.people["anna"].user.email
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(address))).step is Step.DONE
    return browser


@pytest.mark.row("SI-11")
async def test_a_changed_address_of_the_user_record_gets_the_next_code(login_harness: LoginHarness) -> None:
    await signs_in(login_harness, "laptop")
    anna = login_harness.realm.people["anna"]
    anna.user = replace(anna.user, email="new@example.com")
    login_harness.clock.advance(3600)
    await signs_in(login_harness, "phone")
    assert login_harness.mails.messages[-1].to == "new@example.com"


@pytest.mark.row("SI-11")
async def test_a_code_at_the_address_of_the_user_record_enrols_nothing(login_harness: LoginHarness) -> None:
    await signs_in(login_harness, "laptop")
    assert login_harness.enrolled("anna") == EnrolmentSet()
    assert [message.to for message in login_harness.mails.messages] == ["anna@example.com"]


async def test_the_account_page_offers_no_enrolment_of_an_address_that_the_user_record_has(
    login_harness: LoginHarness,
) -> None:
    browser = await signs_in(login_harness, "laptop")
    session = await browser.current()
    assert session
    shown = overview(SINCH, session, EnrolmentSet(), LANGUAGES.get("en"))
    result = await browser.enrol(EMAIL.factor)
    assert [(row.on, row.managed) for row in shown.methods] == [(True, True)]
    assert result
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.BAD_INPUT


async def test_an_entry_beside_one_that_is_still_being_judged_does_not_end_the_login() -> None:
    bench = ChallengeHarness()
    bench.policy = replace(bench.policy, otp_max_attempts=1, on_max_verify=OnMaximum.STOP)
    case = bench.case()
    challenge = await bench.send(case)
    answers = await asyncio.gather(*(bench.answer(case, challenge, bench.mails.code()) for _ in range(5)))
    assert [type(one) for one in answers].count(Verified) >= 1
    assert [one for one in answers if isinstance(one, Denied)]
    assert not [one for one in answers if isinstance(one, Denied) and one.stops]
