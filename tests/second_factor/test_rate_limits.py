"""Tests of attempts, warnings, locks and caps in each preset, with the real challenges."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest

import gateway
from gateway.domain.challenge import Challenge, ProofPurpose
from gateway.domain.configuration import OperatorLimits
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, LockScope, Policy
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import Route, RouteFactor
from gateway.second_factor import rate_limits
from gateway.second_factor.challenges import ChallengeContext, Denied, Verified
from gateway.second_factor.rate_limits import Allowed, Limited, LimitSubject, RateLimiter
from gateway.settings.presets import PRESETS
from tests.fixtures.challenge_harness import POLICY, ChallengeHarness
from tests.fixtures.sample_tenants import TENANT

CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=POLICY.methods, resend_cooldown=0, max_sends=1000)
EFCX = replace(POLICY, resend_cooldown=0, max_sends=1000, otp_expiry=300)
APP = Enrolment(FactorKind.TOTP, secret=pyotp.random_base32())


@pytest.fixture
def harness() -> ChallengeHarness:
    """Has no limits on sending: only failures are counted here."""
    harness = ChallengeHarness()
    harness.limits = replace(harness.limits, sends_per_user=1000, sends_per_address=1000)
    return harness


async def fail(harness: ChallengeHarness, login: str = "l1", **changes: Any) -> Denied:
    """Sends one new code and enters a wrong one."""
    case = harness.case(login=login, takes_any=harness.policy is CLOUDCX, **changes)
    found = await harness.answer(case, await harness.send(case), harness.wrong())
    assert isinstance(found, Denied)
    return found


async def fail_often(harness: ChallengeHarness, times: int, *, login: str = "", **changes: Any) -> list[Denied]:
    """Fails that number of times, each in a new login unless one is named, and waits for the end of locks."""
    found = []
    for n in range(times):
        found.append(await fail(harness, login or f"{harness.clock.now()}/{n}", **changes))
        if found[-1].problem_detail.problem is Problem.LOCKED and n < times - 1:
            assert found[-1].problem_detail.until
            harness.clock.set(found[-1].problem_detail.until)
    return found


async def try_right(harness: ChallengeHarness, login: str = "later") -> Verified | Denied | ProblemDetail:
    """Enters the correct code of a new login."""
    case = harness.case(login=login, takes_any=harness.policy is CLOUDCX)
    begun = await harness.try_to_send(case)
    return await harness.answer(case, begun, harness.mails.code()) if isinstance(begun, Challenge) else begun


def waits(wrong: Denied, harness: ChallengeHarness) -> float:
    """Returns the seconds until the end of the returned wait."""
    assert wrong.problem_detail.until is not None
    return wrong.problem_detail.until - harness.clock.now()


# ------------------------------------------------------------------ CloudCX


@pytest.mark.row("CC-17")
@pytest.mark.parametrize("login", ["", "l1"])
async def test_a_user_has_five_attempts_over_all_codes_and_logins(harness: ChallengeHarness, login: str) -> None:
    harness.policy = CLOUDCX
    found = await fail_often(harness, 5, login=login)
    assert [w.failures for w in found] == [1, 2, 3, 4, 5]
    assert found[-1].problem_detail.problem is Problem.LOCKED


@pytest.mark.row("CC-18")
async def test_the_third_and_fourth_failure_warn_the_user(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    found = await fail_often(harness, 5)
    reported = [Problem.WRONG_CODE, Problem.WRONG_CODE, Problem.WARNING, Problem.WARNING, Problem.LOCKED]
    assert [w.problem_detail.problem for w in found] == reported


@pytest.mark.row("CC-18")
@pytest.mark.parametrize("failures", [3, 4])
async def test_an_attempt_after_a_warning_is_judged(harness: ChallengeHarness, failures: int) -> None:
    harness.policy = CLOUDCX
    await fail_often(harness, failures)
    assert isinstance(await try_right(harness), Verified)


@pytest.mark.row("CC-18")
async def test_the_third_failure_warns_even_if_the_devices_clock_is_wrong(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    await harness.consuming.store_began()
    case = harness.case(methods=(APP,), takes_any=True)
    challenge = await harness.wait_for_code(case)
    late = pyotp.TOTP(APP.secret).at(harness.clock.now(), counter_offset=5)
    found = [await harness.answer(case, challenge, late) for _ in range(3)]
    problems = [a.problem_detail.problem for a in found if isinstance(a, Denied)]
    assert problems == [Problem.CLOCK_OFF, Problem.CLOCK_OFF, Problem.WARNING]


@pytest.mark.row("CC-19")
async def test_the_fifth_failure_locks_for_five_minutes_and_ends_the_login(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    last = (await fail_often(harness, 5))[-1]
    assert (waits(last, harness), last.stops) == (300, True)


@pytest.mark.row("CC-19")
async def test_the_tenant_sets_the_length_of_a_lock(harness: ChallengeHarness) -> None:
    harness.policy = replace(CLOUDCX, locked_for=90)
    assert waits((await fail_often(harness, 5))[-1], harness) == 90


@pytest.mark.row("CC-19")
async def test_a_locked_user_is_refused_until_the_last_second(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    await fail_often(harness, 5)
    harness.clock.advance(299)
    refused = await try_right(harness)
    assert isinstance(refused, ProblemDetail)
    assert refused.problem is Problem.LOCKED
    harness.clock.advance(1)
    assert isinstance(await try_right(harness, "l9"), Verified)


@pytest.mark.row("CC-19")
async def test_after_the_lock_the_user_has_five_attempts_again(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    last = (await fail_often(harness, 5))[-1]
    harness.clock.set(last.problem_detail.until or 0)
    assert [w.failures for w in await fail_often(harness, 4)] == [1, 2, 3, 4]


@pytest.mark.row("CC-13", "CC-17")
async def test_an_entry_costs_one_attempt_although_several_factors_could_accept_it(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    await harness.consuming.store_began()
    harness.clock.advance(90)
    case = harness.case(methods=(APP, harness.case().methods[0]), extras=(FactorKind.ADMIN_CODE,), takes_any=True)
    challenge = await harness.send(case)
    found = [await harness.answer(case, challenge, harness.wrong()) for _ in range(2)]
    assert [a.failures for a in found if isinstance(a, Denied)] == [1, 2]


@pytest.mark.row("CC-13", "EF-19")
async def test_on_the_combined_page_failures_of_all_factors_are_counted_together(
    harness: ChallengeHarness,
) -> None:
    harness.policy = CLOUDCX
    methods = (APP, harness.case().methods[0])
    for n, typed in enumerate(["000000", "0" * 10, "0" * 12, "11111", "000001"]):
        case = harness.case(login=f"l{n}", methods=methods, extras=tuple(FactorKind)[-2:], takes_any=True)
        found = await harness.answer(case, await harness.wait_for_code(case), typed)
    assert isinstance(found, Denied)
    assert found.problem_detail.problem is Problem.LOCKED


@pytest.mark.row("CC-13")
async def test_an_expired_mail_code_costs_no_attempt_where_an_app_is_accepted_too(harness: ChallengeHarness) -> None:
    harness.policy = replace(CLOUDCX, otp_expiry=60)
    case = harness.case(methods=(APP, harness.case().methods[0]), takes_any=True)
    challenge = await harness.send(case)
    harness.clock.advance(61)
    found = await harness.answer(case, challenge, harness.mails.code())
    assert found == Denied(ProblemDetail(Problem.CODE_EXPIRED))
    assert (await harness.challenges.left(case, challenge)).failures == 0


# ------------------------------------------------------------------ the cap of a user


@pytest.mark.row("EF-19")
async def test_repeated_failures_over_all_logins_lock_the_user_for_longer_each_time(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    waited = {}
    for n in range(1, 51):
        found = await fail(harness, f"l{n}")
        if found.problem_detail.problem is Problem.LOCKED:
            waited[n] = waits(found, harness)
            harness.clock.set(found.problem_detail.until or 0)
    assert waited == {10: 300, 20: 1800, 50: 86400}


@pytest.mark.row("EF-19")
@pytest.mark.parametrize("policy", [EFCX, CLOUDCX], ids=lambda policy: policy.preset)
async def test_from_the_fiftieth_failure_on_each_one_locks_for_a_day(harness: ChallengeHarness, policy: Any) -> None:
    harness.policy = policy
    last = (await fail_often(harness, 50))[-1]
    waited = []
    for _ in range(3):
        waited.append(waits(last, harness))
        harness.clock.set(last.problem_detail.until or 0)
        last = await fail(harness, f"{harness.clock.now()}")
    assert waited == [86400] * 3


@pytest.mark.row("EF-19")
async def test_24_hours_without_failures_after_a_lock_of_a_day_clear_the_cap(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    last = (await fail_often(harness, 50))[-1]
    harness.clock.set((last.problem_detail.until or 0) + 86400)
    assert (await fail(harness, "the day after")).problem_detail.problem is Problem.WRONG_CODE


@pytest.mark.row("EF-19")
async def test_a_failure_within_24_hours_keeps_the_cap(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    await fail_often(harness, 9)
    harness.clock.advance(86399)
    assert (await fail(harness, "next day")).problem_detail.problem is Problem.LOCKED


@pytest.mark.row("EF-19")
async def test_the_cap_continues_to_count_where_the_presets_lock_restarts(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    found = await fail_often(harness, 20)
    locked = {n + 1 for n, w in enumerate(found) if w.problem_detail.problem is Problem.LOCKED}
    assert locked == {5, 10, 15, 20}
    assert waits(found[-1], harness) == 1800  # the longer of both is returned


@pytest.mark.row("EF-19")
async def test_a_failure_that_ends_its_code_and_locks_the_user_reports_the_lock(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    for login in ("l1", "l2"):
        case = harness.case(login=login)
        challenge = await harness.send(case)
        found = [await harness.answer(case, challenge, harness.wrong()) for _ in range(5)]
    last = found[-1]
    assert isinstance(last, Denied)
    assert (last.problem_detail.problem, waits(last, harness), last.stops) == (Problem.LOCKED, 300, True)


@pytest.mark.row("EF-19")
async def test_a_success_clears_the_cap(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    await fail_often(harness, 9)
    assert isinstance(await try_right(harness), Verified)
    found = await fail_often(harness, 9)
    assert Problem.LOCKED not in [w.problem_detail.problem for w in found]


@pytest.mark.row("EF-19")
async def test_24_hours_without_failures_clear_the_cap(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    await fail_often(harness, 9)
    harness.clock.advance(86400)
    assert (await fail(harness, "next day")).problem_detail.problem is Problem.WRONG_CODE


@pytest.mark.row("EF-19")
@pytest.mark.parametrize("policy", [EFCX, CLOUDCX], ids=lambda policy: policy.preset)
async def test_a_lock_applies_to_new_logins_and_tabs(harness: ChallengeHarness, policy: Any) -> None:
    harness.policy = policy
    await fail_often(harness, 10)
    refused = await asyncio.gather(*(try_right(harness, f"new{n}") for n in range(20)))
    assert {r.problem for r in refused if isinstance(r, ProblemDetail)} == {Problem.LOCKED}
    assert len([r for r in refused if isinstance(r, ProblemDetail)]) == 20


@pytest.mark.row("EF-19")
async def test_200_parallel_logins_get_no_more_attempts_than_the_cap(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    cases = [harness.case(login=f"l{n}") for n in range(200)]
    sent = [await harness.send(case) for case in cases]
    wrong = harness.wrong()
    answers = await asyncio.gather(*(harness.answer(c, s, wrong) for c, s in zip(cases, sent, strict=True)))
    assert len([a for a in answers if isinstance(a, Denied) and a.judged]) == 10


async def test_the_failures_of_one_user_do_not_count_for_another(harness: ChallengeHarness) -> None:
    harness.policy = CLOUDCX
    await fail_often(harness, 5)
    other = harness.case("u2", "other", takes_any=True)
    assert isinstance(await harness.answer(other, await harness.send(other), harness.mails.code()), Verified)


# ------------------------------------------------------------------ what has no code to replace


def app_case(harness: ChallengeHarness, login: str = "l1") -> ChallengeContext:
    return harness.case(login=login, methods=(APP,))


async def test_the_maximum_of_app_attempts_ends_the_login(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    case = app_case(harness)
    challenge = await harness.wait_for_code(case)
    found = [await harness.answer(case, challenge, "abc") for _ in range(5)]
    last = found[-1]
    assert isinstance(last, Denied)
    assert (last.problem_detail, last.stops) == (ProblemDetail(Problem.TOO_MANY_CODES), True)


async def test_after_the_maximum_of_app_attempts_a_new_login_has_all_attempts_again(harness: ChallengeHarness) -> None:
    harness.policy = EFCX
    case = app_case(harness)
    for _ in range(5):
        last = await harness.answer(case, await harness.wait_for_code(case), "abc")
    assert isinstance(last, Denied)
    assert last.stops
    other = app_case(harness, "l2")
    found = await harness.answer(other, await harness.wait_for_code(other), "abc")
    assert isinstance(found, Denied)
    assert found.failures == 1


# ------------------------------------------------------------------ approvals


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
@pytest.mark.parametrize(
    ("policy", "most"), [(EFCX, 10), (replace(CLOUDCX, choose_page=EFCX.choose_page), 5)], ids=["code", "user"]
)
async def test_proving_the_typed_address_again_clears_no_failures_of_the_approval(
    harness: ChallengeHarness, policy: Any, most: int
) -> None:
    harness.policy = policy
    judged = []
    for n in range(60):
        own = harness.case(login=f"l{n}", address="mine@example.com")
        assert isinstance(await harness.answer(own, await harness.send(own), harness.mails.code()), Verified)
        approval = harness.case(login=f"l{n}", address="profile@example.com", purpose=ProofPurpose.APPROVE)
        begun = await harness.try_to_send(approval)
        if isinstance(begun, Challenge):
            judged.append(await harness.answer(approval, begun, harness.wrong()))
    assert len([a for a in judged if isinstance(a, Denied) and a.judged]) == most


# ------------------------------------------------------------------ a lock of one application (pure)

SINCH = PRESETS["sinch"].policy


def of_app(app: str, policy: Policy = SINCH) -> tuple[rate_limits.Group, ...]:
    """Returns the limits of one code that is entered for `app`."""
    return rate_limits.for_answer(policy, OperatorLimits(), LimitSubject("t", "u", "l", FactorKind.EMAIL, app=app))


@pytest.fixture
def limiter(harness: ChallengeHarness) -> RateLimiter:
    """Returns the counters of one user of several apps."""
    return RateLimiter(harness.store, harness.clock)


async def attempts(limiter: RateLimiter, app: str, times: int) -> list[bool]:
    """Returns for each attempt in `app` whether it is allowed."""
    return [isinstance(await limiter.reserve(of_app(app)), Allowed) for _ in range(times)]


@pytest.mark.row("SI-06")
@pytest.mark.attack("F17")
async def test_after_a_lock_in_one_application_one_attempt_is_left_in_another(limiter: RateLimiter) -> None:
    assert SINCH.lock_scope is LockScope.APP
    assert await attempts(limiter, "/a", 4) == [True, True, True, False]
    assert await attempts(limiter, "/b", 2) == [True, False]


@pytest.mark.row("SI-06")
@pytest.mark.attack("F17")
async def test_failures_of_several_applications_are_counted_together(limiter: RateLimiter) -> None:
    assert await attempts(limiter, "/a", 1) == await attempts(limiter, "/b", 1) == [True]
    assert await attempts(limiter, "/c", 2) == [True, False]
    assert await attempts(limiter, "/a", 2) == [True, False]


@pytest.mark.row("SI-06")
@pytest.mark.parametrize("login", ["l1", ""], ids=["new codes of one login", "several logins"])
async def test_sinch_locks_after_three_wrong_codes_however_many_codes_and_logins(
    harness: ChallengeHarness, login: str
) -> None:
    harness.policy = replace(SINCH, methods=POLICY.methods, resend_cooldown=0)
    found = await fail_often(harness, 3, login=login)
    assert [one.problem_detail.problem for one in found] == [Problem.WRONG_CODE, Problem.WRONG_CODE, Problem.LOCKED]
    assert found[-1].problem_detail.until == harness.clock.now() + 1800


@pytest.mark.row("SI-07")
async def test_each_application_has_the_whole_lock_from_its_own_failure(
    harness: ChallengeHarness, limiter: RateLimiter
) -> None:
    await attempts(limiter, "/a", 3)
    harness.clock.advance(1000)
    await attempts(limiter, "/b", 1)
    held = [await limiter.look(of_app(app)) for app in ("/a", "/b")]
    assert [no.until - harness.clock.now() for no in held if isinstance(no, Limited)] == [800, 1800]


@pytest.mark.row("SI-07")
async def test_the_count_is_zero_again_when_the_last_lock_ends(harness: ChallengeHarness, limiter: RateLimiter) -> None:
    await attempts(limiter, "/a", 3)
    harness.clock.advance(1000)
    await attempts(limiter, "/b", 1)
    harness.clock.advance(1800)
    assert await attempts(limiter, "/a", 4) == [True, True, True, False]


@pytest.mark.attack("F17")
async def test_while_another_application_is_locked_an_unlocked_one_gives_one_attempt(
    harness: ChallengeHarness, limiter: RateLimiter
) -> None:
    await attempts(limiter, "/a", 3)
    harness.clock.advance(1000)
    await attempts(limiter, "/b", 1)
    harness.clock.advance(800)
    assert await attempts(limiter, "/a", 2) == [True, False]


@pytest.mark.row("SI-06")
@pytest.mark.attack("F17")
@pytest.mark.parametrize("apps", [1, 2, 5])
async def test_parallel_codes_over_applications_get_the_maximum_and_one_for_each_further_application(
    limiter: RateLimiter, apps: int
) -> None:
    found = await asyncio.gather(*(limiter.reserve(of_app(f"/{n % apps}")) for n in range(20 * apps)))
    assert len([one for one in found if isinstance(one, Allowed)]) == SINCH.otp_max_attempts + apps - 1


@pytest.mark.row("SI-07")
async def test_the_failures_of_every_application_count_for_the_cap_of_the_user(
    harness: ChallengeHarness, limiter: RateLimiter
) -> None:
    for _ in range(2):
        harness.clock.advance(1801)
        for app in ("/a", "/b", "/c"):
            await attempts(limiter, app, 3)
    found = await limiter.look(of_app("/d"))
    assert isinstance(found, Limited)
    assert found.limit.setting == "limits.failure_steps"


@pytest.mark.row("SI-07")
async def test_the_locked_apps_of_a_user_are_named_with_their_end(
    harness: ChallengeHarness, limiter: RateLimiter
) -> None:
    free = Route("/free", "http://app", second_factor=RouteFactor.OFF)
    routes = (Route("/a", "http://app"), Route("/b", "http://app"), free)
    tenant = replace(TENANT, id="t", routes=routes, policy=SINCH)
    assert await rate_limits.locked_apps(limiter, tenant, "u") == {}
    await attempts(limiter, "/a", 3)
    found = await rate_limits.locked_apps(limiter, tenant, "u")
    assert {app: held.until for app, held in found.items()} == {"/a": harness.clock.now() + 1800}
    assert await rate_limits.locked_apps(limiter, tenant, "another") == {}
    for policy in (replace(SINCH, lock_scope=LockScope.TENANT), replace(SINCH, enabled=False), EFCX):
        assert await rate_limits.locked_apps(limiter, replace(tenant, policy=policy), "u") == {}


async def test_a_lock_of_the_tenant_holds_in_every_application(limiter: RateLimiter) -> None:
    policy = replace(SINCH, lock_scope=LockScope.TENANT)
    found = [await limiter.reserve(of_app(app, policy)) for app in ("/a", "/a", "/a", "/a", "/b")]
    assert [isinstance(one, Allowed) for one in found] == [True, True, True, False, False]


# ------------------------------------------------------------------ presets are data


def test_no_other_module_of_the_gateway_names_a_preset() -> None:
    names = re.compile("|".join(f"""["']{name}["']""" for name in PRESETS))
    root = Path(gateway.__file__).parent
    naming = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if names.search(path.read_text(encoding="utf-8")) and path.name != "presets.py"
    }
    assert naming <= {"domain/channel.py"}  # the kind of channel, which has the vendor's name too


