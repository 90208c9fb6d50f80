"""The connections of a port that has closed: those without a request close, the others have a time to end."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import structlog
from aiohttp import web

LOOK = 0.05
"""Seconds between two looks at what is left."""
_log = structlog.get_logger(__name__)


class Connection(Protocol):
    """As `proxy.connections` has it."""

    @property
    def protocol(self) -> web.RequestHandler:
        """aiohttp's part of it."""

    def end(self) -> bool:
        """No request after the one under way. Whether there was none: then `protocol.shutdown` closes at once."""

    def cut(self) -> None:
        """Ends it whatever is under way."""


async def end_all(server: web.Server, connections: Mapping[object, Connection], within: float) -> int:
    """Ends every connection within that many seconds; returns how many were cut because they had not ended.

    A connection without a request closes, any other one after the answer of its request, whose body goes on to arrive.
    A handler whose browser left has the same time; aiohttp's `server` knows it, `connections` does not any more.
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
