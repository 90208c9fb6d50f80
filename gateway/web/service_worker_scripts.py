"""Decides which service worker scripts an app may serve, and serves the script that replaces a refused one.

A service worker answers a browser's requests for every page below its scope, before the gateway sees them; below
`/` it reads the password on the login page. The scope is not in the request, so the gateway decides by the folder
of the script: without `Service-Worker-Allowed`, which is dropped, no scope is wider (W3C Service Workers, "Update").

A refused script is answered with one that unregisters itself, because after an error (a status other than 2xx, a
redirect, another content type) the browser keeps the worker that it has. Dedicated and shared workers
(`Sec-Fetch-Dest: worker`, `sharedworker`) intercept no page and are requests as any other.

The module is in `web`, because `web.middleware` also protects the gateway's own pages by it.
"""

import structlog
from aiohttp import web

from gateway.domain.tenant import Route
from gateway.web import security_headers
from gateway.web.request_context import CHECKED, REFERENCE, TENANT

SCRIPT = """\
// The gateway does not let this path control pages: this service worker replaces the one before it and leaves.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.registration.unregister()));
"""
"""Has no `fetch` handler, so that the browser asks the gateway again at once, and reloads no page."""

_LOGGED_PATH = 200
_log = structlog.get_logger(__name__)


def refusal(route: Route | None, path: str, prefix: str) -> str | None:
    """The reason, for the log, why the app of `route` may not serve this script; None where it may.

    `prefix` is the gateway's own (`/-/`).
    """
    if route is None:
        return "no app answers at this path"
    if not route.service_worker:
        return "service_worker of the route is false"
    if prefix.startswith(path[: path.rindex("/") + 1]):  # the folder of a script is the widest scope of its worker
        return "the script's folder covers the gateway's own pages"
    return None


def unregistering(request: web.Request, why: str, route: Route | None = None) -> web.Response:
    """The script that unregisters a service worker, in place of the one of the request; `why` is for the log."""
    tenant, checked = request.get(TENANT), request.get(CHECKED)
    _log.info(
        "worker_script_refused",
        why=why,
        tenant=tenant.id if tenant else None,
        route=(route.path or "/") if route else None,
        path=(checked.path if checked else request.raw_path.partition("?")[0])[:_LOGGED_PATH],
        reference=request.get(REFERENCE),
    )
    headers = security_headers.headers(secure=tenant is not None and tenant.secure)
    return web.Response(text=SCRIPT, content_type="text/javascript", headers=headers)
