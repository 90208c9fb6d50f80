"""Tests of proxied WebSockets."""

import asyncio
import gc
import hashlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import WSMsgType, web

from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import AllowedUsers, Route
from gateway.proxy.connection_limits import ConnectionLimits
from gateway.proxy.websocket_frames import close_frame
from gateway.web.request_context import CHECKED
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import (
    HOST,
    TOKEN,
    ProxyServer,
    Script,
    app_that,
    gateway,
    read_head,
    status_of,
    tenant,
    until,
    until_quiet,
)
from tests.fixtures.upstream import EchoUpstream

pytestmark = pytest.mark.both_loops
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ORIGIN = f"https://{HOST}"

SESSION_OVER = b"\x88\x02\x11\x31"
"""A close frame with status 4401."""


def accept(key: str = KEY) -> str:
    """Returns the answer to a handshake with `key` (RFC 6455 4.2.2)."""
    return b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


def handshake(server: ProxyServer, *lines: str, target: str = "/agent-manager/ws", signed_in: bool = True) -> bytes:
    """Returns a raw handshake of a page of the tenant."""
    own = [
        f"Host: {HOST}",
        f"Origin: {ORIGIN}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *([f"Cookie: {server.cookie}"] if signed_in else []),
        *lines,
    ]
    return "\r\n".join([f"GET {target} HTTP/1.1", *own, "", ""]).encode()


def switching(**changes: str) -> bytes:
    """Returns a correct answer to `handshake`, with changes."""
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept()} | changes
    return (
        "HTTP/1.1 101 Switching Protocols\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n"
    ).encode()


