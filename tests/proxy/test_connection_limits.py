"""Tests of the deadlines of a connection, and of the number of connections."""

import asyncio
import logging
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.proxy.connection_limits import ConnectionLimits
from gateway.proxy.connections_per_address import ConnectionCounts
from gateway.proxy.handler import server_options
from gateway.proxy.runner import Runner
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import (
    HOST,
    ProxyServer,
    ScriptedApp,
    app_that,
    fields_of,
    gateway,
    read_head,
    status_of,
    tenant,
    until,
)
from tests.fixtures.upstream import EchoUpstream

pytestmark = pytest.mark.both_loops
SHORT = 0.15
"""Length in seconds of a deadline that a test waits for."""


@asynccontextmanager
async def raw(server: ProxyServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Opens a raw connection."""
    reader, writer = await server.connect()
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Returns all bytes until the gateway ends the connection in any way."""
    data = b""
    async with asyncio.timeout(10):
        try:
            while part := await reader.read(65536):
                data += part
        except ConnectionError:
            pass
    return data


async def pass_a_deadline(server: ProxyServer) -> None:
    """Waits until the gateway has cut another connection with a slow head, so a deadline has passed."""
    async with raw(server) as (reader, writer):
        writer.write(b"GET / HT")
        assert status_of(await ended(reader)) == 408


# ---- heads


async def test_an_incomplete_request_head_is_answered_408() -> None:
    async with gateway(tenant(), limits=ConnectionLimits(head=SHORT)) as server, raw(server) as (reader, writer):
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow:".encode())
        answer = await ended(reader)
    assert status_of(answer) == 408
    assert ("Connection", "close") in fields_of(answer)


async def test_slowly_sent_bytes_do_not_extend_the_deadline_of_a_head() -> None:
    async with gateway(tenant(), limits=ConnectionLimits(head=SHORT)) as server, raw(server) as (reader, writer):
        answer = asyncio.create_task(ended(reader))
        for byte in f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: {'x' * 100_000}".encode():
            if answer.done() or writer.transport.is_closing():
                break
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert status_of(await answer) in (408, 0)  # what was written after the end may have thrown the answer away


async def test_the_next_head_of_a_kept_connection_has_the_same_deadline() -> None:
    async with gateway(tenant(), limits=ConnectionLimits(head=SHORT)) as server, raw(server) as (reader, writer):
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        first = await read_head(reader)
        assert status_of(first) == 200
        await reader.readexactly(len("own page"))
        writer.write(b"GET /-/lo")
        assert status_of(await ended(reader)) == 408


async def test_a_connection_without_bytes_is_not_closed_by_the_deadline_of_a_head(echo_upstream: EchoUpstream) -> None:
    """A browser opens connections before it needs them."""
    limits = ConnectionLimits(head=SHORT)
    async with gateway(tenant(), limits=limits) as server, raw(server) as (reader, writer):
        await pass_a_deadline(server)
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert status_of(await read_head(reader)) == 200


async def test_an_idle_connection_is_closed_without_an_answer() -> None:
    async with gateway(tenant(), keep_alive=SHORT) as server, raw(server) as (reader, writer):
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = await ended(reader)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"own page")


async def test_a_slow_answer_of_the_app_exceeds_no_client_deadline() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        await reader.read()

    limits = ConnectionLimits(head=SHORT, body_grace=SHORT)
    async with (
        app_that(late) as app,
        gateway(tenant(app.url), limits=limits) as server,
        raw(server) as (reader, writer),
    ):
        writer.write(server.request("/unified-admin/"))
        await asked.wait()
        await pass_a_deadline(server)
        go.set()
        assert (await ended(reader)).endswith(b"late")


