"""Tests of the preset `sinch`: a primary method, and another one for users without its address."""

from typing import Any

import pytest

from gateway.domain.policy import (
    AttemptsScope,
    FactorKind,
    LockScope,
    Method,
    NoContact,
    OnMaximum,
    Policy,
    RegistrationContact,
)
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder

AT = "tenantSettings.twoFAConfigs"
SMS = {"channelType": "SMS", "channelServiceIdentifier": "sinch"}
MAIL = {"channelType": "EMAIL", "channelServiceIdentifier": "otp@example.com"}


@pytest.fixture(autouse=True)
def channel(folder: ConfigFolder) -> None:
    """Adds the channel for text messages, and the region of its numbers."""
    section = {
        "endpoint": "https://verification.api.sinch.com",
        "authentication": "basic",
        "authentication_id": "key",
        "secret": "made up",
    }
    folder.gateway["channels"].append({"serviceIdentifier": "sinch", "type": "SMS", "kind": "sinch", "sinch": section})
    folder.own["phone_numbers"] = {"region": "SE"}


def set_to(folder: ConfigFolder, **two_factor: Any) -> None:
    """Sets exactly these keys."""
    folder.two_factor.clear()
    folder.two_factor.update(is2FAEnabled=True, preset="sinch", **two_factor)


def policy(folder: ConfigFolder) -> Policy:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0].policy


@pytest.mark.row("SI-02", "SI-05", "SI-06", "SI-07")
def test_the_preset_needs_nothing_but_its_method(folder: ConfigFolder) -> None:
    set_to(folder, **SMS)
    found = policy(folder)
    assert found.offered == (Method(FactorKind.SMS, "sinch"),)
    assert (found.otp_expiry, found.otp_max_attempts, found.locked_for) == (300, 3, 1800)
    assert (found.attempts_scope, found.lock_scope) == (AttemptsScope.USER, LockScope.APP)
    assert found.on_max_verify is OnMaximum.LOCK
    assert (found.on_no_contact, found.registration_contact) == (NoContact.REFUSE, RegistrationContact.PROFILE)
    assert [f for f in folder.load().diagnostics if f.path.startswith(AT)] == []


@pytest.mark.row("SI-02", "SI-03")
@pytest.mark.parametrize(("primary", "fallback"), [(SMS, MAIL), (MAIL, SMS)])
def test_the_fallback_is_the_other_method(
    folder: ConfigFolder, primary: dict[str, str], fallback: dict[str, str]
) -> None:
    set_to(folder, **primary, fallback=fallback)
    found = policy(folder)
    assert found.fallback == found.offered[1]
    assert found.offered[0] != found.offered[1]


@pytest.mark.row("SI-02")
def test_without_a_primary_method_the_preset_is_refused(folder: ConfigFolder) -> None:
    set_to(folder, fallback=MAIL)
    assert folder.diagnostic(f"{AT}.channelType").text.startswith("is missing")


@pytest.mark.row("SI-03")
def test_a_fallback_that_is_the_primary_method_again_is_refused(folder: ConfigFolder) -> None:
    set_to(folder, **MAIL, fallback=MAIL)
    assert "is the first method already" in folder.diagnostic(f"{AT}.fallback.channelType").text


@pytest.mark.row("SI-02")
@pytest.mark.parametrize("place", ["primary", "fallback"])
def test_an_app_is_no_method_of_this_vendor(folder: ConfigFolder, place: str) -> None:
    set_to(folder, **({"channelType": "APP"} if place == "primary" else {**SMS, "fallback": {"channelType": "APP"}}))
    path = f"{AT}.channelType" if place == "primary" else f"{AT}.fallback.channelType"
    assert folder.diagnostic(path).text == "preset sinch has no APP; allowed: SMS or EMAIL"


@pytest.mark.row("SI-05", "SI-06", "SI-07")
def test_validity_attempts_and_lock_are_the_tenants_choice(folder: ConfigFolder) -> None:
    set_to(folder, **SMS, otpExpiry=120, otpMaxAttempts=5, lockedFor=600)
    found = policy(folder)
    assert (found.otp_expiry, found.otp_max_attempts, found.locked_for) == (120, 5, 600)
    assert [f for f in folder.load().diagnostics if f.path.startswith(AT) and f.level is Level.HINT] == []
