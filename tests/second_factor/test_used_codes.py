"""Tests that a code is used once: app codes even after a loss of the store, backup codes even after a lost write."""

import asyncio
from dataclasses import replace

import pyotp
import pytest

from gateway.domain.challenge import Challenge
from gateway.domain.channel import TlsSettings
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.errors import Unreachable
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import User
from gateway.second_factor.challenges import ChallengeContext, Denied, Verified
from gateway.second_factor.enrolments import Tampered
from gateway.second_factor.factors import backup_code
from gateway.second_factor.used_codes import Redemption
from gateway.store.memory import MemoryStore
from gateway.store.redis import RedisStore
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.redis import empty
from tests.fixtures.sample_tenants import TENANT

MAILBOX = Enrolment(FactorKind.EMAIL, "u1@example.com")


class Phone:
    """A user's app, and the proofs it is asked for."""

    def __init__(self, harness: ChallengeHarness) -> None:
        self.harness = harness
        self.secret = pyotp.random_base32()

    def code(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(self.harness.clock.now(), counter_offset=steps)

    async def ask(self, login: str = "l1", user: str = "u1") -> tuple[ChallengeContext, Challenge]:
        case = self.harness.case(user, login, methods=(Enrolment(FactorKind.TOTP, secret=self.secret),))
        return case, await self.harness.wait_for_code(case)

    async def type(self, code: str, login: str = "l1", user: str = "u1") -> Verified | Denied:
        return await self.harness.answer(*await self.ask(login, user), code)


@pytest.fixture
async def harness() -> ChallengeHarness:
    """Returns a gateway that started a while ago."""
    harness = ChallengeHarness()
    await harness.consuming.store_began()
    harness.clock.advance(90)
    return harness


@pytest.fixture
def phone(harness: ChallengeHarness) -> Phone:
    """Returns the app of `u1`."""
    return Phone(harness)


def problem(answer: Verified | Denied) -> Problem:
    assert isinstance(answer, Denied), answer
    return answer.problem_detail.problem


# ------------------------------------------------------------------ steps of an app


async def test_a_time_step_is_accepted_once_over_all_logins(phone: Phone) -> None:
    code = phone.code()
    assert isinstance(await phone.type(code, "l1"), Verified)
    assert problem(await phone.type(code, "l2")) is Problem.NEXT_CODE


async def test_an_older_time_step_than_the_last_used_one_is_rejected(phone: Phone) -> None:
    assert isinstance(await phone.type(phone.code(), "l1"), Verified)
    assert problem(await phone.type(phone.code(-1), "l2")) is Problem.NEXT_CODE


async def test_the_next_time_step_is_accepted(phone: Phone, harness: ChallengeHarness) -> None:
    await phone.type(phone.code(), "l1")
    harness.clock.advance(30)
    assert isinstance(await phone.type(phone.code(), "l2"), Verified)


async def test_a_time_step_used_early_is_rejected_at_its_time(phone: Phone, harness: ChallengeHarness) -> None:
    assert isinstance(await phone.type(phone.code(1), "l1"), Verified)
    harness.clock.advance(30)
    assert problem(await phone.type(phone.code(), "l2")) is Problem.NEXT_CODE


async def test_the_used_time_step_of_one_user_does_not_count_for_another(phone: Phone) -> None:
    await phone.type(phone.code(), "l1", "u1")
    assert isinstance(await phone.type(phone.code(), "l2", "u2"), Verified)


async def test_a_reused_code_costs_no_attempt(phone: Phone, harness: ChallengeHarness) -> None:
    code = phone.code()
    await phone.type(code, "l1")
    for _ in range(20):
        assert problem(await phone.type(code, "l2")) is Problem.NEXT_CODE
    case, challenge = await phone.ask("l2")
    assert (await harness.challenges.left(case, challenge)).failures == 0


async def test_a_reused_code_names_the_time_of_the_next_one(phone: Phone, harness: ChallengeHarness) -> None:
    code = phone.code()
    await phone.type(code, "l1")
    harness.clock.advance(7)
    found = await phone.type(code, "l2")
    assert isinstance(found, Denied)
    assert found.problem_detail.until == (harness.clock.now() // 30 + 1) * 30


async def test_a_code_of_a_device_with_a_wrong_clock_is_rejected_and_costs_an_attempt(phone: Phone) -> None:
    answers = [await phone.type(phone.code(5)) for _ in range(5)]
    assert [problem(a) for a in answers] == [Problem.CLOCK_OFF] * 4 + [Problem.TOO_MANY_CODES]


async def test_a_guess_is_worth_three_time_steps_whatever_the_answer_says_about_the_clock(
    harness: ChallengeHarness,
) -> None:
    """A code that the answer announces must not be accepted at its time."""
    worth = 0
    for steps in range(-25, 26):
        phone, user = Phone(harness), f"u{steps}"
        code = phone.code(steps)
        answer = await phone.type(code, f"{user}/first", user)
        told = isinstance(answer, Denied) and answer.problem_detail.problem is Problem.CLOCK_OFF
        for wait in range(max(0, steps) + 2) if told else ():
            harness.clock.advance(30 if wait else 0)
            if isinstance(answer := await phone.type(code, f"{user}/{wait}", user), Verified):
                break
        worth += isinstance(answer, Verified)
    assert worth == 3


async def test_after_a_warning_about_the_clock_the_code_of_the_present_step_is_accepted(phone: Phone) -> None:
    assert problem(await phone.type(phone.code(5))) is Problem.CLOCK_OFF
    assert isinstance(await phone.type(phone.code()), Verified)


async def test_a_clock_that_is_ten_minutes_off_is_named_in_both_directions(phone: Phone) -> None:
    assert [problem(await phone.type(phone.code(steps), f"l{steps}")) for steps in (-20, 20)] == [Problem.CLOCK_OFF] * 2


@pytest.mark.row("SI-10")
async def test_the_second_proof_after_a_new_password_needs_the_next_code(
    phone: Phone, harness: ChallengeHarness
) -> None:
    case, challenge = await phone.ask()
    await harness.answer(case, challenge, phone.code())
    bound_to = replace(case.bound_to, round=1)
    again, later = replace(case, bound_to=bound_to), replace(challenge, id="c1", bound_to=bound_to)
    assert problem(await harness.answer(again, later, phone.code())) is Problem.NEXT_CODE
    harness.clock.advance(30)
    assert isinstance(await harness.answer(again, later, phone.code()), Verified)


async def test_one_of_two_replicas_accepts_a_time_step(phone: Phone, harness: ChallengeHarness) -> None:
    code, asked = phone.code(), [await phone.ask(f"l{n}") for n in range(2)]
    one = harness.challenges
    harness.use(harness.store)
    two = harness.challenges
    answers = await asyncio.gather(
        one.answer(asked[0][0], harness.about, asked[0][1], code),
        two.answer(asked[1][0], harness.about, asked[1][1], code),
    )
    assert len([a for a in answers if isinstance(a, Verified)]) == 1


@pytest.mark.attack("F24")
@pytest.mark.parametrize("steps", [-1, 0])
async def test_after_a_restart_of_a_memory_store_time_steps_up_to_its_creation_are_rejected(
    phone: Phone, harness: ChallengeHarness, steps: int
) -> None:
    code = phone.code(steps)
    await phone.type(phone.code(steps), "l1")
    harness.use(MemoryStore(harness.clock))
    await harness.consuming.store_began()
    assert problem(await phone.type(code, "l2")) is Problem.NEXT_CODE


@pytest.mark.attack("F24")
async def test_after_a_restart_of_a_memory_store_the_next_code_is_accepted(
    phone: Phone, harness: ChallengeHarness
) -> None:
    harness.use(MemoryStore(harness.clock))
    await harness.consuming.store_began()
    harness.clock.advance(30)
    assert isinstance(await phone.type(phone.code(), "l1"), Verified)


@pytest.mark.attack("F24")
async def test_a_store_without_a_creation_time_records_it_at_its_first_use(
    phone: Phone, harness: ChallengeHarness
) -> None:
    harness.use(MemoryStore(harness.clock))
    assert problem(await phone.type(phone.code(), "l1")) is Problem.NEXT_CODE


@pytest.mark.attack("F24")
async def test_a_user_with_a_recorded_time_step_is_not_restricted_by_the_stores_creation_time(
    phone: Phone, harness: ChallengeHarness
) -> None:
    await phone.type(phone.code(), "l1")
    await harness.store.delete("born")
    assert isinstance(await phone.type(phone.code(1), "l2"), Verified)


@pytest.mark.redis
@pytest.mark.attack("F24")
async def test_after_redis_was_flushed_a_used_code_stays_used(redis_url: str) -> None:
    store = RedisStore(url=redis_url, prefix="test:", timeout=10.0, tls=TlsSettings())
    harness = ChallengeHarness(store)
    await harness.consuming.store_began()
    harness.clock.advance(90)
    phone = Phone(harness)
    code = phone.code()
    assert isinstance(await phone.type(code, "l1"), Verified)
    await empty(redis_url)
    assert problem(await phone.type(code, "l2")) is Problem.NEXT_CODE
    harness.clock.advance(30)
    assert isinstance(await phone.type(phone.code(), "l3"), Verified)
    await store.close()


# ------------------------------------------------------------------ backup codes


async def with_codes(harness: ChallengeHarness) -> EnrolmentSet:
    """`u1` has enrolled a mailbox and has ten codes."""
    codes = backup_code.make(10, harness.random)
    made = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), MAILBOX, codes)
    assert made
    return made


