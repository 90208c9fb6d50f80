"""Tests of sending and judging mailed codes, with the real factor and a memory store."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.challenge import ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind, SharedAddress
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import Contact
from gateway.second_factor.challenges import ChallengeContext, Denied, Verified
from tests.fixtures.challenge_harness import ChallengeHarness
from tests.fixtures.open_stores import YieldingStore


@pytest.fixture
def harness() -> ChallengeHarness:
    return ChallengeHarness()


def problem(answer: object) -> Problem:
    """Returns the problem of an answer."""
    assert isinstance(answer, Denied), answer
    return answer.problem_detail.problem


async def test_the_code_in_the_mail_is_accepted(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    assert await harness.answer(harness.case(), challenge, harness.mails.code()) == Verified(FactorKind.EMAIL)


@pytest.mark.row("EF-05")
@pytest.mark.parametrize("digits", [4, 6, 10])
async def test_a_code_has_the_number_of_digits_of_the_tenant(harness: ChallengeHarness, digits: int) -> None:
    harness.policy = replace(harness.policy, otp_length=digits)
    await harness.send(harness.case())
    assert len(harness.mails.code()) == digits


@pytest.mark.row("GW-32")
async def test_a_code_typed_with_arabic_digits_spaces_and_marks_is_accepted(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    arabic = harness.mails.code().translate({ord("0") + n: 0x0660 + n for n in range(10)})
    typed = f"\u200f {arabic[:3]}\u00a0-{arabic[3:]} "
    assert isinstance(await harness.answer(harness.case(), challenge, typed), Verified)


async def test_a_code_of_letters_is_rejected(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    assert problem(await harness.answer(harness.case(), challenge, "abcdef")) is Problem.WRONG_CODE


@pytest.mark.row("EF-13")
async def test_a_used_code_is_rejected_for_another_round(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    code = harness.mails.code()
    await harness.answer(harness.case(), challenge, code)
    later = harness.case(round=1)
    again = replace(challenge, bound_to=later.bound_to)
    assert problem(await harness.answer(later, again, code)) is Problem.WRONG_CODE


DRAFT, OTHER_DRAFT = (Enrolment(FactorKind.EMAIL, f"{name}@example.com").digest for name in ("new", "newer"))
ELSEWHERE = {
    "login": {"login": "l2"},
    "round": {"round": 1},
    "purpose": {"purpose": ProofPurpose.APPROVE},
    "verify": {"purpose": ProofPurpose.VERIFY},
    "draft": {"draft": OTHER_DRAFT},
    "no draft": {"draft": ""},
}


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("changed", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_an_entry_for_a_challenge_with_another_binding_is_not_judged_and_costs_no_attempt(
    harness: ChallengeHarness, changed: dict[str, Any]
) -> None:
    bound: dict[str, Any] = {"login": "l1", "purpose": ProofPurpose.ENROL, "draft": DRAFT}
    own, other = harness.case(**bound), harness.case(**{**bound, **changed})
    challenge = await harness.send(own)
    for typed in (harness.mails.code(), harness.wrong()):
        assert await harness.answer(other, challenge, typed) == Denied(ProblemDetail(Problem.WRONG_CODE))
    for case in (own, other):
        left = await harness.challenges.left(case, challenge)
        assert (left.failures, left.attempts) == (0, harness.policy.otp_max_attempts)
    assert isinstance(await harness.answer(own, challenge, harness.mails.code()), Verified)


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("changed", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_hundred_entries_for_a_challenge_with_another_binding_lock_no_user(
    harness: ChallengeHarness, changed: dict[str, Any]
) -> None:
    bound: dict[str, Any] = {"login": "l1", "purpose": ProofPurpose.ENROL, "draft": DRAFT}
    own, other = harness.case(**bound), harness.case(**{**bound, **changed})
    challenge = await harness.send(own)
    await asyncio.gather(*(harness.answer(other, challenge, harness.wrong()) for _ in range(100)))
    assert isinstance(await harness.answer(own, challenge, harness.mails.code()), Verified)


@pytest.mark.row("EF-14")
@pytest.mark.parametrize("seconds", [60, 61])
async def test_a_code_expires_after_the_tenants_seconds(harness: ChallengeHarness, seconds: float) -> None:
    challenge = await harness.send(harness.case())
    harness.clock.advance(seconds)
    assert problem(await harness.answer(harness.case(), challenge, harness.mails.code())) is Problem.CODE_EXPIRED


@pytest.mark.row("EF-14")
async def test_a_code_is_accepted_until_its_last_second(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    harness.clock.advance(59)
    assert isinstance(await harness.answer(harness.case(), challenge, harness.mails.code()), Verified)


async def test_an_expired_code_costs_no_attempt(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    harness.clock.advance(61)
    await harness.answer(harness.case(), challenge, harness.wrong())
    left = await harness.challenges.left(harness.case(), challenge)
    assert left.attempts == harness.policy.otp_max_attempts


async def test_an_entry_that_cannot_be_judged_costs_no_attempt(harness: ChallengeHarness) -> None:
    challenge = replace(await harness.send(harness.case()), state="not what the factor keeps")
    assert problem(await harness.answer(harness.case(), challenge, harness.mails.code())) is Problem.CHECK_FAILED
    assert (await harness.challenges.left(harness.case(), challenge)).failures == 0


@pytest.mark.row("EF-15")
async def test_a_second_code_within_the_cooldown_is_refused_with_the_wait(harness: ChallengeHarness) -> None:
    await harness.send(harness.case())
    harness.clock.advance(20)
    assert await harness.try_to_send(harness.case()) == ProblemDetail(Problem.WAIT, harness.clock.now() + 40)


@pytest.mark.row("EF-15")
async def test_the_cooldown_holds_for_another_login_of_the_same_user(harness: ChallengeHarness) -> None:
    await harness.send(harness.case(login="l1"))
    refused = await harness.try_to_send(harness.case(login="l2"))
    assert isinstance(refused, ProblemDetail)
    assert refused.problem is Problem.WAIT


@pytest.mark.row("EF-15")
async def test_after_the_cooldown_a_new_code_is_sent(harness: ChallengeHarness) -> None:
    await harness.send(harness.case())
    harness.clock.advance(60)
    await harness.send(harness.case())
    assert len(harness.mails.messages) == 2


@pytest.mark.row("EF-15")
async def test_an_accepted_code_clears_the_cooldown(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case(login="l1"))
    await harness.answer(harness.case(login="l1"), challenge, harness.mails.code())
    await harness.send(harness.case(login="l2"))
    assert len(harness.mails.messages) == 2


@pytest.mark.row("EF-15")
async def test_fifty_parallel_requests_for_a_code_send_one(harness: ChallengeHarness) -> None:
    await asyncio.gather(*(harness.try_to_send(harness.case(login=f"l{n}")) for n in range(50)))
    assert len(harness.mails.messages) == 1


@pytest.mark.row("EF-16")
async def test_the_older_of_two_codes_is_rejected_and_costs_an_attempt(harness: ChallengeHarness) -> None:
    await harness.send(harness.case())
    older = harness.mails.code()
    harness.clock.advance(60)
    challenge = await harness.send(harness.case())
    answer = await harness.answer(harness.case(), challenge, older)
    assert isinstance(answer, Denied)
    assert (answer.problem_detail.problem, answer.failures) == (Problem.WRONG_CODE, 1)


@pytest.mark.row("EF-17")
async def test_after_the_last_allowed_wrong_code_the_correct_one_is_rejected_too(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    for _ in range(5):
        await harness.answer(harness.case(), challenge, harness.wrong())
    assert problem(await harness.answer(harness.case(), challenge, harness.mails.code())) is Problem.LIMIT_EXCEEDED


@pytest.mark.row("EF-17")
async def test_the_limit_names_when_a_new_code_may_be_requested(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    answers = [await harness.answer(harness.case(), challenge, harness.wrong()) for _ in range(5)]
    assert isinstance(answers[-1], Denied)
    assert answers[-1].problem_detail == ProblemDetail(Problem.LIMIT_EXCEEDED, challenge.resend_at)


@pytest.mark.row("EF-17")
async def test_a_new_code_after_the_limit_is_accepted(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    for _ in range(5):
        await harness.answer(harness.case(), challenge, harness.wrong())
    harness.clock.advance(60)
    newer = await harness.send(harness.case())
    assert isinstance(await harness.answer(harness.case(), newer, harness.mails.code()), Verified)


@pytest.mark.row("EF-17")
async def test_five_of_200_parallel_wrong_codes_are_judged(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    answers = await asyncio.gather(*(harness.answer(harness.case(), challenge, harness.wrong()) for _ in range(200)))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == 5


@pytest.mark.row("EF-13")
async def test_one_of_200_parallel_owners_is_accepted(harness: ChallengeHarness) -> None:
    harness.policy = replace(harness.policy, otp_max_attempts=500)
    harness.limits = replace(harness.limits, failure_steps=((100_000, 1.0),))
    challenge = await harness.send(harness.case())
    code = harness.mails.code()
    cases = [harness.case(round=n) for n in range(200)]
    owners = [(case, replace(challenge, bound_to=case.bound_to)) for case in cases]
    answers = await asyncio.gather(*(harness.answer(case, own, code) for case, own in owners))
    assert len([a for a in answers if isinstance(a, Verified)]) == 1


async def test_the_same_code_is_accepted_again_for_the_same_owner(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    code = harness.mails.code()
    answers = [await harness.answer(harness.case(), challenge, code) for _ in range(2)]
    assert answers == [Verified(FactorKind.EMAIL)] * 2


@pytest.mark.row("EF-12")
async def test_only_the_newest_code_works_for_two_users_with_one_address(harness: ChallengeHarness) -> None:
    one, other = harness.case("u1", "l1", "shared@example.com"), harness.case("u2", "l2", "shared@example.com")
    older = await harness.send(one)
    code = harness.mails.code()
    await harness.send(other)
    assert problem(await harness.answer(one, older, code)) is Problem.CODE_REPLACED


async def test_a_replaced_code_costs_no_attempt(harness: ChallengeHarness) -> None:
    one, other = harness.case("u1", "l1", "shared@example.com"), harness.case("u2", "l2", "shared@example.com")
    older = await harness.send(one)
    code = harness.mails.code()
    await harness.send(other)
    await harness.answer(one, older, code)
    left = await harness.challenges.left(one, older)
    assert (left.failures, left.replaced) == (0, True)


async def test_a_code_is_not_reported_as_replaced_while_it_is_the_newest(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    assert not (await harness.challenges.left(harness.case(), challenge)).replaced


async def test_a_correct_code_after_the_loss_of_the_store_is_reported_as_expired(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    harness.use(YieldingStore(harness.clock))
    assert problem(await harness.answer(harness.case(), challenge, harness.mails.code())) is Problem.CODE_EXPIRED


def enrolling(harness: ChallengeHarness, address: str, **changes: Any) -> ChallengeContext:
    """Returns a proof of a user who has entered `address` to enrol it."""
    draft = Enrolment(FactorKind.EMAIL, address).digest
    return harness.case("u2", "l2", address, purpose=ProofPurpose.ENROL, draft=draft, **changes)


async def test_a_user_who_enters_the_address_of_another_one_does_not_replace_their_code(
    harness: ChallengeHarness,
) -> None:
    owner = harness.case("u1", "l1", "shared@example.com")
    challenge = await harness.send(owner)
    code = harness.mails.code()
    await harness.send(enrolling(harness, "shared@example.com"))
    assert isinstance(await harness.answer(owner, challenge, code), Verified)


async def test_a_user_who_enters_a_shared_address_proves_it_although_its_owner_has_a_newer_code(
    harness: ChallengeHarness,
) -> None:
    stranger = enrolling(harness, "shared@example.com")
    challenge = await harness.send(stranger)
    code = harness.mails.code()
    await harness.send(harness.case("u1", "l1", "shared@example.com"))
    assert isinstance(await harness.answer(stranger, challenge, code), Verified)


HOLDS = {
    "enrolled": {"enrolments": EnrolmentSet(1, (Enrolment(FactorKind.EMAIL, "Shared@example.com"),))},
    "verified": {"contacts": (Contact(FactorKind.EMAIL, "shared@example.com", verified=True),)},
}


@pytest.mark.parametrize("holds", HOLDS.values(), ids=HOLDS)
async def test_a_user_who_enrols_an_address_that_they_hold_replaces_the_code_of_the_other_holder(
    harness: ChallengeHarness, holds: dict[str, Any]
) -> None:
    owner = harness.case("u1", "l1", "shared@example.com")
    challenge = await harness.send(owner)
    code = harness.mails.code()
    await harness.send(enrolling(harness, "shared@example.com", **holds))
    assert problem(await harness.answer(owner, challenge, code)) is Problem.CODE_REPLACED


async def test_an_unverified_profile_address_replaces_no_code(harness: ChallengeHarness) -> None:
    owner = harness.case("u1", "l1", "shared@example.com")
    challenge = await harness.send(owner)
    code = harness.mails.code()
    unverified = (Contact(FactorKind.EMAIL, "shared@example.com", verified=False),)
    await harness.send(enrolling(harness, "shared@example.com", contacts=unverified))
    assert isinstance(await harness.answer(owner, challenge, code), Verified)


@pytest.mark.row("EF-12")
async def test_the_newest_code_of_a_shared_address_never_signs_in_the_other_user(harness: ChallengeHarness) -> None:
    one, other = harness.case("u1", "l1", "shared@example.com"), harness.case("u2", "l2", "shared@example.com")
    older = await harness.send(one)
    await harness.send(other)
    assert problem(await harness.answer(one, older, harness.mails.code())) is Problem.WRONG_CODE


@pytest.mark.row("EF-12")
async def test_the_success_of_one_user_leaves_the_older_code_of_a_shared_address_invalid(
    harness: ChallengeHarness,
) -> None:
    one, other = harness.case("u1", "l1", "shared@example.com"), harness.case("u2", "l2", "Shared@example.com")
    older = await harness.send(one)
    code = harness.mails.code()
    newer = await harness.send(other)
    await harness.answer(other, newer, harness.mails.code())
    assert problem(await harness.answer(one, older, code)) is Problem.CODE_REPLACED


async def test_with_separate_codes_both_users_of_a_shared_address_sign_in(harness: ChallengeHarness) -> None:
    harness.policy = replace(harness.policy, shared_address=SharedAddress.SEPARATE)
    one, other = harness.case("u1", "l1", "shared@example.com"), harness.case("u2", "l2", "shared@example.com")
    first = await harness.send(one)
    code = harness.mails.code()
    await harness.send(other)
    assert isinstance(await harness.answer(one, first, code), Verified)


async def test_ten_failures_over_many_codes_lock_the_user(harness: ChallengeHarness) -> None:
    answers = []
    for n in range(10):
        case = harness.case(login=f"l{n}")
        challenge = await harness.send(case)
        answers.append(await harness.answer(case, challenge, harness.wrong()))
        harness.clock.advance(60)
    assert isinstance(answers[-1], Denied)
    assert (answers[-1].problem_detail.problem, answers[-1].stops) == (Problem.LOCKED, True)


async def test_no_code_is_sent_to_a_locked_user(harness: ChallengeHarness) -> None:
    harness.limits = replace(harness.limits, failure_steps=((1, 300.0),))
    challenge = await harness.send(harness.case())
    await harness.answer(harness.case(), challenge, harness.wrong())
    harness.clock.advance(60)
    refused = await harness.try_to_send(harness.case(login="l2"))
    assert isinstance(refused, ProblemDetail)
    assert (refused.problem, len(harness.mails.messages)) == (Problem.LOCKED, 1)


@pytest.mark.row("EF-19")
async def test_the_maximum_number_of_sends_of_a_login_is_enforced(harness: ChallengeHarness) -> None:
    for _ in range(harness.policy.max_sends):
        await harness.send(harness.case())
        harness.clock.advance(60)
    refused = await harness.try_to_send(harness.case())
    assert isinstance(refused, ProblemDetail)
    assert refused.problem is Problem.MAX_SENDS


@pytest.mark.row("EF-19")
async def test_the_hourly_maximum_number_of_sends_of_a_user_applies_over_logins(harness: ChallengeHarness) -> None:
    harness.limits = replace(harness.limits, sends_per_user=3)
    for n in range(3):
        await harness.send(harness.case(login=f"l{n}"))
        harness.clock.advance(60)
    refused = await harness.try_to_send(harness.case(login="l9"))
    assert isinstance(refused, ProblemDetail)
    assert refused.problem is Problem.MAX_SENDS


async def test_the_hourly_maximum_number_of_sends_to_an_address_applies_over_users(harness: ChallengeHarness) -> None:
    harness.limits = replace(harness.limits, sends_per_address=3)
    for n in range(3):
        await harness.send(harness.case(f"u{n}", f"l{n}", "Shared@example.com"))
    refused = await harness.try_to_send(harness.case("u9", "l9", "shared@example.com"))
    assert isinstance(refused, ProblemDetail)
    assert refused.problem is Problem.MAX_SENDS


async def test_a_mail_refused_by_every_relay_does_not_count_as_a_send(harness: ChallengeHarness) -> None:
    harness.mails.refuses = "relay down"
    assert await harness.try_to_send(harness.case()) == ProblemDetail(Problem.SEND_FAILED)
    harness.mails.refuses = ""
    await harness.send(harness.case())
    assert len(harness.mails.messages) == 1


async def test_a_correct_code_clears_earlier_failures(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case())
    for _ in range(3):
        await harness.answer(harness.case(), challenge, harness.wrong())
    await harness.answer(harness.case(), challenge, harness.mails.code())
    newer = await harness.send(harness.case(login="l2"))
    left = await harness.challenges.left(harness.case(login="l2"), newer)
    assert left.failures == 0


async def test_the_store_contains_neither_code_nor_address(harness: ChallengeHarness) -> None:
    challenge = await harness.send(harness.case(address="somebody@example.com"))
    assert harness.mails.code() not in challenge.state
    assert "somebody" not in challenge.state
