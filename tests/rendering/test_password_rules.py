"""Tests of `gateway.rendering.password_rules`."""

import pytest

from gateway.rendering.password_rules import password_rules
from tests.fixtures import page_states as states

ENGLISH = states._LANGUAGES.get("en")


def test_the_rules_of_a_realm_are_said_in_a_fixed_order_and_rules_for_the_server_are_left_out() -> None:
    assert password_rules(states.PASSWORD_POLICY, ENGLISH) == (
        "At least 12 characters",
        "Digits: at least 2",
        "Not one of your last 3 passwords",
        "Not your username",
    )


@pytest.mark.parametrize(
    "policy", [None, "", 8, "length", "length(x)", "regexPattern(^[a-z(]+$)", "%(num)s", "length()"]
)
def test_an_unreadable_policy_has_no_rules(policy: object) -> None:
    assert password_rules(policy, ENGLISH) == ()
