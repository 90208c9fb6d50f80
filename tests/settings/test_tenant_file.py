"""Tests of a tenant's file."""

import copy
from typing import Any

import pytest

from gateway.domain.secret import Secret
from gateway.domain.tenant import (
    EVERYONE,
    AdminUser,
    Credentials,
    IdentityDelivery,
    RouteFactor,
    SameSite,
    SecondFactorBy,
    SingleSignOn,
    Tenant,
)
from gateway.settings.files.two_factor import TwoFactorSection
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import TENANT, ConfigFolder, to_mend

KEYCLOAK = "tenantSettings.keyCloak"


def tenant(folder: ConfigFolder) -> Tenant:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0]


@pytest.mark.row("EF-03")
@pytest.mark.parametrize(
    ("where", "key", "place"),
    [
        ((), "twoFAConfigs", "tenantSettings.twoFAConfigs"),
        (("tenantSettings", "keyCloak"), "twoFAConfigs", "tenantSettings.twoFAConfigs"),
        (("tenantSettings",), "TwoFAConfigs", "tenantSettings.twoFAConfigs"),
        (("tenantSettings",), "Otp_Manager_Url", f"{KEYCLOAK}.Otp_Manager_Url"),
        ((), "Otp_Manager_Url", f"{KEYCLOAK}.Otp_Manager_Url"),
        (("tenantSettings", "keyCloak"), "OTP_MANAGER_URL", f"{KEYCLOAK}.Otp_Manager_Url"),
        (("tenantSettings", "keyCloak"), "otpManagerUrl", f"{KEYCLOAK}.Otp_Manager_Url"),
        (("tenantSettings", "twoFAConfigs"), "Otp_Manager_Url", f"{KEYCLOAK}.Otp_Manager_Url"),
        (("tenantSettings",), "is2FAEnabled", "tenantSettings.twoFAConfigs.is2FAEnabled"),
        (("tenantSettings", "dialer"), "otpExpiry", "tenantSettings.twoFAConfigs.otpExpiry"),
    ],
)
def test_a_misplaced_key_is_refused_and_the_correct_place_is_named(
    folder: ConfigFolder, where: tuple[str, ...], key: str, place: str
) -> None:
    section: dict[str, Any] = folder.one
    for part in where:
        section = section.setdefault(part, {})
    section[key] = "http://otp:3000/"
    path = ".".join((*where, key))
    assert f"does not belong here; its place is {place}" in [f.text for f in folder.diagnostics(path)]


@pytest.mark.row("EF-23")
@pytest.mark.parametrize("status", ["inActive", "INACTIVE", "Active", "suspended", ""])
def test_any_status_but_active_makes_the_tenant_inactive_with_a_warning(folder: ConfigFolder, status: str) -> None:
    folder.one["status"] = status
    assert tenant(folder).active is False
    assert folder.diagnostic("status").level is Level.WARNING


@pytest.mark.row("EF-23")
def test_the_status_active_opens_the_tenant(folder: ConfigFolder) -> None:
    assert tenant(folder).active is True
    assert folder.diagnostics("status") == []


@pytest.mark.row("EF-24")
def test_unused_keys_are_kept_and_no_fault(folder: ConfigFolder) -> None:
    folder.one["tenantCode"] = "13135"
    folder.one["tenantSettings"]["redis"] = {"userName": "x", "password": "y"}
    folder.keycloak.update({"TWILIO_SID": "", "policy-enforcer": {}, "confidential-port": 0, "bearer-only": True})
    assert to_mend(folder.load()) == []


@pytest.mark.row("EF-24")
@pytest.mark.parametrize("grant", ["client_credentials", "implicit", ""])
def test_a_grant_type_other_than_password_is_refused(folder: ConfigFolder, grant: str) -> None:
    folder.keycloak["GRANT_TYPE"] = grant
    assert folder.diagnostic(f"{KEYCLOAK}.GRANT_TYPE").text.endswith("allowed: password")


@pytest.mark.row("EF-24")
def test_client_id_has_priority_over_resource(folder: ConfigFolder) -> None:
    folder.keycloak.update(CLIENT_ID="cim", resource="other")
    assert tenant(folder).keycloak.sign_in == Credentials("cim", Secret("made up"))
    assert folder.diagnostic(f"{KEYCLOAK}.resource").level is Level.HINT


