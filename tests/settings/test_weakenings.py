"""Tests of the security weakenings of a change of settings."""

import pytest

from gateway.domain.configuration import Configuration
from gateway.settings.checks import weakenings
from tests.fixtures.config_folder import ConfigFolder


def loaded(folder: ConfigFolder) -> Configuration:
    configuration = folder.load().configuration
    assert configuration is not None
    return configuration


@pytest.mark.attack("F10")
@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("is2FAEnabled", False, ("one: is2FAEnabled true → false",)),
        ("otpMaxAttempts", 50, ("one: otpMaxAttempts 5 → 50",)),
        ("otpExpiry", 900, ("one: otpExpiry 120 → 900",)),
        ("otpLength", 4, ("one: otpLength 6 → 4",)),
        ("enrolment", "optional", ("one: enrolment required → optional",)),
        ("resendCooldown", 0, ("one: resendCooldown 60 → 0",)),
        ("adminCodes", True, ("one: adminCodes false → true",)),
        ("lockScope", "app", ("one: lockScope tenant → app",)),
        ("skipWhenVerified", True, ("one: skipWhenVerified false → true",)),
        ("otpMaxAttempts", 3, ()),
        ("otpLength", 8, ()),
        ("registrationContact", "profile", ()),
    ],
)
def test_a_weakening_is_reported_with_the_previous_value(
    folder: ConfigFolder, key: str, value: object, said: tuple[str, ...]
) -> None:
    before = loaded(folder)
    folder.two_factor[key] = value
    assert weakenings.weakenings(before, loaded(folder)) == said


@pytest.mark.attack("F15")
def test_a_further_value_that_counts_as_the_second_factor_is_a_weakening(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"sign_in": "sso", "second_factor_by": {"acr": ["3"]}}
    before = loaded(folder)
    folder.own["keycloak"]["second_factor_by"] = {"acr": ["2"], "amr": ["otp"]}
    found = weakenings.weakenings(before, loaded(folder))
    assert found == ("one: keycloak.second_factor_by with acr=2, amr=otp",)


@pytest.mark.attack("F10")
def test_a_route_that_no_longer_needs_a_factor_is_a_weakening(folder: ConfigFolder) -> None:
    before = loaded(folder)
    folder.own["routes"] = [{"path": "/app", "to": "http://app:3000", "second_factor": "off"}]
    assert weakenings.weakenings(before, loaded(folder)) == ("one: second_factor of /app required → off",)


@pytest.mark.attack("F10")
def test_a_new_route_to_a_part_of_an_app_without_a_factor_is_a_weakening(folder: ConfigFolder) -> None:
    before = loaded(folder)
    whole = {"path": "/app", "to": "http://app:3000"}
    folder.own["routes"] = [whole, {**whole, "path": "/app/part", "second_factor": "off"}]
    assert weakenings.weakenings(before, loaded(folder)) == (
        "one: second_factor of /app/part no route of its own → off",
    )


@pytest.mark.attack("F10")
def test_removing_a_route_that_required_a_factor_inside_an_open_app_is_a_weakening(folder: ConfigFolder) -> None:
    whole = {"path": "/app", "to": "http://app:3000", "second_factor": "off"}
    folder.own["routes"] = [whole, {**whole, "path": "/app/admin", "second_factor": "required"}]
    before = loaded(folder)
    folder.own["routes"] = [whole]
    assert weakenings.weakenings(before, loaded(folder)) == ("one: second_factor of /app/admin required → off",)


def test_a_new_route_to_a_part_of_an_already_open_app_is_no_weakening(folder: ConfigFolder) -> None:
    whole = {"path": "/app", "to": "http://app:3000", "second_factor": "off"}
    folder.own["routes"] = [whole]
    before = loaded(folder)
    folder.own["routes"] = [whole, {**whole, "path": "/app/part"}]
    assert weakenings.weakenings(before, loaded(folder)) == ()


def test_a_larger_network_that_is_never_trusted_is_no_weakening(folder: ConfigFolder) -> None:
    folder.own["never_trust_from"] = ["10.1.0.0/16", "fd00::/8"]
    before = loaded(folder)
    folder.own["never_trust_from"] = ["10.0.0.0/8", "fd00::/8"]
    assert weakenings.weakenings(before, loaded(folder)) == ()


