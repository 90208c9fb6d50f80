"""Tests of codes through EFCX's otp-manager, against one on loopback."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from structlog.testing import capture_logs

from gateway.crypto.key_ring import Signer
from gateway.domain.challenge import Challenge, Draft, Rejected
from gateway.domain.channel import ChannelType, OtpManagerService
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import User
from gateway.second_factor.challenges import Denied, Verified
from gateway.second_factor.factors.otp_manager import OtpManagerEmailFactor, OtpManagerSmsFactor
from tests.fixtures import otp_manager
from tests.fixtures.challenge_harness import ChallengeHarness, at_otp_manager
from tests.fixtures.http_service import never, open_calls, says
from tests.fixtures.otp_manager import OtpManager

pytestmark = pytest.mark.row("EF-20", "EF-25", "NX-07")
SHARED = "team@example.com"


@dataclass
class Bench:
    """A gateway and an otp-manager."""

    harness: ChallengeHarness
    manager: OtpManager
    email: OtpManagerEmailFactor
    sms: OtpManagerSmsFactor

    async def answered(self, body: object, status: int = 200) -> Verified | Denied:
        """Returns the result of a right code whose verification is answered so."""
        case = self.harness.case()
        challenge = await self.harness.send(case)
        self.manager.http.answer = lambda _: says(body, status)  # type: ignore[arg-type]
        return await self.harness.answer(case, challenge, self.manager.code())

    def accept(self, **accepted: str | int | bool) -> None:
        """Sets how the otp-manager accepts a code."""
        service = OtpManagerService(accepted={key.replace("__", "."): value for key, value in accepted.items()})
        self.harness.channels[FactorKind.EMAIL] = replace(otp_manager.channel(), service=service)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Yields a tenant whose codes an otp-manager makes."""
    harness = ChallengeHarness()
    async with otp_manager.otp_manager() as manager, open_calls() as http_calls:
        signer = Signer(harness.ring, "otp-manager")
        email, sms = OtpManagerEmailFactor(http_calls, signer), OtpManagerSmsFactor(http_calls, signer)
        harness.tenant = at_otp_manager(manager.url)
        harness.serve(email, otp_manager.channel())
        yield Bench(harness, manager, email, sms)


def problem(found: Verified | Denied) -> Problem:
    assert isinstance(found, Denied), found
    return found.problem_detail.problem


async def test_a_code_is_asked_for_as_efcx_asks(bench: Bench) -> None:
    await bench.harness.send(bench.harness.case("u1"))
    [request] = bench.manager.http.requests
    assert (request.method, request.target, request.headers["tenantid"]) == ("POST", "/otp/generate", "expertflow")
    assert request.json() == {
        "customerChannelIdentifier": "u1@example.com",
        "channelType": "EMAIL",
        "channelServiceIdentifier": "otp@example.com",
        "appName": "efcx-gateway",
        "otpExpiry": 60,
        "otpMaxAttempts": bench.harness.tenant.policy.otp_max_attempts,
        "purpose": "LOGIN",
    }


async def test_a_code_is_verified_as_efcx_verifies(bench: Bench) -> None:
    case = bench.harness.case("u1")
    await bench.harness.answer(case, await bench.harness.send(case), bench.manager.code())
    request = bench.manager.http.requests[-1]
    assert request.target == "/otp/verify"
    assert request.json() == {
        "customerChannelIdentifier": "u1@example.com",
        "channelServiceIdentifier": "otp@example.com",
        "appName": "efcx-gateway",
        "otpCode": bench.manager.code(),
        "purpose": "LOGIN",
    }


async def test_a_phone_number_is_sent_in_efcxs_form(bench: Bench) -> None:
    channel = otp_manager.channel(ChannelType.SMS, "8224")
    about = replace(bench.harness.about(FactorKind.EMAIL), channel=channel)
    await bench.sms.challenge(User("u1", "u1"), Enrolment(FactorKind.SMS, "+4917012345678"), about)
    body = bench.manager.http.requests[0].json()
    assert (body["customerChannelIdentifier"], body["channelType"]) == ("4917012345678", "SMS")


async def test_a_user_enrols_a_mail_address(bench: Bench) -> None:
    about = bench.harness.about(FactorKind.EMAIL)
    user = User("u1", "u1")
    assert await bench.email.enrol(user, " anna@example.com ", about) == Draft(FactorKind.EMAIL, "anna@example.com")
    assert await bench.email.enrol(user, "anna", about) == Rejected(Problem.BAD_ADDRESS)


async def test_a_user_enrols_a_phone_number(bench: Bench) -> None:
    about = bench.harness.about(FactorKind.EMAIL)
    numbers = replace(about.tenant.phone_numbers, region="DE", countries=frozenset({"DE"}))
    about = replace(about, tenant=replace(about.tenant, phone_numbers=numbers))
    user = User("u1", "u1")
    assert await bench.sms.enrol(user, "0170 1234567", about) == Draft(FactorKind.SMS, "+491701234567")
    assert await bench.sms.enrol(user, "12", about) == Rejected(Problem.BAD_NUMBER)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("OTP_INVALID", Problem.WRONG_CODE),
        ("OTP_EXPIRED", Problem.CODE_EXPIRED),
        ("OTP_MAX_ATTEMPTS", Problem.LIMIT_EXCEEDED),
        ("OTP_SOMETHING_ELSE", Problem.CHECK_FAILED),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 422, 500])
