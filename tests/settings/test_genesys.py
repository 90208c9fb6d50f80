"""The preset genesys and its web services in the settings files: what is needed, and what each mistake is told."""

from typing import Any

import pytest

from gateway.domain.policy import (
    EXTERNAL_FACTORS,
    ChoosePage,
    FactorKind,
    Method,
    OnMaximum,
    OnWrongCode,
    Policy,
    RegistrationContact,
)
from gateway.domain.web_services import ServiceSet, WebServices
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder, to_mend

AT = "tenantSettings.twoFAConfigs"
SERVICES = "channels[1].web_services"
ENDS = {
    "onNoContact": "path:agent",
    "otpMaxAttempts": 3,
    "onMaxVerify": "path:agent",
    "maxSends": 2,
    "onMaxSends": "path:agent",
}
INTERNAL: dict[str, Any] = {
    **ENDS,
    "otpLength": 7,
    "otpExpiry": 240,
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": "otp@example.com"}],
}
EXTERNAL: dict[str, Any] = {**ENDS, "codeGeneration": "EXTERNAL", "contactService": "services"}


def services(**more: Any) -> dict[str, Any]:
    """Returns a channel of web services with what is needed, and these keys."""
    one = {
        name: {"production": f"https://bank.example/{name}?a=%2F", "customer_parameter": "account"}
        for name in ("check", "send", "code")
    }
    section = {"live": "production", "code_timeout_ms": 90_500, **one, **more}
    return {"serviceIdentifier": "services", "type": "EXTERNAL", "kind": "web-services", "web_services": section}


@pytest.fixture
def genesys(folder: ConfigFolder) -> ConfigFolder:
    """Returns a valid tenant with internal codes and no contact service, and configured web services."""
    folder.gateway["channels"].append(services())
    folder.gateway["path_addresses"] = ["https://help.example.com/agent"]
    folder.own["paths"] = {"agent": "https://help.example.com/agent"}
    set_to(folder, INTERNAL)
    return folder


def set_to(folder: ConfigFolder, two_factor: dict[str, Any], **more: Any) -> None:
    """Sets exactly these keys."""
    folder.two_factor.clear()
    folder.two_factor.update(is2FAEnabled=True, preset="genesys", **{**two_factor, **more})


def policy(folder: ConfigFolder) -> Policy:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0].policy


def web_services(folder: ConfigFolder) -> WebServices:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    found = loaded.configuration.channels["services"].service
    assert isinstance(found, WebServices)
    return found


@pytest.mark.row("GE-19", "GE-20", "GE-22", "GE-26", "GE-28")
def test_internal_codes_have_the_vendors_rules(genesys: ConfigFolder) -> None:
    assert to_mend(genesys.load()) == []
    found = policy(genesys)
    assert found.methods == (Method(FactorKind.EMAIL, "otp@example.com"),)
    assert (found.otp_length, found.otp_expiry, found.otp_max_attempts, found.max_sends) == (7, 240, 3, 2)
    assert (found.on_wrong_code, found.resend_cooldown) == (OnWrongCode.RESEND, 0)
    assert (found.on_max_verify, found.max_verify_path) == (OnMaximum.PATH, "agent")
    assert (found.on_max_sends, found.max_sends_path) == (OnMaximum.PATH, "agent")
    assert (found.choose_page, found.contact_service) == (ChoosePage.SEVERAL, None)
    assert found.registration_contact is RegistrationContact.PROFILE


@pytest.mark.row("GE-13")
def test_internal_codes_may_go_to_the_contacts_of_a_service(genesys: ConfigFolder) -> None:
    set_to(genesys, INTERNAL, contactService="services", registrationContact="service")
    assert to_mend(genesys.load()) == []
    found = policy(genesys)
    assert (found.contact_service, found.registration_contact) == ("services", RegistrationContact.SERVICE)
    assert found.methods == (Method(FactorKind.EMAIL, "otp@example.com"),)


@pytest.mark.row("GE-22", "GE-25", "GE-27")
def test_with_external_codes_the_service_decides_methods_length_and_life(genesys: ConfigFolder) -> None:
    genesys.gateway["channels"][1] = services(code_digits=8, prompt="Bank Authenticator")
    set_to(genesys, EXTERNAL)
    assert to_mend(genesys.load()) == []
    found = policy(genesys)
    assert found.methods == tuple(Method(factor, "services") for factor in EXTERNAL_FACTORS)
    assert (found.otp_length, found.otp_expiry, found.on_wrong_code) == (8, 91, OnWrongCode.ASK)
    assert (web_services(genesys).code_life, web_services(genesys).prompt) == (90.5, "Bank Authenticator")


@pytest.mark.parametrize("two_factor", [INTERNAL, EXTERNAL], ids=["internal", "external"])
@pytest.mark.parametrize("key", list(ENDS))
def test_each_key_without_a_default_is_named_with_an_example(
    genesys: ConfigFolder, two_factor: dict[str, Any], key: str
) -> None:
    set_to(genesys, {name: value for name, value in two_factor.items() if name != key})
    text = genesys.diagnostic(f"{AT}.{key}").text
    assert text.startswith("is missing: preset genesys needs")
    assert f"as {key}: " in text


