"""Contract of the factors: each accepts a code once, for one owner, within the limits, on memory and on Redis."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyotp
import pytest
from aiohttp import web

from gateway.crypto.key_ring import Signer
from gateway.delivery.sinch import SinchApi
from gateway.delivery.web_services import WebServiceCalls
from gateway.domain.challenge import Binding, Challenge
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import AttemptsScope, FactorKind
from gateway.domain.problem import Problem
from gateway.second_factor.challenges import ChallengeContext, Denied, Verified
from gateway.second_factor.factors import backup_code, sinch
from gateway.second_factor.factors.external import ExternalAppFactor, ExternalSmsFactor
from gateway.second_factor.factors.otp_manager import OtpManagerEmailFactor
from gateway.second_factor.factors.rsa import RsaFactor
from gateway.second_factor.factors.sinch import SinchFactor
from gateway.settings.presets import PRESETS
from gateway.store.protocol import Store
from tests.fixtures import otp_manager
from tests.fixtures.challenge_harness import POLICY, ChallengeHarness, at_otp_manager
from tests.fixtures.clock import FakeClock
from tests.fixtures.genesys_services import APP_CODE, CODE, genesys_services
from tests.fixtures.genesys_services import odd_answers as genesys_odd_answers
from tests.fixtures.http_service import ODD_BODIES, HttpServer, Received, http_server, never, open_calls, says
from tests.fixtures.open_stores import opened
from tests.fixtures.rsa_server import odd_answers, rsa_manager
from tests.fixtures.sample_tenants import TENANT
from tests.fixtures.sinch_api import fake_sinch, odd_verdicts

MANY = 200
ENDED = (Problem.LOCKED, Problem.LIMIT_EXCEEDED, Problem.TOO_MANY_CODES)
USER = "u1"
NUMBER = "+491701234567"


MAILBOX = Enrolment(FactorKind.EMAIL, f"{USER}@example.com")


@dataclass(frozen=True)
class Proof:
    """One requested proof with its correct and wrong codes."""

    case: ChallengeContext
    challenge: Challenge
    right: str
    wrong: str


class Kind(ABC):
    """One factor as the contract uses it."""

    factor: FactorKind
    after_the_end = Problem.WRONG_CODE
    superseded = Problem.WRONG_CODE
    replayed = Problem.WRONG_CODE
    life: float
    """Seconds."""

    def __init__(self, bench: ChallengeHarness) -> None:
        self.bench = bench

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts what the factor works through."""
        yield

    @abstractmethod
    async def ask(self, login: str = "l1") -> Proof:
        """Returns a proof for `login`."""

    @abstractmethod
    async def supersede(self, proof: Proof) -> Proof:
        """Replaces the correct code by a newer one; returns the proof to answer now."""

    def another_owner(self, proof: Proof, number: int) -> Proof:
        """Returns the same code for another login."""
        return bound(proof, replace(proof.case.bound_to, login=f"other{number}"))


class Email(Kind):
    factor = FactorKind.EMAIL
    life = 60.0
    after_the_end = Problem.CODE_EXPIRED

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login)
        challenge = await self.bench.send(case)
        return Proof(case, challenge, self.bench.mails.code(), self.bench.wrong())

    async def supersede(self, proof: Proof) -> Proof:
        self.bench.clock.advance(59)
        self.bench.policy = replace(self.bench.policy, resend_cooldown=0)
        newer = await self.bench.send(replace(proof.case, policy=self.bench.policy))
        return replace(proof, challenge=newer)


class Sms(Kind):
    """Codes sent through an SMS gateway on loopback."""

    factor = FactorKind.SMS
    life = 60.0
    after_the_end = Problem.CODE_EXPIRED

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with http_server(lambda _: says({"sent": True})) as self.server:
            self.bench.use_sms_gateway(self.server.url)
            yield

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login, methods=(Enrolment(FactorKind.SMS, NUMBER),))
        challenge = await self.bench.send(case)
        text = self.server.requests[-1].json()["text"]
        code = text.rpartition("#")[2]
        return Proof(case, challenge, code, str((int(code) + 1) % 10**6).zfill(6))

    async def supersede(self, proof: Proof) -> Proof:
        self.bench.clock.advance(59)
        self.bench.policy = replace(self.bench.policy, resend_cooldown=0)
        newer = await self.bench.send(replace(proof.case, policy=self.bench.policy))
        return replace(proof, challenge=newer)


