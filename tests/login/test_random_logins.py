"""Tests that the login keeps its rules with random acts of users, tabs, an attacker and an administrator.

`random_logins` states the rules and how they are judged. This run has fixed seeds; `make test-random` runs new ones
and prints the seed of a failure.
"""

from collections import Counter

import pytest

from gateway.domain.policy import Registration
from tests.login.random_logins import POLICIES, run_sequence

FOUND = [("efcx", 0)]
"""Sequences that failed before."""


@pytest.mark.slow
@pytest.mark.row("EF-19", "CC-17", "CC-19", "SI-10", "GW-27", "GW-13")
@pytest.mark.attack("S1", "S19", "S20")
@pytest.mark.parametrize("name", POLICIES)
def test_random_logins_give_sessions_only_after_proofs_keep_limits_and_let_every_user_sign_in(name: str) -> None:
    reached: Counter[str] = Counter()
    for seed in range(6):
        reached += run_sequence(name, seed).reached
    assert reached["gets in"] == 18
    assert reached["session proved" if POLICIES[name].enabled else "session not-asked"] >= 10
    if POLICIES[name].enabled:
        assert reached["enrolment"] >= 1
    if POLICIES[name].registration is not Registration.OPEN:
        assert reached["enrolment approved"] >= 3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), FOUND)
def test_a_login_sequence_that_failed_before_now_passes(name: str, seed: int) -> None:
    run_sequence(name, seed)
