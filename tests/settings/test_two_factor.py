"""Tests of `twoFAConfigs`: presets, keys, channels."""

import pytest

from gateway.domain.policy import (
    AttemptsScope,
    ChoosePage,
    EnrolmentRule,
    FactorKind,
    Method,
    NoContact,
    OnMaximum,
    Policy,
    RegistrationContact,
    SharedAddress,
)
from gateway.settings.features import FEATURES
from gateway.settings.presets import PRESETS
from gateway.settings.source.diagnostics import Level, one_of
from tests.fixtures.config_folder import ConfigFolder

AT = "tenantSettings.twoFAConfigs"


def policy(folder: ConfigFolder) -> Policy:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0].policy


@pytest.mark.row("EF-05")
def test_the_tenant_sets_expiry_and_attempts(folder: ConfigFolder) -> None:
    folder.two_factor.update(otpExpiry=60, otpMaxAttempts=3)
    assert (policy(folder).otp_expiry, policy(folder).otp_max_attempts) == (60, 3)


@pytest.mark.row("EF-05")
@pytest.mark.parametrize("value", ["true", "yes", 1, 0, None, [], {}])
def test_the_2fa_switch_must_be_a_boolean(folder: ConfigFolder, value: object) -> None:
    folder.two_factor["is2FAEnabled"] = value
    assert (
        folder.diagnostic(f"{AT}.is2FAEnabled").text.removeprefix("is empty; it ").startswith("must be true or false")
    )


@pytest.mark.row("EF-05")
@pytest.mark.parametrize("key", ["is2FAEnabled", "otpExpiry", "otpMaxAttempts"])
def test_the_2fa_switch_expiry_and_attempts_are_mandatory(folder: ConfigFolder, key: str) -> None:
    del folder.two_factor[key]
    assert folder.diagnostic(f"{AT}.{key}").text.startswith("is missing")


@pytest.mark.row("EF-05")
def test_a_missing_two_factor_section_is_an_error_and_never_means_off(folder: ConfigFolder) -> None:
    del folder.one["tenantSettings"]["twoFAConfigs"]
    assert folder.diagnostic(AT).text.startswith("is missing")
    assert folder.load().configuration is None


@pytest.mark.row("EF-05")
@pytest.mark.parametrize("key", ["otpExpiry", "otpMaxAttempts"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "60", True])
def test_expiry_and_attempts_must_be_whole_and_positive(folder: ConfigFolder, key: str, value: object) -> None:
    folder.two_factor[key] = value
    diagnostic = folder.diagnostic(f"{AT}.{key}")
    assert diagnostic.level is Level.ERROR
    assert diagnostic.text.startswith(("must be at least 1 (", "must be a whole number, not "))


@pytest.mark.row("EF-05")
def test_with_2fa_off_neither_expiry_nor_attempts_nor_channel_are_needed(folder: ConfigFolder) -> None:
    folder.one["tenantSettings"]["twoFAConfigs"] = {"is2FAEnabled": False}
    assert policy(folder).enabled is False


@pytest.mark.row("EF-05")
@pytest.mark.parametrize(("expiry", "hinted"), [(60, True), (119, True), (120, False)])
def test_a_short_expiry_of_mailed_codes_gets_a_hint(folder: ConfigFolder, expiry: int, hinted: bool) -> None:
    folder.two_factor["otpExpiry"] = expiry
    assert bool(folder.diagnostics(f"{AT}.otpExpiry")) is hinted
    assert folder.load().configuration is not None


@pytest.mark.row("EF-04")
@pytest.mark.parametrize("kind", ["WHATSAPP", "FACEBOOK", "email", "VOICE"])
def test_an_unknown_channel_type_is_refused_and_the_known_ones_are_named(folder: ConfigFolder, kind: str) -> None:
    folder.two_factor["channelType"] = kind
    assert (
        folder.diagnostic(f"{AT}.channelType").text
        == f"{kind!r} is not known; allowed: EMAIL, SMS, APP, RSA or EXTERNAL"
    )


@pytest.mark.row("EF-04")
@pytest.mark.parametrize("value", ["", None])
def test_a_missing_channel_type_is_refused(folder: ConfigFolder, value: str | None) -> None:
    folder.two_factor["channelType"] = value
    assert folder.diagnostic(f"{AT}.channelType").text.startswith("is missing")


@pytest.mark.row("EF-04")
def test_the_type_external_is_written_as_code_generation(folder: ConfigFolder) -> None:
    folder.two_factor["channelType"] = "EXTERNAL"
    assert folder.diagnostic(f"{AT}.channelType").text == "EXTERNAL is no method here: write codeGeneration: EXTERNAL"


