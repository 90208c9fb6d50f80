"""Tests of `gateway.yaml`."""

import secrets
from ipaddress import ip_network

import pytest

from gateway.domain.configuration import Address, GatewaySettings, OperatorLimits
from gateway.domain.secret import Secret
from gateway.settings.checks.weakenings import needs_restart
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder


def settings(folder: ConfigFolder) -> GatewaySettings:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.gateway


def test_the_defaults_are_secure(folder: ConfigFolder) -> None:
    del folder.gateway["trusted_proxies"]
    found = settings(folder)
    assert (found.listen, found.operations) == (Address("127.0.0.1", 8080), Address("127.0.0.1", 9090))
    assert found.store.in_memory
    assert found.trusted_proxies == ()
    assert found.insecure_http is False
    assert found.limits == OperatorLimits()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        (":8080", Address("", 8080)),
        ("[::1]:8080", Address("::1", 8080)),
    ],
)
def test_a_listen_address_includes_a_port(folder: ConfigFolder, text: str, address: Address) -> None:
    folder.gateway["listen"] = text
    assert settings(folder).listen == address


@pytest.mark.parametrize("text", ["0.0.0.0", "8080", "a:b", "a:99999", "a:٨٠"])
def test_a_listen_address_without_a_port_is_refused(folder: ConfigFolder, text: str) -> None:
    folder.gateway["listen"] = text
    assert "an address and a port" in folder.diagnostic("listen").text


@pytest.mark.row("GW-20")
def test_the_operations_token_is_read_and_a_short_one_is_refused(folder: ConfigFolder) -> None:
    assert not settings(folder).operations_token
    folder.gateway["operations_token"] = token = secrets.token_urlsafe()
    assert settings(folder).operations_token == Secret(token)
    folder.gateway["operations_token"] = token[:15]
    diagnostic = folder.diagnostic("operations_token")
    assert "16 characters or more" in diagnostic.text
    assert token[:15] not in diagnostic.text


def test_the_operations_listener_never_shares_the_public_address(folder: ConfigFolder) -> None:
    folder.gateway["operations"] = "127.0.0.1:8080"
    assert "must not be the address of listen" in folder.diagnostic("operations").text


def test_trusted_proxies_are_read_as_networks(folder: ConfigFolder) -> None:
    folder.gateway["trusted_proxies"] = ["10.0.0.0/8", "192.0.2.1", "::1"]
    assert settings(folder).trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"), ip_network("::1"))


def test_an_ipv4_address_in_its_ipv6_form_is_the_ipv4_address(folder: ConfigFolder) -> None:
    folder.gateway["trusted_proxies"] = ["::ffff:10.0.0.0/104", "::ffff:192.0.2.1"]
    assert settings(folder).trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"))


def test_a_zone_in_an_address_of_a_proxy_is_rejected(folder: ConfigFolder) -> None:
    folder.gateway["trusted_proxies"] = ["fe80::1%eth0"]
    assert "without a zone" in folder.diagnostic("trusted_proxies[0]").text


@pytest.mark.parametrize("text", ["::1", "::1:8080", "fe80::1"])
def test_an_ipv6_address_to_listen_on_needs_brackets_and_a_port(folder: ConfigFolder, text: str) -> None:
    folder.gateway["listen"] = text
    assert "brackets as [::1]:8080" in folder.diagnostic("listen").text


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy.example.com", "*", ""])
def test_a_trusted_proxy_that_is_no_network_is_refused(folder: ConfigFolder, network: str) -> None:
    folder.gateway["trusted_proxies"] = [network]
    assert "address or a network" in folder.diagnostic("trusted_proxies[0]").text


@pytest.mark.parametrize("url", ["redis://r:6379/0", "rediss://r", "unix:///run/redis.sock"])
def test_a_redis_store_needs_a_named_key_ring(folder: ConfigFolder, url: str) -> None:
    folder.gateway["store"] = {"url": url}
    assert "name the key ring" in folder.diagnostic("keys").text
    folder.gateway["keys"] = {"file": "secrets/ring.key"}
    assert settings(folder).keys_file == str(folder.path / "secrets/ring.key")


def test_the_key_ring_is_in_a_file_or_in_a_variable_and_never_in_both(folder: ConfigFolder) -> None:
    folder.gateway["keys"] = {"env": "GATEWAY_RING"}
    assert (settings(folder).keys_file, settings(folder).keys_variable) == ("", "GATEWAY_RING")
    for wrong in ({}, {"env": "GATEWAY_RING", "file": "ring.key"}):
        folder.gateway["keys"] = wrong
        assert "needs one of file: and env:" in folder.diagnostic("keys").text