@pytest.mark.parametrize("key", ["otpLength", "otpExpiry", "methods", "onWrongCode"])
def test_a_key_of_own_codes_is_refused_beside_external_codes(genesys: ConfigFolder, key: str) -> None:
    set_to(genesys, EXTERNAL, **{key: {**INTERNAL, "onWrongCode": "resend"}[key]})
    assert "does not exist with codeGeneration: EXTERNAL" in genesys.diagnostic(f"{AT}.{key}").text


def test_external_codes_need_a_contact_service(genesys: ConfigFolder) -> None:
    set_to(genesys, {**ENDS, "codeGeneration": "EXTERNAL"})
    assert genesys.diagnostic(f"{AT}.contactService").text.startswith("is missing: codeGeneration: EXTERNAL needs")


@pytest.mark.parametrize(("name", "said"), [("other", "names no channel"), ("otp@example.com", "is of type EMAIL")])
def test_the_contact_service_is_a_channel_of_web_services(genesys: ConfigFolder, name: str, said: str) -> None:
    set_to(genesys, EXTERNAL, contactService=name)
    assert said in genesys.diagnostic(f"{AT}.contactService").text


@pytest.mark.row("GE-24")
@pytest.mark.parametrize("key", ["send", "code", "code_timeout_ms"])
def test_external_codes_name_what_the_channel_lacks(genesys: ConfigFolder, key: str) -> None:
    genesys.gateway["channels"][1] = services(**{key: None})
    set_to(genesys, EXTERNAL)
    text = genesys.diagnostic(f"{AT}.contactService").text
    assert text == f"services has no web_services.{key}, which codeGeneration: EXTERNAL needs"


@pytest.mark.row("GE-13")
@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"onNoContact": "register"}, "onNoContact"),
        ({"registrationContact": "profile"}, "registrationContact"),
        ({"registrationContact": "any"}, "registrationContact"),
        ({"methods": [{"channelType": "APP"}]}, "methods"),
    ],
    ids=str,
)
def test_contacts_of_a_service_never_lead_to_a_registration(
    genesys: ConfigFolder, changes: dict[str, Any], key: str
) -> None:
    set_to(genesys, INTERNAL, contactService="services", **changes)
    assert "does not fit contactService" in genesys.diagnostic(f"{AT}.{key}").text


def test_contacts_of_a_service_need_the_service(genesys: ConfigFolder) -> None:
    set_to(genesys, INTERNAL, registrationContact="service")
    assert genesys.diagnostic(f"{AT}.contactService").text.startswith("is missing: registrationContact: service")


def test_internal_codes_need_a_method(genesys: ConfigFolder) -> None:
    set_to(genesys, {key: value for key, value in INTERNAL.items() if key != "methods"})
    assert genesys.diagnostic(f"{AT}.methods").text.startswith("is missing: list at least one")


@pytest.mark.parametrize("preset", ["efcx", "cloudcx"])
def test_external_codes_exist_in_no_other_preset(genesys: ConfigFolder, preset: str) -> None:
    genesys.two_factor.update(preset=preset, codeGeneration="EXTERNAL")
    assert genesys.diagnostic(f"{AT}.codeGeneration").text == f"EXTERNAL does not exist in preset {preset}"


# ---------------------------------------------------------------------- the channel


@pytest.mark.row("GE-24")
def test_the_services_for_tests_are_pointed_out(genesys: ConfigFolder) -> None:
    one = {"production": "https://bank.example/", "test": "https://test.example/", "customer_parameter": "account"}
    genesys.gateway["channels"][1] = services(live="test", check=one, send=one, code=one)
    found = genesys.diagnostic(f"{SERVICES}.live")
    assert (found.level, found.text.startswith("test: the services for tests")) == (Level.WARNING, True)
    settings = web_services(genesys)
    assert settings.live is ServiceSet.TEST
    assert {service.url(settings.live) for service in settings.services} == {"https://test.example/"}


@pytest.mark.row("GE-24")
def test_services_for_tests_need_their_addresses(genesys: ConfigFolder) -> None:
    genesys.gateway["channels"][1] = services(live="test")
    for name in ("check", "send", "code"):
        assert genesys.diagnostic(f"{SERVICES}.{name}.test").text.startswith("is missing: live: test")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("live", "both"),
        ("check", None),
        ("check", {"production": "https://bank.example/"}),
        ("check", {"production": "http://bank.example/", "customer_parameter": "account"}),
        ("check", {"production": "ftp://bank.example/", "customer_parameter": "account"}),
        ("check", {"production": "https://u:p@bank.example/", "customer_parameter": "account"}),
        ("check", {"production": "https://bank.example/#x", "customer_parameter": "account"}),
        ("check", {"production": "https://bank.example/", "customer_parameter": "a&b"}),
        ("check", {"production": "https://bank.example/", "customer_parameter": "account", "method": "DELETE"}),
        ("code_digits", 3),
        ("code_digits", 11),
        ("code_timeout_ms", 999),
        ("method_parameter", ""),
        ("unknown", 1),
    ],
    ids=str,
)
def test_a_wrong_value_of_the_channel_is_an_error(genesys: ConfigFolder, key: str, value: object) -> None:
    genesys.gateway["channels"][1] = services(**{key: value})
    errors = [error for error in genesys.load().errors if error.path.startswith(f"{SERVICES}.{key}")]
    assert errors


def test_a_channel_of_web_services_needs_their_section(genesys: ConfigFolder) -> None:
    del genesys.gateway["channels"][1]["web_services"]
    assert genesys.diagnostic(SERVICES).text.startswith("is missing")
