"""Every factor accepts a code once, for one owner, within the limits; on memory and on Redis."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pyotp
import pytest

from gateway.domain.challenge import Binding, Challenge
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import AttemptsScope, FactorKind
from gateway.domain.problem import Problem
from gateway.second_factor.challenges import ChallengeContext, Denied, Verified
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from gateway.store.protocol import Store
from tests.clock import FakeClock
from tests.second_factor.challenge_harness import POLICY, ChallengeHarness
from tests.store.open_stores import opened
from tests.web.sample import TENANT

MANY = 200
ENDED = (Problem.LOCKED, Problem.LIMIT_EXCEEDED, Problem.TOO_MANY_CODES)
USER = "u1"
MAILBOX = Enrolment(FactorKind.EMAIL, f"{USER}@example.com")


@dataclass(frozen=True)
class Proof:
    """One proof that is asked for: what is right for it, and what is wrong."""

    case: ChallengeContext
    challenge: Challenge
    right: str
    wrong: str


class Kind(ABC):
    """One factor as the contract sees it."""

    factor: FactorKind
    after_the_end = Problem.WRONG_CODE
    superseded = Problem.WRONG_CODE
    replayed = Problem.WRONG_CODE
    life: float
    """Seconds."""

    def __init__(self, bench: ChallengeHarness) -> None:
        self.bench = bench

    @abstractmethod
    async def ask(self, login: str = "l1") -> Proof:
        """A proof that `login` waits for."""

    @abstractmethod
    async def supersede(self, proof: Proof) -> Proof:
        """Something newer takes the place of what was right; the proof as it is answered now."""

    def another_owner(self, proof: Proof, number: int) -> Proof:
        """The same code in the hands of another login."""
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


class Totp(Kind):
    factor = FactorKind.TOTP
    life = 60.0
    after_the_end = Problem.CLOCK_OFF
    superseded = replayed = Problem.NEXT_CODE

    def __init__(self, bench: ChallengeHarness) -> None:
        super().__init__(bench)
        self.secret = pyotp.random_base32()

    async def ask(self, login: str = "l1") -> Proof:
        self.bench.clock.advance(90)  # the store was born before
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


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Where a store of each kind is; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def store(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """One empty store of each kind."""
    async with opened(address, clock, timeout=60.0) as made:
        yield made


@pytest.fixture
async def bench(store: Store, clock: FakeClock) -> ChallengeHarness:
    """A gateway on that store, started a while ago."""
    bench = ChallengeHarness(store, clock)
    await bench.consuming.store_began()
    return bench


@pytest.fixture(params=[Email, Totp, BackupCode, AdminCode], ids=lambda kind: kind.factor.value)
def kind(request: pytest.FixtureRequest, bench: ChallengeHarness) -> Kind:
    """Each factor."""
    made = request.param(bench)
    assert isinstance(made, Kind)
    return made


@pytest.fixture(params=[AttemptsScope.CODE, AttemptsScope.USER], ids=lambda scope: scope.value)
def maximum(request: pytest.FixtureRequest, bench: ChallengeHarness) -> int:
    """Five attempts, of the code and of the user."""
    strict = PRESETS["cloudcx"].policy if request.param is AttemptsScope.USER else POLICY
    bench.policy = replace(strict, methods=POLICY.methods, otp_expiry=60)
    return bench.policy.otp_max_attempts


def bound(proof: Proof, to: Binding) -> Proof:
    """The same challenge, as if it had been made for another login or round: only its use stands in the way."""
    return replace(proof, case=replace(proof.case, bound_to=to), challenge=replace(proof.challenge, bound_to=to))


async def answer(bench: ChallengeHarness, proof: Proof, typed: str) -> Verified | Denied:
    return await bench.answer(proof.case, proof.challenge, typed)


def problem(answer: Verified | Denied) -> Problem:
    assert isinstance(answer, Denied), answer
    return answer.problem_detail.problem


async def test_what_is_right_is_right(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    found = await answer(bench, proof, proof.right)
    assert isinstance(found, Verified)
    assert found.factor is kind.factor


async def test_what_is_wrong_is_wrong_and_costs_one_attempt(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    found = await answer(bench, proof, proof.wrong)
    assert isinstance(found, Denied)
    assert (found.problem_detail.problem, found.failures, found.judged) == (Problem.WRONG_CODE, 1, True)


async def test_what_is_right_is_right_after_a_wrong_one(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.wrong)
    assert isinstance(await answer(bench, proof, proof.right), Verified)


@pytest.mark.row("EF-13", "CC-06", "CC-15")
async def test_what_was_used_is_wrong_for_another_login(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.right)
    other = kind.another_owner(proof, 1)
    assert problem(await answer(bench, other, proof.right)) is kind.replayed


async def test_what_was_used_is_wrong_for_the_next_round_of_the_same_login(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.right)
    again = bound(proof, replace(proof.case.bound_to, round=1))
    assert problem(await answer(bench, again, proof.right)) is kind.replayed


async def test_the_same_owner_asking_again_gets_the_same_yes(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    answers = [await answer(bench, proof, proof.right) for _ in range(3)]
    assert [type(a) for a in answers] == [Verified] * 3


async def test_what_was_used_stays_used_when_the_store_is_asked_by_another_replica(
    kind: Kind, bench: ChallengeHarness, store: Store
) -> None:
    proof = await kind.ask()
    await answer(bench, proof, proof.right)
    bench.use(store)  # new objects, nothing in their memory
    other = kind.another_owner(proof, 1)
    assert problem(await answer(bench, other, proof.right)) is kind.replayed


@pytest.mark.row("EF-14", "CC-15")
@pytest.mark.parametrize("kind", [Email, Totp, AdminCode], indirect=True, ids=lambda kind: kind.factor.value)
async def test_what_is_right_is_wrong_after_its_end(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.ask()
    bench.clock.advance(kind.life)
    assert problem(await answer(bench, proof, proof.right)) is kind.after_the_end


@pytest.mark.row("EF-16", "CC-07", "CC-15")
async def test_what_was_superseded_is_wrong(kind: Kind, bench: ChallengeHarness) -> None:
    proof = await kind.supersede(await kind.ask())
    assert problem(await answer(bench, proof, proof.right)) is kind.superseded


@pytest.mark.row("EF-13", "CC-06", "CC-15")
async def test_of_two_hundred_parallel_right_ones_one_owner_wins(kind: Kind, bench: ChallengeHarness) -> None:
    bench.policy = replace(bench.policy, otp_max_attempts=10_000)
    bench.limits = replace(bench.limits, failure_steps=((100_000, 1.0),))
    proof = await kind.ask()
    owners = [kind.another_owner(proof, n) for n in range(MANY)]
    answers = await asyncio.gather(*(answer(bench, owner, proof.right) for owner in owners))
    assert len([a for a in answers if isinstance(a, Verified)]) == 1


@pytest.mark.row("EF-17", "CC-17")
async def test_of_two_hundred_parallel_wrong_ones_no_more_than_the_maximum_is_judged(
    kind: Kind, bench: ChallengeHarness, maximum: int
) -> None:
    proof = await kind.ask()
    answers = await asyncio.gather(*(answer(bench, proof, proof.wrong) for _ in range(MANY)))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == maximum


@pytest.mark.row("CC-17")
async def test_of_two_hundred_parallel_wrong_ones_in_as_many_logins_no_more_than_the_users_maximum_is_judged(
    kind: Kind, bench: ChallengeHarness
) -> None:
    bench.policy = replace(PRESETS["cloudcx"].policy, methods=POLICY.methods)
    proof = await kind.ask()
    logins = [kind.another_owner(proof, n) for n in range(MANY)]
    answers = await asyncio.gather(*(answer(bench, login, proof.wrong) for login in logins))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == bench.policy.otp_max_attempts


@pytest.mark.row("EF-17", "CC-19")
async def test_after_the_last_attempt_what_is_right_fails_too(
    kind: Kind, bench: ChallengeHarness, maximum: int
) -> None:
    proof = await kind.ask()
    for _ in range(maximum):
        await answer(bench, proof, proof.wrong)
    found = await answer(bench, proof, proof.right)
    assert problem(found) in ENDED


async def test_only_the_last_allowed_attempt_ends_a_code_or_login(
    kind: Kind, bench: ChallengeHarness, maximum: int
) -> None:
    proof = await kind.ask()
    answers: list[Any] = [await answer(bench, proof, proof.wrong) for _ in range(maximum + 2)]
    ended = [n for n, a in enumerate(answers) if a.problem_detail.problem in ENDED]
    stopped = [n for n, a in enumerate(answers) if a.stops]
    assert ended == [maximum - 1, maximum, maximum + 1]
    assert stopped in ([], [maximum - 1])