def test_the_store_url_may_be_set_by_an_environment_variable(folder: ConfigFolder) -> None:
    folder.environment["STORE"] = "redis://:made-up@r:6379/0"
    folder.gateway.update(store={"url": {"env": "STORE"}, "timeout": 1}, keys={"file": "k"})
    store = settings(folder).store
    assert store.url.value == "redis://:made-up@r:6379/0"
    assert store.timeout == 1
    assert "made-up" not in repr(store)


def test_the_copies_of_sessions_can_be_turned_off(folder: ConfigFolder) -> None:
    assert settings(folder).store.session_copies == 5
    folder.gateway["store"] = {"session_copies": 0}
    assert settings(folder).store.session_copies == 0


def test_the_copies_of_sessions_need_a_restart(folder: ConfigFolder) -> None:
    before = settings(folder)
    folder.gateway["store"] = {"session_copies": 0}
    assert needs_restart(before, settings(folder)) == ("store",)


@pytest.mark.parametrize("url", ["postgres://x", "redis:6379", "x"])
def test_a_store_of_another_kind_is_refused(folder: ConfigFolder, url: str) -> None:
    folder.gateway["store"] = {"url": url}
    assert "must begin with memory://" in folder.diagnostic("store.url").text


def test_the_operator_can_set_the_limits(folder: ConfigFolder) -> None:
    folder.gateway["limits"] = {"failure_steps": [[3, 60], [5, 600.5]], "sends_per_user": 4}
    limits = settings(folder).limits
    assert limits.failure_steps == ((3, 60.0), (5, 600.5))
    assert limits.sends_per_user == 4
    assert limits.grants_at_once == OperatorLimits().grants_at_once


@pytest.mark.parametrize("key", ["pending_logins_per_user", "grants"])
def test_an_unknown_limit_is_an_error(folder: ConfigFolder, key: str) -> None:
    folder.gateway["limits"] = {key: 5}
    assert "unknown key" in folder.diagnostic(f"limits.{key}").text


@pytest.mark.parametrize("steps", [[], [[5, 60], [3, 60]], [[1]], [[1, 0]], [[0, 5]], [[1.5, 5]], "x", [[True, 5]]])
def test_the_steps_of_failures_must_increase(folder: ConfigFolder, steps: object) -> None:
    folder.gateway["limits"] = {"failure_steps": steps}
    assert folder.diagnostic("limits.failure_steps").text.startswith("must")


@pytest.mark.parametrize("prefix", ["-", "/-", "/a/b/", "//", "/", "/a b/"])
def test_the_prefix_must_be_one_segment(folder: ConfigFolder, prefix: str) -> None:
    folder.gateway["prefix"] = prefix
    assert "one segment" in folder.diagnostic("prefix").text


@pytest.mark.parametrize("key", ["listne", "channel", "tenant"])
def test_an_unknown_key_is_an_error(folder: ConfigFolder, key: str) -> None:
    folder.gateway[key] = "x"
    assert "unknown key (did you mean" in folder.diagnostic(key).text


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("language", ["de", "", "EN"])
def test_a_language_without_translations_is_refused_and_the_available_ones_are_named(
    folder: ConfigFolder, language: str
) -> None:
    folder.gateway["languages"] = ["en", language]
    assert folder.diagnostic("languages[1]").text == f"{language!r} has no translations; allowed: ar, en or ur"


@pytest.mark.parametrize(
    "url",
    ["redis://r:99999/0", "redis://:::::", "redis://r/abc", "redis://", "unix://", "rediss://:made-up@"],
)
def test_an_invalid_store_url_is_refused_without_showing_its_password(folder: ConfigFolder, url: str) -> None:
    folder.gateway.update(store={"url": url}, keys={"file": "k"})
    diagnostic = folder.diagnostic("store.url")
    assert "redis://user:password@host:6379/0" in diagnostic.text
    assert "made-up" not in diagnostic.text


@pytest.mark.attack("A6")
@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_trusted_proxy_network_that_covers_every_address_is_refused(folder: ConfigFolder, network: str) -> None:
    folder.gateway["trusted_proxies"] = ["10.0.0.0/8", network]
    assert folder.diagnostic("trusted_proxies[1]").level is Level.ERROR


@pytest.mark.parametrize(("languages", "path"), [([], "languages"), ([1], "languages[0]")])
def test_only_an_empty_list_is_reported_as_empty(folder: ConfigFolder, languages: list[object], path: str) -> None:
    folder.gateway["languages"] = languages
    assert [f.path for f in folder.load().errors] == [path]