@asynccontextmanager
async def socket(
    server: ProxyServer, *, path: str = "/agent-manager/ws", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Opens a WebSocket with a real client."""
    headers = {"Host": HOST, "Origin": ORIGIN, "Cookie": server.cookie}
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as client, client.ws_connect(url, headers=headers, **options) as one:
        yield one


@pytest.mark.row("GW-02")
async def test_text_and_binary_messages_pass_in_both_directions(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server) as one:
        await one.send_str("\u00fc\u06f1")
        assert await one.receive_str() == "\u00fc\u06f1"
        for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
            await one.send_bytes(b"x" * size)
            assert await one.receive_bytes() == b"x" * size


@pytest.mark.row("GW-02")
async def test_the_app_answers_a_ping_of_the_browser(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server, autoping=False) as one:
        await one.ping(b"are you there")
        answer = await one.receive()
        assert (answer.type, answer.data) == (WSMsgType.PONG, b"are you there")


@pytest.mark.row("GW-02")
async def test_a_ping_of_the_app_reaches_the_browser(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server, autoping=False) as one:
        await one.send_str("x")
        await one.receive_str()
        [app_side] = echo_upstream.sockets
        await app_side.ping(b"still there")
        asked = await one.receive(timeout=5)
        assert (asked.type, asked.data) == (WSMsgType.PING, b"still there")


@pytest.mark.row("GW-02")
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
async def test_close_codes_of_the_app_reach_the_browser(code: int, echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server) as one:
        await one.send_str(f"close {code}")
        answer = await one.receive()
        assert (answer.type, answer.data, answer.extra) == (WSMsgType.CLOSE, code, "as asked")


@pytest.mark.row("GW-02")
async def test_close_codes_of_the_browser_reach_the_app(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        async with socket(server) as one:
            await one.send_str("x")
            await one.receive_str()
            [app_side] = echo_upstream.sockets
            await one.close(code=4002, message=b"bye")
        assert app_side.close_code == 4002


@pytest.mark.row("GW-07")
async def test_the_answer_to_a_handshake_sets_the_renewed_token_cookie(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        answer = await server.first(handshake(server))
    assert status_of(answer) == 101
    assert f"\r\nSet-Cookie: token={TOKEN}; ".encode() in answer


@pytest.mark.row("GW-02")
async def test_the_app_chooses_the_subprotocol(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server, protocols=("none", "chat")) as one:
        assert one.protocol == "chat"


@pytest.mark.row("GW-02")
async def test_compression_is_negotiated_between_browser_and_app(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server, compress=15) as one:
        assert one.compress
        await one.send_str("a" * 100_000)
        assert await one.receive_str() == "a" * 100_000


@pytest.mark.row("GW-08")
async def test_the_handshake_forwards_the_identity_to_the_app(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server) as one:
        await one.send_str("headers")
        seen = {name.lower(): value for name, value in (await one.receive_json())["headers"]}
    assert seen["authorization"] == f"Bearer {TOKEN}"
    assert seen["cookie"] == f"token={TOKEN}"
    assert seen["x-forwarded-host"] == HOST
    assert seen["connection"] == "Upgrade"


@pytest.mark.row("GW-12")
@pytest.mark.attack("A11")
async def test_a_handshake_without_a_session_is_a_401_in_json(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        answer = await server.send(handshake(server, signed_in=False))
    assert status_of(answer) == 401
    assert b'"sign-in-first"' in answer
    assert b'"https://cc.example/-/login"' in answer
    assert echo_upstream.requests == []


@pytest.mark.attack("F7")
async def test_a_handshake_from_a_sibling_host_is_a_403(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        forged = handshake(server).replace(ORIGIN.encode(), b"https://evil.cc.example")
        assert status_of(await server.send(forged)) == 403
    assert echo_upstream.requests == []


def answering(raw: bytes) -> Script:
    """Yields an app that answers a handshake with `raw` and then waits."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(raw)
        await reader.read()

    return script


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        switching(**{"Sec-WebSocket-Accept": accept("AAAAAAAAAAAAAAAAAAAAAA==")}),
        switching(**{"Sec-WebSocket-Accept": ""}),
        switching(Upgrade="h2c"),
        switching(Connection="close"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_an_invalid_answer_to_a_handshake_is_a_502_and_opens_no_tunnel(raw: bytes) -> None:
    async with app_that(answering(raw)) as app, gateway(tenant(app.url)) as server:
        answer = await server.send(handshake(server) + b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert status_of(answer) == 502
    assert answer.count(b"HTTP/1.1") == 1


async def test_the_apps_refusal_of_a_handshake_is_forwarded() -> None:
    raw = b"HTTP/1.1 403 Forbidden\r\nX-Why: not you\r\nContent-Length: 3\r\n\r\nno!"
    async with app_that(answering(raw)) as app, gateway(tenant(app.url)) as server:
        answer = await server.send(handshake(server))
    assert status_of(answer) == 403
    assert b"X-Why: not you" in answer
    assert answer.endswith(b"no!")


async def test_a_missing_answer_to_a_handshake_is_a_504() -> None:
    async with app_that(answering(b"")) as app, gateway(tenant(app.url)) as server:
        assert status_of(await server.send(handshake(server, target="/slow/ws"))) == 504


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"", 504), (b"HTTP/1.1 200 OK\r\n\r\n", 502), (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403)],
)
async def test_a_handshake_without_success_releases_the_connection_to_the_app(raw: bytes, status: int) -> None:
    async with app_that(answering(raw)) as app, gateway(tenant(app.url)) as server:
        assert status_of(await server.send(handshake(server, target="/slow/ws"))) == status
        await asyncio.wait_for(app.closed.wait(), 5)


async def test_an_unreachable_app_for_a_handshake_is_a_502() -> None:
    async with gateway(tenant()) as server:
        assert status_of(await server.send(handshake(server))) == 502


async def test_bytes_right_after_either_handshake_are_not_lost() -> None:
    got = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching() + b"from the app")
        got.extend(await reader.readexactly(16))

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server) + b"from the browser")
        assert status_of(await read_head(reader)) == 101
        assert await asyncio.wait_for(reader.readexactly(12), 5) == b"from the app"
        await asyncio.wait_for(app.closed.wait(), 5)
        writer.close()
    assert bytes(got) == b"from the browser"


