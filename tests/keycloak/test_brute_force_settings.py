"""Tests of the settings of a realm by which anybody can lock a user."""

from typing import Any

import pytest

from gateway.domain.configuration import OperatorLimits
from gateway.keycloak.brute_force_settings import dangers

SAFE = {
    "bruteForceProtected": True,
    "failureFactor": 1000,
    "quickLoginCheckMilliSeconds": 10,
    "maxDeltaTimeSeconds": 60,
}


def test_a_realm_that_locks_users_later_than_the_gateway_has_no_dangers() -> None:
    assert dangers(SAFE, OperatorLimits()) == ()


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ({"quickLoginCheckMilliSeconds": 60_000}, "lower Quick login check milliseconds"),
        ({"failureFactor": 1}, "raise Max login failures"),
        ({"maxDeltaTimeSeconds": 10_000_000}, "lower Failure reset time"),
        ({"permanentLockout": True}, "choose temporary lockouts"),
    ],
)
def test_each_setting_by_which_wrong_passwords_lock_a_user_is_named_with_its_remedy(
    setting: dict[str, Any], remedy: str
) -> None:
    (danger,) = dangers(SAFE | setting, OperatorLimits())
    assert remedy in danger
