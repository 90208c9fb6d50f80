"""What does the second listener answer, the one for operations?

`/health/live`: the process runs. `/health/ready`: it can serve, 503 when not or when it drains, naming what fails.
`/metrics`: Prometheus. Never on the public port.
"""

from collections.abc import Callable

from aiohttp import hdrs, web

from gateway.operations.readiness import Readiness

_NO_STORE = {"Cache-Control": "no-store"}


def build(
    readiness: Readiness,
    metrics: Callable[[], bytes] | None = None,
    content_type: str = "text/plain; version=0.0.4; charset=utf-8",
) -> web.Application:
    """The application; `metrics` gives the text of `/metrics`, without it there is no such page."""

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"status": "live"}, headers=_NO_STORE)

    async def ready(_request: web.Request) -> web.Response:
        verdict = await readiness.verdict()
        if verdict.ready:
            return web.json_response({"status": "ready"}, headers=_NO_STORE)
        told = {"status": "draining"} if verdict.draining else {"status": "not ready", "failing": list(verdict.failing)}
        return web.json_response(told, status=503, headers=_NO_STORE)

    app = web.Application()
    app.on_response_prepare.append(_without_banner)
    app.add_routes([web.get("/health/live", live), web.get("/health/ready", ready)])
    if metrics is not None:
        give = metrics

        async def numbers(_request: web.Request) -> web.Response:
            return web.Response(body=give(), headers={"Content-Type": content_type})

        app.add_routes([web.get("/metrics", numbers)])
    return app


async def _without_banner(_request: web.Request, response: web.StreamResponse) -> None:
    """Which program answers, and in which version, is nobody's business."""
    response.headers.popall(hdrs.SERVER, None)
