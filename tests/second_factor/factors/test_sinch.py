"""Codes of the Sinch Verification API in challenges: limits and one owner, however the service answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from aiohttp import web

from gateway.crypto.key_ring import Signer
from gateway.delivery.sinch import SinchApi
from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import Conflict
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.second_factor import rate_limits
from gateway.second_factor.challenges import Denied, Verified
from gateway.second_factor.factors import sinch
from gateway.second_factor.factors.sinch import SinchFactor
from gateway.settings.presets import PRESETS
from gateway.store.locks import StoreLock
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.clock import FakeClock
from tests.fixtures.http_service import Received, never, open_calls, says
from tests.fixtures.sinch_api import NUMBER, FakeSinch, error, fake_sinch

METHODS = (Enrolment(FactorKind.SMS, NUMBER),)


@pytest.fixture
async def service(clock: FakeClock) -> AsyncIterator[FakeSinch]:
    """Yields the service."""
    async with fake_sinch(clock) as made:
        yield made


@pytest.fixture
async def bench(clock: FakeClock, service: FakeSinch) -> AsyncIterator[ChallengeHarness]:
    """Yields challenges through that service, by the vendor's policy."""
    bench = ChallengeHarness(clock=clock)
    bench.policy = replace(PRESETS["sinch"].policy, methods=())
    async with open_calls() as calls:
        signer = Signer(bench.ring, sinch.PURPOSE)
        factor = SinchFactor(api=SinchApi(calls, clock), lock=bench.lock, signer=signer)
        bench.serve(factor, service.channel(timeout=0.5))
        yield bench


async def lost(request: Received, usual: web.Response) -> web.StreamResponse:
    """Loses the answer to each report that the service has judged."""
    return await never() if request.method == "PUT" else usual


@pytest.mark.row("SI-06")
@pytest.mark.attack("F8")
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_of_200_right_and_200_wrong_entries_at_once_no_wrong_one_is_accepted_and_attempts_suffice(
    bench: ChallengeHarness, service: FakeSinch, late: bool
) -> None:
    case = bench.case(methods=METHODS)
    challenge = await bench.send(case)
    if late:
        service.instead = lost
    entries = [service.code(), service.wrong()] * 200
    answers = await asyncio.gather(*(bench.answer(case, challenge, entry) for entry in entries))
    accepted = {entry for entry, answer in zip(entries, answers, strict=True) if isinstance(answer, Verified)}
    assert accepted <= {service.code()}
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) <= bench.policy.otp_max_attempts


@pytest.mark.attack("F8")
async def test_after_a_right_entry_no_other_one_is_accepted_for_the_same_verification(
    bench: ChallengeHarness, service: FakeSinch
) -> None:
    case = bench.case(methods=METHODS)
    challenge = await bench.send(case)
    assert isinstance(await bench.answer(case, challenge, service.code()), Verified)
    found = await bench.answer(case, challenge, service.wrong())
    assert isinstance(found, Denied)
    assert found.problem_detail.problem is Problem.WRONG_CODE


@pytest.mark.attack("F8")
async def test_entries_that_no_service_judges_are_free_up_to_a_maximum(
    bench: ChallengeHarness, service: FakeSinch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MOST_UNJUDGED", 4)
    case = bench.case(methods=METHODS)
    challenge = await bench.send(case)
    service.instead = lambda request, _: says(b"ok")
    left = []
    for _ in range(6):
        await bench.answer(case, challenge, service.wrong())
        left.append((await bench.challenges.left(case, challenge)).attempts)
    assert left == [3, 3, 3, 3, 2, 1]


@pytest.mark.attack("F8")
@pytest.mark.parametrize("entry", ["123", "12345678901", "12a4", ""])
async def test_an_entry_that_cannot_be_a_code_is_not_reported(
    bench: ChallengeHarness, service: FakeSinch, entry: str
) -> None:
    case = bench.case(methods=METHODS)
    challenge = await bench.send(case)
    assert isinstance(await bench.answer(case, challenge, entry), Denied)
    assert [request.method for request in service.requests] == ["POST"]


async def test_a_service_that_rejects_the_number_gives_the_send_back(
    bench: ChallengeHarness, service: FakeSinch
) -> None:
    service.instead = lambda request, _: error(400, 40001, "no such number")
    case = bench.case(methods=METHODS)
    for _ in range(bench.policy.max_sends + 1):
        found = await bench.try_to_send(case)
        assert getattr(found, "problem", None) is Problem.SEND_FAILED
    service.instead = None
    await bench.send(case)


async def test_a_number_of_a_country_that_is_no_longer_allowed_gets_no_code(
    bench: ChallengeHarness, service: FakeSinch
) -> None:
    case = bench.case(methods=(Enrolment(FactorKind.SMS, "+46701740605"),))
    found = await bench.try_to_send(case)
    assert getattr(found, "problem", None) is Problem.SEND_FAILED
    assert not service.requests


@pytest.mark.row("SI-06")
@pytest.mark.attack("F8")
async def test_the_check_of_an_entry_keeps_its_lock_as_long_as_all_its_calls_may_take(
    bench: ChallengeHarness, service: FakeSinch, clock: FakeClock
) -> None:
    bench.channels[FactorKind.SMS] = service.channel(timeout=3.0)
    case = bench.case(methods=METHODS)
    challenge = await bench.send(case)
    free: list[bool] = []

    async def slow(request: Received, usual: web.Response) -> web.StreamResponse:
        clock.advance(9.0)
        with suppress(Conflict):
            async with StoreLock(bench.store, clock, bench.random).hold(f"sinch:{service.sent[-1].id}", wait=0, ttl=1):
                free.append(True)
        return usual

    service.instead = slow
    assert isinstance(await bench.answer(case, challenge, service.code()), Verified)
    assert not free
