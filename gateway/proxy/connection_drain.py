"""Ends the connections of a port that has closed: at once without a request, else within a time."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog
from aiohttp import web

LOOK = 0.05
"""Seconds between two looks at the connections that are left."""
_log = structlog.get_logger(__name__)


class Connection(Protocol):
    """A connection of `proxy.connection_limits`."""

    @property
    def protocol(self) -> web.RequestHandler:
        """aiohttp's protocol of the connection."""

    def end(self) -> bool:
        """Take no further request. True when none is under way: then `protocol.shutdown` closes at once."""

    def cut(self) -> None:
        """End the connection whatever is under way."""


async def end_all(server: web.Server, connections: Mapping[object, Connection], within: float) -> int:
    """End every connection within that many seconds; returns the number that were cut because they had not ended.

    A connection without a request closes at once, any other after the answer to its request; until then its body still
    arrives. A handler whose browser left has the same time: only aiohttp's `server` still knows it.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    closing: set[asyncio.Task[None]] = set()
    while server.connections and (left := until - loop.time()) > 0:
        for connection in tuple(connections.values()):
            if connection.end():
                closing.add(asyncio.create_task(connection.protocol.shutdown(left)))
        await asyncio.sleep(min(LOOK, left))
    if cut := len(server.connections):
        _log.warning("connections_cut_at_shutdown", connections=cut)
    for connection in tuple(connections.values()):
        connection.cut()
    for task in closing:
        task.cancel()
    await asyncio.gather(*closing, return_exceptions=True)
    return cut
