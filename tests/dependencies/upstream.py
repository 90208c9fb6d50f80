"""An app behind the gateway: `raw_upstream` records every byte, `echo_upstream` returns the received request."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httptools
import pytest
from aiohttp import WSMsgType, web

from tests.ports import free_port

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
Answer = bytes | Callable[[int], bytes | None]


@dataclass
class Connection:
    """One TCP connection: all received bytes, in order."""

    received: bytearray = field(default_factory=bytearray)
    requests: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class RawUpstream:
    """Keeps the bytes of every connection and answers each whole request with ``answer``.

    ``answer`` is the bytes of a response, or a function from the number of the request (0 = the first of all) to the
    bytes; ``None`` closes the connection without a word.
    """

    port: int
    answer: Answer = PLAIN
    connections: list[Connection] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Returns the address without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> bytes:
        """Returns all received bytes, one connection after the other."""
        return b"".join(bytes(connection.received) for connection in self.connections)

    @property
    def requests(self) -> int:
        """Returns the number of complete requests."""
        return sum(connection.requests for connection in self.connections)

    async def start(self) -> None:
        """Starts to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Stops to listen and cuts every connection."""
        if self._server is None:
            return
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection()
        self.connections.append(connection)
        self._writers.add(writer)
        parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(_Ends(self, connection, writer))
        try:
            while data := await reader.read(65536):
                connection.received += data
                try:
                    if parser is not None:
                        parser.feed_data(data)
                except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                    parser = None  # no longer HTTP; the bytes are still recorded
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
            connection.closed.set()


@dataclass
class _Ends:
    """Is informed by the parser of the end of each request."""

    upstream: RawUpstream
    connection: Connection
    writer: asyncio.StreamWriter

    def on_message_complete(self) -> None:
        number = self.upstream.requests
        self.connection.requests += 1
        answer = self.upstream.answer
        reply = answer(number) if callable(answer) else answer
        if reply is None:
            self.writer.close()
        else:
            self.writer.write(reply)


@dataclass
class EchoUpstream:
    """An aiohttp app: every path answers with what it received, as JSON; ``/ws`` (also below a prefix) echoes.

    JSON: ``{"method", "path" (raw, with query), "headers": [[name, value], …], "length", "sha256", "body" (text)}``.
    """

    port: int
    requests: list[dict[str, Any]] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    left: asyncio.Queue[web.WebSocketResponse] = field(default_factory=asyncio.Queue)
    subprotocols: tuple[str, ...] = ("echo", "chat")
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Returns the address without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts to listen."""
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, max_field_size=65536, max_line_size=65536, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Stops to listen; sockets are closed."""
        if self._runner is None:
            return
        for socket in tuple(self.sockets):
            await socket.close(code=1001)
        await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        seen: dict[str, Any] = {
            "method": request.method,
            "path": request.raw_path,
            "headers": [[name.decode(), value.decode()] for name, value in request.raw_headers],
        }
        self.requests.append(seen)
        if request.path.endswith("/ws"):
            return await self._echo(request, seen)
        body = await request.read()
        seen |= {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "body": body[:4096].decode("latin-1")}
        return web.json_response(seen)

    async def _echo(self, request: web.Request, seen: dict[str, Any]) -> web.WebSocketResponse:
        """Echoes messages; the text `headers` returns the fields of the upgrade, `close 4001` closes with that code."""
        socket = web.WebSocketResponse(protocols=self.subprotocols)
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.data == "headers":
                await socket.send_json(seen)
            elif message.data.startswith("close "):
                await socket.close(code=int(message.data.split()[1]), message=b"as asked")
            else:
                await socket.send_str(message.data)
        self.sockets.remove(socket)
        self.left.put_nowait(socket)
        return socket


@pytest.fixture
async def raw_upstream() -> AsyncIterator[RawUpstream]:
    """Yields an app that records raw bytes."""
    upstream = RawUpstream(free_port())
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def echo_upstream() -> AsyncIterator[EchoUpstream]:
    """Yields an app that returns the received request."""
    upstream = EchoUpstream(free_port())
    await upstream.start()
    yield upstream
    await upstream.stop()