@pytest.mark.attack("F10")
def test_a_path_that_no_longer_needs_a_session_is_a_weakening(folder: ConfigFolder) -> None:
    folder.own["public_paths"] = ["/app/logo.png"]
    before = loaded(folder)
    folder.own["public_paths"] = ["/app/style.css", "/app/logo.png"]
    assert weakenings.weakenings(before, loaded(folder)) == ("one: public_paths with /app/style.css",)


@pytest.mark.attack("F10")
def test_the_lost_values_of_a_removed_gateway_section_are_reported(folder: ConfigFolder) -> None:
    folder.own.update(never_trust_from=["10.0.0.0/8"], session={"idle": 600, "absolute": 3600})
    before = loaded(folder)
    folder.one["gateway"] = None
    assert weakenings.weakenings(before, loaded(folder)) == (
        "one: never_trust_from without 10.0.0.0/8",
        "one: session.idle 600 → 1800",
        "one: session.absolute 3600 → 43200",
    )


@pytest.mark.attack("F10")
def test_counting_attempts_for_each_code_again_is_a_weakening(folder: ConfigFolder) -> None:
    usual = dict(folder.two_factor)
    folder.two_factor.update(attemptsScope="user", onMaxVerify="lock", lockedFor=300)
    before = loaded(folder)
    folder.one["tenantSettings"]["twoFAConfigs"] = usual
    assert "one: attemptsScope user → code" in weakenings.weakenings(before, loaded(folder))


@pytest.mark.attack("F10")
def test_adding_mail_next_to_an_app_is_reported_as_another_way_to_sign_in(folder: ConfigFolder) -> None:
    folder.two_factor.update(preset="cloudcx", methods=[{"channelType": "APP"}])
    for key in ("channelType", "channelServiceIdentifier", "otpExpiry", "otpMaxAttempts"):
        del folder.two_factor[key]
    before = loaded(folder)
    folder.two_factor["methods"].append({"channelType": "EMAIL", "channelServiceIdentifier": "otp@example.com"})
    assert weakenings.weakenings(before, loaded(folder)) == ("one: another way to sign in: email",)


def test_an_app_in_place_of_mail_is_no_weakening(folder: ConfigFolder) -> None:
    before = loaded(folder)
    folder.two_factor["channelType"] = "APP"
    del folder.two_factor["channelServiceIdentifier"]
    assert weakenings.weakenings(before, loaded(folder)) == ()


@pytest.mark.attack("F10")
def test_mail_in_place_of_an_app_is_a_weakening(folder: ConfigFolder) -> None:
    after = loaded(folder)
    folder.two_factor["channelType"] = "APP"
    del folder.two_factor["channelServiceIdentifier"]
    assert weakenings.weakenings(loaded(folder), after) == ("one: another way to sign in: email",)


@pytest.mark.attack("F10")
def test_a_weakening_of_all_tenants_is_reported_for_all(folder: ConfigFolder) -> None:
    before = loaded(folder)
    folder.gateway.update(insecure_http=True, limits={"failure_steps": [[100, 60]]})
    assert weakenings.weakenings(before, loaded(folder)) == (
        "*: insecure_http false → true",
        "*: limits.failure_steps changed",
    )


@pytest.mark.attack("F10")
def test_allowing_any_address_at_enrolment_instead_of_the_profiles_is_a_weakening(folder: ConfigFolder) -> None:
    folder.two_factor["registrationContact"] = "profile"
    before = loaded(folder)
    del folder.two_factor["registrationContact"]
    assert weakenings.weakenings(before, loaded(folder)) == ("one: registrationContact profile → any",)


def test_settings_that_need_a_restart_are_reported(folder: ConfigFolder) -> None:
    before = loaded(folder).gateway
    folder.gateway.update(listen="127.0.0.1:8081", log_level="debug")
    assert weakenings.needs_restart(before, loaded(folder).gateway) == ("listen",)


@pytest.mark.parametrize(
    "name", ["grants_per_user_waiting", "grants_per_user_and_client", "grants_at_once", "grant_wait"]
)
def test_a_limit_read_at_the_start_needs_a_restart(folder: ConfigFolder, name: str) -> None:
    before = loaded(folder).gateway
    folder.gateway["limits"] = {name: 7}
    assert weakenings.needs_restart(before, loaded(folder).gateway) == (f"limits.{name}",)


