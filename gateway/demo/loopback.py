"""Rejects requests whose host is no loopback name of this machine.

The demo shows passwords and codes on purpose. A page elsewhere that lets a name of its own resolve to this machine (DNS
rebinding) gets 421.
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

DEFAULT = "localhost"
NAMES = frozenset(
    {DEFAULT, "127.0.0.1", "::1", "efcx.localhost", "cloudcx.localhost", "sinch.localhost", "genesys.localhost"}
)
"""`*.localhost` never leaves the machine (RFC 6761, section 6.3); of these only the demo's own tenants are answered."""

_PORT = re.compile(r":[0-9]{1,5}$")
_ELSEWHERE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>No tenant of the demo</title>
<style>
:root {{ color-scheme: light dark }}
body {{ max-inline-size: 34rem; margin: 12vh auto; padding: 0 1rem; font: 16px/1.5 system-ui }}
</style>
<main>
<h1>No tenant of the demo</h1>
<p>The demo has no tenant with this name. It answers only its own names on this machine.</p>
<p><a href="{address}">Open the demo</a></p>
</main>
"""
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
        port = _PORT.search(request.headers.get("Host", ""))
        text = _ELSEWHERE.format(address=f"http://{DEFAULT}{port[0] if port else ''}/-/demo")
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
        return web.Response(status=421, text=text, content_type="text/html", headers=headers)
    return await handler(request)