async def type_backup(harness: ChallengeHarness, seen: EnrolmentSet, code: str, login: str = "l1") -> Verified | Denied:
    case = harness.case("u1", login, extras=(FactorKind.BACKUP_CODE,), enrolments=seen)
    return await harness.answer(case, await harness.wait_for_code(case), code)


async def stored_enrolments(harness: ChallengeHarness) -> EnrolmentSet:
    found = await harness.enrolments.read(TENANT, "u1")
    assert isinstance(found, EnrolmentSet)
    return found


def fails(harness: ChallengeHarness) -> None:
    """Makes the next writes to the profile fail without an answer."""

    async def write(access: KeycloakAccess, user_id: str, sealed: str, expected: str | None) -> None:
        raise Unreachable("keycloak", "away")

    harness.profile.write = write  # type: ignore[method-assign]


def works_again(harness: ChallengeHarness) -> None:
    del harness.profile.write


@pytest.mark.row("CC-06")
async def test_a_used_backup_code_is_removed_from_the_enrolments(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    found = await type_backup(harness, seen, seen.backup_codes[3])
    assert isinstance(found, Verified)
    assert found.enrolments == await stored_enrolments(harness)
    assert (await stored_enrolments(harness)).backup_codes == seen.backup_codes[:3] + seen.backup_codes[4:]


@pytest.mark.row("CC-06")
async def test_each_of_ten_backup_codes_works_once(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    right = [
        await type_backup(harness, await stored_enrolments(harness), c, f"l{n}")
        for n, c in enumerate(seen.backup_codes)
    ]
    again = [await type_backup(harness, seen, c, f"m{n}") for n, c in enumerate(seen.backup_codes[:4])]
    assert [type(a) for a in right] == [Verified] * 10
    assert [type(a) for a in again] == [Denied] * 4


@pytest.mark.row("CC-06")
@pytest.mark.parametrize("change", [str.lower, backup_code.shown, lambda code: f" {code[:5]} - {code[5:]} "])
async def test_a_backup_code_is_accepted_in_any_spelling(harness: ChallengeHarness, change: object) -> None:
    seen = await with_codes(harness)
    typed = change(seen.backup_codes[0])  # type: ignore[operator]
    assert isinstance(await type_backup(harness, seen, typed), Verified)


@pytest.mark.attack("F21")
async def test_a_backup_code_whose_write_was_lost_is_not_accepted(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    fails(harness)
    with pytest.raises(Unreachable):
        await type_backup(harness, seen, seen.backup_codes[0])


@pytest.mark.attack("F21")
async def test_a_backup_code_whose_write_was_lost_is_redeemed_for_every_other_login(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    fails(harness)
    with pytest.raises(Unreachable):
        await type_backup(harness, seen, seen.backup_codes[0], "l1")
    works_again(harness)
    assert problem(await type_backup(harness, seen, seen.backup_codes[0], "l2")) is Problem.WRONG_CODE


@pytest.mark.attack("F21")
async def test_a_backup_code_whose_write_was_lost_leaves_the_others_valid(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    fails(harness)
    with pytest.raises(Unreachable):
        await type_backup(harness, seen, seen.backup_codes[0], "l1")
    works_again(harness)
    assert isinstance(await type_backup(harness, seen, seen.backup_codes[1], "l2"), Verified)


@pytest.mark.attack("F21")
async def test_restored_old_enrolments_make_no_used_backup_code_valid_again(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    before = dict(harness.profile.values)
    await type_backup(harness, seen, seen.backup_codes[0], "l1")
    harness.profile.values = before
    assert isinstance(await harness.enrolments.read(TENANT, "u1"), Tampered)
    assert problem(await type_backup(harness, seen, seen.backup_codes[0], "l2")) is Problem.WRONG_CODE


@pytest.mark.attack("F21")
async def test_with_restored_old_enrolments_no_other_backup_code_is_accepted_either(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    before = dict(harness.profile.values)
    await type_backup(harness, seen, seen.backup_codes[0], "l1")
    harness.profile.values = before
    assert problem(await type_backup(harness, seen, seen.backup_codes[1], "l2")) is Problem.WRONG_CODE


@pytest.mark.attack("F21")
async def test_a_wiped_store_makes_no_used_backup_code_valid_again(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    await type_backup(harness, seen, seen.backup_codes[0], "l1")
    harness.use(MemoryStore(harness.clock))
    assert (
        problem(await type_backup(harness, await stored_enrolments(harness), seen.backup_codes[0], "l2"))
        is Problem.WRONG_CODE
    )


@pytest.mark.attack("F21")
async def test_a_wiped_store_makes_no_used_backup_code_valid_again_for_a_login_that_saw_it_before(
    harness: ChallengeHarness,
) -> None:
    seen = await with_codes(harness)
    await type_backup(harness, seen, seen.backup_codes[0], "l1")
    harness.use(MemoryStore(harness.clock))
    assert problem(await type_backup(harness, seen, seen.backup_codes[0], "l2")) is Problem.WRONG_CODE


@pytest.mark.row("CC-07")
async def test_turning_the_last_factor_off_invalidates_the_backup_codes_of_an_unfinished_login(
    harness: ChallengeHarness,
) -> None:
    seen = await with_codes(harness)
    await harness.enrolments.turn_off(TENANT, "u1", FactorKind.EMAIL)
    assert problem(await type_backup(harness, seen, seen.backup_codes[0])) is Problem.WRONG_CODE


@pytest.mark.row("CC-06")
async def test_two_backup_codes_used_in_parallel_are_both_removed(harness: ChallengeHarness) -> None:
    seen = await with_codes(harness)
    await asyncio.gather(*(type_backup(harness, seen, seen.backup_codes[n], f"l{n}") for n in range(4)))
    assert (await stored_enrolments(harness)).backup_codes == seen.backup_codes[4:]


# ------------------------------------------------------------------ administrator's codes


@pytest.mark.row("CC-15")
async def test_an_administrators_code_is_valid_for_one_user_only(harness: ChallengeHarness) -> None:
    code = await harness.admin_codes.issue(TENANT.id, "u1", "admin")
    case = harness.case("u2", "l2", extras=(FactorKind.ADMIN_CODE,))
    assert problem(await harness.answer(case, await harness.wait_for_code(case), code)) is Problem.WRONG_CODE


@pytest.mark.row("CC-15")
@pytest.mark.parametrize(("minutes", "right"), [(29, True), (30, False)])
async def test_an_administrators_code_expires_after_thirty_minutes(
    harness: ChallengeHarness, minutes: int, right: bool
) -> None:
    code = await harness.admin_codes.issue(TENANT.id, "u1", "admin")
    case = harness.case("u1", "l1", extras=(FactorKind.ADMIN_CODE,))
    harness.clock.advance(minutes * 60)
    found = await harness.answer(case, await harness.wait_for_code(case), code)
    assert isinstance(found, Verified) is right


@pytest.mark.row("CC-15")
@pytest.mark.parametrize("seconds", [1, 61, 1799])
async def test_a_used_administrators_code_stays_used_until_it_expires(
    harness: ChallengeHarness, seconds: float
) -> None:
    code = await harness.admin_codes.issue(TENANT.id, "u1", "admin")
    found = []
    for login in ("l1", "l2"):
        case = harness.case("u1", login, extras=(FactorKind.ADMIN_CODE,))
        found.append(await harness.answer(case, await harness.wait_for_code(case), code))
        harness.clock.advance(seconds)
    assert [isinstance(f, Verified) for f in found] == [True, False]


@pytest.mark.row("CC-15")
async def test_a_used_administrators_code_does_not_block_the_next_one(harness: ChallengeHarness) -> None:
    for n in range(2):
        code = await harness.admin_codes.issue(TENANT.id, "u1", "admin")
        case = harness.case("u1", f"l{n}", extras=(FactorKind.ADMIN_CODE,))
        assert isinstance(await harness.answer(case, await harness.wait_for_code(case), code), Verified)


class Yielding(MemoryStore):
    """Lets other tasks run after each read, as a store in another process does."""

    async def get(self, key: str) -> bytes | None:
        found = await super().get(key)
        await asyncio.sleep(0)
        return found


async def test_of_two_logins_that_use_the_next_app_code_at_once_one_succeeds(harness: ChallengeHarness) -> None:
    used = replace(harness.consuming, store=Yielding(harness.clock))
    owners = [Redemption(TENANT, User("u1", "anna"), EnrolmentSet(), owner) for owner in ("one", "two")]
    assert await used.raise_to("step", 5, 0, owners[0])
    both = await asyncio.gather(*(used.raise_to("step", 6, 0, by) for by in owners))
    assert sorted(both) == [False, True]