class Totp(Kind):
    factor = FactorKind.TOTP
    life = 60.0
    after_the_end = Problem.CLOCK_OFF
    superseded = replayed = Problem.NEXT_CODE

    def __init__(self, bench: ChallengeHarness) -> None:
        super().__init__(bench)
        self.secret = pyotp.random_base32()

    async def ask(self, login: str = "l1") -> Proof:
        self.bench.clock.advance(90)  # the store began before
        methods = (Enrolment(FactorKind.TOTP, secret=self.secret),)
        case = self.bench.case(USER, login, methods=methods)
        return Proof(case, await self.bench.wait_for_code(case), self.code(), self.wrong())

    def code(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(self.bench.clock.now(), counter_offset=steps)

    def wrong(self) -> str:
        near = {self.code(steps) for steps in range(-30, 31)}
        return next(f"{n:06}" for n in range(1000) if f"{n:06}" not in near)

    async def supersede(self, proof: Proof) -> Proof:
        newer = self.another_owner(proof, 0)
        assert isinstance(await self.bench.answer(newer.case, newer.challenge, self.code(1)), Verified)
        return proof


class BackupCode(Kind):
    factor = FactorKind.BACKUP_CODE
    life = float("inf")

    def __init__(self, bench: ChallengeHarness) -> None:
        super().__init__(bench)
        self.set = EnrolmentSet()

    async def ask(self, login: str = "l1") -> Proof:
        if not self.set.version:
            codes = backup_code.make(10, self.bench.random)
            made = await self.bench.enrolments.add(TENANT, USER, EnrolmentSet(), MAILBOX, codes)
            assert made
            self.set = made
        extras = (FactorKind.BACKUP_CODE,)
        case = self.bench.case(USER, login, extras=extras, enrolments=self.set)
        return Proof(case, await self.bench.wait_for_code(case), self.set.backup_codes[0], "0" * 10)

    async def supersede(self, proof: Proof) -> Proof:
        await self.bench.enrolments.renew_backup_codes(TENANT, USER, backup_code.make(10, self.bench.random))
        return proof


class AdminCode(Kind):
    factor = FactorKind.ADMIN_CODE
    life = 1800.0

    async def ask(self, login: str = "l1") -> Proof:
        code = await self.bench.admin_codes.issue(TENANT.id, USER, "admin")
        case = self.bench.case(USER, login, extras=(FactorKind.ADMIN_CODE,))
        wrong = str((int(code) + 1) % 10**12).zfill(12)
        return Proof(case, await self.bench.wait_for_code(case), code, wrong)

    async def supersede(self, proof: Proof) -> Proof:
        await self.bench.admin_codes.issue(TENANT.id, USER, "admin")
        return proof


class Remote(Kind):
    """A factor whose codes a service verifies. `http` is the service."""

    http: HttpServer

    @abstractmethod
    def odd_answers(self, request: Received) -> tuple[bytes, ...]:
        """Returns odd answers of the service's own form to a verification."""


class Rsa(Remote):
    factor = FactorKind.RSA
    life = float("inf")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with rsa_manager() as self.manager, open_calls() as http_calls:
            self.http = self.manager.http
            self.bench.serve(RsaFactor(http_calls, Signer(self.bench.ring, "rsa")), self.manager.channel)
            yield

    def odd_answers(self, request: Received) -> tuple[bytes, ...]:
        return odd_answers(request)

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login, methods=(Enrolment(FactorKind.RSA),))
        passcode = self.manager.tokens[USER].passcode
        return Proof(case, await self.bench.wait_for_code(case), passcode, passcode[:-1] + "9")

    async def supersede(self, proof: Proof) -> Proof:
        self.manager.tokens[USER].turn("975310")
        return proof


