"""Keeps idle connections to apps and opens new ones.

Connections are kept by scheme, host, port and TLS settings. The one used last is used first, so that the others can
close. None waits here longer than most servers keep an idle connection (Node.js: 5 s).
"""

import asyncio
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from gateway.crypto.tls import client_context
from gateway.domain.channel import TlsSettings
from gateway.domain.tenant import Route
from gateway.observe.connection_errors import why_not_connected
from gateway.proxy.upstream_connection import READ, NoConnection, TooSlow, UpstreamConnection

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


class UpstreamPool:
    """Open connections to apps."""

    def __init__(self, *, idle_seconds: float = 4.0, idle_each: int = 64) -> None:
        self._idle_seconds = idle_seconds
        self._idle_each = idle_each
        self._idle: dict[UpstreamOrigin, list[tuple[UpstreamConnection, float]]] = defaultdict(list)
        self._contexts: dict[TlsSettings, ssl.SSLContext] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(READ))

    def take_idle(self, origin: UpstreamOrigin) -> UpstreamConnection | None:
        """Take a kept connection that is still open."""
        kept = self._idle.get(origin)
        now = asyncio.get_running_loop().time()
        while kept:
            wire, since = kept.pop()
            if wire.reusable and now - since < self._idle_seconds:
                return wire
            wire.abort()
        return None

    async def connect(self, origin: UpstreamOrigin, timeout: float) -> UpstreamConnection:
        """A new connection within `timeout` seconds. Raises `NoConnection`, `TooSlow`."""
        context = self._context(origin.tls) if origin.scheme == "https" else None
        connected = None
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
                connected = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS, interleave=1)
                _, wire = await loop.create_connection(
                    lambda: UpstreamConnection(self._buffer),
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

    def give_back(self, origin: UpstreamOrigin, wire: UpstreamConnection) -> None:
        """Keep `wire` for the next exchange if it may have one, else close it."""
        kept = self._idle[origin]
        if not wire.reusable or len(kept) >= self._idle_each:
            wire.abort()
            return
        loop = asyncio.get_running_loop()
        kept.append((wire, loop.time()))
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_seconds, self._close_old)

    def close(self) -> None:
        """Close every idle connection."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for kept in self._idle.values():
            for wire, _ in kept:
                wire.abort()
        self._idle.clear()

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        for origin, kept in list(self._idle.items()):
            old = [entry for entry in kept if loop.time() - entry[1] >= self._idle_seconds or not entry[0].reusable]
            for wire, _ in old:
                wire.abort()
            kept[:] = [entry for entry in kept if entry not in old]
            if not kept:
                del self._idle[origin]
        if self._idle:
            self._sweep = loop.call_later(self._idle_seconds, self._close_old)

    def _context(self, tls: TlsSettings) -> ssl.SSLContext:
        if tls not in self._contexts:
            context = client_context(tls)
            context.set_alpn_protocols(["http/1.1"])
            self._contexts[tls] = context
        return self._contexts[tls]
