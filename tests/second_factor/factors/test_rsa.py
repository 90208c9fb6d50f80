"""Tests of RSA SecurID passcodes, against an RSA Authentication Manager on loopback."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from structlog.testing import capture_logs

from gateway.crypto.key_ring import Signer
from gateway.domain.challenge import Challenge
from gateway.domain.channel import RsaService
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.domain.secret import Secret
from gateway.second_factor.challenges import ChallengeContext, Continued, Denied, Verified
from gateway.second_factor.factors.rsa import ASK_AGAIN, ASK_NEXT, RsaFactor
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.http_service import open_calls, says
from tests.fixtures.rsa_server import AGENT, KEY, NEXT_CODE_AFTER, RsaManager, Token, accepts, rsa_manager

pytestmark = pytest.mark.row("EF-20")


@dataclass
class Bench:
    """One user at their passcode page."""

    harness: ChallengeHarness
    manager: RsaManager
    case: ChallengeContext
    challenge: Challenge

    @property
    def token(self) -> Token:
        """Returns the user's token."""
        return self.manager.tokens["u1"]

    async def enter(self, typed: str) -> Verified | Denied | Continued:
        """Enters a passcode; a challenge that goes on takes the place of the old one."""
        found = await self.harness.challenges.answer(self.case, self.harness.about, self.challenge, typed)
        if isinstance(found, Continued):
            self.challenge = found.challenge
        return found

    async def asked_for_the_next_code(self) -> Verified | Denied | Continued:
        """Enters a correct passcode after so many failures that RSA asks for the next code."""
        self.token.failures = NEXT_CODE_AFTER
        return await self.enter(self.token.passcode)

    async def attempts_left(self) -> int:
        """Returns the attempts that the user has left."""
        return (await self.harness.challenges.left(self.case, self.challenge)).attempts


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Yields a user with a token."""
    harness = ChallengeHarness()
    async with rsa_manager() as manager, open_calls() as http_calls:
        harness.serve(RsaFactor(http_calls, Signer(harness.ring, "rsa")), manager.channel)
        case = harness.case(methods=(Enrolment(FactorKind.RSA),))
        yield Bench(harness, manager, case, await harness.wait_for_code(case))


def problem(found: Verified | Denied | Continued) -> Problem:
    assert isinstance(found, Denied), found
    return found.problem_detail.problem


async def test_a_passcode_is_sent_as_the_credential_securid_of_the_user(bench: Bench) -> None:
    await bench.enter(bench.token.passcode)
    [request] = bench.manager.http.requests
    body = request.json()
    assert (request.method, request.target) == ("POST", "/mfa/v1_1/authn/initialize")
    assert request.headers["client-key"] == KEY
    assert (body["clientId"], body["subjectName"]) == (AGENT, "u1")
    inputs = [{"name": "SECURID", "value": bench.token.passcode}]
    assert body["subjectCredentials"] == [{"methodId": "SECURID", "collectedInputs": inputs}]


async def test_a_tenants_own_server_has_priority_over_the_channels(bench: Bench) -> None:
    channel = bench.manager.channel
    nowhere = replace(bench.manager.server, url="http://127.0.0.1:1/", client_key=Secret("other"))
    bench.harness.channels[FactorKind.RSA] = replace(channel, service=RsaService(server=nowhere))
    about = bench.harness.about

    def own(factor: FactorKind) -> object:
        delivery = about(factor)
        return replace(delivery, tenant=replace(delivery.tenant, rsa=bench.manager.server))

    found = await bench.harness.challenges.answer(bench.case, own, bench.challenge, bench.token.passcode)  # type: ignore[arg-type]
    assert isinstance(found, Verified)


async def test_letters_of_a_pin_keep_their_case(bench: Bench) -> None:
    bench.token.pin = "PinAbCd1"
    assert problem(await bench.enter("pinabcd1246810")) is Problem.WRONG_CODE
    assert isinstance(await bench.enter("PinAbCd1246810"), Verified)


@pytest.mark.parametrize("typed", ["pin45678", "246810", "pin4567824681", "pin456782468101"])
async def test_an_entry_of_another_length_is_not_sent_and_costs_no_attempt(bench: Bench, typed: str) -> None:
    before = await bench.attempts_left()
    assert problem(await bench.enter(typed)) is Problem.BAD_INPUT
    assert bench.manager.http.requests == []
    assert await bench.attempts_left() == before


async def test_the_lengths_of_a_passcode_are_settings(bench: Bench) -> None:
    bench.token.pin = "1234"
    service = RsaService(server=bench.manager.server, shortest=10, longest=12)
    bench.harness.channels[FactorKind.RSA] = replace(bench.manager.channel, service=service)
    assert isinstance(await bench.enter("1234246810"), Verified)


async def test_after_failures_rsa_asks_for_the_next_code_of_the_token(bench: Bench) -> None:
    found = await bench.asked_for_the_next_code()
    assert isinstance(found, Continued)
    assert found.challenge.prompt == ASK_NEXT


async def test_the_next_code_alone_proves_the_user(bench: Bench) -> None:
    await bench.asked_for_the_next_code()
    assert isinstance(await bench.enter(bench.token.next_code), Verified)
    request = bench.manager.http.requests[-1]
    assert request.target == "/mfa/v1_1/authn/verify"
    assert request.json()["subjectCredentials"][0]["methodId"] == "SECURID_NEXT_TOKENCODE"


async def test_rsa_begins_its_own_attempt_for_a_challenge_of_another_service(bench: Bench) -> None:
    bench.challenge = replace(bench.challenge, state='{"verification": "of-a-former-channel"}')
    assert isinstance(await bench.enter(bench.token.passcode), Verified)
    assert bench.manager.http.requests[-1].target == "/mfa/v1_1/authn/initialize"


async def test_a_passcode_after_which_rsa_asks_for_the_next_code_costs_an_attempt(bench: Bench) -> None:
    before = await bench.attempts_left()
    await bench.asked_for_the_next_code()
    assert await bench.attempts_left() == before - 1


async def test_after_a_wrong_next_code_the_user_begins_again_with_pin_and_code(bench: Bench) -> None:
    await bench.asked_for_the_next_code()
    found = await bench.enter("000000")
    assert isinstance(found, Continued)
    assert found.challenge.prompt == ASK_AGAIN
    bench.token.turn("864209")
    bench.token.failures = 0
    assert isinstance(await bench.enter(bench.token.passcode), Verified)


async def test_wrong_next_codes_use_up_the_attempts_of_the_login(bench: Bench) -> None:
    for _ in range(bench.harness.policy.otp_max_attempts):
        await bench.enter("000000" if bench.challenge.state else f"{bench.token.pin}000000")
    assert problem(await bench.enter(bench.token.passcode)) is Problem.TOO_MANY_CODES


async def test_a_token_that_needs_a_new_pin_has_a_problem_of_its_own(bench: Bench) -> None:
    bench.token.new_pin = True
    assert problem(await bench.enter(bench.token.passcode)) is Problem.NEW_PIN


async def test_a_wrong_access_key_rejects_no_passcode(bench: Bench) -> None:
    server = replace(bench.manager.server, client_key=Secret("wrong"))
    bench.harness.channels[FactorKind.RSA] = replace(bench.manager.channel, service=RsaService(server=server))
    assert problem(await bench.enter(bench.token.passcode)) is Problem.CHECK_FAILED


@pytest.mark.attack("F8")
async def test_the_reason_credential_verified_alone_is_no_proof(bench: Bench) -> None:
    """EFCX accepts it; with an access policy it may come before another method was asked for."""
    bench.manager.http.answer = lambda request: says(accepts(request, attemptResponseCode="CHALLENGE"))
    assert problem(await bench.enter(bench.token.passcode)) is Problem.CHECK_FAILED


@pytest.mark.attack("F8")
async def test_a_recorded_answer_to_another_message_is_no_proof(bench: Bench) -> None:
    bench.manager.http.answer = lambda request: says(accepts(request))
    await bench.enter(bench.token.passcode)
    recorded = accepts(bench.manager.http.requests[0])
    bench.manager.http.answer = lambda _: says(recorded)
    other = bench.harness.case(login="l2", methods=(Enrolment(FactorKind.RSA),))
    waiting = await bench.harness.wait_for_code(other)
    found = await bench.harness.challenges.answer(other, bench.harness.about, waiting, f"{bench.token.pin}111111")
    assert problem(found) is Problem.CHECK_FAILED


@pytest.mark.row("EF-13")
async def test_a_passcode_is_accepted_for_one_owner_even_if_rsa_takes_it_again(bench: Bench) -> None:
    bench.manager.http.answer = lambda request: says(accepts(request))
    cases = [bench.harness.case(login=f"l{n}", methods=(Enrolment(FactorKind.RSA),)) for n in range(20)]
    waiting = [await bench.harness.wait_for_code(case) for case in cases]
    answers = await asyncio.gather(
        *(
            bench.harness.challenges.answer(case, bench.harness.about, challenge, bench.token.passcode)
            for case, challenge in zip(cases, waiting, strict=True)
        )
    )
    assert len([found for found in answers if isinstance(found, Verified)]) == 1


async def test_the_same_passcode_sent_twice_at_once_is_asked_once_and_accepted_for_both(bench: Bench) -> None:
    found = await asyncio.gather(*(bench.enter(bench.token.passcode) for _ in range(2)))
    assert [type(one) for one in found] == [Verified, Verified]
    assert len(bench.manager.http.requests) == 1


async def test_pin_and_code_are_in_no_log_line(bench: Bench) -> None:
    with capture_logs() as lines:
        await bench.enter(bench.token.passcode)
        bench.manager.http.answer = lambda _: says("odd")
        await bench.enter(bench.token.passcode)
        await bench.manager.http.stop()
        await bench.enter(bench.token.passcode)
    assert {line["event"] for line in lines} >= {"rsa_gave_no_verdict", "no_http_answer"}
    assert not any(part in str(lines) for part in (bench.token.pin, bench.token.code, KEY))
