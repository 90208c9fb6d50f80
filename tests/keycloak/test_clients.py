"""Tests of the HTTP clients: separate for each setting, limited in time, with errors that help an operator."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from gateway.demo.identity_provider import StandInClient, StandInUser, build
from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.domain.secret import Secret
from gateway.domain.tenant import AdminUser, KeycloakAccess
from gateway.keycloak.clients import forwarded_for, user_path
from gateway.keycloak.connection import Connection
from gateway.keycloak.token_endpoint import Granted
from tests.fixtures.ports import free_port
from tests.keycloak.conftest import RealmHarness, grant_client


async def test_parallel_calls_share_one_access_token(realm_harness: RealmHarness) -> None:
    asked = 0
    begin = realm_harness.realm.client

    def counting(client_id: str | None) -> StandInClient | None:
        nonlocal asked
        asked += client_id == "gateway-admin"
        return begin(client_id)

    realm_harness.realm.client = counting  # type: ignore[method-assign]
    for _ in range(2):
        calls = (realm_harness.users.account(realm_harness.access, realm_harness.user.id) for _ in range(20))
        await asyncio.gather(*calls)
    assert asked == 1


async def test_a_token_rejected_by_the_realm_is_fetched_again(realm_harness: RealmHarness) -> None:
    await realm_harness.users.account(realm_harness.access, realm_harness.user.id)
    realm_harness.realm.rotate_key(keep_old=False)
    assert await realm_harness.users.account(realm_harness.access, realm_harness.user.id) is not None


async def test_the_administrator_from_efcxs_settings_is_accepted(realm_harness: RealmHarness) -> None:
    root = StandInUser("root", "made-up-by-the-test", management=("realm-admin",))
    realm_harness.realm.add(root)
    administrator = AdminUser(realm_harness.access.sign_in, root.username, Secret(root.password))
    await realm_harness.users.check(replace(realm_harness.access, administration=administrator))


@pytest.mark.parametrize("management", [None, ("view-users",)])
async def test_the_fallback_administrator_is_used_where_the_service_account_lacks_rights(
    realm_harness: RealmHarness, management: tuple[str, ...] | None
) -> None:
    root = StandInUser("root", "made-up-by-the-test", management=("manage-users",))
    realm_harness.realm.add(root)
    client = realm_harness.realm.client("gateway-admin")
    assert client is not None
    client.management = management
    administrator = AdminUser(realm_harness.access.sign_in, root.username, Secret(root.password))
    with pytest.raises(errors.Refused):
        await realm_harness.users.check(realm_harness.access)
    await realm_harness.users.check(replace(realm_harness.access, administration_fallback=administrator))


async def test_the_connections_of_an_administrator_that_lacks_rights_are_closed(
    realm_harness: RealmHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = realm_harness.realm.client("gateway-admin")
    assert client is not None
    client.management = ("view-users",)
    fallback = AdminUser(realm_harness.access.sign_in, "root", Secret("made-up-by-the-test"))
    access = replace(realm_harness.access, administration_fallback=fallback)
    made: list[Connection] = []
    begin = Connection.__init__

    def kept(connection: Connection, *given: Any) -> None:
        begin(connection, *given)
        made.append(connection)

    monkeypatch.setattr(Connection, "__init__", kept)
    with pytest.raises(errors.Refused):
        await realm_harness.users.check(access)
    assert [one.is_closed for one in made] == [False, True, True, False, False]  # the first is that of the grants


async def test_the_error_of_a_refused_client_names_the_missing_role(realm_harness: RealmHarness) -> None:
    client = realm_harness.realm.client("gateway-admin")
    assert client is not None
    client.management = ("view-users",)
    with pytest.raises(errors.Refused, match="manage-users"):
        await realm_harness.users.end_sessions(realm_harness.access, realm_harness.user.id)


async def test_a_failed_sign_in_of_the_administrator_is_not_reported_as_the_users_failure(
    realm_harness: RealmHarness,
) -> None:
    nowhere = replace(realm_harness.access, realm="nowhere")
    with pytest.raises(errors.Refused):
        await realm_harness.users.account(nowhere, realm_harness.user.id)
    wrong = replace(realm_harness.access, administration=replace(realm_harness.access.sign_in, client_id="unknown"))
    with pytest.raises(errors.Refused):
        await realm_harness.users.set_password(wrong, realm_harness.user.id, Secret("a new one"))


async def test_clients_of_replaced_settings_are_closed_one_reload_later(realm_harness: RealmHarness) -> None:
    old, new = realm_harness.access, replace(realm_harness.access, timeout=4.0)
    await realm_harness.users.check(old)
    client = await grant_client(realm_harness.connections, old)
    await realm_harness.connections.retain([new])
    assert not client.is_closed
    await realm_harness.connections.retain([new])
    assert client.is_closed
    assert await grant_client(realm_harness.connections, new) is await grant_client(realm_harness.connections, new)


async def test_every_connection_of_a_replaced_administrator_is_closed(realm_harness: RealmHarness) -> None:
    await realm_harness.users.check(realm_harness.access)
    async with realm_harness.connections.administration(realm_harness.access, "a test") as admin:
        managers = (admin.connection, admin.connection.keycloak_openid.connection)
    await realm_harness.connections.close()
    assert [manager.async_s.is_closed for manager in managers] == [True, True]


async def test_a_missing_private_ca_file_is_named_in_the_error(realm_harness: RealmHarness) -> None:
    access = replace(realm_harness.access, tls=TlsSettings(ca_file="/nowhere/ca.pem"))
    with pytest.raises(errors.Misconfigured, match=r"/nowhere/ca\.pem"):
        await realm_harness.users.check(access)


class Https:
    """The stand-in behind a TLS server that requires a client certificate."""

    def __init__(self, access: KeycloakAccess, folder: Path) -> None:
        self.access, self.folder = access, folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.authority.issue_cert("gateway@example.com").private_key_and_cert_chain_pem.write_to_path(
            folder / "client.pem"
        )

    def tls(self, *, certificate: bool) -> TlsSettings:
        client = str(self.folder / "client.pem") if certificate else None
        return TlsSettings(ca_file=str(self.folder / "ca.pem"), certificate_file=client)


@pytest.fixture
async def https(realm_harness: RealmHarness, tmp_path: Path) -> AsyncIterator[Https]:
    port = free_port()
    base = f"https://127.0.0.1:{port}/auth/"
    found = Https(replace(realm_harness.access, url=base, issuer=f"{base}realms/{realm_harness.realm.name}"), tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.authority.issue_cert("127.0.0.1").configure_cert(context)
    found.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(build([realm_harness.realm]), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    yield found
    await runner.cleanup()


@pytest.mark.row("GW-33")
async def test_grants_and_administration_use_the_private_ca_and_the_client_certificate(
    realm_harness: RealmHarness, https: Https
) -> None:
    access = replace(https.access, tls=https.tls(certificate=True))
    found = await realm_harness.sign_in.password(access, realm_harness.user.username, realm_harness.password)
    assert isinstance(found, Granted)
    await realm_harness.users.check(access)


@pytest.mark.row("GW-33")
async def test_the_error_for_an_untrusted_certificate_names_the_setting(
    realm_harness: RealmHarness, https: Https
) -> None:
    with pytest.raises(errors.Misconfigured, match="ca_file"):
        await realm_harness.sign_in.password(https.access, realm_harness.user.username, realm_harness.password)
    with pytest.raises(errors.Misconfigured, match="ca_file"):
        await realm_harness.users.check(https.access)


@pytest.mark.row("GW-33")
async def test_without_the_client_certificate_no_connection_succeeds(realm_harness: RealmHarness, https: Https) -> None:
    access = replace(https.access, tls=https.tls(certificate=False))
    with pytest.raises(errors.Unreachable):
        await realm_harness.sign_in.password(access, realm_harness.user.username, realm_harness.password)


@pytest.mark.parametrize(
    ("issuer", "address", "sent"),
    [
        ("https://sso.example/auth/realms/r", "203.0.113.7", "203.0.113.7"),
        ("https://sso.example/auth/realms/r", "2001:db8::7", "2001:db8::7"),
        ("https://sso.example/auth/realms/r", "8.8.8.8", "8.8.8.8"),
        ("http://keycloak:8080/auth/realms/r", "10.0.0.7", "10.0.0.7"),
        ("http://keycloak:8080/auth/realms/r", "8.8.8.8", None),
        ("https://sso.example/auth/realms/r", "", None),
        ("https://sso.example/auth/realms/r", "x\r\nHost: y", None),
    ],
)
def test_the_client_address_is_sent_only_where_it_cannot_lock_the_gateway_out(
    issuer: str, address: str, sent: str | None
) -> None:
    access = KeycloakAccess.__new__(KeycloakAccess)
    object.__setattr__(access, "issuer", issuer)
    assert forwarded_for(access, address).get("X-Forwarded-For") == sent


async def test_every_grant_carries_scheme_and_host_of_the_issuer(realm_harness: RealmHarness) -> None:
    access = replace(realm_harness.access, issuer="https://sso.example:8443/auth/realms/expertflow")
    headers = (await grant_client(realm_harness.connections, access)).headers
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Host"]) == ("https", "sso.example:8443")


@pytest.mark.parametrize("user_id", ["", ".", ".."])
def test_an_id_that_would_leave_its_path_segment_is_refused(user_id: str) -> None:
    with pytest.raises(ValueError, match="not a user's id"):
        user_path(user_id)


def test_an_id_stays_within_its_path_segment() -> None:
    assert user_path("a/../b?c#d%") == "a%2F..%2Fb%3Fc%23d%25"