@pytest.mark.row("EF-04")
def test_the_service_identifier_must_name_a_configured_channel(folder: ConfigFolder) -> None:
    folder.two_factor["channelServiceIdentifier"] = "other@example.com"
    diagnostic = folder.diagnostic(f"{AT}.channelServiceIdentifier")
    assert (
        diagnostic.text == "'other@example.com' names no channel of gateway.yaml; configured for EMAIL: otp@example.com"
    )


@pytest.mark.row("EF-04")
@pytest.mark.parametrize("value", ["", None])
def test_the_channel_type_email_needs_a_service_identifier(folder: ConfigFolder, value: str | None) -> None:
    folder.two_factor["channelServiceIdentifier"] = value
    assert folder.diagnostic(f"{AT}.channelServiceIdentifier").text.startswith("is missing")


@pytest.mark.row("EF-04")
def test_the_channel_type_email_without_an_email_channel_is_an_error(folder: ConfigFolder) -> None:
    folder.gateway["channels"] = []
    assert "no EMAIL channel is configured" in folder.diagnostic(f"{AT}.channelServiceIdentifier").text


@pytest.mark.row("EF-04")
def test_the_channel_must_be_of_the_same_type(folder: ConfigFolder) -> None:
    folder.two_factor["channelType"] = "SMS"
    diagnostic = folder.diagnostic(f"{AT}.channelServiceIdentifier")
    assert diagnostic.text.startswith("'otp@example.com' is of type EMAIL, not SMS")


@pytest.mark.row("EF-04")
def test_the_channel_type_app_needs_no_channel(folder: ConfigFolder) -> None:
    folder.gateway["channels"] = []
    folder.two_factor["channelType"] = "APP"
    del folder.two_factor["channelServiceIdentifier"]
    assert policy(folder).methods == (Method(FactorKind.TOTP),)


@pytest.mark.row("EF-03")
@pytest.mark.parametrize("value", [None, ""])
def test_the_channel_type_email_without_otp_manager_url_is_refused_in_preset_efcx(
    folder: ConfigFolder, value: str | None
) -> None:
    del folder.keycloak["Otp_Manager_Url"]
    if value is not None:
        folder.keycloak["Otp_Manager_Url"] = value
    diagnostic = folder.diagnostic("tenantSettings.keyCloak.Otp_Manager_Url")
    assert diagnostic.text.startswith(
        "is missing: EFCX demands it where 2FA by EMAIL or SMS is on (preset efcx); write "
    )


@pytest.mark.row("EF-03")
def test_the_channel_type_sms_without_otp_manager_url_is_refused_too(folder: ConfigFolder) -> None:
    folder.two_factor["channelType"] = "SMS"
    del folder.keycloak["Otp_Manager_Url"]
    assert folder.diagnostic("tenantSettings.keyCloak.Otp_Manager_Url").text.startswith("is missing")


@pytest.mark.row("EF-03")
def test_with_2fa_off_otp_manager_url_is_not_needed(folder: ConfigFolder) -> None:
    del folder.keycloak["Otp_Manager_Url"]
    folder.two_factor["is2FAEnabled"] = False
    assert folder.load().errors == ()


@pytest.mark.row("EF-03")
def test_the_channel_type_app_needs_no_otp_manager_url(folder: ConfigFolder) -> None:
    del folder.keycloak["Otp_Manager_Url"]
    folder.two_factor["channelType"] = "APP"
    assert folder.load().errors == ()


@pytest.mark.row("EF-10")
@pytest.mark.parametrize("key", ["methods", "fallback"])
def test_preset_efcx_has_exactly_one_channel(folder: ConfigFolder, key: str) -> None:
    method = {"channelType": "EMAIL", "channelServiceIdentifier": "otp@example.com"}
    folder.two_factor[key] = [method] if key == "methods" else method
    assert folder.diagnostic(f"{AT}.{key}").text == "does not exist in preset efcx"


@pytest.mark.row("EF-10")
def test_preset_efcx_offers_no_choice_of_method(folder: ConfigFolder) -> None:
    assert policy(folder) == Policy(
        preset="efcx",
        enabled=True,
        methods=(Method(FactorKind.EMAIL, "otp@example.com"),),
        otp_expiry=120,
        otp_max_attempts=5,
    )


@pytest.mark.parametrize(
    ("preset", "word"), [*((name, "built") for name in PRESETS if name not in FEATURES.presets), ("efx", "known")]
)
def test_an_unknown_preset_is_refused_and_the_known_ones_are_named(
    folder: ConfigFolder, preset: str, word: str
) -> None:
    folder.two_factor["preset"] = preset
    diagnostic = folder.diagnostic(f"{AT}.preset")
    assert word in diagnostic.text
    assert diagnostic.text.endswith(f"allowed: {one_of(FEATURES.presets)}")


