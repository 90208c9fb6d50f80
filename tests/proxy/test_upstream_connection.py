"""Tests of the end of an app's answer, and of invalid answers."""

import asyncio
import socket
import struct

import pytest

from gateway.domain.tenant import Route
from gateway.proxy.upstream_connection import NoConnection
from gateway.proxy.upstream_pool import UpstreamOrigin, UpstreamPool
from tests.fixtures.proxy_server import (
    app_that,
    body_of,
    fields_of,
    gateway,
    read_head,
    status_of,
    tenant,
    until_quiet,
    values,
)
from tests.fixtures.upstream import RawUpstream


@pytest.mark.row("GW-01")
@pytest.mark.parametrize(
    ("method", "answer", "status", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc"),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            200,
            b"abcde",
        ),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 10\r\n\r\n", 304, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
        (
            "GET",
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 Nope\r\nContent-Length: 1\r\n\r\nx",
            404,
            b"x",
        ),
        ("GET", b"HTTP/1.1 500 \r\nContent-Length: 1\r\n\r\nx", 500, b"x"),
        ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
    ],
)
async def test_every_form_of_answer_ends_at_its_declared_end_and_leaves_the_connection_usable(
    method: str, answer: bytes, status: int, body: bytes, raw_upstream: RawUpstream
) -> None:
    raw_upstream.answer = answer
    async with gateway(tenant(raw_upstream.url)) as server:
        for _ in range(3):
            got = await server.send(server.request("/agent-manager/x", method=method))
            assert (status_of(got), body_of(got)) == (status, body)
            assert b"Link" not in got
    assert raw_upstream.requests == 3
    assert len(raw_upstream.connections) == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
async def test_a_connection_that_the_app_announced_to_close_carries_no_further_request(
    head: bytes, raw_upstream: RawUpstream
) -> None:
    raw_upstream.answer = head + b"Content-Length: 2\r\n\r\nok"  # and leaves the connection open
    async with gateway(tenant(raw_upstream.url)) as server:
        for _ in range(2):
            assert body_of(await server.send(server.request("/agent-manager/x", method="POST"))) == b"ok"
    assert len(raw_upstream.connections) == 2


async def test_an_answer_without_a_length_ends_when_its_connection_closes() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        answer = await server.send(server.request("/agent-manager/x"))
    assert body_of(answer) == b"until the end"
    assert values(tuple(fields_of(answer)), "transfer-encoding") == ["chunked"]


async def test_an_answer_without_a_length_whose_connection_breaks_never_looks_complete() -> None:
    broken = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf of it")
        await broken.wait()
        end = writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that closing is a reset
        writer.transport.abort()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/x"))
        answer = await reader.readuntil(b"half of it\r\n")
        broken.set()
        answer += await until_quiet(reader)
        writer.close()
    assert not answer.endswith(b"0\r\n\r\n")


async def test_a_client_of_http_1_0_gets_no_chunked_body(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with gateway(tenant(raw_upstream.url)) as server:
        answer = await server.send(server.request("/agent-manager/x").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert answer.endswith(b"\r\n\r\nabc")
    assert b"chunked" not in answer


async def test_one_connection_of_a_browser_carries_many_requests(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        for _ in range(5):
            writer.write(server.request("/agent-manager/x").replace(b"Connection: close\r\n", b""))
            assert status_of(await read_head(reader)) == 200
            assert await reader.readexactly(2) == b"ok"
        writer.close()


@pytest.mark.row("GW-01")
async def test_field_bytes_above_ascii_in_an_answer_pass_unchanged(raw_upstream: RawUpstream) -> None:
    name = 'Content-Disposition: attachment; filename="\u00fc.pdf"\r\n'.encode()
    raw_upstream.answer = b"HTTP/1.1 200 OK\r\n" + name + b"Content-Length: 0\r\n\r\n"
    async with gateway(tenant(raw_upstream.url)) as server:
        assert name in await server.send(server.request("/agent-manager/x"))


EVIL = {
    "no http": b"hello, world\r\n\r\n",
    "http 0.9": b"<html>hello</html>",
    "status 999": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 20": b"HTTP/1.1 20 Odd\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
    "length that overflows": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\na",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc",
    "split answer": b"HTTP/1.1 200 OK\r\nX-Bad: a\rSet-Cookie: x=1\r\nContent-Length: 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX-Bad: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "name with a blank": b"HTTP/1.1 200 OK\r\nX Bad: a\r\nContent-Length: 0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX-Bad: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n",
    "101 without an upgrade request": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "101 without upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "cut off in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "bad chunk first": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
async def test_an_answer_that_is_not_http_is_a_502_and_its_connection_is_closed(
    name: str, raw_upstream: RawUpstream
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(EVIL[name])
        await writer.drain()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        first = await server.send(server.request("/agent-manager/x"))
        second = await server.send(server.request("/agent-manager/x"))
    if name == "bad chunk first":  # the head was valid and has been sent
        assert not first.endswith(b"0\r\n\r\n")
    else:
        assert (status_of(first), status_of(second)) == (502, 502)
    assert app.connections == 2


async def test_bytes_after_an_answer_never_become_the_next_answer(raw_upstream: RawUpstream) -> None:
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    raw_upstream.answer = lambda number: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra
    async with gateway(tenant(raw_upstream.url)) as server:
        for method in ("GET", "HEAD", "GET"):
            assert b"evil" not in await server.send(server.request("/agent-manager/x", method=method))
    assert len(raw_upstream.connections) == 3


async def test_a_body_after_the_answer_to_a_head_request_never_becomes_the_next_answer(
    raw_upstream: RawUpstream,
) -> None:
    raw_upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with gateway(tenant(raw_upstream.url)) as server:
        head = await server.send(server.request("/agent-manager/x", method="HEAD"))
        get = await server.send(server.request("/agent-manager/x"))
    assert (body_of(head), body_of(get)) == (b"", b"ok")


async def test_a_head_without_end_is_no_answer() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:
            writer.write(b"a" * 4000)
            await writer.drain()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        answer = await asyncio.wait_for(server.send(server.request("/agent-manager/x")), 10)
    assert status_of(answer) == 502


@pytest.mark.both_loops
async def test_a_connection_that_is_being_closed_is_neither_written_nor_paused(raw_upstream: RawUpstream) -> None:
    pool = UpstreamPool()
    wire = await pool.at(UpstreamOrigin.of(Route("/x", raw_upstream.url))).connect(1.0)
    wire.begin("GET")
    wire.close()
    wire.hold()
    with pytest.raises(NoConnection):
        await wire.write(b"GET / HTTP/1.1\r\n\r\n")
