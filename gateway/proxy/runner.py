"""The gateway's server: an `AppRunner` whose connections have limits and whose end loses no request.

Only public parts of aiohttp are used: its protocol is wrapped in one of ours (`client_connection`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import structlog
from aiohttp import web

from gateway.proxy.client_connection import Connection, Connections
from gateway.proxy.connection_limits import READ_OF_UPLOAD, ConnectionLimits
from gateway.proxy.connections_per_address import ConnectionCounts, Network
from gateway.proxy.fast_path import FastPath
from gateway.proxy.request_protocol import Requests

FAST_PATH = web.AppKey("fast_path", FastPath)
"""Set by an application whose plain requests need not pass through it."""

_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LOOK = 0.05
"""Seconds between two looks at the connections that are left."""
_REST = 1.0
"""Seconds without a request after which a connection closes when the process ends, or a quarter of the time if less."""
_YEAR = 365 * 86_400.0
_LAST_WAIT = 0.1
"""Seconds for handlers whose connections were cut, before they are cancelled."""

_log = structlog.get_logger(__name__)


class Runner(web.AppRunner):
    """An `AppRunner` that enforces `limits`, and whose end loses no byte of a request under way.

    Connections from `trusted` networks (read for each one) are not counted: a proxy has those of all its clients.
    `shutdown_timeout`: seconds that `cleanup` gives to requests under way.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        trusted: Callable[[], Sequence[Network]] = tuple,
        limits: ConnectionLimits | None = None,
        handle_signals: bool = False,
        shutdown_timeout: float = 30.0,
        **options: Any,
    ) -> None:
        # aiohttp waits twice, and drops bytes that arrive meanwhile: it gets the connections left after `end`.
        super().__init__(app, handle_signals=handle_signals, shutdown_timeout=_LAST_WAIT, **options)
        self._patience = shutdown_timeout
        # aiohttp does not see the requests of the fast path: `Connections` closes idle connections instead.
        self._options = {**options, "keepalive_timeout": _YEAR}
        self._limits = limits or ConnectionLimits()
        self._addresses = ConnectionCounts(self._limits.per_address, trusted)
        self._connections = Connections(self._limits.connections, options.get("keepalive_timeout", 75.0))
        self._ending = False
        self._buffer = memoryview(bytearray(READ_OF_UPLOAD))

    async def setup(self) -> None:
        """As `AppRunner`'s."""
        await super().setup()
        server = super().server
        if server is not None:
            server.request_handler = self._watching(server.request_handler)

    async def end(self, within: float) -> int:
        """Close the ports and end every connection within that many seconds; returns the number that were cut.

        A connection closes after its next answer, or when it has had no request for a second: one that was just
        answered may have its next request on the way. Until an answer the body of its request still arrives. A handler
        whose browser left has the same time: only aiohttp's server still knows it. The application's `on_shutdown` ends
        streams, which have no end of their own.
        """
        server = super().server
        if server is None:
            return 0
        for site in tuple(self.sites):
            await site.stop()
        await asyncio.sleep(0)  # requests that arrived before that begin
        self._ending = True
        await self.shutdown()
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        rest = min(_REST, within / 4)
        closing: set[asyncio.Task[None]] = set()
        while (server.connections or self._connections.switched) and (left := until - loop.time()) > 0:
            for protocol, connection in tuple(self._connections.known.items()):
                if connection.end(rest):
                    closing.add(asyncio.create_task(protocol.shutdown(left)))
            await asyncio.sleep(min(_LOOK, left))
        if cut := len(server.connections) + len(self._connections.switched):
            _log.warning("connections_cut_at_shutdown", connections=cut)
        for connection in (*self._connections.known.values(), *self._connections.switched):
            connection.cut()
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        return cut

    async def cleanup(self) -> None:
        """As `AppRunner`'s, after `end`."""
        await self.end(self._patience)
        self._connections.stop()
        await super().cleanup()

    @property
    def server(self) -> web.Server | None:
        """The factory by which a site makes the protocols of its connections."""
        server = super().server
        if server is None:
            return None
        protocol = partial(Requests, server, loop=asyncio.get_running_loop(), **self._options)
        connection = partial(
            Connection,
            protocol,
            self._limits,
            self._addresses,
            self._connections,
            self._buffer,
            self.app.get(FAST_PATH),
        )
        return cast(web.Server, connection)

    def _watching(self, handle: _Handle) -> _Handle:
        async def watch(request: web.BaseRequest) -> web.StreamResponse:
            connection = self._connections.known.get(request.protocol)
            if connection is None:
                return await handle(request)
            connection.begun(request)
            try:
                response = await handle(request)
                if self._ending:
                    response.force_close()
                return response
            except ConnectionError:
                if request.transport is not None and not request.transport.is_closing():
                    raise
                return web.Response(status=499)  # no client gets it: aiohttp would log an error with a traceback
            finally:
                connection.ended()

        return watch
