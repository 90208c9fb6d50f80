"""Tests of the two implemented presets: every key of their table loads, and is reported where it is an extension."""

import re
from typing import Any

import pytest

from gateway.domain.policy import (
    AttemptsScope,
    ChoosePage,
    EnrolmentRule,
    FactorKind,
    Method,
    OnMaximum,
    Policy,
    Registration,
    RegistrationContact,
    SharedAddress,
)
from gateway.settings.presets import PRESETS
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder

AT = "tenantSettings.twoFAConfigs"
EMAIL, APP = Method(FactorKind.EMAIL, "otp@example.com"), Method(FactorKind.TOTP)


def set_to(folder: ConfigFolder, **two_factor: Any) -> None:
    """Sets exactly these keys."""
    folder.two_factor.clear()
    folder.two_factor.update(is2FAEnabled=True, **two_factor)


def cloudcx(folder: ConfigFolder, **more: Any) -> None:
    """Sets CloudCX with its defaults and these keys."""
    set_to(folder, preset="cloudcx", **more)


def policy(folder: ConfigFolder) -> Policy:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0].policy


def test_a_cloudcx_tenant_without_listed_methods_offers_mail_and_app(folder: ConfigFolder) -> None:
    cloudcx(folder)
    assert policy(folder).methods == (EMAIL, APP)
    assert [f for f in folder.load().diagnostics if f.path.startswith(AT)] == []


def test_with_several_mailboxes_cloudcx_needs_the_name_of_one(folder: ConfigFolder) -> None:
    folder.gateway["channels"].append({**folder.gateway["channels"][0], "serviceIdentifier": "mfa@example.com"})
    cloudcx(folder)
    diagnostic = folder.diagnostic(f"{AT}.channelServiceIdentifier")
    assert diagnostic.text.startswith("is missing")
    assert "otp@example.com or mfa@example.com" in diagnostic.text
    cloudcx(folder, channelServiceIdentifier="mfa@example.com")
    assert policy(folder).methods == (Method(FactorKind.EMAIL, "mfa@example.com"), APP)


def test_a_method_listed_twice_is_an_error(folder: ConfigFolder) -> None:
    folder.gateway["channels"].append({**folder.gateway["channels"][0], "serviceIdentifier": "mfa@example.com"})
    mailboxes = [{"channelType": "EMAIL", "channelServiceIdentifier": f"{n}@example.com"} for n in ("otp", "mfa")]
    cloudcx(folder, methods=mailboxes)
    assert folder.diagnostic(f"{AT}.methods[1].channelType").text == "EMAIL is listed already: one of a kind"


def test_cloudcx_with_the_app_alone_needs_neither_a_channel_nor_an_otp_manager(folder: ConfigFolder) -> None:
    folder.gateway["channels"] = []
    del folder.keycloak["Otp_Manager_Url"]
    cloudcx(folder, methods=[{"channelType": "APP"}])
    assert policy(folder).methods == (APP,)


def test_cloudcx_with_mail_needs_no_otp_manager(folder: ConfigFolder) -> None:
    del folder.keycloak["Otp_Manager_Url"]
    cloudcx(folder)
    assert policy(folder).methods == (EMAIL, APP)


def test_cloudcx_with_2fa_off_needs_no_other_setting(folder: ConfigFolder) -> None:
    folder.gateway["channels"] = []
    cloudcx(folder)
    folder.two_factor["is2FAEnabled"] = False
    assert policy(folder).methods == ()


@pytest.mark.parametrize("key", ["fallback", "contactService"])
def test_cloudcx_has_neither_a_fallback_nor_a_contact_service(folder: ConfigFolder, key: str) -> None:
    cloudcx(folder, **{key: {"channelType": "APP"} if key == "fallback" else "directory"})
    assert folder.diagnostic(f"{AT}.{key}").text == "does not exist in preset cloudcx"


@pytest.mark.row("CC-10")
@pytest.mark.parametrize(("days", "warned"), [(0, False), (14, False), (30, False), (60, True), (90, True)])
@pytest.mark.attack("F26")
def test_a_trust_period_is_one_of_four_and_more_than_thirty_days_are_a_warning(
    folder: ConfigFolder, days: int, warned: bool
) -> None:
    cloudcx(folder, trustBrowserDays=days)
    assert policy(folder).trust_browser_days == days
    levels = [f.level for f in folder.diagnostics(f"{AT}.trustBrowserDays")]
    assert levels == ([Level.WARNING] if warned else [])