def test_a_limit_read_at_each_request_needs_no_restart(folder: ConfigFolder) -> None:
    before = loaded(folder).gateway
    folder.gateway["limits"] = {"sends_per_user": 7, "login_idle": 600}
    assert weakenings.needs_restart(before, loaded(folder).gateway) == ()


def test_changed_languages_need_a_restart(folder: ConfigFolder) -> None:
    before = loaded(folder).gateway
    folder.gateway["languages"] = ["ar", "en"]
    assert weakenings.needs_restart(before, loaded(folder).gateway) == ("languages",)


def test_allowing_a_service_worker_is_a_weakening(folder: ConfigFolder) -> None:
    route = {"path": "/app", "to": "http://app:3000"}
    folder.own["routes"] = [route]
    before = loaded(folder)
    folder.own["routes"] = [{**route, "service_worker": True}]
    after = loaded(folder)
    assert weakenings.weakenings(before, after) == ("one: service_worker of /app false → true",)
    folder.own["routes"] = [{**route, "service_worker": True}, {**route, "path": "/app/x", "service_worker": True}]
    assert weakenings.weakenings(after, loaded(folder)) == ()
    assert weakenings.weakenings(after, before) == ()


def test_no_longer_clearing_the_storage_is_a_weakening(folder: ConfigFolder) -> None:
    folder.own["clear_storage_at_sign_out"] = True
    before = loaded(folder)
    folder.own["clear_storage_at_sign_out"] = False
    assert weakenings.weakenings(before, loaded(folder)) == ("one: clear_storage_at_sign_out true → false",)


def test_another_administrator_of_the_realm_is_no_weakening(folder: ConfigFolder) -> None:
    before = loaded(folder)
    folder.keycloak.update(USERNAME_ADMIN="boss", PASSWORD_ADMIN="made up too")
    after = loaded(folder)
    assert weakenings.weakenings(before, after) == weakenings.weakenings(after, before) == ()


def test_turning_administrators_codes_on_is_no_weakening_where_2fa_was_off(folder: ConfigFolder) -> None:
    folder.two_factor["is2FAEnabled"] = False
    before = loaded(folder)
    folder.two_factor.update(is2FAEnabled=True, adminCodes=True)
    assert weakenings.weakenings(before, loaded(folder)) == ()


def test_other_countries_for_texts_are_reported(folder: ConfigFolder) -> None:
    folder.own["phone_numbers"] = {"region": "PK"}
    before = loaded(folder)
    folder.own["phone_numbers"] = {"region": "PK", "countries": ["PK", "DE"]}
    assert weakenings.weakenings(before, loaded(folder)) == ("one: phone_numbers.countries changed",)


@pytest.mark.row("GW-40")
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"roles": ["admin"]}, None, ("one: allow of /app with every signed-in user",)),
        ({"roles": ["admin"]}, {"roles": ["admin", "agent"]}, ("one: allow of /app with agent",)),
        ({"roles": ["admin"]}, {"roles": ["admin"], "groups": ["/a"]}, ("one: allow of /app with /a",)),
        ({"roles": ["admin"]}, {"groups": ["/a"]}, ("one: allow of /app with /a",)),
        ({"roles": ["admin", "agent"]}, {"roles": ["admin"]}, ()),
        (None, {"roles": ["admin"]}, ()),
    ],
)
def test_more_users_of_an_app_are_a_weakening(
    folder: ConfigFolder, before: object, after: object, said: tuple[str, ...]
) -> None:
    found = []
    for allow in (before, after):
        folder.own["routes"] = [{"path": "/app", "to": "http://app:3000", **({"allow": allow} if allow else {})}]
        found.append(loaded(folder))
    assert weakenings.weakenings(*found) == said


@pytest.mark.row("GW-40")
def test_a_new_route_for_everyone_inside_an_app_for_some_users_is_a_weakening(folder: ConfigFolder) -> None:
    whole = {"path": "/app", "to": "http://app:3000", "allow": {"roles": ["admin"]}}
    folder.own["routes"] = [whole]
    before = loaded(folder)
    folder.own["routes"] = [whole, {"path": "/app/part", "to": "http://app:3000"}]
    assert weakenings.weakenings(before, loaded(folder)) == ("one: allow of /app/part with every signed-in user",)
