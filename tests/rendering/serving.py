"""A loopback server that shows every state of every page: ``/<language>/<state>``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.domain.tenant import Tenant
from gateway.rendering.data_root import data_root
from gateway.web.assets import Assets
from gateway.web.request_context import LANGUAGE, REFERENCE, TENANT
from tests.fixtures import page_states as states
from tests.fixtures.ports import free_port


@asynccontextmanager
async def serving(tenant: Tenant) -> AsyncIterator[str]:
    """Yields the address of the server."""
    pages = states.pages()

    async def show(request: web.Request) -> web.Response:
        request[TENANT] = tenant
        request[LANGUAGE] = pages.languages.get(request.match_info["language"])
        request[REFERENCE] = states.REFERENCE_CODE
        template, context = states.STATES[request.match_info["state"]](request[LANGUAGE])
        return pages.render(request, template, context)

    async def show_mail(request: web.Request) -> web.Response:
        mail = states.mail(request.match_info["name"], request.match_info["language"])
        return web.Response(text=mail.html, content_type="text/html")

    app = web.Application()
    app.add_routes([*Assets(data_root() / "static").routes(), web.get("/{language}/{state}", show)])
    app.add_routes([web.get("/{language}/mail/{name}", show_mail)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
