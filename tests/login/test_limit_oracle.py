"""Tests that the limit oracle of the random logins notices violations."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.domain.policy import FactorKind
from gateway.settings.presets import PRESETS
from tests.fixtures.limit_oracle import DAY, Judged, check

EFCX = replace(PRESETS["efcx"].policy, otp_max_attempts=5, otp_expiry=60)
CLOUDCX = PRESETS["cloudcx"].policy
NOW = 1_800_000_000.0


def wrong(n: int, at: float = NOW, *, login: str = "l1", challenge: str = "c1", combined: bool = False) -> Judged:
    """Returns a wrong code as the n-th event."""
    key, policy = ("any", CLOUDCX) if combined else ("email", EFCX)
    return Judged(n, at, "u1", login, 0, challenge, "a@example.com", key, False, False, policy, typed="000000")


def right(n: int, at: float = NOW, **more: str) -> Judged:
    return replace(wrong(n, at, **more), typed="123456", right=FactorKind.EMAIL)  # type: ignore[arg-type]


def sent(n: int, at: float = NOW, **more: str) -> Judged:
    return replace(wrong(n, at, **more), typed="", sent=True)  # type: ignore[arg-type]


def in_logins(count: int, at: Callable[[int], float] = lambda n: NOW) -> list[Judged]:
    """Returns wrong codes, each in a separate login."""
    return [wrong(n, at(n), login=f"l{n}", challenge=f"c{n}") for n in range(count)]


def test_the_oracle_allows_five_attempts_at_one_code_and_no_sixth() -> None:
    check([wrong(n) for n in range(5)])
    with pytest.raises(AssertionError, match="too many attempts"):
        check([wrong(n) for n in range(6)])


def test_the_oracle_rejects_a_users_sixth_attempt_until_the_lock_ends() -> None:
    five = [wrong(n, combined=True) for n in range(5)]
    check([*five, wrong(5, NOW + 300, combined=True)])
    with pytest.raises(AssertionError, match="while locked"):
        check([*five, wrong(5, NOW + 299, combined=True)])


def test_the_oracle_rejects_a_sixth_parallel_attempt() -> None:
    with pytest.raises(AssertionError, match="beyond a maximum"):
        check([wrong(0, combined=True) for _ in range(6)])


@pytest.mark.parametrize(("count", "pause"), [(10, 300), (20, 1800), (50, DAY), (51, DAY)])
def test_the_oracle_rejects_attempts_during_the_lock_after_too_many_failures(count: int, pause: float) -> None:
    def at(n: int) -> float:  # each waits for the end of the earlier locks
        return NOW + (n >= 10) * 300 + (n >= 20) * 1800 + max(0, n - 49) * DAY

    allowed = in_logins(count, at)
    last = allowed[-1].at
    check([*allowed, wrong(99, last + pause, login="z", challenge="z")])
    with pytest.raises(AssertionError, match="while locked"):
        check([*allowed, wrong(99, last + pause - 1, login="z", challenge="z")])


def test_the_oracle_rejects_a_correct_code_while_the_user_is_locked() -> None:
    with pytest.raises(AssertionError, match="while locked"):
        check([*in_logins(10), right(99, NOW + 299)])


def test_the_oracle_rejects_a_send_while_the_user_is_locked() -> None:
    with pytest.raises(AssertionError, match="while locked"):
        check([*in_logins(10), sent(99, NOW + 299)])


def test_the_oracle_allows_one_code_for_one_login_only() -> None:
    check([right(0), right(1)])
    with pytest.raises(AssertionError, match="used twice"):
        check([right(0), right(1, login="l2")])


def test_the_oracle_rejects_a_second_send_within_the_cooldown_unless_a_code_was_accepted() -> None:
    check([sent(0), sent(1, NOW + 60)])
    check([sent(0), right(1), sent(2, NOW + 1)])
    with pytest.raises(AssertionError, match="within the cooldown"):
        check([sent(0), sent(1, NOW + 59, login="l2")])


def test_the_oracle_rejects_more_sends_than_the_maximum_of_a_login() -> None:
    with pytest.raises(AssertionError, match="too many sends"):
        check([sent(n, NOW + n * 60) for n in range(6)])


def test_the_oracle_allows_a_failure_parallel_to_a_success_to_count_before_or_after_it() -> None:
    parallel = [wrong(0), right(0)]
    check([*parallel, *(wrong(n, login=f"l{n}", challenge=f"c{n}") for n in range(1, 12))])
    with pytest.raises(AssertionError, match="while locked"):
        check([right(0), *(wrong(n, login=f"l{n}", challenge=f"c{n}") for n in range(1, 12))])


def in_app(app: str, at: float = NOW, n: int = 0) -> Judged:
    """Returns a wrong code for one app where a lock is of one app."""
    policy = replace(PRESETS["sinch"].policy, otp_max_attempts=3, locked_for=1800)
    return replace(wrong(n, at), policy=policy, app=app)


def test_the_oracle_allows_one_attempt_in_another_app_after_a_lock_and_no_second() -> None:
    three = [in_app("/a", n=n) for n in range(3)]
    check([*three, in_app("/b", n=3), in_app("/c", n=4)])
    for locked in ("/a", "/b"):
        with pytest.raises(AssertionError, match="while locked"):
            check([*three, in_app("/b", n=3), in_app(locked, n=4)])


def test_the_oracle_allows_three_attempts_after_the_last_lock_and_one_before() -> None:
    locked = [*(in_app("/a", n=n) for n in range(3)), in_app("/b", NOW + 1000, 3)]
    check([*locked, *(in_app("/a", NOW + 2800, n) for n in range(4, 7))])
    check([*locked, in_app("/a", NOW + 1800, 4)])
    with pytest.raises(AssertionError, match="while locked"):
        check([*locked, *(in_app("/a", NOW + 1800, n) for n in (4, 5))])
