"""Tests that an app receives no byte without a session, by any method or unusual request."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.attacks.corpus import CORPUS, HOST, WEBSOCKET
from tests.fixtures.installation import folder
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for, wrong
from tests.fixtures.proxy_server import status_of, until_quiet
from tests.fixtures.site import Site, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream, RawUpstream

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO", "get"]
LAST = b"GET /-/login HTTP/1.1\r\nHost: cc.example\r\nConnection: close\r\n\r\n"
FORGED = [
    "",
    "Cookie: gateway-session=AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
    "Cookie: __Host-gateway-session=x; gateway-session=x\r\nCookie: gateway-session=y\r\n",
    "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n",
    "Cookie: token=eyJhbGciOiJub25lIn0.e30.\r\n",
    "X-Auth-User-Id: admin\r\nX-Forwarded-User: admin\r\nRemote-User: admin\r\n",
    "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n",
]


@pytest.fixture
async def guarded(
    tmp_path: Path,
    stand_in: StandIn,
    mail_server: MailServer,
    echo_upstream: EchoUpstream,
    raw_upstream: RawUpstream,
) -> AsyncIterator[Site]:
    """Starts the gateway in front of an app that records every byte."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=raw_upstream.url)
    settings.gateway["insecure_http"] = True
    settings.tenant["tenantSettings"]["fqdn"] = "cc.example"
    settings.tenant["gateway"]["public_url"] = f"http://cc.example:{settings.port}"
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        yield site


async def send(site: Site, raw: bytes) -> bytes:
    """Sends one raw request, and one after it that ends the connection; returns all received bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.settings.port, limit=2**24)
    try:
        writer.write(raw + LAST)
        await writer.drain()
        return await until_quiet(reader)
    finally:
        writer.transport.abort()


async def nothing_passes(site: Site, upstream: RawUpstream, auth: str) -> None:
    """Asserts that with these fields no method, request of the corpus or upgrade reaches the app."""
    for odd in [*CORPUS, WEBSOCKET]:
        answer = await send(site, odd.bytes(auth))
        assert status_of(answer) in {0, 101, *range(300, 500)} - {101}, (odd.name, answer[:200])
    for method in METHODS:
        for path in ("/agent-manager/x", "/unified-admin/", "/unified-admin", "/agent-manager/ws"):
            answer = await send(site, f"{method} {path} HTTP/1.1\r\n{HOST}{auth}Content-Length: 4\r\n\r\nabcd".encode())
            assert 300 <= status_of(answer) < 500, (method, path, answer[:200])
    assert upstream.connections == []


@pytest.mark.row("EF-01")
@pytest.mark.attack("F12")
@pytest.mark.parametrize("auth", FORGED, ids=lambda auth: auth[:24].strip() or "nothing")
async def test_without_a_session_the_app_receives_no_byte(guarded: Site, raw_upstream: RawUpstream, auth: str) -> None:
    await nothing_passes(guarded, raw_upstream, auth)


@pytest.mark.row("EF-01")
@pytest.mark.row("GW-07")
async def test_a_login_that_stopped_after_the_password_opens_nothing(guarded: Site, raw_upstream: RawUpstream) -> None:
    user = guarded.user()
    async with guarded.stranger("cc.example") as agent:
        await agent.to_code(user.username, user.password, "half@example.com")
        await agent.do("verify", code=wrong(await code_for(guarded.mail, "half@example.com")))
        cookies = agent.cookies()
    assert set(cookies) == {"gateway-login"}
    value = cookies["gateway-login"]
    for name in ("gateway-login", "gateway-session", "__Host-gateway-session", "__Host-Http-gateway-session", "token"):
        await nothing_passes(guarded, raw_upstream, f"Cookie: gateway-login={value}; {name}={value}\r\n")


async def test_an_access_token_of_keycloak_opens_nothing(guarded: Site, raw_upstream: RawUpstream) -> None:
    user = guarded.user()
    token = guarded.keycloak.grant(user.username, user.password).json()["access_token"]
    for auth in (f"Authorization: Bearer {token}\r\n", f"Cookie: token={token}; gateway-session={token}\r\n"):
        await nothing_passes(guarded, raw_upstream, auth)


async def test_an_ended_session_opens_nothing(guarded: Site, raw_upstream: RawUpstream) -> None:
    user = guarded.user(email=None)
    async with guarded.stranger("cc.example") as agent:
        await agent.first_login(user.username, user.password, "gone@example.com", guarded.mail)
        kept = "; ".join(f"{name}={value}" for name, value in agent.cookies().items())
        assert (await agent.logout()).status == 303
    await nothing_passes(guarded, raw_upstream, f"Cookie: {kept}\r\n")
