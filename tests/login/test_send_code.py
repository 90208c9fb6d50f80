"""Tests that a code is sent once, and not before its channel's send rate allows it."""

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.smtp import Mailer, Message, Sent
from gateway.domain.channel import Channel
from gateway.domain.problem import Problem
from gateway.login.flow import FlowResult
from gateway.login.responses import asks_again_in
from gateway.login.state_machine import Step, state_of
from tests.fixtures.login_harness import KEYCLOAK_IDLE, PACED, Browser, FlowHarness, address_of, flow_harness

ASK_AT_LEAST = 240
ASK_AGAIN = 2
SLOWEST = 30.0

MINUTE = 60.0
SLOW = replace(PACED, rate_per_minute=3)
"""A rate by which a user behind the usual crowd waits more than an hour."""


async def crowd(of: FlowHarness, count: int, name: str = "early") -> None:
    """Signs in that number of users."""
    for n in range(count):
        await of.browser(f"{name}{n}").password()


async def queued(of: FlowHarness, behind: int = 200) -> Browser:
    """Returns Anna, whose code waits behind that number of others."""
    await crowd(of, behind)
    anna = of.browser("anna")
    await anna.password()
    assert anna.problem_detail
    assert anna.problem_detail.problem is Problem.QUEUED
    return anna


def mails_to(of: FlowHarness, user: str) -> int:
    """Returns the number of codes sent to `user`."""
    return sum(message.to == address_of(user) for message in of.bench.mails.messages)


def slot(browser: Browser) -> float:
    """Returns the time at which the code may be sent."""
    until = browser.login.verification.queued_until
    assert until is not None
    return until


@pytest.mark.row("GW-34")
async def test_a_code_is_sent_at_once_when_no_user_waits() -> None:
    anna = flow_harness().browser("anna")
    assert (await anna.password()).problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_queued_code_is_neither_made_nor_counted_and_the_page_shows_when_it_is_sent() -> None:
    anna = await queued(flow_harness())
    assert anna.result.step is Step.VERIFY
    assert mails_to(anna.flow_harness, "anna") == 0
    assert anna.login.verification.challenge is None
    assert anna.login.verification.next_number == 0
    assert anna.problem_detail
    assert anna.problem_detail.until == slot(anna) > anna.flow_harness.clock.now() + MINUTE


@pytest.mark.row("GW-34")
async def test_a_reload_before_the_slot_changes_nothing() -> None:
    anna = await queued(flow_harness())
    until = slot(anna)
    for _ in range(5):
        anna.flow_harness.clock.advance(20)
        assert (await anna.look()).problem_detail
        assert slot(anna) == until
    assert mails_to(anna.flow_harness, "anna") == 0


@pytest.mark.row("GW-34")
async def test_the_first_reload_after_the_slot_sends_the_code_and_starts_its_lifetime() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna) + 1)
    result = await anna.look()
    assert result.problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1
    assert anna.login.verification.queued_until is None
    assert anna.login.verification.challenge
    assert anna.login.verification.challenge.expires_at == anna.flow_harness.clock.now() + 60
    assert (await anna.type(anna.flow_harness.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_the_page_reloads_when_the_code_may_be_sent_and_from_time_to_time_before() -> None:
    anna = await queued(flow_harness())
    now, until = anna.flow_harness.clock.now(), slot(anna)
    assert asks_again_in(anna.result, now) == ASK_AT_LEAST
    assert asks_again_in(anna.result, until - 10.5) == 11
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
async def test_a_user_who_signs_in_again_keeps_their_place_in_the_queue() -> None:
    anna = await queued(flow_harness())
    await crowd(anna.flow_harness, 50, "later")
    elsewhere = anna.flow_harness.browser("anna")
    await elsewhere.password()
    assert slot(elsewhere) == slot(anna)


@pytest.mark.row("GW-34")
async def test_repeated_sign_ins_take_only_one_place_in_the_queue() -> None:
    anna = await queued(flow_harness())
    for _ in range(30):
        await anna.flow_harness.browser("anna").password()
    ben = anna.flow_harness.browser("ben")
    await ben.password()
    assert slot(ben) - slot(anna) < 10


@pytest.mark.row("GW-34")
async def test_requests_for_a_code_during_the_cooldown_take_no_slot() -> None:
    anna = flow_harness().browser("anna")
    await anna.password()
    for _ in range(20):
        assert (await anna.press("resend")).problem_detail
    assert anna.problem_detail
    assert anna.problem_detail.problem is Problem.WAIT
    assert (await anna.flow_harness.browser("ben").password()).problem_detail is None


@pytest.mark.row("GW-34")
async def test_a_queued_login_lasts_past_its_slot_and_then_as_long_as_any_other() -> None:
    anna = await queued(flow_harness(SLOW))
    limits = anna.flow_harness.limits
    assert slot(anna) - anna.login.begun_at > limits.login_absolute
    anna.flow_harness.clock.set(slot(anna) + limits.login_idle - 1)
    assert (await anna.look()).login
    anna.flow_harness.clock.advance(30)
    assert (await anna.type(anna.flow_harness.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_a_queued_login_without_requests_ends() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna) + anna.flow_harness.limits.login_idle + 1)
    assert (await anna.look()).login is None
    assert mails_to(anna.flow_harness, "anna") == 0


@pytest.mark.row("GW-34")
async def test_the_keycloak_session_of_a_queued_login_is_kept_alive() -> None:
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
async def test_a_keycloak_session_that_ended_ends_the_login_but_not_its_place_in_the_queue() -> None:
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
async def test_a_keycloak_that_does_not_answer_ends_no_queued_login() -> None:
    anna = await queued(flow_harness(SLOW))
    anna.flow_harness.keycloak_is_down = True
    anna.flow_harness.clock.advance(KEYCLOAK_IDLE - 60)
    result = await anna.look()
    assert anna.flow_harness.renewals == 1
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.QUEUED


@pytest.mark.row("GW-34")
async def test_all_replicas_together_renew_a_queued_login_once() -> None:
    one = flow_harness(SLOW)
    anna, two = await queued(one), one.twin()
    one.clock.advance(KEYCLOAK_IDLE - 60)
    await asyncio.gather(*(Browser(d, "anna", tag=anna.tag, secret=anna.secret).look() for d in (one, two)))
    assert one.renewals + two.renewals == 1


@pytest.mark.row("GW-34")
async def test_a_user_who_missed_their_slot_is_not_moved_to_the_end_of_the_queue() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna))
    await crowd(anna.flow_harness, 300, "later")
    anna.flow_harness.clock.advance(30)
    assert (await anna.look()).problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_mail_refused_by_every_relay_costs_neither_a_send_nor_the_place() -> None:
    anna = await queued(flow_harness())
    anna.flow_harness.clock.set(slot(anna))
    await crowd(anna.flow_harness, 300, "later")
    anna.flow_harness.bench.mails.refuses = "451 try again"
    result = await anna.look()
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.SEND_FAILED
    assert anna.login.verification.queued_until is not None
    anna.flow_harness.bench.mails.refuses = ""
    assert (await anna.press("send")).problem_detail is None
    assert mails_to(anna.flow_harness, "anna") == 1


