"""Rejects requests whose host is no loopback name of this machine.

The demo shows passwords and codes on purpose. A page elsewhere that lets a name of its own resolve to this machine (DNS
rebinding) gets 421.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

DEFAULT = "localhost"
NAMES = frozenset({DEFAULT, "127.0.0.1", "::1", "efcx.localhost", "cloudcx.localhost"})
"""`*.localhost` never leaves the machine (RFC 6761, section 6.3); of these only the demo's own tenants are answered."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Whether a `Host` value (with or without a port) names this machine."""
    try:
        return urlsplit(f"//{host}").hostname in NAMES
    except ValueError:
        return False


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer loopback names; everything else is 421."""
    if not is_loopback(request.headers.get("Host", "")):
        return web.Response(status=421, text="The demo answers only local names, such as localhost.\n")
    return await handler(request)