class Sinch(Remote):
    factor = FactorKind.SMS
    life = 60.0
    after_the_end = Problem.CODE_EXPIRED

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with fake_sinch(self.bench.clock) as self.service, open_calls() as http_calls:
            self.http = self.service.http
            api, signer = SinchApi(http_calls, self.bench.clock), Signer(self.bench.ring, sinch.PURPOSE)
            self.bench.serve(SinchFactor(api=api, lock=self.bench.lock, signer=signer), self.service.channel())
            yield

    def odd_answers(self, request: Received) -> tuple[bytes, ...]:
        return odd_verdicts(request)

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login, methods=(Enrolment(FactorKind.SMS, NUMBER),))
        challenge = await self.bench.send(case)
        return Proof(case, challenge, self.service.code(), self.service.wrong())

    async def supersede(self, proof: Proof) -> Proof:
        self.bench.clock.advance(59)
        self.bench.policy = replace(self.bench.policy, resend_cooldown=0)
        newer = await self.bench.send(replace(proof.case, policy=self.bench.policy))
        return replace(proof, challenge=newer)


class External(Remote):
    """A code that services make and check."""

    word: str

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with genesys_services(**{USER: {self.word: ""}}) as self.services, open_calls() as http_calls:
            assert self.services.server
            self.http = self.services.server
            channel = self.services.channel()
            for kind in (ExternalSmsFactor, ExternalAppFactor):
                self.bench.serve(kind(WebServiceCalls(http_calls), Signer(self.bench.ring, "codes")), channel)
            yield

    def odd_answers(self, request: Received) -> tuple[bytes, ...]:
        return tuple(genesys_odd_answers(CODE))


class ExternalSms(External):
    factor = FactorKind.EXTERNAL_SMS
    life = 120.0
    after_the_end = Problem.CODE_EXPIRED
    word = "SMS"

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login, methods=(Enrolment(self.factor),))
        challenge = await self.bench.send(case)
        return Proof(case, challenge, self.services.codes[USER], "000000")

    async def supersede(self, proof: Proof) -> Proof:
        self.bench.policy = replace(self.bench.policy, resend_cooldown=0)
        newer = await self.bench.send(replace(proof.case, policy=self.bench.policy))
        return replace(proof, challenge=newer)


