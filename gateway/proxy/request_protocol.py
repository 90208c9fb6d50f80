"""aiohttp's protocol for the requests of one connection, and how a handler takes the connection away from it."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import structlog
from aiohttp import http_exceptions, web

from gateway.proxy.downstream import DownstreamResponse
from gateway.proxy.forward import Failed
from gateway.proxy.raw_responses import NOT_PARSED, TOO_LARGE
from gateway.proxy.splice import ClientConnection

Switched = tuple[ClientConnection, asyncio.Transport, bytes]
"""A connection after a switch of protocols, its transport for the next one, and the bytes after the request."""

_log = structlog.get_logger(__name__)


class Requests(web.RequestHandler):
    """aiohttp's protocol, with two changes.

    aiohttp's answer to a request that does not parse names the server's program, and repeats a line of the request to
    the sender and in the log, where it may be a cookie or a password. And the connection may leave aiohttp for another
    protocol (`switch`). `two_way` is set while a signed-in user's body and its answer are both under
    way. `uploads`: such a body is on its way to an app. `at_rest`: no request is under way here. `failed`: why the fast
    path gave up the request that begins.
    """

    __slots__ = ("at_rest", "ending", "failed", "switch", "two_way", "uploads")

    switch: Callable[[], Switched | None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ending = False
        self.two_way = False
        self.uploads = False
        self.at_rest = True
        self.failed: Failed | None = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As `RequestHandler`'s."""
        finished = await super().finish_response(request, resp, start_time)
        self.at_rest = bool(resp.keep_alive) and request.content.is_eof()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in our own words; aiohttp answers for a handler that failed (500)."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        large = isinstance(exc, http_exceptions.LineTooLong) or message == "Too many headers received"
        _log.info("request_not_parsed", client=request.remote, why=type(exc).__name__)
        if self.transport is not None:
            self.transport.write(TOO_LARGE if large else NOT_PARSED)
        return DownstreamResponse(status=431 if large else 400, keep_alive=False)


def failed_on_fast_path(request: web.BaseRequest) -> Failed | None:
    """Why the fast path could not get the app's answer to `request`; None if it did not try."""
    failed: Failed | None = getattr(request.protocol, "failed", None)
    return failed


def switch(request: web.Request) -> Switched | None:
    """Take the connection of `request` away from aiohttp, after its answer was sent; None: the client is gone.

    The connection still counts, and limits how long its client takes nothing: the next protocol calls it.
    """
    return cast(Requests, request.protocol).switch()
