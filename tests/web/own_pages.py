"""The pages and failures of a running gateway, for tests that need an application around them."""

from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.domain.tenant import Tenant
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.templates import build_environment
from gateway.web.assets import Assets
from gateway.web.error_responses import ErrorResponses, Handler
from gateway.web.pages import Pages
from gateway.web.request_context import TENANT
from tests.clock import FakeClock, SeededRandom

ROOT: Path = data_root()


def failures() -> ErrorResponses:
    """Failures over the real templates, with a clock that stands still."""
    languages = load_languages(ROOT / "locales", ["en"])
    pages = Pages(build_environment(ROOT), languages, Assets(ROOT / "static"), SeededRandom())
    return ErrorResponses(pages=pages, clock=FakeClock(), random=SeededRandom())


def of_tenant(tenant: Tenant) -> Middleware:
    """A middleware that says every request is `tenant`'s."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[TENANT] = tenant
        return await handler(request)

    return middleware