@pytest.mark.row("EF-24")
def test_resource_is_used_without_a_client_id(folder: ConfigFolder) -> None:
    del folder.keycloak["CLIENT_ID"]
    folder.keycloak["resource"] = "cim-2"
    assert tenant(folder).keycloak.sign_in.client_id == "cim-2"


@pytest.mark.row("EF-24")
def test_the_gateways_client_has_priority_over_efcxs(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"client_id": "gateway-login", "client_secret": "own"}
    assert tenant(folder).keycloak.sign_in == Credentials("gateway-login", Secret("own"))


@pytest.mark.row("EF-24")
@pytest.mark.parametrize(("given", "missing"), [("client_id", "client_secret"), ("client_secret", "client_id")])
def test_an_incomplete_client_of_the_gateway_is_an_error_and_efcxs_is_not_used(
    folder: ConfigFolder, given: str, missing: str
) -> None:
    folder.own["keycloak"] = {given: "own"}
    assert folder.diagnostic(f"gateway.keycloak.{missing}").text.startswith("is missing")


def test_a_tenant_without_any_client_is_an_error(folder: ConfigFolder) -> None:
    del folder.keycloak["CLIENT_ID"]
    assert folder.diagnostic(f"{KEYCLOAK}.CLIENT_ID").text.startswith("is missing")


def test_an_empty_client_secret_is_an_error(folder: ConfigFolder) -> None:
    folder.keycloak["credentials"] = {"secret": ""}
    assert folder.diagnostic(f"{KEYCLOAK}.credentials.secret").text.startswith("is missing")


def test_a_service_account_is_the_first_administrator(folder: ConfigFolder) -> None:
    folder.keycloak.update(USERNAME_ADMIN="boss", PASSWORD_ADMIN="made up too")
    folder.own["keycloak"] = {"service_account": {"client_id": "gateway-admin", "client_secret": "s"}}
    access = tenant(folder).keycloak
    assert access.administration == Credentials("gateway-admin", Secret("s"))
    assert access.administration_fallback is None


def test_the_sign_in_client_and_efcxs_administrator_are_the_next_administrators(folder: ConfigFolder) -> None:
    folder.keycloak.update(USERNAME_ADMIN="boss", PASSWORD_ADMIN="made up too")
    access = tenant(folder).keycloak
    assert access.administration == access.sign_in
    assert access.administration_fallback == AdminUser(access.sign_in, "boss", Secret("made up too"))
    assert folder.diagnostic(f"{KEYCLOAK}.USERNAME_ADMIN").level is Level.WARNING


@pytest.mark.parametrize(
    ("name", "password"), [("USERNAME_ADMIN", "PASSWORD_ADMIN"), ("MASTER_USERNAME", "MASTER_PASSWORD")]
)
def test_the_password_admin_of_the_user_admin_gets_a_warning_that_names_it(
    folder: ConfigFolder, name: str, password: str
) -> None:
    folder.keycloak.update({name: "admin", password: "admin"})
    diagnostic = folder.diagnostic(f"{KEYCLOAK}.{password}")
    assert diagnostic.level is Level.WARNING
    assert "everybody knows" in diagnostic.text


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://keycloak:8080/auth/", "http://keycloak:8080/auth/"),
        ("http://keycloak:8080/auth", "http://keycloak:8080/auth/"),
        ("HTTPS://Keycloak.example.com", "https://keycloak.example.com/"),
        ("https://k.example.com:443/", "https://k.example.com/"),
    ],
)
def test_the_keycloak_url_ends_with_a_slash(folder: ConfigFolder, url: str, kept: str) -> None:
    folder.keycloak["auth-server-url"] = url
    access = tenant(folder).keycloak
    assert access.url == kept
    assert access.issuer == f"{kept}realms/one"


def test_the_issuer_can_be_set(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"issuer": "https://efcx.example.com/auth/realms/one"}
    assert tenant(folder).keycloak.issuer == "https://efcx.example.com/auth/realms/one"


def test_both_pages_at_once_are_refused_because_they_are_not_implemented(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"sign_in": "both"}
    assert folder.diagnostic("gateway.keycloak.sign_in").text == "both is not built yet; built: password or sso"