@pytest.mark.row("GW-34")
async def test_a_new_code_is_queued_while_the_old_one_still_works() -> None:
    anna = await with_a_code(flow_harness())
    old = anna.flow_harness.bench.mails.code(address_of("anna"))
    result = await anna.press("resend")
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.QUEUED
    assert (await anna.type(old)).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_a_queued_new_code_replaces_the_old_one_when_its_slot_arrives() -> None:
    anna = await with_a_code(flow_harness())
    old = anna.flow_harness.bench.mails.code(address_of("anna"))
    await anna.press("resend")
    assert (
        asks_again_in(anna.result, anna.flow_harness.clock.now()) == int(slot(anna) - anna.flow_harness.clock.now()) + 1
    )
    anna.flow_harness.clock.set(slot(anna) + 0.5)
    assert (await anna.look()).problem_detail is None
    new = anna.flow_harness.bench.mails.code(address_of("anna"))
    assert mails_to(anna.flow_harness, "anna") == 2
    assert new != old
    assert (await anna.type(new)).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_a_queued_new_code_that_may_not_be_sent_is_dropped_from_the_queue() -> None:
    anna = await with_a_code(flow_harness())
    await anna.press("resend")
    anna.flow_harness.clock.set(slot(anna))
    anna.flow_harness.bench.mails.refuses = "451 try again"
    result = await anna.look()
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.SEND_FAILED
    assert anna.login.verification.queued_until is None
    assert anna.login.verification.challenge
    assert (await anna.look()).problem_detail is None


@pytest.mark.row("GW-34")
async def test_a_user_who_waits_for_a_mail_may_use_an_administrators_code() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    anna = await queued(of)
    assert asks_again_in(anna.result, of.clock.now()) == int(slot(anna) - of.clock.now()) + 1
    code = await of.bench.admin_codes.issue(of.tenant.id, "anna", "administrator")
    assert (await anna.type(code)).step is Step.DONE
    assert mails_to(of, "anna") == 0


@pytest.mark.row("GW-34")
async def test_the_queued_mail_is_sent_in_its_slot_even_where_other_codes_can_be_typed() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    anna = await queued(of)
    of.clock.set(slot(anna))
    assert (await anna.look()).problem_detail is None
    assert (await anna.type(of.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("CC-16")
async def test_an_administrators_code_signs_in_while_no_relay_accepts_mails() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    of.bench.mails.refuses = "421 closed"
    anna = of.browser("anna")
    await anna.password()
    code = await of.bench.admin_codes.issue(of.tenant.id, "anna", "administrator")
    assert (await anna.type(code)).step is Step.DONE


async def test_after_a_failed_send_the_button_sends_the_code() -> None:
    of = flow_harness()
    with_policy(of, admin_codes=True)
    of.bench.mails.refuses = "421 closed"
    anna = of.browser("anna")
    await anna.password()
    of.bench.mails.refuses = ""
    assert (await anna.press("send")).problem_detail is None
    assert (await anna.type(of.bench.mails.code(address_of("anna")))).step is Step.DONE


@pytest.mark.row("GW-34")
async def test_the_lifetime_of_a_code_has_a_maximum_with_a_slow_relay() -> None:
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
    """Returns Anna, whose code is valid for ten minutes and who may request a new one; others are queued behind her."""
    with_policy(of, otp_expiry=600)
    anna = of.browser("anna")
    await anna.password()
    of.clock.advance(61)
    await crowd(of, 30)
    return anna


def with_policy(of: FlowHarness, **changes: object) -> None:
    """Sets another policy for later logins."""
    of.tenant = replace(of.tenant, policy=replace(of.tenant.policy, **changes))  # type: ignore[arg-type]
