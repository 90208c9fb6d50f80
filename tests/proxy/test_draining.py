"""Tests of closing a port: which connections finish, end, or are cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.fixtures.proxy_server import (
    ProxyServer,
    Script,
    app_that,
    body_of,
    fields_of,
    gateway,
    read_head,
    tenant,
    until_quiet,
)

PATIENCE = 30.0
SIZE = 20


@asynccontextmanager
async def ending(server: ProxyServer, within: float = PATIENCE) -> AsyncIterator["asyncio.Task[int]"]:
    """Closes the stage's port; the task returns the number of cut connections."""
    task = asyncio.create_task(server.runner.end(within))
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            while True:
                (await server.connect())[1].close()
    yield task
    async with asyncio.timeout(2 * PATIENCE):
        await task


def noticed(script: Script) -> tuple[Script, asyncio.Event]:
    """Returns `script`, and an event that is set when it has a connection."""
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await script(reader, writer)

    return serve, asked


async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers an upload with its size."""
    await read_head(reader)
    body = await reader.readexactly(SIZE)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%d" % len(body))
    await reader.read()


async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins an event stream."""
    await read_head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"9\r\ndata: 1\n\n\r\n")
    await reader.read()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await reader.read()


@pytest.mark.row("GW-20")
async def test_upload_bytes_that_arrive_after_the_port_has_closed_reach_the_app() -> None:
    script, asked = noticed(counting)
    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        raw = server.request("/agent-manager/up", method="POST", body=b"x" * SIZE).replace(
            b"Connection: close\r\n", b""
        )
        writer.write(raw[:-10])
        await asked.wait()
        async with ending(server) as ended:
            writer.write(raw[-10:])
            answer = await until_quiet(reader)
        assert body_of(answer) == b"%d" % SIZE
        assert ("Connection", "close") in fields_of(answer)
        assert await ended == 0
        writer.close()


@pytest.mark.row("GW-20")
async def test_an_event_stream_is_cut_and_does_not_look_complete() -> None:
    async with app_that(streaming) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/events"))
        await reader.readuntil(b"data: 1\n\n\r\n")
        async with ending(server) as ended:
            assert await until_quiet(reader) == b""
        assert await ended == 0
        await app.closed.wait()
        writer.close()


@pytest.mark.row("GW-20")
async def test_an_idle_kept_connection_is_closed() -> None:
    async with gateway(tenant()) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/-/login").replace(b"Connection: close\r\n", b""))
        await reader.readuntil(b"own page")
        async with ending(server) as ended:
            assert await until_quiet(reader) == b""
        assert await ended == 0
        writer.close()


async def test_connections_that_exceed_the_drain_time_are_cut_and_counted() -> None:
    script, asked = noticed(silent)
    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/agent-manager/"))
        await asked.wait()
        async with ending(server, within=0.01) as ended:
            assert await until_quiet(reader) == b""
        assert await ended == 1
        writer.close()
