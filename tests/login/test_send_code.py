"""A code is sent once, and not before its channel takes it."""

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.message import Message
from gateway.delivery.smtp import Mailer, Sent
from gateway.domain.channel import Channel
from gateway.domain.problem import Problem
from gateway.login.effects.send_code import ASK_AT_LEAST
from gateway.login.flow import FlowResult
from gateway.login.responses import ASK_AGAIN, asks_again_in
from gateway.login.state_machine import Step, state_of
from gateway.second_factor.factors.email import SLOWEST
from tests.login.login_harness import KEYCLOAK_IDLE, PACED, Browser, FlowHarness, address_of, flow_harness

MINUTE = 60.0
SLOW = replace(PACED, rate_per_minute=3)
"""Behind the usual crowd one waits more than an hour."""


async def crowd(of: FlowHarness, count: int, name: str = "early") -> None:
    """So many users sign in."""
    for n in range(count):
        await of.browser(f"{name}{n}").password()


async def queued(of: FlowHarness, behind: int = 200) -> Browser:
    """Anna, whose code has to wait behind so many others'."""
    await crowd(of, behind)
    anna = of.browser("anna")
    await anna.password()
    assert anna.problem_detail
    assert anna.problem_detail.problem is Problem.QUEUED
    return anna


def mails_to(of: FlowHarness, user: str) -> int:
    """How many codes went to `user`."""
    return sum(message.to == address_of(user) for message in of.bench.mails.messages)


def slot(browser: Browser) -> float:
    """When its code may be sent."""
    until = browser.login.verification.queued_until
    assert until is not None
    return until


@pytest.mark.row("GW-34")
async def test_a_code_goes_at_once_when_nobody_waits() -> None:
    anna = flow_harness().browser("anna")
    assert (await anna.password()).problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_code_that_has_to_wait_is_neither_made_nor_counted_and_the_page_says_until_when() -> None:
    anna = await queued(flow_harness())
    assert anna.went.step is Step.VERIFY
    assert mails_to(anna.flow_harness, "anna") == 0
    assert anna.login.verification.challenge is None
    assert anna.login.verification.next_number == 0
    assert anna.problem_detail
    assert anna.problem_detail.until == slot(anna) > anna.flow_harness.clock.now() + MINUTE


@pytest.mark.row("GW-34")
async def test_before_its_time_a_reload_changes_nothing() -> None:
    anna = await queued(flow_harness())
    until = slot(anna)
    for _ in range(5):
        anna.flow_harness.clock.advance(20)
        assert (await anna.look()).problem_detail
        assert slot(anna) == until
    assert mails_to(anna.flow_harness, "anna") == 0


