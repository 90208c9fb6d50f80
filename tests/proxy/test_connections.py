"""Facts about the deadlines of a connection and the number of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.proxy.connections import Addresses, Limits
from tests.neighbours.upstream import EchoUpstream
from tests.proxy.stage import HOST, Stage, app_that, fields_of, gateway, read_head, status_of, tenant

SHORT = 0.15
"""Seconds of a deadline that a test waits for."""


@asynccontextmanager
async def raw(stage: Stage) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw connection."""
    reader, writer = await stage.connect()
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything that comes until the gateway ends the connection, however."""
    data = b""
    async with asyncio.timeout(10):
        try:
            while part := await reader.read(65536):
                data += part
        except ConnectionError:
            pass
    return data


async def pass_a_deadline(stage: Stage) -> None:
    """Until the gateway has cut another connection whose head is too slow: so much later than now it is then."""
    async with raw(stage) as (reader, writer):
        writer.write(b"GET / HT")
        assert status_of(await ended(reader)) == 408


# ---- heads


async def test_a_head_that_does_not_end_is_answered_408() -> None:
    async with gateway(tenant(), limits=Limits(head=SHORT)) as stage, raw(stage) as (reader, writer):
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow:".encode())
        answer = await ended(reader)
    assert status_of(answer) == 408
    assert ("Connection", "close") in fields_of(answer)


async def test_bytes_that_keep_coming_do_not_move_the_deadline_of_a_head() -> None:
    async with gateway(tenant(), limits=Limits(head=SHORT)) as stage, raw(stage) as (reader, writer):
        answer = asyncio.create_task(ended(reader))
        for byte in f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: {'x' * 100_000}".encode():
            if answer.done() or writer.transport.is_closing():
                break
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert status_of(await answer) in (408, 0)  # what was written after the end may have thrown the answer away


async def test_the_next_head_of_a_kept_connection_has_the_same_deadline() -> None:
    async with gateway(tenant(), limits=Limits(head=SHORT)) as stage, raw(stage) as (reader, writer):
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        first = await read_head(reader)
        assert status_of(first) == 200
        await reader.readexactly(len("own page"))
        writer.write(b"GET /-/lo")
        assert status_of(await ended(reader)) == 408


async def test_a_connection_that_says_nothing_is_not_hurried(echo_upstream: EchoUpstream) -> None:
    """A browser opens connections before it needs them."""
    limits = Limits(head=SHORT)
    async with gateway(tenant(), limits=limits) as stage, raw(stage) as (reader, writer):
        await pass_a_deadline(stage)
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert status_of(await read_head(reader)) == 200


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with gateway(tenant(), keep_alive=SHORT) as stage, raw(stage) as (reader, writer):
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = await ended(reader)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"own page")


async def test_an_answer_that_takes_its_time_is_none_of_the_clients_deadlines() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        await reader.read()

    limits = Limits(head=SHORT, body_grace=SHORT)
    async with app_that(late) as app, gateway(tenant(app.url), limits=limits) as stage, raw(stage) as (reader, writer):
        writer.write(stage.request("/unified-admin/"))
        await asked.wait()
        await pass_a_deadline(stage)
        go.set()
        assert (await ended(reader)).endswith(b"late")


@pytest.mark.attack("D17")
async def test_a_head_without_end_is_answered_431_long_before_it_fills_the_memory() -> None:
    sent = 0
    async with gateway(tenant()) as stage, raw(stage) as (reader, writer):
        answer = asyncio.create_task(ended(reader))
        writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode())
        with suppress(ConnectionError):
            while not answer.done() and sent < 500:
                writer.write(f"X-{sent}: {'x' * 60_000}\r\n".encode())
                sent += 1
                await writer.drain()
        assert status_of(await answer) in (431, 0)  # what was written after the end may have thrown the answer away
    assert sent < 100


async def test_requests_in_a_row_are_no_head_without_end(echo_upstream: EchoUpstream) -> None:
    async with gateway(tenant(echo_upstream.url)) as stage:
        one = stage.request("/unified-admin/", method="POST", body=b"x" * 300_000)
        answer = await stage.send(one.replace(b"Connection: close\r\n", b"") * 7 + one)
    assert answer.count(b'"length": 300000') == 8


async def test_what_follows_a_head_at_once_is_no_part_of_it(echo_upstream: EchoUpstream) -> None:
    size = 4 * 2**20
    async with gateway(tenant(echo_upstream.url)) as stage:
        answer = await stage.send(stage.request("/unified-admin/", method="POST", body=b"x" * size))
    assert f'"length": {size}'.encode() in answer


async def test_a_field_that_is_too_large_to_be_parsed_is_a_431_with_a_way_out() -> None:
    async with gateway(tenant()) as stage:
        answer = await stage.send(stage.request("/", f"Cookie: a={'x' * 70_000}"))
    assert status_of(answer) == 431
    assert b"Deleting the cookies" in answer


# ---- what does not parse

UNPARSEABLE = {
    "a cookie with a control character": b"GET / HTTP/1.1\r\nHost: a\r\nCookie: gateway-session=canary\x01\r\n\r\n",
    "a body longer than it says": (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\n&canary=canary"
    ),
    "no protocol": b"GET /canary\r\ncanary\r\n\r\n",
    "another protocol": b"canary\r\n\r\n",
    "a method of a kind": b"CANARY canary canary\r\n\r\n",
}


@pytest.mark.parametrize("name", UNPARSEABLE)
async def test_what_does_not_parse_is_answered_without_a_word_of_it_and_of_the_server(name: str) -> None:
    async with gateway(tenant()) as stage:
        answer = await stage.send(UNPARSEABLE[name])
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"canary" not in answer.lower()
    assert b"aiohttp" not in answer.lower()
    assert ("Connection", "close") in fields_of(answer)


@pytest.mark.parametrize("name", UNPARSEABLE)
async def test_what_does_not_parse_is_a_line_of_the_log_that_repeats_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(tenant()) as stage:
        with capture_logs() as lines:
            await stage.send(UNPARSEABLE[name])
    assert [line["event"] for line in lines] == ["request_not_parsed"]
    assert "canary" not in (str(lines) + caplog.text).lower()
    assert caplog.records == []


# ---- bodies


async def test_a_body_below_the_least_rate_is_cut_after_the_grace(echo_upstream: EchoUpstream) -> None:
    limits = Limits(body_grace=SHORT, body_rate=1e6)
    async with gateway(tenant(echo_upstream.url), limits=limits) as stage, raw(stage) as (reader, writer):
        writer.write(stage.request("/unified-admin/", "Content-Length: 100000", method="POST") + b"a few bytes")
        assert await ended(reader) == b""
    assert "length" not in str(echo_upstream.requests)


async def test_a_form_of_our_own_below_the_least_rate_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    got: list[str] = []

    async def form(request: web.Request) -> web.Response:
        got.append((await request.read()).decode())
        return web.Response(text="read")

    limits = Limits(body_grace=SHORT, body_rate=1e6)
    routes = [web.post("/-/login", form)]
    async with gateway(tenant(), limits=limits, routes=routes) as stage, raw(stage) as (reader, writer):
        writer.write(stage.request("/-/login", "Content-Length: 1000", method="POST") + b"user")
        assert await ended(reader) == b""
    assert got == []
    assert [record.name for record in caplog.records if record.name == "aiohttp.server"] == []


async def test_a_body_at_the_least_rate_may_take_longer_than_the_grace(echo_upstream: EchoUpstream) -> None:
    """What has come buys the time for what is still to come."""
    limits = Limits(head=SHORT, body_grace=SHORT, body_rate=100.0)
    async with gateway(tenant(echo_upstream.url), limits=limits) as stage, raw(stage) as (reader, writer):
        writer.write(stage.request("/unified-admin/", "Content-Length: 20001", method="POST"))
        writer.write(b"x" * 20000)
        await pass_a_deadline(stage)  # as long as the grace
        writer.write(b"x")
        answer = await ended(reader)
    assert status_of(answer) == 200
    assert b'"length": 20001' in answer


async def test_an_app_that_does_not_read_costs_the_client_no_time() -> None:
    go, size = asyncio.Event(), 3_000_000

    async def lazy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await go.wait()
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken")
        await reader.read()

    limits = Limits(head=SHORT, body_grace=SHORT, body_rate=1e12)
    async with app_that(lazy) as app, gateway(tenant(app.url), limits=limits) as stage, raw(stage) as (reader, writer):
        writer.write(stage.request("/unified-admin/", f"Content-Length: {size}", method="POST"))
        writer.write(b"x" * size)
        for _ in range(2):  # twice the grace
            await pass_a_deadline(stage)
        go.set()
        assert (await ended(reader)).endswith(b"taken")


# ---- answers


async def test_a_client_that_takes_nothing_is_cut_and_the_app_is_let_go() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with app_that(endless) as app, gateway(tenant(app.url), limits=Limits(stall=SHORT)) as stage:
        _reader, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=1024)
        try:
            writer.write(stage.request("/unified-admin/"))  # and never reads more than a little
            async with asyncio.timeout(10):
                await app.closed.wait()
        finally:
            writer.transport.abort()


# ---- how many


def peer(address: str) -> tuple[str, int]:
    return (address, 1)


async def test_one_connection_too_many_of_an_address_is_answered_429_and_a_closed_one_makes_room() -> None:
    async with gateway(tenant(), limits=Limits(per_address=2)) as stage, raw(stage) as (reader, writer):
        async with raw(stage):
            answer = await stage.send(stage.request("/-/login"))
            assert status_of(answer) == 429
            assert ("Retry-After", "5") in fields_of(answer)
        writer.write(f"GET /-/login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert status_of(await read_head(reader)) == 200  # the loop has seen the other one go
        assert status_of(await stage.send(stage.request("/-/login"))) == 200


async def test_connections_of_a_trusted_proxy_are_not_counted() -> None:
    limits = Limits(per_address=1)
    async with gateway(tenant(), trusted=("127.0.0.0/8",), limits=limits) as stage, raw(stage), raw(stage):
        request = stage.request("/-/login", "X-Forwarded-For: 192.0.2.1")
        assert status_of(await stage.send(request)) == 200


def test_the_default_is_a_thousand_connections_ten_seconds_for_a_head_and_thirty_for_a_stall() -> None:
    limits = Limits()
    assert (limits.per_address, limits.head, limits.stall) == (1000, 10.0, 30.0)
    assert (limits.body_grace, limits.body_rate) == (10.0, 1024.0)


def test_an_ipv6_client_is_its_64_and_an_ipv4_one_is_the_same_in_both_spellings() -> None:
    addresses = Addresses(1, tuple)
    assert addresses.enter(peer("2001:db8::1"))
    assert addresses.enter(peer("2001:db8::2")) is None
    assert addresses.enter(peer("2001:db8:0:1::1"))
    assert addresses.enter(peer("192.0.2.1"))
    assert addresses.enter(peer("::ffff:192.0.2.1")) is None


@pytest.mark.parametrize("nobody", [None, "", "/run/socket", ()])
def test_a_socket_without_an_address_is_not_counted(nobody: object) -> None:
    addresses = Addresses(0, tuple)
    assert addresses.enter(nobody) == ""


def test_nothing_is_remembered_of_addresses_that_are_gone() -> None:
    addresses = Addresses(2, tuple)
    taken = [addresses.enter(peer("192.0.2.1")) for _ in range(3)]
    assert taken == ["192.0.2.1", "192.0.2.1", None]
    for client in taken[:2]:
        addresses.leave(client or "")
    assert not addresses._counts
    assert not addresses._told
