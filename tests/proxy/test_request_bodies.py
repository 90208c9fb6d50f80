"""Bodies of requests on the fast path: what the app gets, its pace, and what goes wrong on the way."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.domain.tenant import Route
from tests.fixtures.fast_path import heads_taken
from tests.fixtures.proxy_server import HOST, ProxyServer, app_that, gateway, read_head, status_of, tenant
from tests.proxy.test_fast_path_agrees import body_after

CHUNKS = b"5\r\nhello\r\n3;ext=1\r\nyou\r\n0\r\nX-Trailer: secret\r\n\r\n"
MIB = 2**20


@pytest.fixture(autouse=True)
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Returns the heads that the fast path has taken."""
    return heads_taken(monkeypatch)


def head_of(server: ProxyServer, *lines: str, method: str = "POST", path: str = "/agent-manager/x") -> bytes:
    """Returns the head of a signed-in user's request on a kept connection."""
    fields = (f"Host: {HOST}", f"Origin: https://{HOST}", f"Cookie: {server.cookie}", *lines)
    return "\r\n".join((f"{method} {path} HTTP/1.1", *fields, "", "")).encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Returns status and body of an answer with a length."""
    async with asyncio.timeout(10):
        head = await read_head(reader)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None, head
        return status_of(head), await reader.readexactly(int(length[1]))


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """Yields the address of an app that answers with the framing and the bytes of each body."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            body = await body_after(head, reader)
            framing = re.search(rb"(Content-Length|Transfer-Encoding): [^\r]*", head)
            said = (framing[0] if framing else b"none") + b"|" + body
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    async with app_that(script) as app:
        yield app.url


@pytest.mark.row("GW-09")
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("line", "body", "expected"),
    [
        ("Content-Length: 5", b"hello", b"Content-Length: 5|hello"),
        ("Content-Length: 0", b"", b"Content-Length: 0|"),
        ("X-None: 1", b"", b"Content-Length: 0|"),
        ("Transfer-Encoding: chunked", CHUNKS, b"Transfer-Encoding: chunked|helloyou"),
        ("Transfer-Encoding: chunked", b"0\r\n\r\n", b"Transfer-Encoding: chunked|"),
    ],
)
async def test_a_body_reaches_the_app_on_the_fast_path(
    line: str, body: bytes, expected: bytes, apart: bool, taken: list[bytes]
) -> None:
    async with echoing() as url, gateway(tenant(url)) as server:
        reader, writer = await server.connect()
        for _ in range(2):  # the second on kept connections
            head = head_of(server, line)
            writer.write(head if apart else head + body)
            if apart:
                await asyncio.sleep(0)
                writer.write(body)
            assert await answer(reader) == (200, expected)
    assert len(taken) == 2


@pytest.mark.attack("D1")
@pytest.mark.parametrize("fast", [True, False])
async def test_a_trailer_is_no_field_of_the_next_request(fast: bool) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            seen.append(head + await body_after(head, reader))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with app_that(script) as app, gateway(tenant(app.url), fast=fast) as server:
        reader, writer = await server.connect()
        for framing, body in (("Transfer-Encoding: chunked", CHUNKS), ("Content-Length: 1", b"x")):
            writer.write(head_of(server, framing) + body)
            assert await answer(reader) == (200, b"ok")
    assert not any(b"secret" in whole for whole in seen)


async def test_requests_that_follow_a_body_at_once_are_answered_in_order() -> None:
    async with echoing() as url, gateway(tenant(url)) as server:
        reader, writer = await server.connect()
        first = head_of(server, "Content-Length: 3") + b"one"
        second = head_of(server, "Transfer-Encoding: chunked") + CHUNKS
        writer.write(first + second + first)
        bodies = [(await answer(reader))[1].partition(b"|")[2] for _ in range(3)]
    assert bodies == [b"one", b"helloyou", b"one"]


