"""Tests of named paths in the settings: where they may lead, and that each used one exists."""

import pytest

from gateway.domain.policy import NoContact, OnMaximum
from gateway.domain.tenant import Tenant, path_name
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder, to_mend

pytestmark = pytest.mark.row("GE-16")
AT = "tenantSettings.twoFAConfigs"
HELP = "https://help.example.com/agent"


@pytest.fixture
def folder(folder: ConfigFolder) -> ConfigFolder:
    """Returns settings with one listed address and one public path."""
    folder.gateway["path_addresses"] = [HELP]
    folder.own["public_paths"] = ["/app/help"]
    return folder


def tenant(folder: ConfigFolder) -> Tenant:
    loaded = folder.load()
    assert loaded.configuration, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0]


@pytest.mark.row("GE-18")
@pytest.mark.row("GE-19")
@pytest.mark.row("GE-20")
def test_three_reactions_may_name_a_path(folder: ConfigFolder) -> None:
    folder.own["paths"] = {"agent": HELP, "later": "/app/help"}
    folder.two_factor.update(onNoContact="path:agent", onMaxVerify="path:later", onMaxSends="path:agent")
    policy = tenant(folder).policy
    assert (policy.on_no_contact, policy.no_contact_path) == (NoContact.PATH, "agent")
    assert (policy.on_max_verify, policy.max_verify_path) == (OnMaximum.PATH, "later")
    assert (policy.on_max_sends, policy.max_sends_path) == (OnMaximum.PATH, "agent")


def test_named_paths_are_no_fault(folder: ConfigFolder) -> None:
    folder.own["paths"] = {"agent": HELP, "later": "/app/help"}
    assert to_mend(folder.load()) == []


def test_the_path_of_a_route_replaces_the_one_of_the_tenant(folder: ConfigFolder) -> None:
    other = {"path": "/other", "to": "http://app", "paths": {"agent": "/app/help"}}
    routes = [{"path": "/app", "to": "http://app"}, other]
    folder.own.update(paths={"agent": HELP}, routes=routes)
    found = tenant(folder)
    assert [found.path_address("agent", app) for app in ("/app", "/other", "")] == [HELP, "/app/help", HELP]
    assert found.path_address("error", "/app") is None


def test_a_tenant_has_the_paths_of_the_defaults_besides_its_own(folder: ConfigFolder) -> None:
    folder.gateway["defaults"]["paths"] = {"agent": HELP, "error": HELP}
    folder.own["paths"] = {"error": "/app/help"}
    found = tenant(folder)
    assert (found.path_address("agent", ""), found.path_address("error", "")) == (HELP, "/app/help")


@pytest.mark.attack("F29")
@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://help.example.com/agent",
        "https://help.example.com@evil.example/agent",
        "https://user:password@help.example.com/agent",
        "https://help.example.com\\@evil.example/agent",
        "https://help.example.com/agent?to=//evil.example",
        "https://help.example.com/agent#x",
        "https://help.example.com/../agent",
        "https://help.example.com/agent\r\nSet-Cookie: x",
        "https:help.example.com",
        "https:///agent",
        "",
        7,
    ],
)
def test_an_address_that_is_not_plain_https_or_an_own_path_is_an_error(folder: ConfigFolder, address: object) -> None:
    folder.own["paths"] = {"agent": address}
    assert folder.diagnostic("gateway.paths.agent").level is Level.ERROR


@pytest.mark.attack("F29")
@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/agent",
        "https://help.example.com/",
        "https://help.example.com/agent/",
        "https://help.example.com/agent2",
        "https://help.example.com.evil.example/agent",
        "https://help.example.com:444/agent",
        "/app/help/",
        "/app",
        "/-/logout",
    ],
)
def test_only_exactly_a_listed_address_or_public_path_is_allowed(folder: ConfigFolder, address: str) -> None:
    folder.own["paths"] = {"agent": address}
    assert f"{address} is not listed in path_addresses of gateway.yaml" in folder.diagnostic("gateway.paths.agent").text


def test_the_path_of_a_route_must_be_listed_too(folder: ConfigFolder) -> None:
    folder.own["routes"] = [{"path": "/app", "to": "http://app", "paths": {"agent": "https://evil.example/"}}]
    assert "is not listed" in folder.diagnostic("gateway.routes[0].paths.agent").text


def test_spellings_of_one_address_are_the_same(folder: ConfigFolder) -> None:
    folder.own["paths"] = {"agent": "HTTPS://Help.Example.com:443/agent"}
    assert tenant(folder).path_address("agent", "") == HELP


@pytest.mark.attack("F29")
@pytest.mark.parametrize("address", ["http://help.example.com/", "/help", "//evil.example", "https://a@b/"])
def test_the_operator_lists_https_addresses_only(folder: ConfigFolder, address: str) -> None:
    folder.gateway["path_addresses"] = [address]
    assert folder.diagnostic("path_addresses[0]").level is Level.ERROR


@pytest.mark.parametrize("name", ["Agent", "not found", "-a", "a" * 41, "a.b", ""])
def test_a_name_is_lower_case_letters_digits_and_hyphens(folder: ConfigFolder, name: str) -> None:
    folder.own["paths"] = {name: HELP}
    assert [f.text for f in folder.load().errors] == [
        "must have a name of lower case letters, digits and hyphens, at most 40"
    ]


@pytest.mark.parametrize("key", ["onNoContact", "onMaxVerify", "onMaxSends"])
def test_a_path_that_does_not_exist_is_an_error(folder: ConfigFolder, key: str) -> None:
    folder.own["paths"] = {"agent": HELP}
    folder.two_factor[key] = "path:agnet"
    diagnostics = [f for f in folder.diagnostics(f"{AT}.{key}") if f.level is Level.ERROR]
    assert [f.text for f in diagnostics] == [
        "/app has no path agnet; write paths: {agnet: …} in the gateway: section",
    ]


def test_a_path_of_one_app_alone_is_missing_for_the_others(folder: ConfigFolder) -> None:
    other = {"path": "/other", "to": "http://app"}
    folder.own["routes"] = [{"path": "/app", "to": "http://app", "paths": {"agent": HELP}}, other]
    folder.two_factor["onMaxVerify"] = "path:agent"
    assert [f.text.partition(";")[0] for f in folder.load().errors] == ["/other has no path agent"]
    other["second_factor"] = "off"
    assert folder.load().errors == ()


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("error", "error"),
        ("Error", "error"),
        (" Not  Found ", "not-found"),
        ("call-agent", "call-agent"),
        ("//evil.example", None),
        ("javascript:alert(1)", None),
        ("error\r\nX: y", None),
        ("", None),
        ("x" * 41, None),
        ("é", None),
    ],
)
@pytest.mark.attack("F29")
def test_a_status_of_a_vendor_is_only_a_name(status: str, name: str | None) -> None:
    assert path_name(status) == name
