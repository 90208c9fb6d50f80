"""Tests of the warnings about what others could read, forge or misuse."""

import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import key_ring
from gateway.settings.load import load
from gateway.settings.source.diagnostics import Diagnostic, Level
from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.config_folder import ConfigFolder, to_mend

KEYCLOAK = "tenantSettings.keyCloak"
PASSWORD = secrets.token_urlsafe()


def warned(folder: ConfigFolder, path: str) -> str:
    """Returns the one warning at `path`, with which the configuration can be used."""
    diagnostic = folder.diagnostic(path)
    assert diagnostic.level is Level.WARNING
    assert folder.load().configuration is not None
    return diagnostic.text


def hinted(folder: ConfigFolder, path: str, word: str) -> Diagnostic:
    """Returns the one hint at `path` with `word`."""
    [found] = [d for d in folder.diagnostics(path) if word in d.text and d.level is Level.HINT]
    return found


# ---- connections in plain


def test_keycloak_by_http_on_another_machine_is_a_warning(folder: ConfigFolder) -> None:
    folder.keycloak["auth-server-url"] = "http://keycloak.internal:8080/auth/"
    text = warned(folder, f"{KEYCLOAK}.auth-server-url")
    assert "passwords and client secrets to keycloak.internal unprotected; use https://" in text


def test_a_store_by_redis_on_another_machine_is_a_warning_without_its_password(folder: ConfigFolder) -> None:
    folder.environment["STORE"] = f"redis://gateway:{PASSWORD}@store.internal:6379/0"
    folder.gateway.update(store={"url": {"env": "STORE"}}, keys={"env": "RING"})
    text = warned(folder, "store.url")
    assert "to store.internal unprotected; use rediss://" in text
    assert PASSWORD not in str(folder.load().diagnostics)


def test_apps_by_http_on_another_machine_are_one_hint(folder: ConfigFolder) -> None:
    folder.own["routes"] = [{"path": path, "to": f"http://app{path[1:]}"} for path in ("/a", "/b")]
    assert "tokens to appa, appb unprotected" in hinted(folder, "gateway.routes", "unprotected").text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "redis.localhost"])
def test_a_plain_connection_on_this_machine_is_no_fault(folder: ConfigFolder, host: str) -> None:
    folder.keycloak["auth-server-url"] = f"http://{host}:8080/auth/"
    folder.own["routes"] = [{"path": "/a", "to": f"http://{host}:3000"}]
    folder.gateway["store"] = {"url": f"redis://{host}:6379/0"}
    folder.gateway["keys"] = {"env": "RING"}
    assert [d.path for d in to_mend(folder.load())] == ["keys.env"]
    assert not any("unprotected" in d.text for d in folder.load().diagnostics)


def test_an_http_origin_of_an_https_tenant_is_a_warning(folder: ConfigFolder) -> None:
    folder.own["origins"] = ["https://good.example.com", "http://portal.example.com"]
    assert "http://portal.example.com is not protected" in warned(folder, "gateway.origins")


# ---- networks and ports


def test_an_https_tenant_without_trusted_proxies_is_a_warning(folder: ConfigFolder) -> None:
    del folder.gateway["trusted_proxies"]
    assert "https://one.example.com needs a proxy for TLS in front" in warned(folder, "trusted_proxies")


def test_an_http_tenant_needs_no_trusted_proxy(folder: ConfigFolder) -> None:
    del folder.gateway["trusted_proxies"]
    folder.own["public_url"] = "http://localhost:8080"
    assert folder.diagnostics("trusted_proxies") == []


@pytest.mark.parametrize("halves", [["0.0.0.0/1", "128.0.0.0/1"], ["::/1", "8000::/2", "c000::/2"]])
def test_trusted_proxies_that_together_are_all_addresses_are_an_error(folder: ConfigFolder, halves: list[str]) -> None:
    folder.gateway["trusted_proxies"] = halves
    diagnostic = folder.diagnostic("trusted_proxies")
    assert diagnostic.level is Level.ERROR
    assert "together let every client claim any address" in diagnostic.text


def test_a_network_of_proxies_larger_than_any_operators_is_a_warning(folder: ConfigFolder) -> None:
    folder.gateway["trusted_proxies"] = ["10.0.0.0/8", "64.0.0.0/2"]
    assert "each client in 64.0.0.0/2" in warned(folder, "trusted_proxies")


def test_shared_desks_inside_a_network_of_proxies_are_a_warning(folder: ConfigFolder) -> None:
    folder.gateway["trusted_proxies"] = ["10.0.0.0/8"]
    folder.own["never_trust_from"] = ["192.0.2.0/24", "10.1.0.0/16"]
    text = warned(folder, "gateway.never_trust_from[1]")
    assert "10.1.0.0/16 overlaps trusted_proxies (10.0.0.0/8)" in text


@pytest.mark.parametrize("address", ["0.0.0.0:9090", ":9090", "[::]:9090"])
def test_the_operations_port_on_all_addresses_is_a_hint(folder: ConfigFolder, address: str) -> None:
    folder.gateway["operations"] = address
    assert "publish this port nowhere" in hinted(folder, "operations", "all addresses").text


# ---- cookies, tenants, presets