@pytest.mark.row("GW-06")
def test_keycloak_returns_browsers_to_the_public_url(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"sign_in": "sso", "second_factor_by": {"acr": ["2"], "amr": ["otp"]}}
    sso = tenant(folder).keycloak.sso
    assert sso == SingleSignOn("https://one.example.com/-/oidc/callback", SecondFactorBy(("2",), ("otp",)))


@pytest.mark.row("GW-06")
def test_users_sign_in_on_the_gateways_page_by_default(folder: ConfigFolder) -> None:
    assert tenant(folder).keycloak.sso is None


@pytest.mark.row("GW-06")
def test_a_second_factor_at_keycloak_needs_the_sign_in_there(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"second_factor_by": {"acr": ["2"]}}
    assert folder.diagnostic("gateway.keycloak.second_factor_by").text.startswith("needs sign_in: sso")


@pytest.mark.row("GW-06")
def test_a_level_that_is_no_text_is_an_error(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"sign_in": "sso", "second_factor_by": {"acr": [2]}}
    assert folder.diagnostic("gateway.keycloak.second_factor_by.acr[0]").level is Level.ERROR


@pytest.mark.row("GW-06")
def test_a_sign_in_page_by_http_is_a_warning(folder: ConfigFolder) -> None:
    folder.own["keycloak"] = {"sign_in": "sso", "issuer": "http://keycloak.example.com/realms/one"}
    found = folder.diagnostic("gateway.keycloak.issuer")
    assert (found.level, "--hostname" in found.text) == (Level.WARNING, True)


def test_the_public_url_defaults_to_https_and_the_fqdn(folder: ConfigFolder) -> None:
    folder.one["tenantSettings"]["fqdn"] = "EFCX.Example.com"
    assert tenant(folder).public_url == "https://efcx.example.com"


@pytest.mark.parametrize("host", ["localhost:8080", "demo.localhost", "127.0.0.1:8080"])
def test_http_is_allowed_for_loopback_names(folder: ConfigFolder, host: str) -> None:
    folder.own["public_url"] = f"http://{host}"
    assert tenant(folder).public_url == f"http://{host}"


def test_http_on_any_other_host_name_is_an_error(folder: ConfigFolder) -> None:
    folder.own["public_url"] = "http://one.example.com"
    assert folder.diagnostic("gateway.public_url").text.startswith("must be https")


def test_http_allowed_by_the_operator_is_a_warning(folder: ConfigFolder) -> None:
    folder.gateway["insecure_http"] = True
    folder.own["public_url"] = "http://one.example.com"
    assert folder.diagnostic("gateway.public_url").level is Level.WARNING
    assert tenant(folder).secure is False


@pytest.mark.parametrize("url", ["https://one.example.com/app", "one.example.com", "ftp://one.example.com", "https://"])
def test_the_public_url_must_be_an_origin(folder: ConfigFolder, url: str) -> None:
    folder.own["public_url"] = url
    assert "must be an origin" in folder.diagnostic("gateway.public_url").text


@pytest.mark.parametrize("name", ["https://x.example.com", "x.example.com:80", "x y", "x/", "-x", "x..y", "[::1]", ""])
def test_the_fqdn_must_be_a_host_name_alone(folder: ConfigFolder, name: str) -> None:
    folder.one["tenantSettings"]["fqdn"] = name
    assert "must be a host name alone" in folder.diagnostic("tenantSettings.fqdn").text


@pytest.mark.row("GW-31")
def test_missing_help_settings_get_a_hint(folder: ConfigFolder) -> None:
    del folder.gateway["defaults"]["help"]
    diagnostic = folder.diagnostic("gateway.help")
    assert diagnostic.level is Level.HINT
    assert "users in trouble" in diagnostic.text


@pytest.mark.row("GW-31")
def test_the_help_settings_are_part_of_the_branding(folder: ConfigFolder) -> None:
    folder.own["help"] = {"phone": "4711", "forgot_password": "/password"}
    help_ = tenant(folder).branding.help
    assert (help_.text, help_.phone, help_.forgot_password) == ("Ask.", "4711", "/password")


@pytest.mark.parametrize("link", ["javascript:alert(1)", "//evil.example", "data:text/html,x", "ftp://x", "https://"])
def test_help_links_must_be_web_addresses(folder: ConfigFolder, link: str) -> None:
    folder.own["help"] = {"url": link}
    assert "must be an https://" in folder.diagnostic("gateway.help.url").text


