"""Are clients kept apart by their settings, bounded in time, and do errors tell an operator what to do?"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from gateway.demo.identity_provider import StandInClient, StandInUser, build
from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.domain.secret import Secret
from gateway.domain.tenant import AdminUser, KeycloakAccess
from gateway.keycloak.clients import forwarded_for
from gateway.keycloak.token_endpoint import Granted
from tests.keycloak.conftest import Place, grant_client
from tests.ports import free_port


async def test_one_token_serves_many_calls_at_once(place: Place) -> None:
    asked = 0
    begin = place.realm.client

    def counting(client_id: str | None) -> StandInClient | None:
        nonlocal asked
        asked += client_id == "gateway-admin"
        return begin(client_id)

    place.realm.client = counting  # type: ignore[method-assign]
    await asyncio.gather(*(place.users.account(place.access, place.user.id) for _ in range(20)))
    assert asked == 1


async def test_a_token_that_the_realm_no_longer_believes_is_fetched_again(place: Place) -> None:
    await place.users.account(place.access, place.user.id)
    place.realm.rotate_key(keep_old=False)
    assert await place.users.account(place.access, place.user.id) is not None


async def test_efcx_s_administrator_may_administer(place: Place) -> None:
    root = StandInUser("root", "made-up-by-the-test", management=("realm-admin",))
    place.realm.add(root)
    who = AdminUser(place.access.sign_in, root.username, Secret(root.password))
    await place.users.check(replace(place.access, administration=who))


@pytest.mark.parametrize("management", [None, ("view-users",)])
async def test_the_fallback_serves_where_the_service_account_may_not(
    place: Place, management: tuple[str, ...] | None
) -> None:
    root = StandInUser("root", "made-up-by-the-test", management=("manage-users",))
    place.realm.add(root)
    client = place.realm.client("gateway-admin")
    assert client is not None
    client.management = management
    who = AdminUser(place.access.sign_in, root.username, Secret(root.password))
    with pytest.raises(errors.Refused):
        await place.users.check(place.access)
    await place.users.check(replace(place.access, administration_fallback=who))


async def test_a_client_that_is_refused_says_which_role_it_lacks(place: Place) -> None:
    client = place.realm.client("gateway-admin")
    assert client is not None
    client.management = ("view-users",)
    with pytest.raises(errors.Refused, match="manage-users"):
        await place.users.end_sessions(place.access, place.user.id)


async def test_an_administrator_who_cannot_sign_in_says_nothing_of_the_user(place: Place) -> None:
    nowhere = replace(place.access, realm="nowhere")
    with pytest.raises(errors.Refused):
        await place.users.account(nowhere, place.user.id)
    wrong = replace(place.access, administration=replace(place.access.sign_in, client_id="unknown"))
    with pytest.raises(errors.Refused):
        await place.users.set_password(wrong, place.user.id, Secret("a new one"))


async def test_settings_no_longer_in_use_give_back_their_clients_one_reload_later(place: Place) -> None:
    old, new = place.access, replace(place.access, timeout=4.0)
    await place.users.check(old)
    client = await grant_client(place.connections, old)
    await place.connections.retain([new])
    assert not client.is_closed
    await place.connections.retain([new])
    assert client.is_closed
    assert await grant_client(place.connections, new) is await grant_client(place.connections, new)


async def test_a_private_ca_file_that_is_missing_is_named(place: Place) -> None:
    access = replace(place.access, tls=TlsSettings(ca_file="/nowhere/ca.pem"))
    with pytest.raises(errors.Misconfigured, match=r"/nowhere/ca\.pem"):
        await place.users.check(access)


class Https:
    """The stand-in behind TLS that asks for a client certificate."""

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
async def https(place: Place, tmp_path: Path) -> AsyncIterator[Https]:
    port = free_port()
    base = f"https://127.0.0.1:{port}/auth/"
    found = Https(replace(place.access, url=base, issuer=f"{base}realms/{place.realm.name}"), tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.authority.issue_cert("127.0.0.1").configure_cert(context)
    found.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.AppRunner(build([place.realm]), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    yield found
    await runner.cleanup()


@pytest.mark.row("GW-33")
async def test_a_private_ca_and_a_client_certificate_serve_both_libraries(place: Place, https: Https) -> None:
    access = replace(https.access, tls=https.tls(certificate=True))
    found = await place.sign_in.password(access, place.user.username, place.password)
    assert isinstance(found, Granted)
    await place.users.check(access)


@pytest.mark.row("GW-33")
async def test_a_certificate_that_is_not_trusted_names_the_setting(place: Place, https: Https) -> None:
    with pytest.raises(errors.Misconfigured, match="ca_file"):
        await place.sign_in.password(https.access, place.user.username, place.password)
    with pytest.raises(errors.Misconfigured, match="ca_file"):
        await place.users.check(https.access)


@pytest.mark.row("GW-33")
async def test_without_the_client_certificate_nobody_is_reached(place: Place, https: Https) -> None:
    access = replace(https.access, tls=https.tls(certificate=False))
    with pytest.raises(errors.Unreachable):
        await place.sign_in.password(access, place.user.username, place.password)


@pytest.mark.parametrize(
    ("issuer", "address", "sent"),
    [
        ("https://sso.example/auth/realms/r", "203.0.113.7", "203.0.113.7"),
        ("https://sso.example/auth/realms/r", "2001:db8::7", "2001:db8::7"),
        ("http://keycloak:8080/auth/realms/r", "10.0.0.7", "10.0.0.7"),
        ("http://keycloak:8080/auth/realms/r", "8.8.8.8", None),
        ("https://sso.example/auth/realms/r", "", None),
        ("https://sso.example/auth/realms/r", "x\r\nHost: y", None),
    ],
)
def test_the_client_address_is_told_where_it_cannot_lock_the_gateway_out(
    issuer: str, address: str, sent: str | None
) -> None:
    access = KeycloakAccess.__new__(KeycloakAccess)
    object.__setattr__(access, "issuer", issuer)
    assert forwarded_for(access, address).get("X-Forwarded-For") == sent


async def test_scheme_and_host_of_the_issuer_go_with_every_grant(place: Place) -> None:
    access = replace(place.access, issuer="https://sso.example:8443/auth/realms/expertflow")
    headers = (await grant_client(place.connections, access)).headers
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Host"]) == ("https", "sso.example:8443")
