"""Keeps idle connections to apps and opens new ones.

Connections are kept by scheme, host, port and TLS settings. The one used last is used first, so that the others can
close. None waits here longer than most servers keep an idle connection (Node.js: 5 s).
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from gateway.crypto.tls import client_context
from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import Route
from gateway.observe.connection_errors import why_not_connected
from gateway.proxy.upstream_connection import LARGE_READ, NoConnection, TooSlow, UpstreamConnection

NEXT_ADDRESS = 0.25
"""Seconds until the next address of a name is tried beside a silent one (RFC 8305, "Connection Attempt Delay")."""

_NO_TLS = "for an app without TLS write http:// in `to` of the route"


@dataclass(frozen=True, slots=True)
class UpstreamOrigin:
    """The server at the other end of a connection."""

    scheme: str
    host: str
    port: int
    tls: TlsSettings

    @classmethod
    def of(cls, route: Route) -> "UpstreamOrigin":
        """The origin of a route's app."""
        url = urlsplit(route.to)
        return cls(
            url.scheme,
            url.hostname or "",
            url.port or (443 if url.scheme == "https" else 80),
            route.tls or TlsSettings(),
        )

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


class Upstream:
    """One app server and its idle connections."""

    def __init__(self, origin: UpstreamOrigin, pool: "UpstreamPool") -> None:
        self._origin = origin
        self._pool = pool
        self.idle: list[tuple[UpstreamConnection, float]] = []

    def take_idle(self) -> UpstreamConnection | None:
        """Take a kept connection that is still open."""
        now = monotonic()
        while self.idle:
            wire, since = self.idle.pop()
            if wire.reusable and now - since < self._pool.idle_seconds:
                return wire
            wire.abort()
        return None

    async def connect(self, timeout: float) -> UpstreamConnection:
        """A new connection within `timeout` seconds. Raises `NoConnection`, `TooSlow`."""
        origin, context = self._origin, None
        if origin.scheme == "https":
            context = self._pool.context(origin.tls)
        connected = None
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
                connected = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS, interleave=1)
                _, wire = await loop.create_connection(
                    lambda: UpstreamConnection(self._pool.buffer),
                    sock=connected,
                    ssl=context,
                    server_hostname=origin.host if context else None,
                )
        except TimeoutError as error:
            what = f"no TLS handshake in {timeout:g} s; {_NO_TLS}" if connected else f"no connection in {timeout:g} s"
            raise TooSlow(f"{origin}: {what}") from error
        except (OSError, RuntimeError) as error:  # ssl.SSLError is an OSError; uvloop raises RuntimeError for some
            why = why_not_connected(error, tls="tls.upstreams", no_tls=_NO_TLS)
            raise NoConnection(f"{origin}: {why}") from error
        return wire

    def give_back(self, wire: UpstreamConnection) -> None:
        """Keep `wire` for the next exchange if it may have one, else close it."""
        if not wire.reusable or len(self.idle) >= self._pool.idle_each:
            wire.abort()
            return
        wire.release()  # the client of the last answer may not have taken it yet
        self.idle.append((wire, monotonic()))
        self._pool.sweep_later()


class UpstreamPool:
    """The app servers with which the gateway has connections.

    `idle_seconds`: for which a connection is kept; at most `idle_each` to one server.
    """

    def __init__(self, *, idle_seconds: float = 4.0, idle_each: int = 512) -> None:
        self.idle_seconds = idle_seconds
        self.idle_each = idle_each
        self.buffer = memoryview(bytearray(LARGE_READ))
        self._upstreams: dict[UpstreamOrigin, Upstream] = {}
        self._contexts: dict[TlsSettings, ssl.SSLContext] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def at(self, origin: UpstreamOrigin) -> Upstream:
        """The server of this origin."""
        if (found := self._upstreams.get(origin)) is None:
            found = self._upstreams[origin] = Upstream(origin, self)
        return found

    def close(self) -> None:
        """Close every idle connection."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for upstream in self._upstreams.values():
            for wire, _ in upstream.idle:
                wire.abort()
            upstream.idle.clear()

    def sweep_later(self) -> None:
        """Close connections when they have been idle for too long."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.idle_seconds, self._close_old)

    def _close_old(self) -> None:
        now = monotonic()
        self._sweep = None
        for upstream in self._upstreams.values():
            old = [one for one in upstream.idle if now - one[1] >= self.idle_seconds or not one[0].reusable]
            for wire, _ in old:
                wire.abort()
            upstream.idle[:] = [one for one in upstream.idle if one not in old]
        if any(upstream.idle for upstream in self._upstreams.values()):
            self.sweep_later()

    def context(self, tls: TlsSettings) -> ssl.SSLContext:
        """The TLS settings of connections to a server, made once."""
        if tls not in self._contexts:
            context = client_context(tls)
            context.set_alpn_protocols(["http/1.1"])
            self._contexts[tls] = context
        return self._contexts[tls]