def test_a_tenants_routes_replace_the_default_routes_completely(folder: ConfigFolder) -> None:
    folder.own["routes"] = [{"path": "/own/", "to": "https://own:8443/base/", "strip_prefix": True}]
    (route,) = tenant(folder).routes
    assert (route.path, route.to, route.strip_prefix) == ("/own", "https://own:8443/base", True)
    assert route.second_factor is RouteFactor.REQUIRED
    assert route.identity == {IdentityDelivery.BEARER, IdentityDelivery.COOKIE}
    assert tenant(folder).home == "/own/"


def test_a_tenant_without_any_route_is_an_error(folder: ConfigFolder) -> None:
    del folder.gateway["defaults"]["routes"]
    assert "at least one route" in folder.diagnostic("gateway.routes").text


@pytest.mark.parametrize("path", ["app", "/a//b", "/a/../b", "/a%2fb", "/a?b", "/a#b", "/a;b", "", "/a\\b", "/."])
def test_a_route_must_consist_of_whole_plain_segments(folder: ConfigFolder, path: str) -> None:
    folder.own["routes"] = [{"path": path, "to": "http://a"}]
    assert folder.diagnostic("gateway.routes[0].path").level is Level.ERROR


@pytest.mark.parametrize(("first", "second"), [("/a", "/a"), ("/a", "/a/"), ("/a", "/A"), ("/", "/")])
def test_two_routes_with_one_path_are_an_error(folder: ConfigFolder, first: str, second: str) -> None:
    folder.own["routes"] = [{"path": first, "to": "http://a"}, {"path": second, "to": "http://b"}]
    assert "needs a path of its own" in folder.diagnostic("gateway.routes[1].path").text


@pytest.mark.parametrize("path", ["/-", "/-/x"])
def test_a_route_below_the_gateways_prefix_is_an_error(folder: ConfigFolder, path: str) -> None:
    folder.own["routes"] = [{"path": path, "to": "http://a"}]
    assert "own pages" in folder.diagnostic("gateway.routes[0].path").text


@pytest.mark.parametrize(
    "to", ["a:3000", "ftp://a", "http://", "http://u:p@a", "http://a/?x", "http://a:0", "http://a/../b"]
)
def test_an_app_must_have_an_http_address(folder: ConfigFolder, to: str) -> None:
    folder.own["routes"] = [{"path": "/a", "to": to}]
    assert "must be a URL" in folder.diagnostic("gateway.routes[0].to").text


def test_the_home_path_must_be_on_a_route(folder: ConfigFolder) -> None:
    folder.own["home"] = "/elsewhere/"
    assert folder.diagnostic("gateway.home").text == "/elsewhere/ is on no route; routes: /app"


def test_a_home_path_that_shares_only_letters_with_a_route_is_an_error(folder: ConfigFolder) -> None:
    folder.own["home"] = "/application"
    assert "is on no route" in folder.diagnostic("gateway.home").text


def test_a_public_path_must_be_on_a_route(folder: ConfigFolder) -> None:
    folder.own["public_paths"] = ["/app/logo.png", "/other.png", "/-/x"]
    assert [f.path for f in folder.load().errors] == ["gateway.public_paths[1]", "gateway.public_paths[2]"]


def test_a_time_zone_is_one_of_the_iana_database(folder: ConfigFolder) -> None:
    folder.own["time_zone"] = "Asia/Karachi"
    configuration = folder.load().configuration
    assert configuration is not None
    assert str(configuration.tenants[0].zone) == "Asia/Karachi"


@pytest.mark.parametrize("address", ["help", "help@", "a@b@c", "help@example.com?cc=eve@evil.example", "a b@c.example"])
def test_the_help_desk_has_one_plain_address(folder: ConfigFolder, address: str) -> None:
    folder.own["help"] = {"email": address}
    assert folder.diagnostic("gateway.help.email").text == "must be an address as help@example.com"


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", "+05:00", ""])
def test_an_unknown_time_zone_is_an_error(folder: ConfigFolder, name: str) -> None:
    folder.own["time_zone"] = name
    assert folder.diagnostic("gateway.time_zone").text == "must be a time zone of the IANA database, as Asia/Karachi"


