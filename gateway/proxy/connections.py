"""How long may a client take, how much may a head hold, and how many connections may one address have?

aiohttp's server limits only idle connections. Here stand the other deadlines, each for one connection: for the head of
a request, for its body, for taking what is written to it; and the number of connections of one client address. What
does not even parse is answered here too, without a word of what was sent. Only public parts of aiohttp are used:
`Runner` is an `AppRunner` whose protocol stands inside one of ours, which sees the bytes pass and touches none.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, cast

import structlog
from aiohttp import StreamReader, http_exceptions, web

from gateway.proxy.client import Relayed
from gateway.proxy.ending import end_all

Network = IPv4Network | IPv6Network
_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_NEVER_ASKED = (
    b"Content-Type: text/plain",
    b"Cache-Control: no-store",
    b"X-Content-Type-Options: nosniff",
    b"Connection: close",
)


def _in_words(status: bytes, text: bytes, *fields: bytes) -> bytes:
    """A whole answer that ends its connection."""
    lines = [b"HTTP/1.1 " + status, *fields, *_NEVER_ASKED, b"Content-Length: %d" % len(text), b"", text]
    return b"\r\n".join(lines)


_TOO_SLOW = _in_words(b"408 Request Timeout", b"")
_TOO_MANY = _in_words(b"429 Too Many Requests", b"Too many connections from this address.\n", b"Retry-After: 5")
_NOT_PARSED = _in_words(b"400 Bad Request", b"This is not a request that can be understood.\n")
_TOO_LARGE = _in_words(
    b"431 Request Header Fields Too Large",
    b"The address or the header fields of the request are too large. Deleting the cookies of this site may help.\n",
)
_LEAST_WAIT = 0.05
"""Seconds between two looks at one body, at least."""
_LAST_WAIT = 0.1
"""Seconds for handlers whose connections were cut, before they are cancelled."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, but for `per_address` (connections), `head_bytes` and `body_rate` (bytes a second).

    `head_bytes`: of a head that has not ended; far above what the request check takes, because what comes right behind
    a head counts too. Without it one connection could make aiohttp hold 32 MiB of fields. `head`: from the first byte
    of a request to the end of its head. `body_grace` + received bytes / `body_rate`: from there to the end of the body;
    while the app takes no more the time stands still. `stall`: without a byte taken of what waits to be sent.
    """

    head: float = 10.0
    head_bytes: int = 2**20
    body_grace: float = 10.0
    body_rate: float = 1024.0
    stall: float = 30.0
    per_address: int = 1000


class Runner(web.AppRunner):
    """An `AppRunner` that keeps `limits`, and whose end loses no byte of a request under way.

    Connections from `trusted` networks (asked at each one) are not counted: behind a proxy stand all its clients.
    `shutdown_timeout`: seconds that `cleanup` gives to requests under way.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        trusted: Callable[[], Sequence[Network]] = tuple,
        limits: Limits | None = None,
        handle_signals: bool = False,
        shutdown_timeout: float = 30.0,
        **options: Any,
    ) -> None:
        # aiohttp waits twice, and drops what arrives meanwhile: it gets what is left after `end`.
        super().__init__(app, handle_signals=handle_signals, shutdown_timeout=_LAST_WAIT, **options)
        self._patience = shutdown_timeout
        self._options = options
        self._limits = limits or Limits()
        self._addresses = Addresses(self._limits.per_address, trusted)
        self._connections: dict[object, _Connection] = {}
        self._ending = False

    async def setup(self) -> None:
        """As `AppRunner`'s."""
        await super().setup()
        server = super().server
        if server is not None:
            server.request_handler = self._watching(server.request_handler)

    async def end(self, within: float) -> int:
        """Close the ports and end every connection (see `ending`) within that many seconds; returns how many were cut.

        The application's `on_shutdown` ends what has no end of its own.
        """
        server = super().server
        if server is None:
            return 0
        for site in tuple(self.sites):
            await site.stop()
        await asyncio.sleep(0)  # requests that came before that begin
        self._ending = True
        await self.shutdown()
        return await end_all(server, self._connections, within)

    async def cleanup(self) -> None:
        """As `AppRunner`'s, after `end`."""
        await self.end(self._patience)
        await super().cleanup()

    @property
    def server(self) -> web.Server | None:
        """What a site makes the protocols of connections with."""
        server = super().server
        return None if server is None else cast(web.Server, lambda: self._connection(server))

    def _connection(self, server: web.Server) -> "_Connection":
        protocol = partial(_Requests, server, loop=asyncio.get_running_loop(), **self._options)
        return _Connection(protocol, self._limits, self._addresses, self._connections)

    def _watching(self, handle: _Handle) -> _Handle:
        async def watch(request: web.BaseRequest) -> web.StreamResponse:
            connection = self._connections.get(request.protocol)
            if connection is None:
                return await handle(request)
            connection.begun(request)
            try:
                response = await handle(request)
                if self._ending:
                    response.force_close()
                return response
            except ConnectionError:
                if request.transport is not None:
                    raise
                return web.Response(status=499)  # for nobody: aiohttp would make an error with a traceback of it
            finally:
                connection.ended()

        return watch


