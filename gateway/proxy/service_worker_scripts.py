"""Decides which service worker scripts an app may serve, and holds the script that the gateway serves instead.

Pure. A service worker answers a browser's requests for every page below its scope, before the gateway sees them; below
`/` it reads the password on the login page. The scope is not in the request, so the gateway judges by the folder of
the script: without `Service-Worker-Allowed`, which is dropped, no scope is wider (W3C Service Workers, "Update").

A refused script is answered with one that unregisters itself, because after an error (a status other than 2xx, a
redirect, another content type) the browser keeps the worker that it has. Dedicated and shared workers
(`Sec-Fetch-Dest: worker`, `sharedworker`) intercept no page and are requests as any other.
"""

from gateway.proxy.request_check import Checked, RequestHead
from gateway.proxy.routing import BlockedEndpoint, InvalidPath, NoRoute, RouteMatch

SCRIPT = """\
// The gateway does not let this path control pages: this service worker replaces the one before it and leaves.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.registration.unregister()));
"""
"""Has no `fetch` handler, so that the browser asks the gateway again at once, and reloads no page."""

_LENGTH = 14
"""Characters of `service-worker` and of `sec-fetch-dest`: other names of a request are not looked at."""


def is_asked_for(head: RequestHead | Checked) -> bool:
    """Whether a browser fetches the script of a service worker by `head`, to register it or to update it.

    Browsers say it by `Service-Worker: script`, and newer ones by `Sec-Fetch-Dest: serviceworker` too; imported scripts
    carry neither.
    """
    if head.method not in ("GET", "HEAD"):
        return False
    for name, value in head.headers:
        if len(name) != _LENGTH:
            continue
        key = name.lower()
        if key == "service-worker" or (key == "sec-fetch-dest" and value.strip().lower() == "serviceworker"):
            return True
    return False


def refusal(checked: Checked, found: RouteMatch | BlockedEndpoint | NoRoute | InvalidPath, prefix: str) -> str | None:
    """Why the app may not answer, for the log; None where it may. `prefix` is the gateway's own (`/-/`)."""
    if not isinstance(found, RouteMatch):
        return "no app answers at this path"
    if not found.route.service_worker:
        return "service_worker of the route is false"
    if prefix.startswith(folder(checked.path)):
        return "the script's folder covers the gateway's own pages"
    return None


def folder(path: str) -> str:
    """The folder of a script, which is the widest scope of its worker: `/app/` of `/app/worker.js`."""
    return path[: path.rindex("/") + 1]