@pytest.mark.attack("D17")
async def test_an_endless_head_is_answered_431_before_it_fills_the_memory() -> None:
    sent = 0
    async with gateway(tenant()) as server, raw(server) as (reader, writer):
        answer = asyncio.create_task(ended(reader))
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode())
        with suppress(ConnectionError):
            while not answer.done() and sent < 500:
                writer.write(f"X-{sent}: {'x' * 60_000}\r\n".encode())
                sent += 1
                await writer.drain()
        assert status_of(await answer) in (431, 0)  # what was written after the end may have thrown the answer away
    assert sent < 100


async def test_consecutive_requests_are_not_mistaken_for_an_endless_head(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as server:
        one = server.request("/unified-admin/", method="POST", body=b"x" * 300_000)
        answer = await server.send(one.replace(b"Connection: close\r\n", b"") * 7 + one)
    assert answer.count(b'"length": 300000') == 8


async def test_a_body_sent_together_with_its_head_does_not_count_as_head(echo_upstream: EchoUpstream) -> None:
    size = 4 * 2**20
    async with gateway(tenant(echo_upstream.url)) as server:
        answer = await server.send(server.request("/unified-admin/", method="POST", body=b"x" * size))
    assert f'"length": {size}'.encode() in answer


async def test_a_field_too_large_to_parse_is_answered_431_with_advice() -> None:
    async with gateway(tenant()) as server:
        answer = await server.send(server.request("/", f"Cookie: a={'x' * 70_000}"))
    assert status_of(answer) == 431
    assert b"Deleting the cookies" in answer


# ---- what does not parse

UNPARSEABLE = {
    "a cookie with a control character": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: gateway-session=canary\x01\r\n\r\n",
    "a body that is no chunk": (
        b"POST /-/login HTTP/1.1\r\nHost: cc.example\r\nTransfer-Encoding: chunked, canary\r\n\r\ncanary\r\n"
    ),
    "no protocol": b"GET /canary\r\ncanary\r\n\r\n",
    "another protocol": b"canary\r\n\r\n",
    "a method of a kind": b"CANARY canary canary\r\n\r\n",
}


@pytest.mark.parametrize("name", UNPARSEABLE)
async def test_an_unparsable_request_is_answered_without_its_content_and_without_the_server_name(name: str) -> None:
    async with gateway(tenant()) as server:
        answer = await server.send(UNPARSEABLE[name])
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"canary" not in answer.lower()
    assert b"aiohttp" not in answer.lower()
    assert ("Connection", "close") in fields_of(answer)


@pytest.mark.parametrize("name", UNPARSEABLE)
async def test_an_unparsable_request_is_logged_without_its_content(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with gateway(tenant()) as server:
        with capture_logs() as lines:
            await server.send(UNPARSEABLE[name])
    assert [line["event"] for line in lines] == ["request_not_parsed"]
    assert "canary" not in (str(lines) + caplog.text).lower()
    assert caplog.records == []


async def test_bytes_after_the_last_request_are_neither_answered_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway(tenant()) as server:
        with capture_logs() as lines:
            answer = await server.send(
                server.request("/-/login", "Content-Length: 1", method="GET") + b"a&canary=canary"
            )
    assert answer.count(b"HTTP/1.1 ") == 1
    assert "canary" not in (str(lines) + caplog.text + answer.decode("latin-1")).lower()


# ---- bodies


async def test_a_body_below_the_minimum_rate_is_cut_after_the_grace_period(echo_upstream: EchoUpstream) -> None:
    limits = ConnectionLimits(body_grace=SHORT, body_rate=1e6)
    async with gateway(tenant(echo_upstream.url), limits=limits) as server, raw(server) as (reader, writer):
        writer.write(server.request("/unified-admin/", "Content-Length: 100000", method="POST") + b"a few bytes")
        assert await ended(reader) == b""
    assert "length" not in str(echo_upstream.requests)


async def test_a_form_for_the_gateway_below_the_minimum_rate_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    got: list[str] = []

    async def form(request: web.Request) -> web.Response:
        got.append((await request.read()).decode())
        return web.Response(text="read")

    limits = ConnectionLimits(body_grace=SHORT, body_rate=1e6)
    routes = [web.post("/-/login", form)]
    async with gateway(tenant(), limits=limits, routes=routes) as server, raw(server) as (reader, writer):
        writer.write(server.request("/-/login", "Content-Length: 1000", method="POST") + b"user")
        assert await ended(reader) == b""
    assert got == []
    assert [record.name for record in caplog.records if record.name == "aiohttp.server"] == []


async def two_way_app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins its answer at once, and sends back each line of the body."""
    await read_head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nready\n")
    while line := await reader.readline():
        writer.write(line)


def two_way_request(server: ProxyServer, **options: Any) -> bytes:
    """Returns the beginning of a request whose body follows later."""
    return server.request("/unified-admin/talk", "Content-Length: 6", **options)


async def test_a_body_may_pause_while_a_signed_in_user_reads_the_answer_to_it() -> None:
    limits = ConnectionLimits(head=SHORT, body_grace=SHORT, body_rate=1e6)
    async with app_that(two_way_app) as app, gateway(tenant(app.url), limits=limits) as server:
        reader, writer = await server.connect()
        writer.write(two_way_request(server, method="POST"))
        await reader.readuntil(b"ready\n")
        await pass_a_deadline(server)
        writer.write(b"hello\n")
        assert b"hello" in await reader.readuntil(b"hello\n")
        writer.transport.abort()


async def test_a_slow_body_to_a_public_path_is_cut_although_the_app_answers_already() -> None:
    limits = ConnectionLimits(head=SHORT, body_grace=SHORT, body_rate=1e6)
    async with app_that(two_way_app) as app:
        site = tenant(app.url, public_paths=("/unified-admin/talk",))
        async with gateway(site, limits=limits) as server, raw(server) as (reader, writer):
            writer.write(two_way_request(server, signed_in=False))
            await reader.readuntil(b"ready\n")
            await ended(reader)


async def test_a_body_at_the_minimum_rate_may_take_longer_than_the_grace_period(echo_upstream: EchoUpstream) -> None:
    """Received bytes extend the time for the next ones."""
    limits = ConnectionLimits(head=SHORT, body_grace=SHORT, body_rate=100.0)
    async with gateway(tenant(echo_upstream.url), limits=limits) as server, raw(server) as (reader, writer):
        writer.write(server.request("/unified-admin/", "Content-Length: 20001", method="POST"))
        writer.write(b"x" * 20000)
        await pass_a_deadline(server)  # as long as the grace
        writer.write(b"x")
        answer = await ended(reader)
    assert status_of(answer) == 200
    assert b'"length": 20001' in answer


async def test_the_time_that_an_app_does_not_read_is_not_counted_against_the_client() -> None:
    go, size = asyncio.Event(), 20_000_000

    async def lazy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await read_head(reader)
        cast(asyncio.ReadTransport, writer.transport).pause_reading()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken")

    limits = ConnectionLimits(head=0.4, body_grace=0.5, body_rate=1e12)
    async with (
        app_that(lazy) as app,
        gateway(tenant(app.url), limits=limits) as server,
        raw(server) as (reader, writer),
    ):
        writer.write(server.request("/unified-admin/", f"Content-Length: {size}", method="POST"))
        writer.write(b"x" * size)
        for _ in range(3):  # more than twice the grace
            await pass_a_deadline(server)
        go.set()
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"taken")).endswith(b"taken")


# ---- answers


async def test_a_client_that_reads_nothing_is_cut_and_the_app_is_released() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with app_that(endless) as app, gateway(tenant(app.url), limits=ConnectionLimits(stall=SHORT)) as server:
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        try:
            writer.write(server.request("/unified-admin/"))  # and then reads only a little
            async with asyncio.timeout(10):
                await app.closed.wait()
        finally:
            writer.transport.abort()


async def test_the_last_bytes_of_an_answer_have_the_same_deadline_as_the_rest() -> None:
    """They are too few to pause the app, and the request is over: only the deadline ends this connection."""
    size = 8_000_000

    async def much(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    routes = [web.get("/-/much", much)]
    limits = ConnectionLimits(stall=SHORT, answer_bytes=2 * size)
    async with gateway(tenant(), limits=limits, routes=routes) as server:
        connection = socket.socket()
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", server.port))
        with connection:
            await loop.sock_sendall(connection, server.request("/-/much"))
            with capture_logs() as lines:
                await until(lambda: bool(lines), server)
            assert [line["event"] for line in lines if line["event"] != "slow_head_cut"] == ["stalled_client_cut"]


# ---- what a connection holds

MOST = 64 * 1024
"""Bytes that one connection may hold, in each of its states."""


def held_by(server: ProxyServer) -> list[int]:
    """Returns the bytes that each connection of the gateway buffers of its client."""
    return [one._inbound.held + _waiting(one) for one in server.runner._connections.known.values()]


def _waiting(connection: Any) -> int:
    transport = connection._transport
    return 0 if transport is None or transport.is_closing() else int(transport.get_write_buffer_size())


async def pour(writer: asyncio.StreamWriter, data: bytes, most: int) -> int:
    """Sends `data` until the gateway reads no more; returns the number of bytes that the system accepted."""
    sent, transport = 0, writer.transport
    with suppress(TimeoutError, ConnectionError):
        while sent < most and not transport.is_closing():
            writer.write(data)
            async with asyncio.timeout(0.3):
                await writer.drain()
            sent += len(data)
    return sent


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[ScriptedApp, asyncio.Event, asyncio.Event]]:
    """Yields an app that answers its first request when the second event is set; the first reports its arrival."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            asked.set()
            await go.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    async with app_that(wait) as app:
        yield app, asked, go


@pytest.mark.attack("D17")
@pytest.mark.parametrize(
    "ahead",
    [
        b"X-Endless: " + b"x" * 60_000 + b"\r\n",
        f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\nCookie: a={'x' * 30_000}\r\n\r\n".encode(),
        b"\r\n" * 1000,
    ],
    ids=["an endless head", "small requests", "large requests", "empty lines"],
)
@pytest.mark.attack("S5")
async def test_bytes_sent_behind_a_pending_request_are_buffered_up_to_64_kib(ahead: bytes) -> None:
    async with hanging() as (app, asked, go), gateway(tenant(app.url)) as server, raw(server) as (_reader, writer):
        request = server.request("/unified-admin/").replace(b"Connection: close\r\n", b"")
        writer.write(request + b"GET / HTTP/1.1\r\n")
        await asked.wait()
        assert await pour(writer, ahead * (200_000 // len(ahead)), 64 * 2**20) < 32 * 2**20
        held = max(held_by(server))
        (connection,) = server.runner._connections.known.values()
        assert connection._inner is not None
        assert held <= 32 * 1024
        assert sys.getsizeof(connection._inbound._held) <= MOST
        assert len(connection._inner._messages) == 0  # nothing of it has reached aiohttp's parser
        writer.transport.abort()
        go.set()


@pytest.mark.parametrize("count", [50, 2000])
async def test_small_consecutive_requests_are_all_answered_in_order(count: int) -> None:
    async def number(request: web.Request) -> web.Response:
        return web.Response(text=f"number {request.query['n']};")

    routes = [web.get("/-/number", number)]
    async with gateway(tenant(), routes=routes) as server, raw(server) as (reader, writer):
        requests = (f"GET /-/number?n={n} HTTP/1.1\r\nHost: {HOST}\r\n\r\n" for n in range(count))
        writer.write("".join(requests).encode())
        text = b""
        async with asyncio.timeout(20):
            while not text.endswith(f"number {count - 1};".encode()):
                text += await reader.read(65536)
    assert [int(n) for n in re.findall(rb"number (\d+);", text)] == list(range(count))


async def test_requests_behind_a_pending_one_are_answered_after_it() -> None:
    async with hanging() as (app, asked, go), gateway(tenant(app.url)) as server, raw(server) as (reader, writer):
        one = server.request("/unified-admin/").replace(b"Connection: close\r\n", b"")
        padded = one.replace(b"\r\n\r\n", b"\r\nX-Large: " + b"x" * 10_000 + b"\r\n\r\n")
        writer.write(one + padded * 20 + server.request("/unified-admin/"))
        await asked.wait()
        go.set()
        answer = await ended(reader)
    assert answer.count(b"late") == 22


async def test_a_slow_head_is_buffered_up_to_64_kib_and_answered() -> None:
    limits = ConnectionLimits(head=1.0)
    async with gateway(tenant(), limits=limits) as server, raw(server) as (reader, writer):
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode() + b"A: b\r\n" * 8_000)
        await until(lambda: max(held_by(server)) == 48_000 + len(HOST) + 24, server)
        (connection,) = [one for one in server.runner._connections.known.values() if one._inbound.held]
        assert sys.getsizeof(connection._inbound._held) <= MOST
        assert status_of(await ended(reader)) == 408


async def test_a_head_of_more_than_48_kib_is_answered_431_even_if_it_is_complete() -> None:
    async with gateway(tenant()) as server:
        fits = server.request("/-/login", f"Cookie: a={'x' * 30_000}", f"X-A: {'x' * 10_000}", signed_in=False)
        assert status_of(await server.send(fits)) == 200
        large = fits.replace(b"X-A", b"X-B: " + b"x" * 9_500 + b"\r\nX-A")
        assert status_of(await server.send(large)) == 431


@pytest.mark.parametrize("fast", [True, False])
async def test_a_body_that_the_app_does_not_read_is_buffered_up_to_64_kib_on_either_side(fast: bool) -> None:
    async def lazy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        cast(asyncio.ReadTransport, writer.transport).pause_reading()
        await go.wait()

    go = asyncio.Event()
    async with app_that(lazy) as app, gateway(tenant(app.url), fast=fast) as server, raw(server) as (_reader, writer):
        writer.write(server.request("/unified-admin/", "Content-Length: 100000000", method="POST"))
        assert await pour(writer, b"x" * 200_000, 100_000_000) < 64 * 2**20
        (connection,) = server.runner._connections.known.values()
        assert connection._inner is not None
        request = connection._inner._current_request
        held_by_aiohttp = request.content._size if request is not None else 0
        assert 0 < held_by_aiohttp + connection._inbound.held <= MOST
        writer.transport.abort()
        go.set()


async def test_the_gateway_buffers_up_to_64_kib_for_a_client_that_reads_nothing() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with app_that(endless) as app, gateway(tenant(app.url)) as server:
        connection = socket.socket()
        with connection:
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(server.request("/unified-admin/"))
            await until(lambda: max(held_by(server), default=0) > 0, server)
            for _ in range(20):  # as long as twenty requests of others take
                assert status_of(await server.first(server.request("/-/login"))) == 200
                assert max(held_by(server)) <= MOST


# ---- how many


def peer(address: str) -> tuple[str, int]:
    return (address, 1)


async def test_one_connection_above_the_maximum_of_an_address_is_answered_429_until_another_closes() -> None:
    async with gateway(tenant(), limits=ConnectionLimits(per_address=2)) as server, raw(server) as (reader, writer):
        async with raw(server):
            answer = await server.send(server.request("/-/login"))
            assert status_of(answer) == 429
            assert ("Retry-After", "5") in fields_of(answer)
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert status_of(await read_head(reader)) == 200  # the loop has noticed the end of the other one
        assert status_of(await server.send(server.request("/-/login"))) == 200


async def test_connections_of_a_trusted_proxy_are_not_counted() -> None:
    limits = ConnectionLimits(per_address=1)
    async with gateway(tenant(), trusted=("127.0.0.0/8",), limits=limits) as server, raw(server), raw(server):
        request = server.request("/-/login", "X-Forwarded-For: 192.0.2.1")
        assert status_of(await server.send(request)) == 200


async def test_a_connection_above_the_total_takes_the_place_of_the_one_that_was_idle_longest() -> None:
    get = f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    limits = ConnectionLimits(connections=2)
    async with gateway(tenant(), limits=limits) as server, raw(server) as newer, raw(server) as older:
        for reader, writer in (older, newer):
            writer.write(get)
            assert status_of(await read_head(reader)) == 200
        with capture_logs() as lines:
            assert status_of(await server.send(server.request("/-/login"))) == 200
        await ended(older[0])
        newer[1].write(get)
        answered = await newer[0].readuntil(b"HTTP/1.1 200")  # after the page of its first request
        assert answered
    assert [line["event"] for line in lines] == ["connections_full"]


async def test_two_connections_above_the_total_take_two_places() -> None:
    limits = ConnectionLimits(connections=2)
    async with gateway(tenant(), limits=limits) as server, raw(server) as one, raw(server) as other:
        for reader, writer in (one, other):
            writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert status_of(await read_head(reader)) == 200
        await asyncio.gather(server.connect(), server.connect())
        await asyncio.gather(ended(one[0]), ended(other[0]))


async def test_a_request_under_way_keeps_its_connection_although_there_are_too_many() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        begun.set()
        await go_on.wait()
        return web.Response()

    limits, routes = ConnectionLimits(connections=1), [web.get("/-/slow", slow)]
    async with gateway(tenant(), limits=limits, routes=routes) as server, raw(server) as (reader, writer):
        writer.write(f"GET /-/slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await begun.wait()
        assert status_of(await server.send(server.request("/-/login"))) == 429
        go_on.set()
        assert status_of(await read_head(reader)) == 200


def test_the_defaults_are_1000_connections_10_seconds_for_a_head_and_30_for_a_stall() -> None:
    limits = ConnectionLimits()
    assert (limits.per_address, limits.head, limits.stall) == (1000, 10.0, 30.0)
    assert (limits.body_grace, limits.body_rate) == (10.0, 1024.0)
    assert (limits.head_bytes, limits.ahead, limits.answer_bytes, limits.least_taken) == (49_152, 16_384, 8_192, 4096)


def test_an_ipv6_client_is_counted_by_its_64_prefix_and_an_ipv4_client_alike_in_both_spellings() -> None:
    addresses = ConnectionCounts(1, tuple)
    assert addresses.enter(peer("2001:db8::1"))
    assert addresses.enter(peer("2001:db8::2")) is None
    assert addresses.enter(peer("2001:db8:0:1::1"))
    assert addresses.enter(peer("192.0.2.1"))
    assert addresses.enter(peer("::ffff:192.0.2.1")) is None


@pytest.mark.parametrize("peer_address", [None, "", "/run/socket", ()])
def test_a_socket_without_an_address_is_not_counted(peer_address: object) -> None:
    addresses = ConnectionCounts(0, tuple)
    assert addresses.enter(peer_address) == ""


def test_the_counter_of_an_address_without_connections_is_deleted() -> None:
    addresses = ConnectionCounts(2, tuple)
    taken = [addresses.enter(peer("192.0.2.1")) for _ in range(3)]
    assert taken == ["192.0.2.1", "192.0.2.1", None]
    for client in taken[:2]:
        addresses.leave(client or "")
    assert not addresses._counts
    assert not addresses._told


async def test_a_client_that_hangs_up_before_its_answer_causes_no_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hung_up(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.close()
        raise ConnectionResetError("Cannot write to closing transport")

    app, port = web.Application(), free_port()
    app.router.add_get("/", hung_up)
    runner = Runner(app, shutdown_timeout=1, **server_options())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await ended(reader) == b""
        writer.transport.abort()
    finally:
        await runner.cleanup()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
