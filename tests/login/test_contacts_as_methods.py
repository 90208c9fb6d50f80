"""Tests of tenants that take addresses from the user record: which of them are saved, and who may enrol one."""

import asyncio
from dataclasses import replace

import pytest

from gateway.account.overview import overview
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind, Method, OnMaximum
from gateway.domain.problem import Problem
from gateway.domain.user import Contact
from gateway.login.record import ChallengeSent, Proved
from gateway.login.state_machine import Effect, Step
from gateway.second_factor.challenges import Denied, Verified
from gateway.settings.presets import PRESETS
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.event_scripts import NOW, after, begun, challenge, first, password
from tests.fixtures.full_login_harness import LANGUAGES, LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL

NUMBER = "+923001234567"
SINCH = replace(PRESETS["sinch"].policy, methods=(Method(FactorKind.SMS, "sms"), EMAIL))


@pytest.mark.row("SI-11")
def test_a_number_of_the_user_record_is_never_saved_so_that_a_change_of_the_record_counts() -> None:
    contact = Contact(FactorKind.SMS, NUMBER, verified=True)
    of = replace(challenge(address=NUMBER), factor=FactorKind.SMS)
    events = (password(contacts=(contact,)), ChallengeSent(of), Proved(of, FactorKind.SMS, NOW + 10))
    assert first(after(*events, login=begun(SINCH))) is Effect.OPEN


@pytest.mark.attack("F4")
async def test_a_mail_address_that_the_user_changed_in_their_record_gets_no_code() -> None:
    login_harness = LoginHarness(replace(SINCH, methods=(EMAIL,)))
    await login_harness.start()
    anna = login_harness.realm.people["anna"]
    for name in ("laptop", "phone"):
        browser = LoginBrowser(login_harness, name)
        assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
        assert (await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))).step is Step.DONE
        anna.user = replace(anna.user, email="new@example.com")
        login_harness.clock.advance(3600)


async def test_the_account_page_offers_no_enrolment_of_a_number_that_the_user_record_has() -> None:
    login_harness = LoginHarness(replace(SINCH, methods=(EMAIL,), fallback=Method(FactorKind.SMS, "sms")))
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.VERIFY, code=login_harness.mailed("anna@example.com"))
    session, result = await browser.current(), await browser.enrol(FactorKind.SMS)
    assert session
    rows = overview(login_harness.tenant.policy, session, EnrolmentSet(), LANGUAGES.get("en")).methods
    assert [(row.factor, row.managed) for row in rows] == [("email", False), ("sms", True)]
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
