"""Tests of forwarding requests to apps and answers to clients."""

import asyncio
import hashlib
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.domain.tenant import AllowedUsers, Route
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import (
    VALUE,
    app_that,
    body_of,
    fields_of,
    gateway,
    read_head,
    session,
    status_of,
    tenant,
    until_quiet,
    values,
)
from tests.fixtures.upstream import RawUpstream

MIB = 2**20


@pytest.mark.row("GW-01")
async def test_a_request_with_a_session_reaches_the_app_once(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        answer = await server.send(server.request("/unified-admin/a?b=c"))
    assert (status_of(answer), body_of(answer)) == (200, b"ok")
    assert raw_upstream.requests == 1
    assert raw_upstream.received.startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.row("GW-01")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_reaches_the_app(method: str, raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        answer = await server.send(server.request("/agent-manager/x", method=method))
    assert status_of(answer) == 200
    assert raw_upstream.received.startswith(f"{method} /agent-manager/x HTTP/1.1\r\n".encode())


async def test_a_body_of_known_length_keeps_its_content_length(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        await server.send(server.request("/agent-manager/x", method="POST", body=b"a" * 300_000))
    head, _, body = raw_upstream.received.partition(b"\r\n\r\n")
    assert b"Content-Length: 300000" in head
    assert b"Transfer-Encoding" not in head
    assert body == b"a" * 300_000


async def test_a_chunked_body_is_chunked_again_without_trailers(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        head = server.request("/agent-manager/x", "Transfer-Encoding: chunked", method="POST")
        await server.send(head + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n")
    assert raw_upstream.received.endswith(b"\r\n\r\n5\r\nabcde\r\n0\r\n\r\n") or raw_upstream.received.endswith(
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert b"X-Trailer" not in raw_upstream.received


async def test_a_post_without_a_body_has_content_length_zero(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        await server.send(server.request("/agent-manager/x", method="POST"))
    assert b"Content-Length: 0\r\n" in raw_upstream.received


async def test_compressed_bodies_pass_unchanged_in_both_directions(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nnotgzip"
    sent = b"\x1f\x8b not gzip at all"
    async with gateway(tenant(raw_upstream.url)) as server:
        answer = await server.send(
            server.request("/agent-manager/x", "Content-Encoding: gzip", method="POST", body=sent)
        )
    assert raw_upstream.received.endswith(b"\r\n\r\n" + sent)
    assert values(tuple(fields_of(answer)), "content-encoding") == ["gzip"]
    assert body_of(answer) == b"notgzip"


async def test_a_client_that_waits_to_be_asked_is_asked_if_the_app_does_not_answer(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/x", "Expect: 100-continue", "Content-Length: 4", method="POST"))
        assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abcd")
        assert status_of(await reader.read()) == 200
        writer.close()
    assert b"\r\nExpect: 100-continue\r\n" in raw_upstream.received


async def test_a_client_that_waits_to_be_asked_is_asked_when_the_app_asks() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/x", "Expect: 100-continue", "Content-Length: 4", method="POST"))
        assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abcd")
        assert (await until_quiet(reader)).endswith(b"\r\n\r\nabcd")
        writer.close()


async def test_a_client_that_waits_to_be_asked_gets_the_refusal_of_the_app_and_sends_no_body() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        assert await reader.read() == b""

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        request = server.request("/agent-manager/x", "Expect: 100-continue", f"Content-Length: {MIB}", method="POST")
        writer.write(request.replace(b"Connection: close\r\n", b""))
        answer = await until_quiet(reader)
        writer.close()
    assert status_of(answer) == 413
    assert values(tuple(fields_of(answer)), "connection") == ["close"]
    assert answer.endswith(b"big")


@contextmanager
def refusing_app() -> Iterator[int]:
    """The port of an app, in its own thread, that refuses each body and closes with the body unread.

    The kernel then resets the connection: the gateway's next write fails although the answer has arrived.
    """
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(1)
                    connection.sendall(refusal)

    with socket.socket() as listening:
        port = free_port()
        listening.bind(("127.0.0.1", port))
        listening.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.both_loops
async def test_a_refusal_of_an_app_that_closes_at_once_reaches_a_client_in_the_middle_of_its_upload() -> None:
    with refusing_app() as port:
        async with gateway(tenant(f"http://127.0.0.1:{port}")) as server:
            for _ in range(40):
                reader, writer = await server.connect()
                request = server.request("/agent-manager/x", f"Content-Length: {MIB}", method="POST")
                writer.write(request + b"x" * MIB)
                assert status_of(await asyncio.wait_for(read_head(reader), 10)) == 413
                writer.transport.abort()


async def test_an_app_that_answers_before_the_end_of_an_upload_gets_all_of_it() -> None:
    received = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        received.set_result(hashlib.sha256(await reader.readexactly(4 * MIB)).digest())
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        request = server.request("/agent-manager/x", f"Content-Length: {4 * MIB}", method="POST")
        writer.write(request.replace(b"Connection: close\r\n", b""))
        assert status_of(await read_head(reader)) == 200
        assert await reader.readexactly(2) == b"ok"
        sent = hashlib.sha256()
        for number in range(64):
            part = bytes([number]) * 65_536
            sent.update(part)
            writer.write(part)
            await writer.drain()
        assert await asyncio.wait_for(received, 10) == sent.digest()
        writer.write(server.request("/agent-manager/y"))
        assert (await until_quiet(reader)).endswith(b"again")
        assert app.connections == 1
        writer.close()


async def test_a_request_of_an_idempotent_method_without_a_body_is_repeated_on_a_new_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        with suppress(asyncio.IncompleteReadError):
            await read_head(reader)  # the second request on a connection gets no answer

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        for method, status in (("GET", 200), ("DELETE", 200), ("PUT", 200), ("POST", 502)):
            assert status_of(await server.send(server.request("/agent-manager/x"))) == 200
            lines = ("Content-Length: 0",) if method in ("PUT", "POST") else ()
            assert status_of(await server.send(server.request("/agent-manager/x", *lines, method=method))) == status


async def test_a_client_of_http_1_0_gets_no_100_continue(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        request = server.request("/agent-manager/x", "Expect: 100-continue", method="POST", body=b"abcd")
        answer = await server.send(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert b"100 Continue" not in answer
    assert status_of(answer) == 200


async def test_a_client_without_a_session_gets_no_100_continue(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        lines = ("Expect: 100-continue", "Content-Length: 4")
        answer = await server.first(server.request("/agent-manager/x", *lines, method="POST", signed_in=False))
    assert status_of(answer) == 401
    assert raw_upstream.connections == []


@pytest.mark.row("GW-03")
async def test_the_first_byte_of_a_stream_arrives_before_the_second_is_sent() -> None:
    asked = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await asked.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/events"))
        await read_head(reader)
        assert await asyncio.wait_for(reader.readuntil(b"data: 1\n\n\r\n"), 5)
        asked.set()
        assert await asyncio.wait_for(reader.readuntil(b"data: 2\n\n\r\n"), 5)
        writer.close()


@pytest.mark.row("GW-40")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("lost", "ended"), [(("other",), True), (("admin", "other"), False)])
async def test_an_event_stream_is_cut_when_the_user_loses_the_role_of_its_app(
    fast: bool, lost: tuple[str, ...], ended: bool
) -> None:
    changed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await changed.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        await reader.read()

    async with app_that(script) as app:
        route = Route("/app", app.url, allow=AllowedUsers(roles=frozenset({"admin"})))
        async with gateway(tenant(routes=(route,)), fast=fast) as server:
            server.sessions.change(roles=("admin",))
            reader, writer = await server.connect()
            writer.write(server.request("/app/events"))
            await asyncio.wait_for(reader.readuntil(b"data: 1\n\n\r\n"), 5)
            server.sessions.change(roles=lost)
            changed.set()
            rest = await until_quiet(reader)
    assert (b"data: 2" in rest) is not ended


@pytest.mark.row("GW-03")
async def test_events_may_have_longer_pauses_than_the_parts_of_another_answer() -> None:
    waiting, later = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events = b"/events" in await read_head(reader)
        kind = b"text/event-stream; charset=utf-8" if events else b"text/plain"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind)
        writer.write(b"7\r\ndata: 1\r\n")
        if events:
            waiting.set()
            await later.wait()
            writer.write(b"7\r\ndata: 2\r\n0\r\n\r\n")
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/slow/events"))
        await waiting.wait()
        assert b"data: 1" in await server.send(
            server.request("/slow/x")
        )  # cut after as much time as there may be between
        later.set()
        assert (await until_quiet(reader)).endswith(b"data: 2\r\n0\r\n\r\n")
        writer.close()


@pytest.mark.row("GW-01")
async def test_an_app_may_answer_while_it_still_reads_the_body() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(2):
            writer.write(await reader.readexactly(3))
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/x", "Content-Length: 6", method="POST") + b"abc")
        await read_head(reader)
        assert await asyncio.wait_for(reader.readexactly(3), 5) == b"abc"
        writer.write(b"def")
        assert await asyncio.wait_for(reader.readexactly(3), 5) == b"def"
        writer.close()


async def test_an_early_refusal_of_a_large_body_reaches_the_client() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        request = server.request("/agent-manager/x", f"Content-Length: {64 * MIB}", method="POST")
        answer = await server.first(request + b"x" * 100_000)
    assert status_of(answer) == 413


async def test_a_client_that_gets_an_early_answer_may_send_the_rest_and_another_request() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/first" in await read_head(reader):
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
        await reader.read(1)

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        first = server.request("/agent-manager/first", f"Content-Length: {8 * MIB}", method="POST")
        writer.write(first.replace(b"Connection: close\r\n", b""))
        assert status_of(await read_head(reader)) == 413
        for _ in range(8):
            writer.write(b"x" * MIB)
            await writer.drain()
        writer.write(server.request("/agent-manager/second"))
        assert (await until_quiet(reader)).endswith(b"fine")
        writer.close()


@pytest.mark.row("GW-01")
async def test_100_mib_pass_in_both_directions_in_little_memory() -> None:
    block, count = b"0123456789abcdef" * 4096, 1600  # 64 KiB, 100 MiB

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            digest = hashlib.sha256()
            while size:
                data = await reader.read(min(size, 2**18))
                digest.update(data)
                size -= len(data)
            blocks = int(head.partition(b"blocks=")[2].partition(b" ")[0])
            writer.write(b"HTTP/1.1 200 OK\r\nX-Sha: %b\r\n" % digest.hexdigest().encode())
            writer.write(b"Content-Length: %d\r\n\r\n" % (blocks * len(block)))
            for _ in range(blocks):
                writer.write(block)
                await writer.drain()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        peaks = []
        for blocks in (count // 20, count):
            reader, writer = await server.connect()
            length = blocks * len(block)
            lines = (f"Content-Length: {length}",)
            writer.write(server.request(f"/agent-manager/x?blocks={blocks}", *lines, method="POST"))
            wanted = hashlib.sha256()
            for _ in range(blocks):
                wanted.update(block)
                writer.write(block)
                await writer.drain()
            assert wanted.hexdigest().encode() in await read_head(reader)
            got, rest = hashlib.sha256(), length
            while rest:
                data = await reader.read(2**18)
                got.update(data)
                rest -= len(data)
            assert got.digest() == wanted.digest()
            writer.close()
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert (peaks[1] - peaks[0]) * 1024 < 32 * MIB


async def test_an_app_waits_for_a_client_that_does_not_read() -> None:
    sent = 0
    stalled = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        try:
            for _ in range(256):
                writer.write(b"x" * MIB)
                await asyncio.wait_for(writer.drain(), 1)
                sent += 1
        except TimeoutError:
            stalled.set()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        _, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(server.request("/agent-manager/x"))
        await asyncio.wait_for(stalled.wait(), 30)
        writer.transport.abort()
    assert sent < 64


@pytest.mark.row("GW-01")
async def test_an_app_that_is_down_is_a_502(raw_upstream: RawUpstream) -> None:
    await raw_upstream.stop()
    async with gateway(tenant(raw_upstream.url)) as server:
        page = await server.send(server.request("/agent-manager/x", "Accept: text/html"))
        data = await server.send(server.request("/agent-manager/x", "Sec-Fetch-Mode: cors", "Accept: */*"))
    assert (status_of(page), status_of(data)) == (502, 502)
    assert b"<html" in page
    assert b'"app-unavailable"' in data


async def test_an_app_that_failed_is_named_in_the_log(raw_upstream: RawUpstream) -> None:
    await raw_upstream.stop()
    routes = (Route("/agent-manager", raw_upstream.url, name="Agent Manager"),)
    async with gateway(tenant(routes=routes)) as server:
        with capture_logs() as lines:
            await server.send(server.request("/agent-manager/x"))
    [line] = [line for line in lines if line["event"] == "app_failed"]
    assert (line["app"], line["route"], line["problem"]) == ("Agent Manager", "/agent-manager", "app-unavailable")


@pytest.mark.row("GW-01")
async def test_an_app_that_is_slow_is_a_504(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b""
    async with gateway(tenant(raw_upstream.url)) as server:
        for method, body in (("GET", b""), ("POST", b"abc")):
            answer = await server.send(server.request("/slow/x", method=method, body=body))
            assert status_of(answer) == 504, method
    assert raw_upstream.requests == 2


async def test_an_app_that_does_not_read_a_body_is_a_504() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        request = server.request("/slow/x", f"Content-Length: {256 * MIB}", method="POST")
        reader, writer = await server.connect()
        writer.write(request + b"x" * (64 * MIB))
        assert status_of(await asyncio.wait_for(read_head(reader), 30)) == 504
        writer.transport.abort()


async def test_an_upload_to_an_app_that_reads_late_arrives_whole() -> None:
    full = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await full.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        length = 0
        while length < 64 * MIB:
            length += len(await reader.read(MIB))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/x", f"Content-Length: {64 * MIB}", method="POST"))
        for _ in range(64):
            writer.write(b"x" * MIB)
            taken = asyncio.create_task(writer.drain())
            await asyncio.wait({taken}, timeout=0.5)
            if not taken.done():  # every buffer on the way is full
                full.set()
            await taken
        assert full.is_set()
        assert status_of(await asyncio.wait_for(read_head(reader), 20)) == 200
        writer.close()


async def test_an_incomplete_answer_is_cut_and_never_looks_complete() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        answer = await server.send(server.request("/slow/x"))
    assert b"abc" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("method", "times", "status"), [("GET", 2, 200), ("POST", 1, 502)])
async def test_only_an_idempotent_request_is_retried_after_a_closed_connection(
    method: str, times: int, status: int
) -> None:
    requests: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            requests.append(await read_head(reader))
            if len(requests) == 2:
                return  # the kept connection breaks during the second request
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        await server.send(server.request("/agent-manager/x"))
        answer = await server.send(server.request("/agent-manager/x", method=method))
    assert status_of(answer) == status
    assert len(requests) == 1 + times


async def test_a_request_whose_new_connection_closes_is_sent_once(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = lambda _number: None
    async with gateway(tenant(raw_upstream.url)) as stage:
        answer = await stage.send(stage.request("/agent-manager/x"))
    assert status_of(answer) == 502
    assert raw_upstream.requests == 1


@pytest.mark.parametrize(
    ("method", "size", "status"),
    [("PUT", 16_384, 200), ("DELETE", 16_384, 200), ("PUT", 16_385, 502), ("POST", 3, 502), ("PATCH", 3, 502)],
)
@pytest.mark.parametrize("fast", [True, False])
async def test_a_short_body_of_an_idempotent_request_is_sent_again_after_a_closed_connection(
    method: str, size: int, status: int, fast: bool
) -> None:
    body, got = bytes(range(256)) * (size // 256) + b"x" * (size % 256), b""
    heads = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads, got
        while True:
            head = await read_head(reader)
            heads += 1
            got = await reader.readexactly(size) if head.startswith(method.encode()) else b""
            if heads == 2:
                return  # the kept connection breaks after the body of the second request
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with app_that(script) as app, gateway(tenant(app.url), fast=fast) as server:
        await server.send(server.request("/agent-manager/x"))
        answer = await server.send(server.request("/agent-manager/x", method=method, body=body))
    assert status_of(answer) == status
    assert got == body


async def test_bytes_after_an_upgrade_that_the_app_does_not_take_reach_no_app(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        offer = server.request("/agent-manager/x", "Upgrade: h2c").replace(b": close", b": Upgrade")
        answer = await server.send(offer + server.request("/agent-manager/hidden"))
    assert status_of(answer) == 200
    assert values(tuple(fields_of(answer)), "connection") == ["close"]
    assert raw_upstream.requests == 1


async def test_only_the_browser_may_store_an_answer_about_whose_storage_the_app_says_nothing(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        answer = await server.send(server.request("/agent-manager/x"))
    assert values(tuple(fields_of(answer)), "cache-control") == ["private"]


async def test_a_304_without_cache_control_leaves_the_one_that_the_browser_has(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    async with gateway(tenant(raw_upstream.url)) as server:
        answer = await server.send(server.request("/agent-manager/x"))
    assert status_of(answer) == 304
    assert values(tuple(fields_of(answer)), "cache-control") == []


async def test_a_client_that_disconnects_releases_the_connection_to_the_app() -> None:
    started = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        started.set()
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        _, writer = await server.connect()
        writer.write(server.request("/agent-manager/x"))
        await started.wait()
        writer.transport.abort()
        await asyncio.wait_for(app.closed.wait(), 5)


@pytest.mark.parametrize("fast", [True, False])
async def test_an_app_that_sends_without_end_is_left_when_the_client_is_gone(fast: bool) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with app_that(script) as app, gateway(tenant(app.url), fast=fast) as server, asyncio.timeout(10):
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/x"))
        await reader.readexactly(100_000)
        writer.transport.abort()
        await app.closed.wait()


async def test_an_app_that_thinks_is_left_when_the_client_is_gone() -> None:
    asked = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        assert await reader.read() == b""

    async with app_that(script) as app, gateway(tenant(app.url)) as server, asyncio.timeout(10):
        _, writer = await server.connect()
        writer.write(server.request("/agent-manager/x", method="POST"))
        await asked.wait()
        writer.transport.abort()
        await app.closed.wait()


async def test_a_body_cut_by_the_client_is_cut_for_the_app() -> None:
    got = b""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await read_head(reader)
        got = await reader.read(3)
        got += await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        _, writer = await server.connect()
        writer.write(server.request("/agent-manager/x", "Content-Length: 100", method="POST") + b"abc")
        await writer.drain()
        writer.close()
        await asyncio.wait_for(app.closed.wait(), 5)
    assert got in (b"", b"abc")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_larger_than_the_routes_maximum_is_a_413(declared: bool, raw_upstream: RawUpstream) -> None:
    site = tenant(routes=(Route("", raw_upstream.url, max_body=10),))
    async with gateway(site) as server:
        if declared:
            request = server.request("/x", method="POST", body=b"x" * 11)
        else:
            request = server.request("/x", "Transfer-Encoding: chunked", method="POST") + b"b\r\n" + b"x" * 11 + b"\r\n"
        assert status_of(await server.first(request)) == 413
    assert raw_upstream.requests == 0


@pytest.mark.attack("A11")
async def test_a_stream_closes_when_its_session_ends() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/events"))
        await reader.readuntil(b"abc\r\n")
        server.sessions.end("s1")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        await asyncio.wait_for(app.closed.wait(), 5)
        writer.transport.abort()


async def test_a_stream_closes_at_the_absolute_end_of_its_session() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await reader.read()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        server.sessions.known[VALUE] = replace(session(), ends_at=server.clock.now() + 0.2)
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/events"))
        received = b""
        async with asyncio.timeout(10):  # the client stays: the gateway must close
            with suppress(ConnectionError):
                while part := await reader.read(65536):
                    received += part
        writer.transport.abort()
        assert b"data: 1" in received
        await asyncio.wait_for(app.closed.wait(), 5)
