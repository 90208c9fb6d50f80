"""Tests that a service without a verdict frees no guess at another factor, on a page that takes any code."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pyotp
import pytest

from gateway.crypto.key_ring import Signer
from gateway.domain.challenge import Challenge
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.second_factor.challenges import ChallengeContext, Continued, Denied, Verified
from gateway.second_factor.factors.otp_manager import OtpManagerEmailFactor
from gateway.second_factor.factors.rsa import RsaFactor
from tests.fixtures import otp_manager
from tests.fixtures.challenge_harness import ChallengeHarness, at_otp_manager
from tests.fixtures.http_service import open_calls, says
from tests.fixtures.otp_manager import OtpManager
from tests.fixtures.rsa_server import NEXT_CODE_AFTER, RsaManager, rsa_manager

pytestmark = [pytest.mark.attack("F8"), pytest.mark.row("EF-20", "CC-17")]
SECRET = pyotp.random_base32()
APP = Enrolment(FactorKind.TOTP, secret=SECRET)
MAILBOX = Enrolment(FactorKind.EMAIL, "u1@example.com")


@dataclass
class Bench:
    """A user at a page that takes any code, and the services."""

    harness: ChallengeHarness
    mails: OtpManager
    rsa: RsaManager

    def case(self, *methods: Enrolment) -> ChallengeContext:
        """Returns the proof by any of these methods."""
        return self.harness.case("u1", methods=methods, takes_any=True)

    async def enter(self, case: ChallengeContext, challenge: Challenge, typed: str) -> Verified | Denied | Continued:
        """Enters a code."""
        return await self.harness.challenges.answer(case, self.harness.about, challenge, typed)

    def wrong(self) -> str:
        """Returns a code of no factor."""
        near = {pyotp.TOTP(SECRET).at(self.harness.clock.now(), counter_offset=n) for n in range(-30, 31)}
        return next(f"{n:06}" for n in range(100) if f"{n:06}" not in near)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Yields a gateway with an otp-manager and an RSA server."""
    harness = ChallengeHarness()
    await harness.consuming.store_began()
    harness.clock.advance(90)
    async with otp_manager.otp_manager() as mails, rsa_manager() as rsa, open_calls() as http_calls:
        harness.tenant = at_otp_manager(mails.url)
        harness.serve(OtpManagerEmailFactor(http_calls, Signer(harness.ring, "otp-manager")), otp_manager.channel())
        harness.serve(RsaFactor(http_calls, Signer(harness.ring, "rsa")), rsa.channel)
        yield Bench(harness, mails, rsa)


def failures(found: Verified | Denied | Continued) -> tuple[Problem, int]:
    assert isinstance(found, Denied), found
    return found.problem_detail.problem, found.failures


async def test_a_wrong_code_of_the_app_costs_an_attempt_while_the_otp_manager_is_down(bench: Bench) -> None:
    case = bench.case(APP, MAILBOX)
    challenge = await bench.harness.send(case)
    await bench.mails.http.stop()
    found = [failures(await bench.enter(case, challenge, bench.wrong())) for _ in range(3)]
    assert found == [(Problem.WRONG_CODE, 1), (Problem.WRONG_CODE, 2), (Problem.WRONG_CODE, 3)]


async def test_the_right_code_of_the_app_is_accepted_while_the_otp_manager_is_down(bench: Bench) -> None:
    case = bench.case(APP, MAILBOX)
    challenge = await bench.harness.send(case)
    await bench.mails.http.stop()
    found = await bench.enter(case, challenge, pyotp.TOTP(SECRET).at(bench.harness.clock.now()))
    assert isinstance(found, Verified)
    assert found.factor is FactorKind.TOTP


async def test_a_wrong_code_of_the_app_costs_an_attempt_if_the_otp_manager_calls_each_code_expired(
    bench: Bench,
) -> None:
    case = bench.case(APP, MAILBOX)
    challenge = await bench.harness.send(case)
    bench.mails.http.answer = lambda _: says({"message": "OTP_EXPIRED"}, 400)
    found = [failures(await bench.enter(case, challenge, bench.wrong())) for _ in range(2)]
    assert [count for _, count in found] == [1, 2]


async def test_a_code_that_is_no_passcode_costs_an_attempt_beside_rsa(bench: Bench) -> None:
    case = bench.case(MAILBOX, Enrolment(FactorKind.RSA))
    challenge = await bench.harness.send(case)
    found = [failures(await bench.enter(case, challenge, bench.wrong())) for _ in range(2)]
    assert found == [(Problem.WRONG_CODE, 1), (Problem.WRONG_CODE, 2)]


async def test_a_sent_code_works_on_after_rsa_asked_for_a_next_code(bench: Bench) -> None:
    case = bench.case(MAILBOX, Enrolment(FactorKind.RSA))
    challenge = await bench.harness.send(case)
    bench.rsa.tokens["u1"].failures = NEXT_CODE_AFTER
    assert failures(await bench.enter(case, challenge, bench.rsa.tokens["u1"].passcode)) == (Problem.WRONG_CODE, 1)
    assert isinstance(await bench.enter(case, challenge, bench.mails.code()), Verified)


async def test_without_a_sent_code_the_next_code_of_the_token_is_accepted(bench: Bench) -> None:
    case = bench.case(APP, Enrolment(FactorKind.RSA))
    challenge = await bench.harness.wait_for_code(case)
    bench.rsa.tokens["u1"].failures = NEXT_CODE_AFTER
    more = await bench.enter(case, challenge, bench.rsa.tokens["u1"].passcode)
    assert isinstance(more, Continued)
    found = await bench.enter(case, more.challenge, bench.rsa.tokens["u1"].next_code)
    assert isinstance(found, Verified)
    assert found.factor is FactorKind.RSA
