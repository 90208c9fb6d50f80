"""Tests of the factor `sms`: the text and its limits, with a real SMS gateway on loopback."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.delivery.http_calls import MOST
from gateway.domain.challenge import Challenge, Draft, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import PhoneNumbers
from gateway.domain.user import User
from gateway.second_factor.challenges import ChallengeContext, Verified
from tests.fixtures.challenge_harness import SMS_GATEWAY, ChallengeHarness
from tests.fixtures.http_service import ODD_BODIES, HttpServer, http_server, never, says

NUMBER = "+491701234567"


@pytest.fixture
async def harness() -> AsyncIterator[ChallengeHarness]:
    """Yields a gateway without a running SMS gateway."""
    made = ChallengeHarness()
    made.policy = replace(made.policy, resend_cooldown=0, max_sends=100)
    yield made
    await made.calls.close()


@pytest.fixture
async def server(harness: ChallengeHarness) -> AsyncIterator[HttpServer]:
    """Yields the SMS gateway, which accepts every text."""
    async with http_server(lambda _: says({"sent": True})) as server:
        harness.use_sms_gateway(server.url)
        yield server


def case(harness: ChallengeHarness, number: str = NUMBER, user: str = "u1", login: str = "l1") -> ChallengeContext:
    return harness.case(user, login, methods=(Enrolment(FactorKind.SMS, number),))


async def sends_left(harness: ChallengeHarness, context: ChallengeContext) -> ProblemDetail | None:
    return await harness.challenges.held(context, context.methods[0])


async def enrol(harness: ChallengeHarness, given: str) -> Draft | Rejected:
    delivery = harness.about(FactorKind.SMS)
    return await harness.challenges.factor(delivery, FactorKind.SMS).enrol(User("u1", "anna"), given, delivery)


@pytest.mark.row("EF-20", "SI-11")
async def test_a_number_is_enrolled_in_e164(harness: ChallengeHarness) -> None:
    assert await enrol(harness, "0170 / 123 45 67") == Draft(FactorKind.SMS, address=NUMBER)


@pytest.mark.parametrize(
    ("given", "problem"), [("anna@example.com", Problem.BAD_NUMBER), ("+1 900 555 0100", Problem.NUMBER_NOT_ALLOWED)]
)
async def test_a_number_that_gets_no_code_is_rejected(harness: ChallengeHarness, given: str, problem: Problem) -> None:
    assert await enrol(harness, given) == Rejected(problem)


@pytest.mark.row("EF-20")
async def test_the_text_has_the_code_in_words_and_in_the_form_that_phones_fill_in(
    harness: ChallengeHarness, server: HttpServer
) -> None:
    context = case(harness)
    challenge = await harness.send(context)
    message = server.requests[0].json()
    code = message["text"].rpartition("#")[2]
    assert message["to"] == NUMBER
    assert message["text"] == f"{code} is your sign-in code for Expertflow. Don't share it.\n\n@cc.example #{code}"
    assert isinstance(await harness.answer(context, challenge, code), Verified)


async def test_the_code_works_for_its_whole_life_from_the_time_of_sending(
    harness: ChallengeHarness, server: HttpServer
) -> None:
    challenge = await harness.send(case(harness))
    assert challenge.expires_at == harness.clock.now() + harness.policy.otp_expiry


async def test_a_text_that_no_gateway_accepted_costs_no_send(harness: ChallengeHarness) -> None:
    harness.limits = replace(harness.limits, texts_per_user=1)
    assert await harness.try_to_send(case(harness)) == ProblemDetail(Problem.SEND_FAILED)
    assert await sends_left(harness, case(harness)) is None


async def test_a_text_that_a_gateway_may_have_accepted_counts_as_sent(harness: ChallengeHarness) -> None:
    harness.limits = replace(harness.limits, texts_per_user=1)
    async with http_server(lambda _: never()) as server:
        harness.use_sms_gateway(server.url, timeout=0.05)
        assert isinstance(await harness.try_to_send(case(harness)), Challenge)
    held = await sends_left(harness, case(harness))
    assert held
    assert (held.problem, held.limit) == (Problem.MAX_SENDS, "limits.texts_per_user")


@pytest.mark.attack("F8")
async def test_no_odd_answer_of_a_hostile_gateway_means_sent_or_costs_a_send(harness: ChallengeHarness) -> None:
    harness.limits = replace(harness.limits, texts_per_user=1)
    own = (b'{"sent":"true"}', b'{"sent":1}', b'{"sent":false}', b'{"sent":[true]}', b'[{"sent":true}]')
    odd = [body for body in (*ODD_BODIES, *own) if len(body) <= MOST]
    bodies = iter(odd)
    async with http_server(lambda _: says(next(bodies))) as server:
        harness.use_sms_gateway(server.url)
        found = [await harness.try_to_send(case(harness)) for _ in odd]
    assert found == [ProblemDetail(Problem.SEND_FAILED)] * len(odd)
    assert len(odd) >= 40


async def test_a_response_that_is_too_long_to_be_read_counts_as_sent(harness: ChallengeHarness) -> None:
    async with http_server(lambda _: says(b"x" * (MOST + 1))) as server:
        harness.use_sms_gateway(server.url)
        assert isinstance(await harness.try_to_send(case(harness)), Challenge)


async def test_no_code_is_sent_to_a_country_that_is_no_longer_allowed(
    harness: ChallengeHarness, server: HttpServer
) -> None:
    harness.tenant = replace(harness.tenant, phone_numbers=PhoneNumbers(region="PK"))
    assert await harness.try_to_send(case(harness)) == ProblemDetail(Problem.SEND_FAILED)
    assert server.requests == []


@pytest.mark.parametrize(
    ("setting", "user", "number"),
    [
        ("texts_per_user", "u1", "+491701234568"),
        ("texts_per_number", "u2", NUMBER),
        ("texts_per_tenant", "u2", "+491701234568"),
    ],
)
async def test_texts_are_limited_by_user_number_and_tenant(
    harness: ChallengeHarness, server: HttpServer, setting: str, user: str, number: str
) -> None:
    harness.limits = replace(harness.limits, **{setting: 2})  # type: ignore[arg-type]
    for _ in range(2):
        await harness.send(case(harness))
    found = await harness.try_to_send(case(harness, number, user, "l2"))
    assert isinstance(found, ProblemDetail)
    assert (found.problem, found.limit) == (Problem.MAX_SENDS, f"limits.{setting}")
    assert len(server.requests) == 2


async def test_no_more_than_the_maximum_of_texts_is_sent_in_parallel_logins(
    harness: ChallengeHarness, server: HttpServer
) -> None:
    harness.limits = replace(harness.limits, texts_per_tenant=5)
    cases = [case(harness, NUMBER, f"u{n}", f"l{n}") for n in range(50)]
    found = await asyncio.gather(*(harness.try_to_send(one) for one in cases))
    assert len([one for one in found if isinstance(one, Challenge)]) == len(server.requests) == 5


async def test_mails_do_not_count_as_texts(harness: ChallengeHarness, server: HttpServer) -> None:
    harness.limits = replace(harness.limits, texts_per_user=1, texts_per_tenant=1)
    await harness.send(harness.case("u1", "l0"))
    await harness.send(case(harness))


async def test_the_metrics_have_the_estimated_cost(harness: ChallengeHarness, server: HttpServer) -> None:
    await harness.send(case(harness))
    metrics = harness.metrics.text().decode()
    labels = f'{{channel="sms",tenant="{harness.tenant.id}"}}'
    assert f"efcx_gateway_sms_messages_total{labels} 1.0" in metrics
    assert f"efcx_gateway_sms_parts_total{labels} 1.0" in metrics
    assert f"efcx_gateway_sms_estimated_cost_total{labels} {SMS_GATEWAY.price}" in metrics


async def test_the_reason_of_a_text_that_was_not_sent_is_in_the_log_without_the_number(
    harness: ChallengeHarness,
) -> None:
    async with http_server(lambda _: says({"sent": False, "to": NUMBER}, status=402)) as server:
        harness.use_sms_gateway(server.url)
        with capture_logs() as log:
            await harness.try_to_send(case(harness))
    [line] = [line for line in log if line["event"] == "text_not_sent"]
    assert (line["channel"], line["why"]) == ("sms", "response with status 402: not sent")
    assert NUMBER not in str(log)