def test_preset_cloudcx_matches_the_vendors_documentation(folder: ConfigFolder) -> None:
    folder.one["tenantSettings"]["twoFAConfigs"] = {
        "is2FAEnabled": True,
        "preset": "cloudcx",
        "trustBrowserDays": 30,
        "methods": [
            {"channelType": "EMAIL", "channelServiceIdentifier": "otp@example.com"},
            {"channelType": "APP"},
        ],
    }
    found = policy(folder)
    assert found.methods == (Method(FactorKind.EMAIL, "otp@example.com"), Method(FactorKind.TOTP))
    assert found.enrolment is EnrolmentRule.OPTIONAL
    assert found.choose_page is ChoosePage.COMBINED
    assert (found.backup_codes, found.admin_codes, found.trust_browser_days) == (10, True, 30)
    assert (found.attempts_scope, found.warn_from_attempt) == (AttemptsScope.USER, 3)
    assert (found.on_max_verify, found.locked_for) == (OnMaximum.LOCK, 300)
    assert (found.otp_expiry, found.otp_max_attempts) == (300, 5)
    assert found.registration_contact is RegistrationContact.PROFILE
    assert found.shared_address is SharedAddress.SEPARATE


@pytest.mark.parametrize(("digits", "level"), [(4, Level.WARNING), (5, Level.WARNING), (6, None), (8, Level.HINT)])
def test_short_codes_get_a_warning(folder: ConfigFolder, digits: int, level: Level | None) -> None:
    folder.two_factor["otpLength"] = digits
    levels = {f.level for f in folder.diagnostics(f"{AT}.otpLength")}
    assert (level in levels) if level else not levels
    assert policy(folder).otp_length == digits


@pytest.mark.parametrize("digits", [3, 11])
def test_codes_must_have_4_to_10_digits(folder: ConfigFolder, digits: int) -> None:
    folder.two_factor["otpLength"] = digits
    assert folder.diagnostic(f"{AT}.otpLength").level is Level.ERROR


@pytest.mark.parametrize("days", [1, 7, 15, 365, -1])
def test_only_five_trust_periods_are_allowed(folder: ConfigFolder, days: int) -> None:
    folder.two_factor["trustBrowserDays"] = days
    assert folder.diagnostic(f"{AT}.trustBrowserDays").text.endswith("allowed: 0, 14, 30, 60 or 90")


def test_a_changed_rule_of_the_preset_is_reported_as_an_extension(folder: ConfigFolder) -> None:
    folder.two_factor.update(registrationContact="profile", onNoContact="refuse", maxSends=3)
    found = {f.path.removeprefix(f"{AT}."): f for f in folder.load().diagnostics}
    assert found["registrationContact"].text == "is an extension: without this line, preset efcx has any"
    assert found["maxSends"].text == "is an extension: without this line, preset efcx has 5"
    assert {f.level for f in found.values()} == {Level.HINT}
    assert policy(folder).on_no_contact is NoContact.REFUSE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("onMaxSends", "lock"),
    ],
)
def test_an_option_that_is_not_implemented_is_refused_instead_of_weakened(
    folder: ConfigFolder, key: str, value: object
) -> None:
    folder.two_factor[key] = value
    assert "not built yet" in folder.diagnostic(f"{AT}.{key}").text


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("onMaxSends", "lock", "'lock' is not built yet; built: stop"),
    ],
)
def test_for_an_option_that_is_not_implemented_the_error_names_the_implemented_ones(
    folder: ConfigFolder, key: str, value: str, said: str
) -> None:
    folder.two_factor[key] = value
    assert folder.diagnostic(f"{AT}.{key}").text == said


@pytest.mark.parametrize("key", ["onMaxVerify", "onMaxSends", "onNoContact"])
@pytest.mark.parametrize("word", ["lokc", "path:", "path:a b", "https://evil.example", "//evil"])
def test_the_action_after_the_maximum_is_a_known_word_or_name_and_never_an_address(
    folder: ConfigFolder, key: str, word: str
) -> None:
    folder.two_factor[key] = word
    diagnostic = folder.diagnostic(f"{AT}.{key}")
    assert diagnostic.level is Level.ERROR
    assert f"{word!r} is not known; allowed: " in diagnostic.text


def test_with_2fa_off_the_named_channel_need_not_exist(folder: ConfigFolder) -> None:
    folder.two_factor.update(is2FAEnabled=False, channelServiceIdentifier="gone@example.com")
    assert folder.load().errors == ()


def test_an_unknown_key_is_an_error(folder: ConfigFolder) -> None:
    folder.two_factor["otpLenght"] = 6
    assert "did you mean otpLength?" in folder.diagnostic(f"{AT}.otpLenght").text