async def test_each_word_of_an_otp_manager_has_its_problem(
    bench: Bench, word: str, expected: Problem, status: int
) -> None:
    assert problem(await bench.answered({"message": word}, status)) is expected


@pytest.mark.attack("F8")
async def test_a_code_is_accepted_by_every_configured_key_together(bench: Bench) -> None:
    bench.accept(status=200, data__verified=True)
    assert isinstance(await bench.answered({"status": 200, "data": {"verified": True}}), Verified)


@pytest.mark.attack("F8")
@pytest.mark.parametrize(
    "body",
    [
        {"status": 200},
        {"data": {"verified": True}},
        {"status": "200", "data": {"verified": True}},
        {"status": 200, "data": {"verified": 1}},
        {"status": 200, "data": {"verified": "true"}},
        {"status": 200, "data": [{"verified": True}]},
        {"status": 200, "data.verified": True},
        {"status": True, "data": {"verified": True}},
        {"status": 200, "data": {"verified": True}, "message": "OTP_INVALID"},
    ],
)
async def test_a_part_of_the_configured_keys_or_another_type_accepts_nothing(bench: Bench, body: object) -> None:
    bench.accept(status=200, data__verified=True)
    assert isinstance(await bench.answered(body), Denied)


@pytest.mark.parametrize("status", [400, 401, 404, 500, 301])
async def test_a_code_that_was_not_asked_for_is_reported(bench: Bench, status: int) -> None:
    bench.manager.http.answer = lambda _: says({"message": "OTP_COOLDOWN"}, status)
    sent = await bench.harness.try_to_send(bench.harness.case())
    assert isinstance(sent, ProblemDetail)
    assert sent.problem is Problem.SEND_FAILED


async def test_a_failed_request_for_a_code_counts_no_send(bench: Bench) -> None:
    case = bench.harness.case()
    bench.manager.http.answer = lambda _: says("", 500)
    await bench.harness.try_to_send(case)
    bench.manager.http.answer = bench.manager.answer
    assert isinstance(await bench.harness.try_to_send(case), Challenge)


async def test_a_request_that_the_otp_manager_may_have_got_counts_as_sent(bench: Bench) -> None:
    service = OtpManagerService(timeout=0.05, accepted=otp_manager.ACCEPTED)
    bench.harness.channels[FactorKind.EMAIL] = replace(otp_manager.channel(), service=service)
    bench.manager.http.answer = lambda _: never()
    case = bench.harness.case()
    assert isinstance(await bench.harness.try_to_send(case), Challenge)
    again = await bench.harness.try_to_send(case)
    assert isinstance(again, ProblemDetail)
    assert again.problem is Problem.WAIT


async def test_a_code_expires_at_the_gateway_too(bench: Bench) -> None:
    case = bench.harness.case()
    challenge = await bench.harness.send(case)
    bench.harness.clock.advance(60)
    assert problem(await bench.harness.answer(case, challenge, bench.manager.code())) is Problem.CODE_EXPIRED
    assert [r.target for r in bench.manager.http.requests] == ["/otp/generate"]


@pytest.mark.row("EF-12")
async def test_a_newer_code_to_a_shared_mailbox_signs_in_its_own_user_alone(bench: Bench) -> None:
    """The otp-manager takes the newest code for both users; the gateway knows whose it is."""
    first, second = (bench.harness.case(user, f"l-{user}", SHARED) for user in ("u1", "u2"))
    old = await bench.harness.send(first)
    new = await bench.harness.send(second)
    assert problem(await bench.harness.answer(first, old, bench.manager.code())) is Problem.CODE_REPLACED
    assert isinstance(new, Challenge)


@pytest.mark.row("EF-13")
async def test_a_code_is_accepted_for_one_owner_over_all_users_of_its_address(bench: Bench) -> None:
    """Also if the otp-manager takes the code more than once."""
    bench.harness.policy = replace(bench.harness.policy, shared_address=bench.harness.policy.shared_address.SEPARATE)
    cases = [bench.harness.case(f"u{n}", f"l{n}", SHARED) for n in range(20)]
    challenges = [await bench.harness.send(case) for case in cases]
    bench.manager.http.answer = lambda _: says(otp_manager.ACCEPTED)
    code = bench.manager.code()
    pairs = zip(cases, challenges, strict=True)
    answers = await asyncio.gather(*(bench.harness.answer(case, challenge, code) for case, challenge in pairs))
    assert len([a for a in answers if isinstance(a, Verified)]) == 1


async def test_the_same_code_sent_twice_at_once_is_asked_once_and_accepted_for_both(bench: Bench) -> None:
    case = bench.harness.case()
    challenge, code = await bench.harness.send(case), bench.manager.code()
    found = await asyncio.gather(*(bench.harness.answer(case, challenge, code) for _ in range(2)))
    assert [type(one) for one in found] == [Verified, Verified]
    assert len(bench.manager.http.requests) == 2


async def test_no_log_line_has_a_code_or_an_address(bench: Bench) -> None:
    with capture_logs() as lines:
        await bench.answered({"message": "odd"})
    assert [line["event"] for line in lines] == ["otp_manager_gave_no_verdict"]
    assert bench.manager.code() not in str(lines)
    assert "u1@example.com" not in str(lines)
