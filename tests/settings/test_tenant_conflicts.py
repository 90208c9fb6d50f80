"""Tests of several tenants on one gateway."""

import pytest

from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder

COOKIE = "gateway.token_cookie.domain"


@pytest.mark.row("GW-11")
def test_two_tenants_cannot_share_a_host(folder: ConfigFolder) -> None:
    folder.another("two")["tenantSettings"]["fqdn"] = "ONE.example.com"
    diagnostic = folder.diagnostic("tenantSettings.fqdn")
    assert "one.example.com already reaches tenant one" in diagnostic.text
    assert diagnostic.file.endswith("two.json")


@pytest.mark.row("GW-11")
def test_two_tenants_cannot_share_an_additional_host(folder: ConfigFolder) -> None:
    folder.own["hosts"] = ["cc.example.com"]
    folder.another("two")["gateway"] = {"hosts": ["cc.example.com"]}
    assert "already reaches tenant one" in folder.diagnostic("gateway.hosts").text


@pytest.mark.row("GW-11")
def test_two_tenants_cannot_share_an_id(folder: ConfigFolder) -> None:
    folder.another("two")["tenantId"] = "One"
    assert any("is taken by" in f.text for f in folder.diagnostics("tenantId"))


@pytest.mark.attack("F25")
@pytest.mark.parametrize("domain", ["example.com", ".example.com", "Example.com"])
def test_a_token_cookie_that_reaches_another_tenants_host_is_an_error(folder: ConfigFolder, domain: str) -> None:
    folder.own["token_cookie"] = {"domain": domain}
    folder.another("two")
    assert "would send the token to two.example.com of tenant two" in folder.diagnostic(COOKIE).text


@pytest.mark.attack("F25")
@pytest.mark.parametrize(
    ("hosts", "domain", "refused"),
    [
        (["a.one.example.com"], "one.example.com", False),
        (["a.one.example.com"], "example.com", True),
        (["two.example.com.evil.example"], "evil.example", True),
        (["xone.example.com"], "one.example.com", True),
    ],
)
def test_every_host_of_every_tenant_is_checked_against_every_cookie_domain(
    folder: ConfigFolder, hosts: list[str], domain: str, refused: bool
) -> None:
    folder.own.update(hosts=hosts, token_cookie={"domain": domain})
    folder.another("two")
    assert bool(folder.diagnostics(COOKIE)) is refused


@pytest.mark.attack("F25")
def test_two_tenants_on_one_realm_need_distinct_clients(folder: ConfigFolder) -> None:
    folder.another("two")["tenantSettings"]["keyCloak"]["realm"] = "one"
    diagnostic = folder.diagnostic("tenantSettings.keyCloak.realm")
    assert "two tenants on one realm need different sign-in clients" in diagnostic.text


@pytest.mark.attack("F25")
def test_two_tenants_on_one_realm_with_distinct_clients_are_allowed(folder: ConfigFolder) -> None:
    folder.another("two")["tenantSettings"]["keyCloak"].update(realm="one", CLIENT_ID="cim-two")
    assert folder.load().errors == ()


@pytest.mark.attack("F25")
def test_realms_with_one_name_on_two_keycloaks_are_distinct(folder: ConfigFolder) -> None:
    folder.another("two")["tenantSettings"]["keyCloak"].update({"realm": "one", "auth-server-url": "http://other/"})
    assert folder.load().errors == ()


USERS = "gateway.users"


@pytest.mark.row("GW-34")
def test_a_mail_queue_of_more_than_ten_minutes_at_shift_start_is_a_warning(folder: ConfigFolder) -> None:
    folder.gateway["channels"][0]["rate"] = 30
    folder.own["users"] = 2000
    diagnostic = folder.diagnostic(USERS)
    assert diagnostic.level is Level.WARNING
    assert "2000 users" in diagnostic.text
    assert "30 mails a minute" in diagnostic.text
    assert "67 minutes" in diagnostic.text


@pytest.mark.row("GW-34")
@pytest.mark.parametrize(("users", "rate"), [(300, 30), (5000, None)])
def test_a_mail_queue_of_ten_minutes_or_a_channel_without_a_rate_is_no_warning(
    folder: ConfigFolder, users: int, rate: int | None
) -> None:
    folder.gateway["channels"][0]["rate"] = rate
    folder.own["users"] = users
    assert folder.diagnostics(USERS) == []


@pytest.mark.row("GW-34")
def test_tenants_that_share_a_channel_share_its_send_rate(folder: ConfigFolder) -> None:
    folder.gateway["channels"][0]["rate"] = 30
    folder.own["users"] = 200
    folder.another("two")["gateway"] = {"users": 200}
    assert ["400 users of 2 tenants together" in diagnostic.text for diagnostic in folder.diagnostics(USERS)] == [
        True,
        True,
    ]


@pytest.mark.row("GW-34")
def test_a_tenant_with_2fa_off_is_not_counted_in_the_mail_queue(folder: ConfigFolder) -> None:
    folder.gateway["channels"][0]["rate"] = 30
    folder.own["users"] = 2000
    folder.two_factor["is2FAEnabled"] = False
    assert folder.diagnostics(USERS) == []
