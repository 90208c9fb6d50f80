"""Answers another proxy that asks about each request: nginx `auth_request`, Traefik, Caddy, Envoy.

The proxy's question becomes the request that it is about. From there on that is a request as any other, with the same
check, tenant, route and `authorize`. Only `Forward` is answered with 200, and with the fields that the app must get in
place of the browser's. Any other answer gets a status that no proxy takes for a yes: also the script that unregisters
a service worker, and the answer to a preflight, which have 2xx otherwise.

The path in question is the one that the proxy names, exactly once. Other ways to name it are rejected: a client could
have sent them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import hdrs, web

from gateway.domain.configuration import ForwardAuthProxy
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.observe.seldom import Seldom
from gateway.proxy import headers
from gateway.proxy.authorization import Forward
from gateway.proxy.public_urls import public_origin
from gateway.proxy.routing import RouteMatch
from gateway.web.client_address import is_trusted_peer
from gateway.web.error_responses import Handler
from gateway.web.middleware import RequestMiddleware, head_of
from gateway.web.request_check import Checked, RequestHead
from gateway.web.request_context import CHECKED, IN_QUESTION, TENANT

PATH = "auth"
"""Path of the questions, below the prefix of the gateway's own pages."""
IDENTITY = ("Authorization", "Cookie", "X-Auth-User-Id", "X-Auth-Username", "X-Auth-Email", "X-Auth-Roles")
"""Fields of a 200 that the proxy sends to the app in place of the browser's. Each is always there, even if empty."""

_FORWARDED = ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host")
NAMED_BY: Mapping[ForwardAuthProxy, tuple[str, str, str]] = {
    ForwardAuthProxy.NGINX: ("x-original-method", "x-original-uri", "host"),
    ForwardAuthProxy.TRAEFIK: _FORWARDED,
    ForwardAuthProxy.CADDY: _FORWARDED,
}
"""The fields that name method, target and host. Envoy asks with method and host, and its path follows `PATH`."""
_OTHER_WAYS = frozenset(
    ["x-original-method", "x-original-uri", "x-original-url", "x-rewrite-url", *_FORWARDED[:2]],
)
OF_THE_QUESTION = frozenset(
    [
        "host",
        "connection",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        *_FORWARDED,
        *_OTHER_WAYS,
    ]
)
"""Fields that concern the connection between the proxy and the gateway, or that name the request in question."""
_log = structlog.get_logger(__name__)


class Allowed(web.Response):
    """The only answer that means yes."""


@dataclass(frozen=True, slots=True)
class ForwardAuth:
    """The one middleware: it also answers the questions of other proxies. `requests` handles every other request."""

    requests: RequestMiddleware
    unreadable: Seldom = field(default_factory=lambda: Seldom(period=60))

    @web.middleware
    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the question of a trusted proxy; pass on every other request, for which the path does not exist."""
        settings = self.requests.configuration().gateway
        proxy, path = settings.forward_auth, f"{settings.prefix}{PATH}"
        asked = request.raw_path.startswith(f"{path}/") if proxy is ForwardAuthProxy.ENVOY else request.raw_path == path
        if proxy is None or not asked or not is_trusted_peer(request.remote, settings.trusted_proxies):
            return await self.requests.handle(request, handler)
        found = request_in_question(head_of(request), proxy, path)
        if isinstance(found, str):
            if self.unreadable.allows(found):
                _log.warning("forward_auth_unreadable", why=found, proxy=proxy.value)
            return _refused(web.Response(status=400, headers={hdrs.CACHE_CONTROL: "no-store"}), proxy)
        request[IN_QUESTION] = found
        response = await self.requests.handle(request, handler)
        if isinstance(response, Allowed):
            return response
        if (to := response.headers.get(hdrs.LOCATION, "")).startswith("/"):  # Traefik would put its own host before it
            response.headers[hdrs.LOCATION] = public_origin(request[CHECKED], request[TENANT]) + to
        return _refused(response, proxy)


def request_in_question(question: RequestHead, proxy: ForwardAuthProxy, path: str) -> RequestHead | str:
    """The request that the question is about, not yet checked; else the reason why it is not exactly one, for the log.

    `path` is that of the questions.
    """
    fields: dict[str, list[str]] = {}
    for name, value in question.headers:
        fields.setdefault(name.lower().replace("_", "-"), []).append(value)
    named = NAMED_BY.get(proxy, ("", "", "host"))
    wrong = [name for name in named if name and len(fields.get(name, ())) != 1]
    if wrong:
        return f"{wrong[0]} is missing, or there are several"
    if other := sorted(name for name in _OTHER_WAYS if name in fields and name not in named):
        return f"{other[0]} is a field of another proxy or of a client"
    if "transfer-encoding" in fields or fields.get("content-length", ["0"]) != ["0"]:
        return "a question has no body"
    method, target = (fields[name][0] if name else "" for name in named[:2])
    if proxy is ForwardAuthProxy.ENVOY:
        method, target = question.method, question.target.removeprefix(path)
    handshake = "sec-websocket-key" in fields or "websocket" in ",".join(fields.get("upgrade", ())).lower()
    return RequestHead(
        method,
        target,
        (1, 1),
        (
            ("Host", fields[named[2]][0]),
            *(one for one in question.headers if one[0].lower() not in OF_THE_QUESTION),
            *((("Connection", "Upgrade"), ("Upgrade", "websocket")) if handshake else ()),
        ),
    )


def read_alike(checked: Checked, tenant: Tenant, match: RouteMatch | Problem) -> RouteMatch | Problem:
    """`match`, if the asking proxy, which chooses the app itself, must find the same route.

    Proxies decode `%2F`, join slashes or ignore case before they choose.
    """
    if isinstance(match, Problem):
        return match
    folded = tuple([segment.lower() for segment in checked.segments])
    longer = (route.path_segments for route in tenant.routes if len(route.path) > len(match.route.path))
    other = any(tuple([one.lower() for one in path]) == folded[: len(path)] for path in longer)
    return Problem.BAD_REQUEST if checked.odd_slashes or other else match


def allowed(checked: Checked, tenant: Tenant, decision: Forward) -> Allowed:
    """The yes. It never sets a cookie: a proxy may use it for a second request."""
    cookies = headers.kept_cookies(checked.all("cookie"), tenant)
    return Allowed(headers=allowed_fields(checked, tenant, decision, cookies))


def allowed_fields(checked: Checked, tenant: Tenant, decision: Forward, cookies: Sequence[str]) -> dict[str, str]:
    """The fields of a yes, those for the app among them; `cookies` are the client's own. They are sent in UTF-8."""
    sent = dict(headers.credential_fields(checked, decision.match, tenant, decision.session, cookies))
    fields = {name: sent.get(name, "").encode("latin-1").decode("utf-8", "replace") for name in IDENTITY}
    return {**fields, hdrs.CACHE_CONTROL: "no-store"}


def _refused(response: Any, proxy: ForwardAuthProxy) -> web.StreamResponse:
    """`response` with a status that means no. nginx takes 401 and 403 for a no, and other codes for a failure."""
    status = response.status
    if proxy is ForwardAuthProxy.NGINX and status < 500:
        response.set_status(401 if status == 401 or 300 <= status < 400 else 403)
    elif status < 300:
        response.set_status(403)
    answer: web.StreamResponse = response
    return answer
