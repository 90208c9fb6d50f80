"""Sending and judging e-mailed codes: one fact each, over the real factor and a memory store."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.challenge import ProofPurpose
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, SharedAddress
from gateway.domain.problem import Problem, Trouble
from gateway.second_factor.challenges import Right, Wrong
from tests.second_factor.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


def problem(answer: object) -> Problem:
    """What was wrong."""
    assert isinstance(answer, Wrong), answer
    return answer.trouble.problem


async def test_the_code_in_the_mail_is_right(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    assert await bench.answer(bench.case(), challenge, bench.mails.code()) == Right(FactorKind.EMAIL)


@pytest.mark.row("EF-05")
@pytest.mark.parametrize("digits", [4, 6, 10])
async def test_a_code_has_as_many_digits_as_the_tenant_says(bench: Bench, digits: int) -> None:
    bench.policy = replace(bench.policy, otp_length=digits)
    await bench.send(bench.case())
    assert len(bench.mails.code()) == digits


@pytest.mark.row("GW-32")
async def test_a_code_typed_with_arabic_digits_blanks_and_marks_is_right(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    arabic = bench.mails.code().translate({ord("0") + n: 0x0660 + n for n in range(10)})
    typed = f"\u200f {arabic[:3]}\u00a0-{arabic[3:]} "
    assert isinstance(await bench.answer(bench.case(), challenge, typed), Right)


async def test_a_code_of_letters_is_wrong(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    assert problem(await bench.answer(bench.case(), challenge, "abcdef")) is Problem.WRONG_CODE


@pytest.mark.row("EF-13")
async def test_a_used_code_is_wrong_for_another_round(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    code = bench.mails.code()
    await bench.answer(bench.case(), challenge, code)
    later = bench.case(round=1)
    again = replace(challenge, bound_to=later.bound_to)
    assert problem(await bench.answer(later, again, code)) is Problem.WRONG_CODE


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
async def test_an_entry_for_a_challenge_bound_to_something_else_is_not_judged_and_costs_nothing(
    bench: Bench, changed: dict[str, Any]
) -> None:
    bound: dict[str, Any] = {"login": "l1", "purpose": ProofPurpose.ENROL, "draft": DRAFT}
    own, other = bench.case(**bound), bench.case(**{**bound, **changed})
    challenge = await bench.send(own)
    for typed in (bench.mails.code(), bench.wrong()):
        assert await bench.answer(other, challenge, typed) == Wrong(Trouble(Problem.WRONG_CODE))
    for case in (own, other):
        left = await bench.challenges.left(case, challenge)
        assert (left.failures, left.attempts) == (0, bench.policy.otp_max_attempts)
    assert isinstance(await bench.answer(own, challenge, bench.mails.code()), Right)


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("changed", ELSEWHERE.values(), ids=ELSEWHERE)
async def test_a_hundred_entries_for_a_challenge_bound_to_something_else_lock_nobody(
    bench: Bench, changed: dict[str, Any]
) -> None:
    bound: dict[str, Any] = {"login": "l1", "purpose": ProofPurpose.ENROL, "draft": DRAFT}
    own, other = bench.case(**bound), bench.case(**{**bound, **changed})
    challenge = await bench.send(own)
    await asyncio.gather(*(bench.answer(other, challenge, bench.wrong()) for _ in range(100)))
    assert isinstance(await bench.answer(own, challenge, bench.mails.code()), Right)


@pytest.mark.row("EF-14")
@pytest.mark.parametrize("seconds", [60, 61])
async def test_a_code_expires_after_the_tenants_seconds(bench: Bench, seconds: float) -> None:
    challenge = await bench.send(bench.case())
    bench.clock.advance(seconds)
    assert problem(await bench.answer(bench.case(), challenge, bench.mails.code())) is Problem.CODE_EXPIRED


@pytest.mark.row("EF-14")
async def test_a_code_works_until_its_last_second(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    bench.clock.advance(59)
    assert isinstance(await bench.answer(bench.case(), challenge, bench.mails.code()), Right)


async def test_an_expired_code_costs_no_attempt(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    bench.clock.advance(61)
    await bench.answer(bench.case(), challenge, bench.wrong())
    left = await bench.challenges.left(bench.case(), challenge)
    assert left.attempts == bench.policy.otp_max_attempts


async def test_what_nobody_could_judge_costs_no_attempt(bench: Bench) -> None:
    challenge = replace(await bench.send(bench.case()), state="not what the factor keeps")
    assert problem(await bench.answer(bench.case(), challenge, bench.mails.code())) is Problem.SEND_FAILED
    assert (await bench.challenges.left(bench.case(), challenge)).failures == 0


@pytest.mark.row("EF-15")
async def test_a_second_code_within_the_cooldown_is_refused_with_the_wait(bench: Bench) -> None:
    await bench.send(bench.case())
    bench.clock.advance(20)
    assert await bench.try_to_send(bench.case()) == Trouble(Problem.WAIT, bench.clock.now() + 40)


@pytest.mark.row("EF-15")
async def test_the_cooldown_holds_for_another_login_of_the_same_user(bench: Bench) -> None:
    await bench.send(bench.case(login="l1"))
    refused = await bench.try_to_send(bench.case(login="l2"))
    assert isinstance(refused, Trouble)
    assert refused.problem is Problem.WAIT


@pytest.mark.row("EF-15")
async def test_after_the_cooldown_a_new_code_is_sent(bench: Bench) -> None:
    await bench.send(bench.case())
    bench.clock.advance(60)
    await bench.send(bench.case())
    assert len(bench.mails.messages) == 2


@pytest.mark.row("EF-15")
async def test_an_accepted_code_clears_the_cooldown(bench: Bench) -> None:
    challenge = await bench.send(bench.case(login="l1"))
    await bench.answer(bench.case(login="l1"), challenge, bench.mails.code())
    await bench.send(bench.case(login="l2"))
    assert len(bench.mails.messages) == 2


@pytest.mark.row("EF-15")
async def test_of_fifty_requests_at_once_for_a_code_one_is_sent(bench: Bench) -> None:
    await asyncio.gather(*(bench.try_to_send(bench.case(login=f"l{n}")) for n in range(50)))
    assert len(bench.mails.messages) == 1


@pytest.mark.row("EF-16")
async def test_the_older_of_two_codes_is_wrong_and_costs_an_attempt(bench: Bench) -> None:
    await bench.send(bench.case())
    older = bench.mails.code()
    bench.clock.advance(60)
    challenge = await bench.send(bench.case())
    answer = await bench.answer(bench.case(), challenge, older)
    assert isinstance(answer, Wrong)
    assert (answer.trouble.problem, answer.failures) == (Problem.WRONG_CODE, 1)


@pytest.mark.row("EF-17")
async def test_after_the_last_allowed_wrong_code_the_right_one_fails_too(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    for _ in range(5):
        await bench.answer(bench.case(), challenge, bench.wrong())
    assert problem(await bench.answer(bench.case(), challenge, bench.mails.code())) is Problem.LIMIT_EXCEEDED


@pytest.mark.row("EF-17")
async def test_the_limit_names_when_a_new_code_may_be_asked_for(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    answers = [await bench.answer(bench.case(), challenge, bench.wrong()) for _ in range(5)]
    assert isinstance(answers[-1], Wrong)
    assert answers[-1].trouble == Trouble(Problem.LIMIT_EXCEEDED, challenge.resend_at)


@pytest.mark.row("EF-17")
async def test_a_new_code_after_the_limit_works(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    for _ in range(5):
        await bench.answer(bench.case(), challenge, bench.wrong())
    bench.clock.advance(60)
    newer = await bench.send(bench.case())
    assert isinstance(await bench.answer(bench.case(), newer, bench.mails.code()), Right)


@pytest.mark.row("EF-17")
async def test_of_two_hundred_wrong_codes_at_once_five_are_judged(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    answers = await asyncio.gather(*(bench.answer(bench.case(), challenge, bench.wrong()) for _ in range(200)))
    assert len([a for a in answers if isinstance(a, Wrong) and a.judged]) == 5


@pytest.mark.row("EF-13")
async def test_of_two_hundred_owners_at_once_one_is_right(bench: Bench) -> None:
    bench.policy = replace(bench.policy, otp_max_attempts=500)
    bench.limits = replace(bench.limits, failure_steps=((100_000, 1.0),))
    challenge = await bench.send(bench.case())
    code = bench.mails.code()
    cases = [bench.case(round=n) for n in range(200)]
    owners = [(case, replace(challenge, bound_to=case.bound_to)) for case in cases]
    answers = await asyncio.gather(*(bench.answer(case, own, code) for case, own in owners))
    assert len([a for a in answers if isinstance(a, Right)]) == 1


async def test_the_same_owner_asking_again_gets_the_same_yes(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    code = bench.mails.code()
    answers = [await bench.answer(bench.case(), challenge, code) for _ in range(2)]
    assert answers == [Right(FactorKind.EMAIL)] * 2


@pytest.mark.row("EF-12")
async def test_of_two_users_with_one_address_only_the_newest_code_works(bench: Bench) -> None:
    one, other = bench.case("u1", "l1", "shared@example.com"), bench.case("u2", "l2", "shared@example.com")
    older = await bench.send(one)
    code = bench.mails.code()
    await bench.send(other)
    assert problem(await bench.answer(one, older, code)) is Problem.WRONG_CODE


@pytest.mark.row("EF-12")
async def test_the_newest_code_of_a_shared_address_never_signs_in_the_other_user(bench: Bench) -> None:
    one, other = bench.case("u1", "l1", "shared@example.com"), bench.case("u2", "l2", "shared@example.com")
    older = await bench.send(one)
    await bench.send(other)
    assert problem(await bench.answer(one, older, bench.mails.code())) is Problem.WRONG_CODE


@pytest.mark.row("EF-12")
async def test_success_of_one_user_leaves_the_older_code_of_a_shared_address_dead(bench: Bench) -> None:
    one, other = bench.case("u1", "l1", "shared@example.com"), bench.case("u2", "l2", "Shared@example.com")
    older = await bench.send(one)
    code = bench.mails.code()
    newer = await bench.send(other)
    await bench.answer(other, newer, bench.mails.code())
    assert problem(await bench.answer(one, older, code)) is Problem.WRONG_CODE


async def test_with_separate_codes_both_users_of_a_shared_address_sign_in(bench: Bench) -> None:
    bench.policy = replace(bench.policy, shared_address=SharedAddress.SEPARATE)
    one, other = bench.case("u1", "l1", "shared@example.com"), bench.case("u2", "l2", "shared@example.com")
    first = await bench.send(one)
    code = bench.mails.code()
    await bench.send(other)
    assert isinstance(await bench.answer(one, first, code), Right)


async def test_ten_failures_over_many_codes_lock_the_user(bench: Bench) -> None:
    answers = []
    for n in range(10):
        case = bench.case(login=f"l{n}")
        challenge = await bench.send(case)
        answers.append(await bench.answer(case, challenge, bench.wrong()))
        bench.clock.advance(60)
    assert isinstance(answers[-1], Wrong)
    assert (answers[-1].trouble.problem, answers[-1].stops) == (Problem.LOCKED, True)


async def test_nothing_is_sent_to_a_locked_user(bench: Bench) -> None:
    bench.limits = replace(bench.limits, failure_steps=((1, 300.0),))
    challenge = await bench.send(bench.case())
    await bench.answer(bench.case(), challenge, bench.wrong())
    bench.clock.advance(60)
    refused = await bench.try_to_send(bench.case(login="l2"))
    assert isinstance(refused, Trouble)
    assert (refused.problem, len(bench.mails.messages)) == (Problem.LOCKED, 1)


@pytest.mark.row("EF-19")
async def test_the_maximum_of_sends_holds_for_a_login(bench: Bench) -> None:
    for _ in range(bench.policy.max_sends):
        await bench.send(bench.case())
        bench.clock.advance(60)
    refused = await bench.try_to_send(bench.case())
    assert isinstance(refused, Trouble)
    assert refused.problem is Problem.MAX_SENDS


@pytest.mark.row("EF-19")
async def test_the_hourly_maximum_of_sends_holds_over_logins(bench: Bench) -> None:
    bench.limits = replace(bench.limits, sends_per_user=3)
    for n in range(3):
        await bench.send(bench.case(login=f"l{n}"))
        bench.clock.advance(60)
    refused = await bench.try_to_send(bench.case(login="l9"))
    assert isinstance(refused, Trouble)
    assert refused.problem is Problem.MAX_SENDS


async def test_the_hourly_maximum_of_sends_to_one_address_holds_over_users(bench: Bench) -> None:
    bench.limits = replace(bench.limits, sends_per_address=3)
    for n in range(3):
        await bench.send(bench.case(f"u{n}", f"l{n}", "Shared@example.com"))
    refused = await bench.try_to_send(bench.case("u9", "l9", "shared@example.com"))
    assert isinstance(refused, Trouble)
    assert refused.problem is Problem.MAX_SENDS


async def test_a_mail_that_no_relay_took_is_given_back(bench: Bench) -> None:
    bench.mails.refuses = "relay down"
    assert await bench.try_to_send(bench.case()) == Trouble(Problem.SEND_FAILED)
    bench.mails.refuses = ""
    await bench.send(bench.case())
    assert len(bench.mails.messages) == 1


async def test_a_right_code_forgets_the_failures_before_it(bench: Bench) -> None:
    challenge = await bench.send(bench.case())
    for _ in range(3):
        await bench.answer(bench.case(), challenge, bench.wrong())
    await bench.answer(bench.case(), challenge, bench.mails.code())
    newer = await bench.send(bench.case(login="l2"))
    left = await bench.challenges.left(bench.case(login="l2"), newer)
    assert left.failures == 0


async def test_the_store_holds_neither_code_nor_address(bench: Bench) -> None:
    challenge = await bench.send(bench.case(address="somebody@example.com"))
    assert bench.mails.code() not in challenge.state
    assert "somebody" not in challenge.state