@pytest.mark.attack("A11")
async def test_open_websockets_close_when_their_session_ends(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        connections = [await server.connect() for _ in range(20)]
        for reader, writer in connections:
            writer.write(handshake(server))
            assert status_of(await read_head(reader)) == 101
        server.sessions.end("s1")
        for reader, writer in connections:
            async with asyncio.timeout(2):
                assert (
                    await until_quiet(reader) == SESSION_OVER
                )  # and no byte after it, although the browser does not answer
            writer.transport.abort()
        assert status_of(await server.send(handshake(server))) == 401


@pytest.mark.attack("A11")
async def test_both_sides_receive_close_code_4401_when_the_session_ends(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server) as one:
        await one.send_str("x")
        assert await one.receive_str() == "x"
        server.sessions.end("s1")
        reported = await one.receive(timeout=10)
        assert (reported.type, reported.data) == (WSMsgType.CLOSE, 4401)
        assert (await one.receive(timeout=10)).type is WSMsgType.CLOSED
        app_side = await asyncio.wait_for(echo_upstream.left.get(), 5)
        assert app_side.close_code == 4401


@pytest.mark.row("GW-40")
async def test_a_websocket_closes_with_code_4403_when_the_user_loses_the_role_of_its_app(
    echo_upstream: EchoUpstream,
) -> None:
    allow = AllowedUsers(roles=frozenset({"admin"}))
    routes = (Route("/agent-manager", echo_upstream.url, allow=allow), Route("/other", echo_upstream.url))
    async with gateway(tenant(routes=routes)) as server:
        server.sessions.change(roles=("admin",))
        async with socket(server) as one, socket(server, path="/other/ws") as other:
            for each in (one, other):
                await each.send_str("x")
                assert await each.receive_str() == "x"
            server.sessions.change(roles=())
            reported = await one.receive(timeout=10)
            assert (reported.type, reported.data) == (WSMsgType.CLOSE, 4403)
            await other.send_str("y")
            assert await other.receive_str() == "y"


@pytest.mark.attack("A11")
async def test_messages_sent_after_the_end_of_the_session_are_dropped() -> None:
    heard = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching())
        while data := await reader.read(1000):
            heard.extend(data)
            writer.write(b"late words")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await read_head(reader)
        server.sessions.end("s1")
        writer.write(b"\x82\x83\x00\x00\x00\x00abc")
        async with asyncio.timeout(2):
            assert await until_quiet(reader) == SESSION_OVER
        await asyncio.wait_for(app.closed.wait(), 5)
        writer.transport.abort()
    assert b"abc" not in heard


async def test_a_browser_that_disconnects_releases_the_connection_to_the_app(echo_upstream: EchoUpstream) -> None:
    async with app_that(answering(switching())) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await read_head(reader)
        writer.transport.abort()
        await asyncio.wait_for(app.closed.wait(), 5)
        await until(lambda: server.sessions.closers == {"s1": []}, server)


async def test_a_client_that_ends_its_side_still_receives_what_the_app_sends() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching())
        writer.write(b"answer to " + await reader.read())

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server) + b"the last question")
        await read_head(reader)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"answer to the last question"
        assert server.sessions.closers == {"s1": []}
        writer.close()


async def test_an_app_that_ignores_the_end_of_the_clients_side_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.proxy.splice.HALF_CLOSED", 0.1)
    async with app_that(answering(switching())) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await read_head(reader)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        await asyncio.wait_for(app.closed.wait(), 5)
        writer.close()


async def test_an_app_that_disconnects_releases_the_connection_to_the_browser() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching() + b"last words")
        await writer.drain()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await read_head(reader)
        assert await asyncio.wait_for(reader.read(), 5) == b"last words"
        writer.close()


async def test_an_active_websocket_counts_as_use_of_the_session_at_most_once_a_minute(
    echo_upstream: EchoUpstream,
) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server) as one:

        async def talk() -> list[str]:
            for _ in range(3):
                await one.send_str("x")
                await one.receive_str()
            return server.sessions.uses

        assert await talk() == []
        server.clock.advance(61)
        assert await talk() == ["s1"]
        server.clock.advance(59)
        assert await talk() == ["s1"]
        server.clock.advance(2)
        assert await talk() == ["s1", "s1"]


async def test_an_app_that_does_not_read_slows_the_browser_down() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching())
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await read_head(reader)
        sent = 0
        try:
            for _ in range(256):
                writer.write(b"x" * 2**20)
                await asyncio.wait_for(writer.drain(), 1)
                sent += 1
        except TimeoutError:
            pass
        writer.transport.abort()
    assert sent < 64


async def test_a_browser_that_disconnects_while_the_app_does_not_read_is_noticed() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching())
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with app_that(script) as app, gateway(tenant(app.url), sockets=1) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server, target="/slow/ws"))
        await read_head(reader)
        writer.write(b"x" * 2**25)
        async with asyncio.timeout(10):
            assert await until_quiet(reader) == b""
        assert server.sessions.closers == {"s1": []}
        writer.transport.abort()