def test_a_token_cookie_for_a_parent_domain_is_a_warning(folder: ConfigFolder) -> None:
    folder.own["token_cookie"] = {"domain": "example.com"}
    assert "to every host below example.com" in warned(folder, "gateway.token_cookie.domain")


def test_two_tenants_on_one_realm_are_a_warning_even_with_clients_of_their_own(folder: ConfigFolder) -> None:
    folder.another("two")["tenantSettings"]["keyCloak"].update(realm="one", CLIENT_ID="other")
    text = warned(folder, f"{KEYCLOAK}.realm")
    assert "a user who enrolled at one of them cannot sign in at the other" in text


def test_an_app_without_the_second_factor_is_named_as_an_extension_of_the_preset(folder: ConfigFolder) -> None:
    folder.own["routes"] = [
        {"path": "/a", "to": "https://a"},
        {"path": "/b", "to": "https://b", "second_factor": "off"},
    ]
    assert "preset efcx itself has no app without" in hinted(folder, "gateway.routes[1].second_factor", "preset").text


def test_the_lock_that_the_preset_does_not_have_is_hinted_with_its_key(folder: ConfigFolder) -> None:
    text = hinted(folder, "limits.failure_steps", "lock").text
    assert (
        "locks a user for 300 s after 10 wrong codes in all logins; the preset of one itself has no such lock" in text
    )
    folder.gateway["limits"] = {"failure_steps": [[50, 300]]}
    assert folder.diagnostics("limits.failure_steps") == []


def test_an_otp_manager_that_is_no_url_is_a_warning(folder: ConfigFolder) -> None:
    folder.keycloak["Otp_Manager_Url"] = "ef-cx-otp-manager-svc:3000"
    assert "must be a URL as http://" in warned(folder, f"{KEYCLOAK}.Otp_Manager_Url")


# ---- secrets


@pytest.mark.parametrize("text", ["replace-me", "CHANGEME", "change_it", "<client secret>", "xxxx", "TODO"])
def test_a_placeholder_instead_of_a_secret_is_a_warning(folder: ConfigFolder, text: str) -> None:
    folder.keycloak["credentials"]["secret"] = text
    assert "is a placeholder; write the secret" in warned(folder, f"{KEYCLOAK}.credentials.secret")


@pytest.mark.parametrize("mode", [0o640, 0o644])
def test_a_secret_in_a_file_that_every_user_may_read_is_a_warning(folder: ConfigFolder, mode: int) -> None:
    file = folder.path / "cim"
    folder.write()
    file.write_text(PASSWORD)
    file.chmod(mode)
    folder.keycloak["credentials"]["secret"] = {"file": "cim"}
    found = folder.diagnostics(f"{KEYCLOAK}.credentials.secret")
    assert ["run chmod 640 on it" in d.text for d in found] == ([True] if mode == 0o644 else [])


def test_a_secret_written_into_settings_that_every_user_may_read_is_a_warning(folder: ConfigFolder) -> None:
    file = folder.write().parent / "tenants" / "one.json"
    assert folder.diagnostics(f"{KEYCLOAK}.credentials.secret") == []
    os.chmod(file, 0o644)
    [found] = [d for d in _load(folder) if d.path == f"{KEYCLOAK}.credentials.secret"]
    assert (found.level, Path(found.file).name) == (Level.WARNING, "one.json")
    assert "run chmod 640 on it, or write {env: NAME} or {file: path}" in found.text


def _load(folder: ConfigFolder) -> Any:
    """Loads the files as they are."""
    return load(folder.path / "gateway.yaml", environment={}).diagnostics


def test_a_missing_key_ring_is_a_warning(folder: ConfigFolder) -> None:
    folder.gateway.update(store={"url": "rediss://store.internal"}, keys={"file": "ring.key"})
    assert "is not there" in warned(folder, "keys.file")
    folder.gateway["keys"] = {"env": "RING"}
    assert "environment variable RING: is not set" in warned(folder, "keys.env")


def test_a_key_ring_that_is_there_is_no_fault(folder: ConfigFolder, clock: FakeClock, random: SeededRandom) -> None:
    folder.write()
    key_ring.create(folder.path / "ring.key", clock, random)
    folder.gateway.update(store={"url": "rediss://store.internal"}, keys={"file": "ring.key"})
    assert to_mend(folder.load()) == []


def test_with_the_memory_store_the_gateway_writes_a_missing_key_ring_itself(folder: ConfigFolder) -> None:
    folder.gateway["keys"] = {"file": "ring.key"}
    assert to_mend(folder.load()) == []


@pytest.mark.row("GW-04")
def test_forward_auth_without_the_address_of_its_proxy_is_an_error(folder: ConfigFolder) -> None:
    folder.gateway.update(forward_auth="caddy", trusted_proxies=[])
    assert "name the addresses of caddy in trusted_proxies" in folder.diagnostic("forward_auth").text


@pytest.mark.row("GW-04")
@pytest.mark.parametrize("word", ["apache", True, ["nginx"]])
def test_forward_auth_names_one_of_the_known_proxies(folder: ConfigFolder, word: object) -> None:
    folder.gateway["forward_auth"] = word
    assert folder.load().configuration is None