async def test_a_large_body_arrives_byte_for_byte() -> None:
    body = bytes(range(256)) * (4 * MIB // 256)
    async with echoing() as url, gateway(tenant(url)) as server:
        reader, writer = await server.connect()
        writer.write(head_of(server, f"Content-Length: {len(body)}") + body)
        assert (await answer(reader))[1].partition(b"|")[2] == body
        whole = b"".join(b"%x\r\n%b\r\n" % (65_536, body[at : at + 65_536]) for at in range(0, len(body), 65_536))
        writer.write(head_of(server, "Transfer-Encoding: chunked") + whole + b"0\r\n\r\n")
        assert (await answer(reader))[1].partition(b"|")[2] == body


@pytest.mark.parametrize(("method", "status", "times"), [("PUT", 200, 2), ("POST", 502, 1)])
async def test_only_a_repeatable_request_is_sent_again_after_a_kept_connection_has_closed(
    method: str, status: int, times: int
) -> None:
    arrived: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        arrived.append(await body_after(head, reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        head = await read_head(reader)  # the second request on this connection gets no answer
        arrived.append(await body_after(head, reader))

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(head_of(server, "Content-Length: 3", method=method) + b"one")
        assert await answer(reader) == (200, b"ok")
        writer.write(head_of(server, "Content-Length: 3", method=method) + b"two")
        assert (await answer(reader))[0] == status
    assert arrived == [b"one"] + [b"two"] * times


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_app_that_closes_in_a_body_is_a_problem_and_the_next_request_is_answered(framing: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"/agent-manager/next" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            await reader.readexactly(5)

    line, first, rest = "Content-Length: 10", b"hello", b"world"
    if framing == "chunked":
        line, first, rest = "Transfer-Encoding: chunked", b"5\r\nhello\r\n", b"5\r\nworld\r\n0\r\n\r\n"
    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(head_of(server, line) + first)
        assert (await answer(reader))[0] == 502
        writer.write(rest + head_of(server, path="/agent-manager/next"))
        assert await answer(reader) == (200, b"ok")


async def test_an_app_that_answers_early_and_reads_on_gets_the_whole_body() -> None:
    rest = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await reader.readexactly(5)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
        rest.set_result(await reader.readexactly(5))
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(head_of(server, "Content-Length: 10") + b"hello")
        assert await answer(reader) == (202, b"ok")
        writer.write(b"world" + head_of(server))
        assert await asyncio.wait_for(rest, 10) == b"world"
        assert await answer(reader) == (200, b"next")


async def test_a_refusal_in_the_middle_of_a_body_says_that_the_connection_ends() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(head_of(server, f"Content-Length: {64 * MIB}") + b"x" * 70_000)
        head = await read_head(reader)
        assert status_of(head) == 413
        assert b"\r\nConnection: close\r\n" in head
        assert await reader.read() == b"big"
        writer.write(b"x" * 70_000)  # no reset before the client had the answer
        await writer.drain()


@pytest.mark.attack("D1")
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("bad", [b"zz\r\nhello\r\n", b"5\r\nhelloworld\r\n", b"5\nhello\r\n", b"-5\r\nhello\r\n"])
async def test_chunks_that_do_not_parse_end_the_connection_and_reach_no_app_as_a_whole(bad: bytes, apart: bool) -> None:
    whole: list[bytes] = []
    arrived = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        arrived.set()
        whole.append(await body_after(head, reader))

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(head_of(server, "Transfer-Encoding: chunked"))
        if apart:
            await asyncio.wait_for(arrived.wait(), 10)
        writer.write(bad + b"0\r\n\r\n" + head_of(server))
        said = b""
        with suppress(ConnectionError):
            said = await asyncio.wait_for(reader.read(), 10)
    assert said == b"" if apart else status_of(said) == 400
    assert whole == []


async def test_a_body_larger_than_the_route_takes_is_refused() -> None:
    async with echoing() as url:
        routes = (Route("/agent-manager", url, max_body=4),)
        async with gateway(tenant(url, routes=routes)) as server:
            for framing, body in (("Content-Length: 5", b"hello"), ("Transfer-Encoding: chunked", CHUNKS)):
                reader, writer = await server.connect()
                writer.write(head_of(server, framing) + body)
                assert (await answer(reader))[0] == 413


async def test_a_client_that_leaves_in_a_body_leaves_the_app_no_whole_request() -> None:
    arrived = asyncio.Event()
    ended = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        arrived.set()
        try:
            ended.set_result(await reader.read())
        except ConnectionError:
            ended.set_result(b"cut")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        _, writer = await server.connect()
        writer.write(head_of(server, "Content-Length: 10") + b"hello")
        await asyncio.wait_for(arrived.wait(), 10)
        writer.close()
        assert await asyncio.wait_for(ended, 10) in {b"hello", b"", b"cut"}