@pytest.mark.attack("A11")
async def test_a_session_that_ends_during_the_handshake_opens_no_websocket() -> None:
    asked = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await asked.wait()
        server.sessions.end("s1")
        assert await asyncio.wait_for(reader.read(), 2) == b""
        await asyncio.wait_for(app.closed.wait(), 5)
        writer.transport.abort()


async def test_a_session_has_a_maximum_of_open_websockets_and_a_closed_one_frees_a_place(
    echo_upstream: EchoUpstream,
) -> None:
    async with gateway(tenant(echo_upstream.url), sockets=2) as server, socket(server) as one, socket(server):
        refused = await server.send(handshake(server))
        assert status_of(refused) == 429
        assert b'"too-many-streams"' in refused
        await one.close()
        async with socket(server) as another:
            await another.send_str("in")
            assert await another.receive_str() == "in"


async def test_an_open_websocket_keeps_neither_its_request_nor_a_task(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        _, writer = connection = await server.connect()
        idle = len(asyncio.all_tasks())
        writer.write(handshake(server))
        assert status_of(await read_head(connection[0])) == 101
        await until(lambda: len(asyncio.all_tasks()) <= idle + 1, server)  # the app's own
        gc.collect()
        requests = [one for one in gc.get_objects() if type(one) is web.Request and CHECKED in one]
        assert [one.path for one in requests if one.path != "/-/login"] == []


async def test_an_open_websocket_counts_as_a_connection_of_its_address_until_its_end(
    echo_upstream: EchoUpstream,
) -> None:
    async with gateway(tenant(echo_upstream.url), limits=ConnectionLimits(per_address=1)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        assert status_of(await read_head(reader)) == 101
        assert status_of(await server.first(b"")) == 429
        writer.write(close_frame(b"\x03\xe8", b"mask"))
        assert await asyncio.wait_for(reader.read(), 5) == close_frame(b"\x03\xe8")
        assert status_of(await server.first(server.request("/-/login"))) == 200


async def test_a_browser_that_takes_nothing_is_cut() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching())
        while True:
            writer.write(b"x" * 2**16)
            await writer.drain()

    async with app_that(endless) as app, gateway(tenant(app.url), limits=ConnectionLimits(stall=0.2)) as server:
        _, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(handshake(server))
        await asyncio.wait_for(app.closed.wait(), 10)
        writer.transport.abort()


async def test_a_websocket_passes_to_an_app_with_tls(tmp_path: Path) -> None:
    authority, port = trustme.CA(), free_port()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching() + b"at once")
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    listening = await asyncio.start_server(echo, "127.0.0.1", port, ssl=context)
    tls = TlsSettings(ca_file=str(tmp_path / "ca.pem"))
    routes = (Route("/agent-manager", f"https://127.0.0.1:{port}", tls=tls),)
    async with listening, gateway(tenant(routes=routes)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        assert status_of(await read_head(reader)) == 101
        assert await reader.readexactly(7) == b"at once"
        for size in (1, 100_000, 1_000_000):
            writer.write(b"x" * size)
            assert await asyncio.wait_for(reader.readexactly(size), 10) == b"x" * size
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_failed_handshake_takes_no_place() -> None:
    async with gateway(tenant(), sockets=1) as server:
        for _ in range(3):
            assert status_of(await server.send(handshake(server))) == 502


@pytest.mark.row("GW-20")
async def test_both_sides_receive_close_code_1001_when_the_process_ends(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server, socket(server) as one:
        await one.send_str("x")
        assert await one.receive_str() == "x"
        [app_side] = echo_upstream.sockets
        ending = asyncio.create_task(server.runner.cleanup())
        reported = await one.receive(timeout=10)
        assert (reported.type, reported.data) == (WSMsgType.CLOSE, 1001)
        await ending
        assert app_side.close_code == 1001


@pytest.mark.row("GW-20")
async def test_a_websocket_in_the_middle_of_a_frame_is_cut_when_the_process_ends() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(switching() + b"\x82\x7e\xff\xff" + b"half of it")
        await reader.read()

    async with app_that(half) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(handshake(server))
        await read_head(reader)
        await reader.readuntil(b"half of it")
        async with asyncio.timeout(5):
            await server.runner.cleanup()
            assert await reader.read() == b""
        writer.close()
