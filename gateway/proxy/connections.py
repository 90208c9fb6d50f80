"""How long may a client take, and how many connections may one address have?

aiohttp's server limits only idle connections. Here stand the other deadlines, each for one connection: for the head of
a request, for its body, for taking what is written to it; and the number of connections of one client address. Only
public parts of aiohttp are used: `Runner` is an `AppRunner` whose protocol stands inside one of ours, which sees the
bytes pass and touches none.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, cast

import structlog
from aiohttp import web

Network = IPv4Network | IPv6Network
_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_NEVER_ASKED = b"Content-Type: text/plain\r\nCache-Control: no-store\r\nConnection: close\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _NEVER_ASKED + b"Content-Length: 0\r\n\r\n"
_TOO_MANY_TEXT = b"Too many connections from this address.\n"
_TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\n"
    + _NEVER_ASKED
    + b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_MANY_TEXT), _TOO_MANY_TEXT)
)
_LEAST_WAIT = 0.05
"""Seconds between two looks at one body, at least."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, but for `per_address` (connections) and `body_rate` (bytes a second).

    `head`: from the first byte of a request to the end of its head. `body_grace` + received bytes / `body_rate`: from
    there to the end of the body; while the app takes no more the time stands still. `stall`: without a byte taken of
    what waits to be sent.
    """

    head: float = 10.0
    body_grace: float = 10.0
    body_rate: float = 1024.0
    stall: float = 30.0
    per_address: int = 1000


class Runner(web.AppRunner):
    """An `AppRunner` that keeps `limits`. Connections from `trusted` networks (asked at each one) are not counted:
    behind a proxy stand all its clients."""

    def __init__(
        self,
        app: web.Application,
        *,
        trusted: Callable[[], Sequence[Network]] = tuple,
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self._limits = limits or Limits()
        self._addresses = Addresses(self._limits.per_address, trusted)
        self._connections: dict[object, _Connection] = {}

    async def setup(self) -> None:
        """As `AppRunner`'s."""
        await super().setup()
        server = super().server
        if server is not None:
            server.request_handler = self._watching(server.request_handler)

    @property
    def server(self) -> web.Server | None:
        """What a site makes the protocols of connections with."""
        server = super().server
        return None if server is None else cast(web.Server, lambda: self._connection(server))

    def _connection(self, server: web.Server) -> "_Connection":
        return _Connection(server, self._limits, self._addresses, self._connections)

    def _watching(self, handle: _Handle) -> _Handle:
        async def watch(request: web.BaseRequest) -> web.StreamResponse:
            connection = self._connections.get(request.protocol)
            if connection is None:
                return await handle(request)
            connection.begun(request)
            try:
                return await handle(request)
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


class _Connection(asyncio.Protocol):
    """aiohttp's protocol with a watch around it."""

    def __init__(
        self, server: web.Server, limits: Limits, addresses: Addresses, known: "dict[object, _Connection]"
    ) -> None:
        self._server = server
        self._limits = limits
        self._addresses = addresses
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._client = ""
        self._inner: web.RequestHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._busy = False
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
        self._inner = self._server()
        self._known[self._inner] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        self._received += len(data)
        if not self._busy and self._head_since is None:
            self._head_since, self._received = self._loop.time(), len(data)
            if self._head_look is None:  # one timer for many requests: making one for each costs more than they do
                self._head_look = self._loop.call_later(self._limits.head, self._look_at_head)
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
        self._addresses.leave(self._client)
        self._client = ""
        if self._inner is not None:
            self._known.pop(self._inner, None)
            self._inner.connection_lost(exc)

    # ---- the request under way

    def begun(self, request: web.BaseRequest) -> None:
        """A whole head has come."""
        self._busy = True
        self._head_since = None
        if not request.content.is_eof():
            self._body_since = self._loop.time()  # what came with the head counts
            self._body_look = self._loop.call_later(self._limits.body_grace, self._look_at_body, request)

    def ended(self) -> None:
        """The answer has been given."""
        self._busy = False
        if self._body_look is not None:
            self._body_look.cancel()
            self._body_look = None

    # ---- deadlines

    def _look_at_head(self) -> None:
        self._head_look = None
        if self._head_since is None:
            return
        left = self._head_since + self._limits.head - self._loop.time()
        if left > 0:
            self._head_look = self._loop.call_later(left, self._look_at_head)
        elif self._transport is not None and not self._transport.is_closing():
            _log.info("slow_head_cut", client=self._client)
            self._transport.write(_TOO_SLOW)
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