class Addresses:
    """How many connections each client address has; an IPv6 client is its /64, which one machine may roam in."""

    def __init__(self, most: int, trusted: Callable[[], Sequence[Network]]) -> None:
        self._most = most
        self._trusted = trusted
        self._counts: Counter[str] = Counter()
        self._told: set[str] = set()

    def enter(self, peer: object) -> str | None:
        """Count a connection; what `leave` takes ("" for one that is not counted), None when it is one too many."""
        client = self._client(peer)
        if not client:
            return ""
        if self._counts[client] >= self._most:
            if client not in self._told:  # once, not for each connection
                self._told.add(client)
                _log.warning(
                    "connections_refused",
                    client=client,
                    most=self._most,
                    hint="if this is a proxy of yours, name it in trusted_proxies",
                )
            return None
        self._counts[client] += 1
        return client

    def leave(self, client: str) -> None:
        """The connection has ended."""
        if not client:
            return
        self._counts[client] -= 1
        if self._counts[client] <= 0:
            del self._counts[client]
        if self._counts[client] <= self._most // 2:
            self._told.discard(client)

    def _client(self, peer: object) -> str:
        try:
            address = ip_address(peer[0])  # type: ignore[index]  # a tuple for IP, text for a Unix socket
        except (TypeError, IndexError, ValueError):
            return ""
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        if any(address in network for network in self._trusted()):
            return ""
        return str(IPv6Network((int(address), 64), strict=False) if isinstance(address, IPv6Address) else address)


class _Requests(web.RequestHandler):
    """aiohttp's protocol, but for its answer to what does not parse: that one names the server's program and repeats a
    line of what was sent, to the sender and, with a traceback, in the log; there it may be a cookie or a password."""

    __slots__ = ("ending",)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ending = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An answer in our own words; a handler that failed (500) is aiohttp's to tell."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        large = isinstance(exc, http_exceptions.LineTooLong) or message == "Too many headers received"
        _log.info("request_not_parsed", client=request.remote, why=type(exc).__name__)
        answer = _TOO_LARGE if large else _NOT_PARSED
        if self.transport is not None:
            self.transport.write(answer)
        return Relayed(status=431 if large else 400, keep_alive=False, sent=len(answer))