@pytest.mark.row("GW-34")
async def test_the_first_reload_after_its_time_sends_it_and_its_whole_life_begins_then() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna) + 1)
    went = await anna.look()
    assert went.problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1
    assert anna.login.verification.queued_until is None
    assert anna.login.verification.challenge
    assert anna.login.verification.challenge.expires_at == anna.flow_harness.clock.now() + 60
    assert (await anna.type(anna.flow_harness.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_the_page_asks_again_by_itself_when_the_code_may_be_sent_and_now_and_then_before() -> None:
    anna = await queued(flow_harness())
    now, until = anna.flow_harness.clock.now(), slot(anna)
    assert asks_again_in(anna.went, now) == ASK_AT_LEAST
    assert asks_again_in(anna.went, until - 10.5) == 11
    sending = replace(anna.login, verification=replace(anna.login.verification, queued_until=None))
    assert asks_again_in(FlowResult(state_of(sending)), now) == ASK_AGAIN


@pytest.mark.row("GW-34")
async def test_five_tabs_and_two_replicas_send_one_code() -> None:
    one = flow_harness()
    anna = await queued(one)
    tabs = [Browser(d, "anna", tag=anna.tag, secret=anna.secret) for d in (one, one.twin(), one.twin()) for _ in "ab"]
    one.clock.set(slot(anna))
    await asyncio.gather(*(tab.look() for tab in tabs))
    assert mails_to(one, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_user_keeps_his_place_when_he_signs_in_again() -> None:
    anna = await queued(flow_harness())
    await crowd(anna.flow_harness, 50, "later")
    elsewhere = anna.flow_harness.browser("anna")
    await elsewhere.password()
    assert slot(elsewhere) == slot(anna)


@pytest.mark.row("GW-34")
async def test_signing_in_often_takes_one_place_only() -> None:
    anna = await queued(flow_harness())
    for _ in range(30):
        await anna.flow_harness.browser("anna").password()
    ben = anna.flow_harness.browser("ben")
    await ben.password()
    assert slot(ben) - slot(anna) < 10


@pytest.mark.row("GW-34")
async def test_asking_for_new_codes_during_the_cooldown_takes_no_slot() -> None:
    anna = flow_harness().browser("anna")
    await anna.password()
    for _ in range(20):
        assert (await anna.press("resend")).problem_detail
    assert anna.problem_detail
    assert anna.problem_detail.problem is Problem.WAIT
    assert (await anna.flow_harness.browser("ben").password()).problem_detail is None


@pytest.mark.row("GW-34")
async def test_a_waiting_login_lives_longer_than_an_hour_and_then_as_long_as_any() -> None:
    anna = await queued(flow_harness(SLOW))
    limits = anna.flow_harness.limits
    assert slot(anna) - anna.login.begun_at > limits.login_absolute
    anna.flow_harness.clock.set(slot(anna) + limits.login_idle - 1)
    assert (await anna.look()).login
    anna.flow_harness.clock.advance(30)
    assert (await anna.type(anna.flow_harness.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_a_waiting_login_that_nobody_looks_at_ends() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna) + anna.flow_harness.limits.login_idle + 1)
    assert (await anna.look()).login is None
    assert mails_to(anna.flow_harness, "anna") == 0


@pytest.mark.row("GW-34")
async def test_while_somebody_waits_his_session_at_keycloak_is_kept_alive() -> None:
    anna = await queued(flow_harness(SLOW))
    while (left := slot(anna) - anna.flow_harness.clock.now()) > 0:
        anna.flow_harness.clock.advance(min(left, ASK_AT_LEAST))
        await anna.look()
        if anna.login.verification.queued_until is None:
            break
        assert anna.login.tokens
        assert (anna.login.tokens.refresh_expires_at or 0) > anna.flow_harness.clock.now()
    assert 2 <= anna.flow_harness.renewals <= 5


@pytest.mark.row("GW-34")
async def test_a_session_that_keycloak_ended_meanwhile_ends_the_login_but_not_the_place() -> None:
    anna = await queued(flow_harness(SLOW))
    until = slot(anna)
    anna.flow_harness.keycloak_is_over = True
    anna.flow_harness.clock.advance(KEYCLOAK_IDLE - 60)
    assert anna.flow_harness.renewals == 0
    assert (await anna.look()).step is Step.STOPPED
    again = anna.flow_harness.browser("anna")
    await again.password()
    assert slot(again) == until


@pytest.mark.row("GW-34")
async def test_a_keycloak_that_does_not_answer_ends_no_login_that_waits() -> None:
    anna = await queued(flow_harness(SLOW))
    anna.flow_harness.keycloak_is_away = True
    anna.flow_harness.clock.advance(KEYCLOAK_IDLE - 60)
    went = await anna.look()
    assert anna.flow_harness.renewals == 1
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.QUEUED


@pytest.mark.row("GW-34")
async def test_a_waiting_login_is_renewed_once_by_all_replicas_together() -> None:
    one = flow_harness(SLOW)
    anna, two = await queued(one), one.twin()
    one.clock.advance(KEYCLOAK_IDLE - 60)
    await asyncio.gather(*(Browser(d, "anna", tag=anna.tag, secret=anna.secret).look() for d in (one, two)))
    assert one.renewals + two.renewals == 1


@pytest.mark.row("GW-34")
async def test_who_comes_too_late_for_his_slot_is_not_sent_to_the_end_of_the_queue() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna))
    await crowd(anna.flow_harness, 300, "later")
    anna.flow_harness.clock.advance(30)
    assert (await anna.look()).problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_mail_that_no_relay_took_costs_neither_count_nor_place() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna))
    await crowd(anna.flow_harness, 300, "later")
    anna.flow_harness.bench.mails.refuses = "451 try again"
    went = await anna.look()
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.SEND_FAILED
    anna.flow_harness.bench.mails.refuses = ""
    assert (await anna.press("send")).problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_new_code_waits_too_while_the_old_one_still_works() -> None:
    anna = await with_a_code(flow_harness())
    old = anna.flow_harness.bench.mails.code(address_of("anna"))
    went = await anna.press("resend")
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.QUEUED
    assert (await anna.type(old)).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_a_new_code_that_waited_replaces_the_old_one_by_itself() -> None:
    anna = await with_a_code(flow_harness())
    old = anna.flow_harness.bench.mails.code(address_of("anna"))
    await anna.press("resend")
    assert (
        asks_again_in(anna.went, anna.flow_harness.clock.now()) == int(slot(anna) - anna.flow_harness.clock.now()) + 1
    )
    anna.flow_harness.clock.set(slot(anna) + 0.5)
    assert (await anna.look()).problem_detail is None
    new = anna.flow_harness.bench.mails.code(address_of("anna"))
    assert mails_to(anna.flow_harness, "anna") == 2
    assert new != old
    assert (await anna.type(new)).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_a_new_code_that_may_not_be_sent_after_all_is_waited_for_no_longer() -> None:
    anna = await with_a_code(flow_harness())
    await anna.press("resend")
    anna.flow_harness.clock.set(slot(anna))
    anna.flow_harness.bench.mails.refuses = "451 try again"
    went = await anna.look()
    assert went.problem_detail
    assert went.problem_detail.problem is Problem.SEND_FAILED
    assert anna.login.verification.queued_until is None
    assert anna.login.verification.challenge
    assert (await anna.look()).problem_detail is None


