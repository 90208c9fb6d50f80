"""Sends `100 Continue` to a client that waits for it before its body (`Expect: 100-continue`).

A handler sends it where it reads the body: so never before the check of the request, and never for a body that it does
not read. aiohttp would send it before any middleware, and answer other expectations in words of its own.
"""

from collections.abc import Iterable

from aiohttp import HttpVersion11, hdrs, web


async def wait(_request: web.Request) -> None:
    """The `expect_handler` of a route: it sends nothing yet."""


def asking_later(routes: Iterable[web.AbstractRouteDef]) -> list[web.AbstractRouteDef]:
    """`routes`, whose handlers ask where they read a body."""
    return [
        web.RouteDef(route.method, route.path, route.handler, {**route.kwargs, "expect_handler": wait})
        if isinstance(route, web.RouteDef)
        else route
        for route in routes
    ]


def is_awaited(request: web.Request) -> bool:
    """Whether the client waits before its body (RFC 9110 10.1.1: an HTTP/1.0 one never does)."""
    return request.version == HttpVersion11 and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"


def ask(request: web.Request) -> None:
    """Ask for the body, if the client waits for that."""
    if is_awaited(request) and request.transport is not None and not request.transport.is_closing():
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