# ------------------------------------------------------------------ passwords and sends

SENT = LimitSubject("t", "u1", "l1", FactorKind.EMAIL)


def test_attempts_at_one_tenant_are_not_counted_at_another(harness: ChallengeHarness) -> None:
    groups = [rate_limits.for_password(harness.limits, t, "name", "192.0.2.1") for t in ("one", "two")]
    one, two = ({limit.rule.count for group in found for limit in group} for found in groups)
    assert not one & two


def test_a_known_browser_has_its_own_count_of_wrong_passwords_and_none_of_its_network(
    harness: ChallengeHarness,
) -> None:
    one, two = (rate_limits.for_password(harness.limits, "t", "name", "192.0.2.1", browser=b) for b in ("one", "two"))
    new = rate_limits.for_password(harness.limits, "t", "name", "192.0.2.1")
    counts = [{limit.rule.count for group in groups for limit in group} for groups in (one, two, new)]
    assert [len(found) for found in counts] == [1, 1, 3]
    assert len(set().union(*counts)) == 5


@pytest.mark.parametrize(
    "group",
    [
        rate_limits.for_password(OperatorLimits(), "t", "name", "192.0.2.1")[0],
        rate_limits.for_password(OperatorLimits(), "t", "name", "192.0.2.1")[1],
        (rate_limits.unknown_browsers(OperatorLimits(), "t", "name"),),
        rate_limits.for_send(EFCX, OperatorLimits(), SENT, FactorKind.EMAIL, "digest")[0],
        rate_limits.for_send(EFCX, OperatorLimits(), SENT, FactorKind.EMAIL, "digest")[2],
    ],
    ids=["name", "client", "unknown browsers", "user", "address"],
)
async def test_after_a_completed_wait_more_than_one_attempt_is_allowed(
    harness: ChallengeHarness, group: rate_limits.Group
) -> None:
    attempts = RateLimiter(harness.store, harness.clock)
    while isinstance(found := await attempts.reserve((group,)), Allowed):
        pass
    harness.clock.set(found.until)
    assert [type(await attempts.reserve((group,))) for _ in range(2)] == [Allowed, Allowed]


@pytest.mark.parametrize("policy", [EFCX, CLOUDCX, replace(CLOUDCX, lock_scope=LockScope.APP, resend_cooldown=60)])
async def test_all_locks_and_counts_of_one_user_are_cleared_at_once(harness: ChallengeHarness, policy: Policy) -> None:
    limiter, limits = RateLimiter(harness.store, harness.clock), OperatorLimits()
    subjects = [
        LimitSubject("one", "u1", "l1", factor, app=app, approving=approving)
        for factor in (*FactorKind, None)
        for app in ("", "/agent-manager")
        for approving in (False, True)
    ]
    groups = [rate_limits.for_user(policy, limits, subject) for subject in subjects]
    sends = [rate_limits.for_send(policy, limits, subjects[0], FactorKind.EMAIL, "of an address")[0]]
    while not all([isinstance(await limiter.reserve([group]), Limited) for group in (*groups, *sends)]):
        pass
    await limiter.clear([rate_limits.all_of_user(policy, limits, "one", "u1", ("", "/agent-manager"))])
    for group in (*groups, *sends):
        found = await limiter.look([group])
        assert isinstance(found, Allowed)
        assert {count for _, count in found.counts} == {0}