class ExternalApp(External):
    factor = FactorKind.EXTERNAL_APP
    life = float("inf")
    word = "authenticator"
    replayed = superseded = Problem.NEXT_CODE

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login, methods=(Enrolment(self.factor),))
        return Proof(case, await self.bench.wait_for_code(case), APP_CODE, "000000")

    async def supersede(self, proof: Proof) -> Proof:
        other = self.another_owner(proof, 0)
        assert isinstance(await self.bench.answer(other.case, other.challenge, APP_CODE), Verified)
        return proof


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def store(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Yields one empty store of each kind."""
    async with opened(address, clock, timeout=60.0) as made:
        yield made


@pytest.fixture
async def bench(store: Store, clock: FakeClock) -> AsyncIterator[ChallengeHarness]:
    """Yields a gateway on that store, started a while ago."""
    bench = ChallengeHarness(store, clock)
    await bench.consuming.store_began()
    yield bench
    await bench.calls.close()


class OtpManagerEmail(Remote):
    """The e-mail factor through EFCX's otp-manager."""

    factor = FactorKind.EMAIL
    life = 60.0
    after_the_end = Problem.CODE_EXPIRED

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with otp_manager.otp_manager() as self.manager, open_calls() as http_calls:
            self.http = self.manager.http
            self.bench.tenant = at_otp_manager(self.manager.url)
            signer = Signer(self.bench.ring, "otp-manager")
            self.bench.serve(OtpManagerEmailFactor(http_calls, signer), otp_manager.channel())
            yield

    async def ask(self, login: str = "l1") -> Proof:
        case = self.bench.case(USER, login)
        challenge = await self.bench.send(case)
        right = self.manager.code()
        return Proof(case, challenge, right, f"{(int(right) + 500_000) % 10**6:06}")

    async def supersede(self, proof: Proof) -> Proof:
        self.bench.clock.advance(59)
        self.bench.policy = replace(self.bench.policy, resend_cooldown=0)
        newer = await self.bench.send(replace(proof.case, policy=self.bench.policy))
        return replace(proof, challenge=newer)

    def odd_answers(self, request: Received) -> tuple[bytes, ...]:
        return otp_manager.odd_answers()


LOCAL = (Email, Sms, Totp, BackupCode, AdminCode)
REMOTE = (Rsa, OtpManagerEmail, Sinch, ExternalSms, ExternalApp)
"""A service takes a code once. The login itself answers the same form again."""


@pytest.fixture(params=[*LOCAL, *REMOTE], ids=lambda kind: kind.__name__)
async def kind(request: pytest.FixtureRequest, bench: ChallengeHarness) -> AsyncIterator[Kind]:
    """Yields each factor, with the service that it works through."""
    made = request.param(bench)
    assert isinstance(made, Kind)
    async with made.running():
        yield made


@pytest.fixture(params=[AttemptsScope.CODE, AttemptsScope.USER], ids=lambda scope: scope.value)
def maximum(request: pytest.FixtureRequest, bench: ChallengeHarness) -> int:
    """Sets five attempts, for the code and for the user."""
    strict = PRESETS["cloudcx"].policy if request.param is AttemptsScope.USER else POLICY
    bench.policy = replace(strict, methods=POLICY.methods, otp_expiry=60)
    return bench.policy.otp_max_attempts


def bound(proof: Proof, to: Binding) -> Proof:
    """Returns the same challenge for another login or round, so that only its earlier use prevents acceptance."""
    return replace(proof, case=replace(proof.case, bound_to=to), challenge=replace(proof.challenge, bound_to=to))


async def answer(bench: ChallengeHarness, proof: Proof, typed: str) -> Verified | Denied:
    return await bench.answer(proof.case, proof.challenge, typed)


def problem(answer: Verified | Denied) -> Problem:
    assert isinstance(answer, Denied), answer
    return answer.problem_detail.problem


async def test_a_correct_proof_is_accepted(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    found = await answer(bench, proof, proof.right)
    assert isinstance(found, Verified)
    assert found.factor is kind.factor


async def test_a_wrong_proof_is_rejected_and_costs_one_attempt(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    found = await answer(bench, proof, proof.wrong)
    assert isinstance(found, Denied)
    assert (found.problem_detail.problem, found.failures, found.judged) == (Problem.WRONG_CODE, 1, True)


async def test_a_correct_proof_is_accepted_after_a_wrong_one(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.wrong)
    assert isinstance(await answer(bench, proof, proof.right), Verified)


@pytest.mark.row("EF-13", "CC-06", "CC-15")
async def test_a_used_proof_is_rejected_for_another_login(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.right)
    other = kind.another_owner(proof, 1)
    assert problem(await answer(bench, other, proof.right)) is kind.replayed


async def test_a_used_proof_is_rejected_for_the_next_round_of_the_same_login(
    kind: Kind, bench: ChallengeHarness
) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.right)
    again = bound(proof, replace(proof.case.bound_to, round=1))
    assert problem(await answer(bench, again, proof.right)) is kind.replayed


@pytest.mark.parametrize("kind", LOCAL, indirect=True, ids=lambda kind: kind.factor.value)
async def test_the_same_proof_is_accepted_again_for_the_same_owner(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    answers = [await answer(bench, proof, proof.right) for _ in range(3)]
    assert [type(a) for a in answers] == [Verified] * 3


async def test_a_used_proof_stays_used_on_another_replica(kind: Kind, bench: ChallengeHarness, store: Store) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.right)
    bench.use(store)  # new objects with an empty memory
    other = kind.another_owner(proof, 1)
    assert problem(await answer(bench, other, proof.right)) is kind.replayed


@pytest.mark.row("EF-14", "CC-15")
@pytest.mark.parametrize("kind", [Email, Sms, Totp, AdminCode, Sinch], indirect=True, ids=lambda kind: kind.__name__)
async def test_a_correct_proof_is_rejected_after_its_expiry(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    bench.clock.advance(kind.life)
    assert problem(await answer(bench, proof, proof.right)) is kind.after_the_end


@pytest.mark.row("EF-16", "CC-07", "CC-15")
async def test_a_replaced_proof_is_rejected(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.supersede(await kind.ask())
    assert problem(await answer(bench, proof, proof.right)) is kind.superseded


@pytest.mark.row("EF-13", "CC-06", "CC-15")
async def test_one_owner_of_200_parallel_correct_proofs_is_accepted(kind: Kind, bench: ChallengeHarness) -> None:
    bench.policy = replace(bench.policy, otp_max_attempts=10_000)
    bench.limits = replace(bench.limits, failure_steps=((100_000, 1.0),))
    proof = await kind.ask()
    owners = [kind.another_owner(proof, n) for n in range(MANY)]
    answers = await asyncio.gather(*(answer(bench, owner, proof.right) for owner in owners))
    assert len([a for a in answers if isinstance(a, Verified)]) == 1


@pytest.mark.row("EF-17", "CC-17")
async def test_no_more_than_the_maximum_of_200_parallel_wrong_proofs_is_judged(
    kind: Kind, bench: ChallengeHarness, maximum: int
) -> None:
    proof = await kind.ask()
    answers = await asyncio.gather(*(answer(bench, proof, proof.wrong) for _ in range(MANY)))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == maximum


@pytest.mark.row("CC-17")
async def test_no_more_than_the_users_maximum_of_200_wrong_proofs_in_200_parallel_logins_is_judged(
    kind: Kind, bench: ChallengeHarness
) -> None:
    bench.policy = replace(PRESETS["cloudcx"].policy, methods=POLICY.methods)
    proof = await kind.ask()
    logins = [kind.another_owner(proof, n) for n in range(MANY)]
    answers = await asyncio.gather(*(answer(bench, login, proof.wrong) for login in logins))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == bench.policy.otp_max_attempts


@pytest.mark.row("EF-17", "CC-19")
async def test_after_the_last_attempt_a_correct_proof_is_rejected_too(
    kind: Kind, bench: ChallengeHarness, maximum: int
) -> None:
    proof = await kind.ask()
    for _ in range(maximum):
        await answer(bench, proof, proof.wrong)
    found = await answer(bench, proof, proof.right)
    assert problem(found) in ENDED


async def test_only_the_last_allowed_attempt_ends_the_code_or_the_login(
    kind: Kind, bench: ChallengeHarness, maximum: int
) -> None:
    proof = await kind.ask()
    answers: list[Any] = [await answer(bench, proof, proof.wrong) for _ in range(maximum + 2)]
    ended = [n for n, a in enumerate(answers) if a.problem_detail.problem in ENDED]
    stopped = [n for n, a in enumerate(answers) if a.stops]
    assert ended == [maximum - 1, maximum, maximum + 1]
    assert stopped in ([], [maximum - 1])


@pytest.fixture(params=REMOTE, ids=lambda kind: kind.__name__)
async def remote(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[Remote]:
    """Yields each factor whose codes a service verifies, on a memory store."""
    bench = ChallengeHarness(clock=clock)
    await bench.consuming.store_began()
    made = request.param(bench)
    assert isinstance(made, Remote)
    async with made.running():
        yield made


async def left(remote: Remote, proof: Proof) -> int:
    return (await remote.bench.challenges.left(proof.case, proof.challenge)).attempts


def shorten(remote: Remote, timeout: float) -> None:
    """Shortens the time that the service has."""
    channel = remote.bench.channels[remote.factor]
    assert channel.service
    short = replace(channel, service=replace(channel.service, timeout=timeout))
    remote.bench.channels = {**remote.bench.channels, remote.factor: short}


@pytest.mark.row("EF-20", "NX-07")
async def test_a_service_that_is_down_accepts_nothing_and_costs_no_attempt(remote: Remote) -> None:
    proof = await remote.ask()
    await remote.http.stop()
    assert problem(await answer(remote.bench, proof, proof.right)) is Problem.CHECK_FAILED
    assert await left(remote, proof) == remote.bench.policy.otp_max_attempts


@pytest.mark.row("EF-20", "NX-07")
async def test_a_service_that_does_not_answer_accepts_nothing_and_costs_no_attempt(remote: Remote) -> None:
    proof = await remote.ask()
    remote.http.answer = lambda _: never()
    shorten(remote, 0.05)
    assert problem(await answer(remote.bench, proof, proof.right)) is Problem.CHECK_FAILED
    assert await left(remote, proof) == remote.bench.policy.otp_max_attempts


@pytest.mark.attack("F8")
@pytest.mark.row("EF-20", "NX-07")
async def test_no_odd_answer_of_a_hostile_service_is_accepted_or_costs_an_attempt(remote: Remote) -> None:
    proof = await remote.ask()
    wrong, number = [], 0
    while True:
        bodies: tuple[bytes, ...] = ()

        def reply(request: Received, turn: int = number) -> web.StreamResponse:
            nonlocal bodies
            bodies = (*ODD_BODIES, *remote.odd_answers(request))
            return says(bodies[turn])

        remote.http.answer = reply
        found = await answer(remote.bench, proof, proof.right)
        if problem(found) is not Problem.CHECK_FAILED:
            wrong.append(bodies[number][:200])
        number += 1
        if number == len(bodies):
            break
    assert wrong == []
    assert number > 40
    assert await left(remote, proof) == remote.bench.policy.otp_max_attempts


@pytest.mark.attack("F8")
@pytest.mark.parametrize("status", [301, 302, 307, 401, 404, 500, 503])
async def test_another_status_than_success_is_not_accepted(remote: Remote, status: int) -> None:
    proof = await remote.ask()
    real = remote.http.answer

    async def reply(request: Received) -> web.StreamResponse:
        found = real(request)
        good = found if isinstance(found, web.StreamResponse) else await found
        assert isinstance(good, web.Response)
        return says(good.body if isinstance(good.body, bytes) else b"", status, {"Location": remote.http.url})

    remote.http.answer = reply
    assert problem(await answer(remote.bench, proof, proof.right)) is Problem.CHECK_FAILED


async def answered_late(remote: Remote, entries: Sequence[Awaitable[Verified | Denied]]) -> list[Verified | Denied]:
    """Gives all entries at once to a service that keeps its answers back until it was asked."""
    real, asked, gate = remote.http.answer, asyncio.Event(), asyncio.Event()

    async def late(request: Received) -> web.StreamResponse:
        found = real(request)
        reply = found if isinstance(found, web.StreamResponse) else await found
        asked.set()
        await gate.wait()
        return reply

    remote.http.answer = late
    answering = asyncio.gather(*entries)
    await asked.wait()
    gate.set()
    return await answering


@pytest.mark.row("EF-13")
async def test_of_200_parallel_right_entries_that_a_service_answers_late_one_owner_is_accepted(remote: Remote) -> None:
    bench = remote.bench
    bench.policy = replace(bench.policy, otp_max_attempts=10_000)
    bench.limits = replace(bench.limits, failure_steps=((100_000, 1.0),))
    proof = await remote.ask()
    owners = [remote.another_owner(proof, n) for n in range(MANY)]
    answers = await answered_late(remote, [answer(bench, owner, proof.right) for owner in owners])
    assert len([a for a in answers if isinstance(a, Verified)]) == 1


@pytest.mark.row("EF-17")
async def test_200_right_and_200_wrong_entries_at_once_are_no_more_attempts_than_allowed_at_a_late_service(
    remote: Remote,
) -> None:
    bench = remote.bench
    proof = await remote.ask()
    entries = [proof.wrong, proof.right] * MANY
    answers = await answered_late(remote, [answer(bench, proof, entry) for entry in entries])
    found = list(zip(entries, answers, strict=True))
    judged = [entry for entry, one in found if isinstance(one, Verified) or one.judged]
    assert len(judged) <= bench.policy.otp_max_attempts
    assert {entry for entry, one in found if isinstance(one, Verified)} <= {proof.right}


@pytest.mark.row("EF-17")
async def test_of_200_parallel_wrong_entries_a_service_judges_no_more_than_the_maximum(remote: Remote) -> None:
    proof = await remote.ask()
    before, maximum = len(remote.http.requests), remote.bench.policy.otp_max_attempts
    wrong = [proof.wrong[:-2] + f"{n:02}" for n in range(100)] * 2
    answers = await asyncio.gather(*(answer(remote.bench, proof, typed) for typed in wrong if typed != proof.right))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == maximum
    assert len(remote.http.requests) - before <= maximum


async def test_a_withdrawn_administrators_code_is_rejected(bench: ChallengeHarness) -> None:
    proof = await AdminCode(bench).ask()
    await bench.admin_codes.withdraw(TENANT.id, USER)
    assert problem(await answer(bench, proof, proof.right)) is Problem.WRONG_CODE