@pytest.mark.parametrize(
    "name",
    [
        "gateway-session",
        "__Host-gateway-session",
        "__Host-Http-gateway-session",
        "__Host-token",
        "__Http-token",
        "a b",
        "a=b",
        "",
    ],
)
def test_a_token_cookie_cannot_have_the_name_of_a_cookie_of_the_gateway(folder: ConfigFolder, name: str) -> None:
    folder.own["token_cookie"] = {"name": name}
    assert folder.diagnostic("gateway.token_cookie.name").level is Level.ERROR


def test_a_token_cookie_readable_by_scripts_gets_a_warning_that_names_it(folder: ConfigFolder) -> None:
    folder.own["token_cookie"] = {"http_only": False, "same_site": "Strict", "name": "jwt"}
    assert folder.diagnostic("gateway.token_cookie.http_only").level is Level.WARNING
    cookie = tenant(folder).token_cookie
    assert (cookie.name, cookie.http_only, cookie.same_site) == ("jwt", False, SameSite.STRICT)


def test_a_token_cookie_must_cover_all_hosts_of_the_tenant(folder: ConfigFolder) -> None:
    folder.own["token_cookie"] = {"domain": "other.example.com"}
    assert "does not cover" in folder.diagnostic("gateway.token_cookie.domain").text


def test_the_repr_of_a_tenant_shows_no_secret(folder: ConfigFolder) -> None:
    assert "made up" not in repr(folder.load())


def test_reading_a_tenant_does_not_change_the_loaded_data(folder: ConfigFolder) -> None:
    before = copy.deepcopy(TENANT)
    folder.load()
    assert before == TENANT


@pytest.mark.row("EF-03")
@pytest.mark.attack("F10")
@pytest.mark.parametrize("key", sorted(TwoFactorSection.model_fields))
@pytest.mark.parametrize("where", [(), ("tenantSettings",), ("tenantSettings", "keyCloak")])
def test_a_wrongly_indented_key_of_the_second_factor_is_refused(
    folder: ConfigFolder, where: tuple[str, ...], key: str
) -> None:
    section: Any = folder.one
    for part in where:
        section = section[part]
    section[key] = folder.two_factor.get(key, "x")
    path = ".".join([*where, key])
    assert f"does not belong here; its place is tenantSettings.twoFAConfigs.{key}" in [
        f.text for f in folder.diagnostics(path)
    ]


@pytest.mark.parametrize(("name", "said"), [("a\nb", "one line"), ("a\u202eb", "one line"), ("a" * 101, "at most 100")])
def test_a_tenant_name_must_fit_into_the_subject_of_a_mail(folder: ConfigFolder, name: str, said: str) -> None:
    folder.one["tenantName"] = name
    assert said in folder.diagnostic("tenantName").text
    folder.one["tenantName"] = "one"
    folder.own["branding"] = {"name": name}
    assert said in folder.diagnostic("gateway.branding.name").text


@pytest.mark.row("GW-21")
@pytest.mark.parametrize(
    "name", ["\u06a9\u0645\u067e\u0646\u06cc\u200c\u0647\u0627", "\u0915\u094d\u200d\u0937", "Caf\u00e9\u00a0Nord"]
)
def test_a_tenant_name_may_contain_the_joining_characters_of_its_script(folder: ConfigFolder, name: str) -> None:
    folder.one["tenantName"] = name
    assert tenant(folder).name == name


@pytest.mark.parametrize("key", ["gatewayId", "gatewayUrl", "gateways"])
def test_a_key_of_efcx_that_begins_with_gateway_is_kept_and_ignored(folder: ConfigFolder, key: str) -> None:
    folder.one[key] = {"url": "10.0.0.1"}
    assert not to_mend(folder.load())


@pytest.mark.parametrize("key", ["Gateway", "gatway", "gateways", "GATEWAY", "gateway "])
def test_a_misspelt_gateway_section_is_refused(folder: ConfigFolder, key: str) -> None:
    folder.one[key] = {"never_trust_from": ["10.0.0.0/8"]}
    assert folder.diagnostic(key).text == "is not known; did you mean gateway?"