class _Connection(asyncio.Protocol):
    """aiohttp's protocol with a watch around it."""

    def __init__(
        self,
        protocol: "Callable[[], _Requests]",
        limits: Limits,
        addresses: Addresses,
        known: "dict[object, _Connection]",
    ) -> None:
        self._protocol = protocol
        self._limits = limits
        self._addresses = addresses
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._client = ""
        self._inner: _Requests | None = None
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._closing = False
        self._body: StreamReader | None = None
        self._head_since: float | None = None
        self._head_look: asyncio.TimerHandle | None = None
        self._body_look: asyncio.TimerHandle | None = None
        self._body_since = 0.0
        self._received = 0
        self._stall_look: asyncio.TimerHandle | None = None

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        client = self._addresses.enter(transport.get_extra_info("peername"))
        if client is None:
            self._transport.write(_TOO_MANY)
            self._transport.close()
            return
        self._client = client
        self._inner = self._protocol()
        self._known[self._inner] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        self._received += len(data)
        if self._head_since is None and not self._busy and (self._body is None or self._body.is_eof()):
            self._head_since, self._received = self._loop.time(), len(data)
            if self._head_look is None:  # one timer for many requests: making one for each costs more than they do
                self._head_look = self._loop.call_later(self._limits.head, self._look_at_head)
        if self._head_since is not None and self._received > self._limits.head_bytes:
            self._refuse_head(_TOO_LARGE, "large_head_cut")
            return
        self._inner.data_received(data)

    def eof_received(self) -> None:
        if self._inner is not None:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None and self._transport is not None:
            self._inner.pause_writing()
            self._watch_writing(self._transport, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        if self._stall_look is not None:
            self._stall_look.cancel()
            self._stall_look = None
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for look in (self._head_look, self._body_look, self._stall_look):
            if look is not None:
                look.cancel()
        self._body = None
        self._addresses.leave(self._client)
        self._client = ""
        if self._inner is not None:
            self._known.pop(self._inner, None)
            self._inner.connection_lost(exc)

    # ---- the request under way

    def begun(self, request: web.BaseRequest) -> None:
        """A whole head has come."""
        self._busy, self._body = True, request.content
        self._head_since = None
        if not request.content.is_eof():
            self._body_since = self._loop.time()  # what came with the head counts
            self._body_look = self._loop.call_later(self._limits.body_grace, self._look_at_body, request)

    def ended(self) -> None:
        """The answer has been given; what is left of the body, which aiohttp reads for ten seconds, is no head."""
        self._busy = False
        if self._body_look is not None:
            self._body_look.cancel()
            self._body_look = None

    # ---- the end of the process

    @property
    def protocol(self) -> web.RequestHandler:
        """See `ending.Connection`; a refused connection has none."""
        assert self._inner is not None  # noqa: S101 - what `Runner` knows has one
        return self._inner

    def end(self) -> bool:
        """See `ending.Connection`."""
        if self._inner is None or self._closing:
            return False
        self._inner.ending = True
        body_arrives = self._body is not None and not self._body.is_eof()
        self._closing = not (self._busy or body_arrives or self._head_since is not None)
        if self._closing:
            self._inner.close()  # aiohttp ignores what arrives from now on
        return self._closing

    def cut(self) -> None:
        """See `ending.Connection`."""
        if self._transport is not None:
            self._transport.abort()

    # ---- deadlines

    def _look_at_head(self) -> None:
        self._head_look = None
        if self._head_since is None:
            return
        left = self._head_since + self._limits.head - self._loop.time()
        if left > 0:
            self._head_look = self._loop.call_later(left, self._look_at_head)
        else:
            self._refuse_head(_TOO_SLOW, "slow_head_cut")

    def _refuse_head(self, answer: bytes, event: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            _log.info(event, client=self._client)
            self._transport.write(answer)
            self._transport.close()

    def _look_at_body(self, request: web.BaseRequest) -> None:
        self._body_look = None
        transport = self._transport
        if request.content.is_eof() or transport is None or transport.is_closing():
            return
        now, limits = self._loop.time(), self._limits
        if not transport.is_reading():  # it is the app that is slow: the client's time begins anew
            self._body_since, self._received = now, 0
        left = self._body_since + limits.body_grace + self._received / limits.body_rate - now
        if left > 0:
            self._body_look = self._loop.call_later(max(left, _LEAST_WAIT), self._look_at_body, request)
            return
        _log.info("slow_body_cut", client=self._client, received=self._received)
        transport.abort()

    def _watch_writing(self, transport: asyncio.Transport, waiting: int) -> None:
        def look() -> None:
            self._stall_look = None
            still = transport.get_write_buffer_size()
            if still < waiting:
                self._watch_writing(transport, still)
                return
            _log.info("stalled_client_cut", client=self._client, waiting=waiting)
            transport.abort()

        self._stall_look = self._loop.call_later(self._limits.stall, look)