@pytest.mark.row("CC-10")
@pytest.mark.parametrize("days", [1, 13, 15, 31, 365, -14, True, "14"])
def test_any_other_trust_period_is_refused(folder: ConfigFolder, days: object) -> None:
    cloudcx(folder, trustBrowserDays=days)
    assert folder.diagnostic(f"{AT}.trustBrowserDays").level is Level.ERROR


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("enrolment", "optional", EnrolmentRule.OPTIONAL),
        ("enrolment", "required", EnrolmentRule.REQUIRED),
        ("registration", "open", Registration.OPEN),
        ("registration", "guarded", Registration.GUARDED),
        ("registration", "admin_code", Registration.ADMIN_CODE),
        ("registrationContact", "any", RegistrationContact.ANY),
        ("registrationContact", "profile", RegistrationContact.PROFILE),
        ("choosePage", "never", ChoosePage.NEVER),
        ("choosePage", "combined", ChoosePage.COMBINED),
        ("otpLength", 8, 8),
        ("otpExpiry", 90, 90),
        ("otpMaxAttempts", 3, 3),
        ("warnFromAttempt", 2, 2),
        ("maxSends", 3, 3),
        ("resendCooldown", 30, 30),
        ("trustBrowserDays", 14, 14),
        ("backupCodes", 0, 0),
        ("backupCodes", 10, 10),
        ("adminCodes", False, False),
        ("adminCodes", True, True),
        ("sharedAddress", "newest", SharedAddress.NEWEST),
        ("sharedAddress", "separate", SharedAddress.SEPARATE),
    ],
)
@pytest.mark.parametrize("preset", ["efcx", "cloudcx"])
def test_each_key_is_used_in_both_presets_and_reported_where_it_changes_the_presets_rule(
    folder: ConfigFolder, preset: str, key: str, value: object, expected: object
) -> None:
    own = {"channelType": "APP", "otpExpiry": 120, "otpMaxAttempts": 5} if preset == "efcx" else {}
    set_to(folder, preset=preset, **own, **{key: value} if key not in own else {})
    folder.two_factor[key] = value
    name = re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", key)
    assert getattr(policy(folder), name) == expected
    preset_of = PRESETS[preset]
    extends = key not in preset_of.free and getattr(preset_of.policy, name) != expected
    said = [f for f in folder.diagnostics(f"{AT}.{key}") if "is an extension" in f.text]
    assert len(said) == int(extends)


@pytest.mark.parametrize("preset", ["efcx", "cloudcx"])
def test_attempts_of_a_user_may_end_in_a_lock_and_attempts_at_a_code_in_a_new_code(
    folder: ConfigFolder, preset: str
) -> None:
    own = {"channelType": "APP", "otpExpiry": 120, "otpMaxAttempts": 5} if preset == "efcx" else {}
    set_to(folder, preset=preset, **own, attemptsScope="user", onMaxVerify="lock", lockedFor=60)
    found = policy(folder)
    assert (found.attempts_scope, found.on_max_verify, found.locked_for) == (AttemptsScope.USER, OnMaximum.LOCK, 60)
    set_to(folder, preset=preset, **own, attemptsScope="code", onMaxVerify="newCode")
    found = policy(folder)
    assert (found.attempts_scope, found.on_max_verify) == (AttemptsScope.CODE, OnMaximum.NEW_CODE)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"attemptsScope": "user"}, "onMaxVerify"),
        ({"onMaxVerify": "lock"}, "onMaxVerify"),
        ({"attemptsScope": "user", "onMaxVerify": "lock"}, "lockedFor"),
        ({"attemptsScope": "user", "onMaxVerify": "lock", "lockedFor": 0}, "lockedFor"),
    ],
)
def test_a_lock_that_could_never_take_effect_is_an_error(
    folder: ConfigFolder, changes: dict[str, Any], where: str
) -> None:
    folder.two_factor.update(changes)
    assert [f.level for f in folder.diagnostics(f"{AT}.{where}") if f.level is Level.ERROR] == [Level.ERROR]
    assert folder.load().configuration is None


def test_a_cloudcx_lock_of_zero_seconds_is_an_error(folder: ConfigFolder) -> None:
    cloudcx(folder, lockedFor=0)
    errors = [f.text for f in folder.diagnostics(f"{AT}.lockedFor") if f.level is Level.ERROR]
    assert errors == ["must be at least 1: a lock of no time is none"]