@pytest.mark.row("GW-34")
async def test_whoever_waits_for_a_mail_may_use_an_administrators_code_meanwhile() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    anna = await queued(of)
    assert asks_again_in(anna.went, of.clock.now()) == int(slot(anna) - of.clock.now()) + 1
    code = await of.bench.admin_codes.issue(of.tenant.id, "anna", "administrator")
    assert (await anna.type(code)).step is Step.DONE
    assert mails_to(of, "anna") == 0


@pytest.mark.row("GW-34")
async def test_where_other_codes_can_be_typed_the_mail_still_goes_when_its_time_has_come() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    anna = await queued(of)
    of.clock.set(slot(anna))
    assert (await anna.look()).problem_detail is None
    assert (await anna.type(of.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("CC-16")
async def test_an_administrators_code_lets_in_while_no_relay_takes_mails() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    of.bench.mails.refuses = "421 closed"
    anna = of.browser("anna")
    await anna.password()
    code = await of.bench.admin_codes.issue(of.tenant.id, "anna", "administrator")
    assert (await anna.type(code)).step is Step.DONE


async def test_after_a_failed_send_the_button_sends() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    of.bench.mails.refuses = "421 closed"
    anna = of.browser("anna")
    await anna.password()
    of.bench.mails.refuses = ""
    assert (await anna.press("send")).problem_detail is None
    assert (await anna.type(of.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_the_life_of_a_code_has_a_hard_maximum_however_late_a_relay_says_it_took_it() -> None:
    class Slow(Mailer):
        async def send(self, channel: Channel, message: Message) -> Sent:
            of.clock.advance(600)
            return Sent(of.clock.now(), "slow")

    of = flow_harness()
    of.bench.mailer = Slow(of.clock, of.bench.random)
    of.bench.use(of.bench.store)
    anna, began = FlowHarness(of.bench).browser("anna"), of.clock.now()
    await anna.password()
    assert anna.login.verification.challenge
    assert anna.login.verification.challenge.expires_at == began + SLOWEST + 60


async def with_a_code(of: FlowHarness) -> Browser:
    """Anna, who has a code that works for ten minutes and may ask for a new one; others queue up behind her."""
    with_policy(of, otp_expiry=600)
    anna = of.browser("anna")
    await anna.password()
    of.clock.advance(61)
    await crowd(of, 30)
    return anna


def with_policy(of: FlowHarness, **changes: object) -> None:
    """Another policy, for logins that begin from now on."""
    of.tenant = replace(of.tenant, policy=replace(of.tenant.policy, **changes))  # type: ignore[arg-type]
