"""Keycloak, relay and app with certificates of a private CA: without the setting, the error names it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.fixtures.installation import Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer, StartMailServer
from tests.fixtures.ports import free_port
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.keycloak, pytest.mark.row("GW-33")]


@pytest.fixture
def authority() -> trustme.CA:
    """Returns a private certificate authority."""
    return trustme.CA()


@asynccontextmanager
async def over_tls(port: int, authority: trustme.CA, *, clients: trustme.CA | None = None) -> AsyncIterator[int]:
    """Puts TLS with a certificate for 127.0.0.1 before `port`; `clients` demands client certificates. Yields a port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    open_now: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        open_now.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))
        open_now.discard(task)

    outside = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", outside, ssl=context)
    try:
        yield outside
    finally:
        server.close()
        for task in tuple(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


@asynccontextmanager
async def all_over_tls(
    path: Path, keycloak: Keycloak, mail: MailServer, app: EchoUpstream, authority: trustme.CA, tls: dict[str, Any]
) -> AsyncIterator[Site]:
    """Yields a gateway that reaches every dependency over TLS."""
    async with over_tls(keycloak.port, authority) as keycloak_port, over_tls(app.port, authority) as app_port:
        settings: Folder = folder(path, keycloak=keycloak, mail=mail, app=f"https://127.0.0.1:{app_port}")
        authority.cert_pem.write_to_path(path / "private-ca.pem")
        settings.gateway["tls"] = tls
        settings.gateway["channels"][0]["relays"][0]["security"] = "starttls"
        settings.tenant["tenantSettings"]["keyCloak"]["auth-server-url"] = f"https://127.0.0.1:{keycloak_port}/auth/"
        # Keycloak builds its addresses from the request, and does not see the TLS before it.
        settings.tenant["gateway"]["keycloak"]["issuer"] = (
            f"http://127.0.0.1:{keycloak_port}/auth/realms/{keycloak.realm}"
        )
        async with whole(settings, keycloak, mail, app) as site:
            yield site


async def test_a_whole_login_works_with_a_private_ca_set_once(
    tmp_path: Path,
    keycloak: Keycloak,
    start_mail_server: StartMailServer,
    echo_upstream: EchoUpstream,
    authority: trustme.CA,
) -> None:
    mail = await start_mail_server(tls="starttls", authority=authority)
    async with all_over_tls(tmp_path, keycloak, mail, echo_upstream, authority, {"ca_file": "private-ca.pem"}) as site:
        user = site.user(email=None)
        async with site.person() as agent:
            done = await agent.first_login(user.username, user.password, "tls@example.com", mail)
            assert done.step == "done"
            assert (await site.seen(agent))["authorization"].startswith("Bearer ")
            async with agent.http.ws_connect(f"{agent.base}/agent-manager/ws", origin=agent.base) as socket:
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello"
        assert mail.messages[0].encrypted


@pytest.mark.parametrize("without", ["keycloak", "smtp", "upstreams"])
async def test_an_untrusted_certificate_is_reported_with_host_and_setting_and_never_as_a_wrong_password(
    tmp_path: Path,
    keycloak: Keycloak,
    start_mail_server: StartMailServer,
    echo_upstream: EchoUpstream,
    authority: trustme.CA,
    without: str,
) -> None:
    mail = await start_mail_server(tls="starttls", authority=authority)
    known = {name: {"ca_file": "private-ca.pem"} for name in ("keycloak", "smtp", "upstreams") if name != without}
    async with (
        all_over_tls(tmp_path, keycloak, mail, echo_upstream, authority, known) as site,
        site.person() as agent,
    ):
        user = site.user(email=None)
        first = await agent.password(user.username, user.password)
        if without == "keycloak":
            assert (first.status, first.problem) == (503, "sign-in-misconfigured")
        else:
            await agent.do("register", address="tls@example.com")
            sent = await agent.do("confirm", "send")
            if without == "smtp":
                assert (sent.status, sent.step, sent.problem) == (503, "verify", "send-failed")
            else:
                site.change(is2FAEnabled=False)
                async with site.person() as other:
                    await other.password(user.username, user.password)
                    refused = await other.get("/unified-admin/")
                    assert refused.status == 502
        said = str(site.audit.log.lines)
    assert "127.0.0.1" in said
    assert "certificate" in said.lower()
    assert "tls" in said


async def test_the_gateway_presents_its_client_certificate_where_one_is_required(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, authority: trustme.CA
) -> None:
    own = authority.issue_cert("gateway.example")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    authority.cert_pem.write_to_path(tmp_path / "private-ca.pem")
    async with over_tls(echo_upstream.port, authority, clients=authority) as port:
        settings = folder(tmp_path, keycloak=keycloak, mail=mail_server, app=f"https://127.0.0.1:{port}")
        settings.two_factor["is2FAEnabled"] = False
        settings.gateway["tls"] = {"upstreams": {"ca_file": "private-ca.pem", "certificate_file": "own.pem"}}
        async with whole(settings, keycloak, mail_server, echo_upstream) as site, site.person() as agent:
            user = site.user()
            assert (await agent.password(user.username, user.password)).step == "done"
            assert (await agent.get("/unified-admin/")).status == 200
            settings.gateway["tls"]["upstreams"].pop("certificate_file")
            site.change()
            assert (await agent.get("/unified-admin/")).status == 502