def test_a_gateway_section_inside_efcxs_settings_is_refused(folder: ConfigFolder) -> None:
    folder.one["tenantSettings"]["gateway"] = {"never_trust_from": ["10.0.0.0/8"]}
    assert "its place is gateway, beside tenantSettings" in folder.diagnostic("tenantSettings.gateway").text


def test_a_section_of_efcx_named_gateway_is_kept(folder: ConfigFolder) -> None:
    folder.one["tenantSettings"]["gateway"] = {"sipTrunk": "x"}
    assert tenant(folder).id == "one"


@pytest.mark.parametrize(
    ("key", "level"), [("never_trust_from", Level.ERROR), ("token_cookie", Level.ERROR), ("session", Level.WARNING)]
)
def test_a_key_next_to_the_gateway_section_that_belongs_inside_it_is_reported(
    folder: ConfigFolder, key: str, level: Level
) -> None:
    folder.one[key] = {}
    diagnostic = folder.diagnostic(key)
    assert (diagnostic.level, f"gateway.{key}" in diagnostic.text) == (level, True)


def test_an_empty_gateway_section_counts_as_missing(folder: ConfigFolder) -> None:
    folder.one["gateway"] = None
    assert tenant(folder).home == "/app/"


def test_apps_on_the_host_of_the_login_pages_get_one_hint_for_each_tenant(folder: ConfigFolder) -> None:
    route = {"path": "/app", "to": "http://app:3000"}
    folder.another("two")["gateway"] = {"routes": [route, {**route, "path": "/other"}]}
    reported = [diagnostic for diagnostic in folder.load().diagnostics if "imitate the login page" in diagnostic.text]
    assert [(diagnostic.path, diagnostic.text.split()[0], diagnostic.level) for diagnostic in reported] == [
        ("defaults.routes", "one.example.com", Level.HINT),
        ("gateway.routes", "two.example.com", Level.HINT),
    ]
    assert not [diagnostic for diagnostic in reported if "Set pages_host" not in diagnostic.text]


@pytest.mark.row("GW-40")
def test_a_route_names_the_roles_and_groups_whose_users_may_use_its_app(folder: ConfigFolder) -> None:
    allow = {"roles": ["agent", "unified-admin:operator"], "groups": ["/agents/berlin"]}
    folder.own["routes"] = [{"path": "/a", "to": "https://a", "allow": allow}, {"path": "/b", "to": "https://b"}]
    first, second = tenant(folder).routes
    assert first.allow.roles == {"agent", "unified-admin:operator"}
    assert first.allow.groups == {"/agents/berlin"}
    assert second.allow is EVERYONE


@pytest.mark.row("GW-40")
@pytest.mark.parametrize(
    ("allow", "key", "text"),
    [
        ({}, "", "is empty; name roles or groups"),
        ({"roles": []}, "", "is empty; name roles or groups"),
        ({"roles": [], "groups": []}, "", "is empty; name roles or groups"),
        (None, "", "is empty; it must be a section"),
        (["agent"], "", "must be a section of keys and values"),
        ({"role": ["agent"]}, ".role", "did you mean roles?"),
        ({"group": ["/agents"], "roles": ["a"]}, ".group", "did you mean groups?"),
        ({"roles": "agent"}, ".roles", "must be a list"),
        ({"roles": [1]}, ".roles[0]", "must be text"),
        ({"roles": [""]}, ".roles[0]", "must be a realm role, as agent"),
        ({"roles": [" agent"]}, ".roles[0]", "must be a realm role, as agent"),
        ({"roles": ["app:"]}, ".roles[0]", "a role of a client, as unified-admin:operator"),
        ({"roles": [":agent"]}, ".roles[0]", "a role of a client, as unified-admin:operator"),
        ({"groups": ["agents"]}, ".groups[0]", "must be the full path of a Keycloak group"),
        ({"groups": ["/"]}, ".groups[0]", "must be the full path of a Keycloak group"),
        ({"groups": ["/agents/"]}, ".groups[0]", "must be the full path of a Keycloak group"),
    ],
)
def test_a_wrong_allow_is_an_error_and_never_an_app_for_everyone(
    folder: ConfigFolder, allow: object, key: str, text: str
) -> None:
    folder.own["routes"] = [{"path": "/a", "to": "https://a", "allow": allow}]
    assert text in folder.diagnostic(f"gateway.routes[0].allow{key}").text
    assert folder.load().configuration is None
