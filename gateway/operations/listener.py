"""Serves health and metrics on the operations port, never on the public one.

`/health/live` answers 200 while the process runs. `/health/ready` answers 200, or 503 with the names of the failing
dependencies, or 503 while the process drains. Requests with the operations token also get reasons and warnings.
`/metrics` serves Prometheus metrics.
"""

import hmac
from collections.abc import Callable

from aiohttp import hdrs, web

from gateway.domain.secret import Secret
from gateway.operations.readiness import Readiness
from gateway.web.middleware import without_banner

_NO_STORE = {"Cache-Control": "no-store"}


def build(
    readiness: Readiness,
    metrics: Callable[[], bytes] | None = None,
    content_type: str = "text/plain; version=0.0.4; charset=utf-8",
    token: Callable[[], Secret] = lambda: Secret(""),
) -> web.Application:
    """The application. `metrics` returns the text of `/metrics`; without it there is no such page.

    `token` returns the current operations token. While it is empty, no request gets reasons.
    """

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "live"}, headers=_NO_STORE)

    async def ready(request: web.Request) -> web.Response:
        verdict = await readiness.verdict()
        if verdict.draining:
            return web.json_response({"status": "draining"}, status=503, headers=_NO_STORE)
        body: dict[str, object] = {"status": "ready"}
        if not verdict.ready:
            body = {"status": "not ready", "failing": list(verdict.failing)}
        if has_token(request, token()):
            if not verdict.ready:
                body["reasons"] = dict(verdict.reasons)
            if verdict.warnings:
                body["warnings"] = dict(verdict.warnings)
        return web.json_response(body, status=200 if verdict.ready else 503, headers=_NO_STORE)

    app = web.Application()
    app.on_response_prepare.append(without_banner)
    app.add_routes([web.get("/health/live", live), web.get("/health/ready", ready)])
    if metrics is not None:
        give = metrics

        async def numbers(_request: web.Request) -> web.Response:
            return web.Response(body=give(), headers={"Content-Type": content_type})

        app.add_routes([web.get("/metrics", numbers)])
    return app


def has_token(request: web.Request, token: Secret) -> bool:
    """Whether the request has the operations token; False while there is none."""
    given = request.headers.get(hdrs.AUTHORIZATION, "").encode("utf-8", "surrogateescape")
    return bool(token) and hmac.compare_digest(given, f"Bearer {token.value}".encode())
