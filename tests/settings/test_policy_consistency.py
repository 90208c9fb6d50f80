"""Tests of the warnings about settings of which one makes another useless."""

from typing import Any

import pytest

from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder, to_mend

TWO_FACTOR = "tenantSettings.twoFAConfigs"


@pytest.mark.parametrize(
    ("changes", "path", "text"),
    [
        ({"own": {"session": {"idle": 7200, "absolute": 3600}}}, "gateway.session.idle", "absolute (3600 s)"),
        ({"gateway": {"limits": {"login_idle": 7200}}}, "limits.login_idle", "login_absolute (3600 s)"),
        ({"two_factor": {"warnFromAttempt": 5}}, f"{TWO_FACTOR}.warnFromAttempt", "wrong code 5 is the last one"),
        ({"two_factor": {"lockedFor": 300}}, f"{TWO_FACTOR}.lockedFor", "Write onMaxVerify: lock and attemptsScope"),
        ({"two_factor": {"lockScope": "app"}}, f"{TWO_FACTOR}.lockScope", "locks no app: no rule locks"),
        ({"two_factor": {"otpExpiry": 1800}}, f"{TWO_FACTOR}.otpExpiry", "limits.login_idle (900 s) of gateway.yaml"),
        ({"two_factor": {"resendCooldown": 600}}, f"{TWO_FACTOR}.resendCooldown", "otpExpiry (120 s)"),
        (
            {"own": {"routes": [{"path": "/a", "to": "https://a", "pass_authorization": True}]}},
            "gateway.routes[0].pass_authorization",
            "none is on this route",
        ),
    ],
)
def test_a_setting_that_another_makes_useless_is_a_warning(
    folder: ConfigFolder, changes: dict[str, dict[str, Any]], path: str, text: str
) -> None:
    for section, values in changes.items():
        getattr(folder, section).update(values)
    [found] = [d for d in folder.diagnostics(path) if d.level is Level.WARNING]
    assert text in found.text


def test_settings_that_fit_together_are_no_fault(folder: ConfigFolder) -> None:
    folder.two_factor.update(warnFromAttempt=4, attemptsScope="user", onMaxVerify="lock", lockedFor=300)
    folder.own.update(
        session={"idle": 3600, "absolute": 3600},
        routes=[{"path": "/a", "to": "https://a", "pass_authorization": True}],
        public_paths=["/a/feed"],
    )
    assert [d for d in to_mend(folder.load()) if d.level is not Level.HINT] == []


@pytest.mark.row("GW-40")
def test_a_route_for_groups_names_what_the_realm_must_have(folder: ConfigFolder) -> None:
    folder.own["routes"] = [{"path": "/a", "to": "https://a", "allow": {"groups": ["/agents"]}}]
    [found] = folder.diagnostics("gateway.routes[0].allow.groups")
    assert (found.level, "Group Membership mapper" in found.text) == (Level.HINT, True)
