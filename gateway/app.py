"""The application: its middlewares and its features. `gateway.services` builds what they share."""

from collections.abc import AsyncIterator, Iterable

from aiohttp import hdrs, web

from gateway.account.handlers import Account
from gateway.domain.tasks import running
from gateway.login import feature as login
from gateway.logout import Logout
from gateway.proxy.handler import ProxyHandler, request_check_middleware
from gateway.proxy.problem_responses import AuditedProblems
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.services import Services
from gateway.web.arrival import arrival_middleware
from gateway.web.continue_100 import asking_later
from gateway.web.language import LanguageChoice
from gateway.web.request_context import CONFIGURATION_SOURCE


def build(services: Services, extra_routes: Iterable[web.RouteDef] = ()) -> web.Application:
    """The gateway on these services, which must outlive it. `extra_routes` (the demo's) precede the apps'."""
    clock, random, audit, sessions = services.clock, services.random, services.audit, services.sessions
    pages, failures, csrf = services.pages, services.error_responses, services.csrf
    problems, pool, prefix = AuditedProblems(failures, audit), UpstreamPool(), services.configuration().gateway.prefix
    features = (
        *login.build(services).routes(prefix),
        *Logout(sessions, pages, failures, csrf, random, audit).routes(prefix),
        *Account(sessions, services.enrolments, pages, failures, csrf, clock, random, audit).routes(prefix),
        web.post(f"{prefix}language", LanguageChoice(languages=pages.languages, failures=failures).post),
        *pages.assets.routes(),
        *extra_routes,
    )
    app = web.Application(
        middlewares=[
            failures.middleware,
            request_check_middleware(problems),
            arrival_middleware(pages.languages, random),
        ]
    )
    app[CONFIGURATION_SOURCE] = services.configuration
    app.on_response_prepare.append(_without_banner)
    app.add_routes(asking_later(features))
    ProxyHandler(
        sessions=sessions, streams=sessions, respond=problems, clock=clock, pool=pool, tasks=services.tasks
    ).add_to(app)

    async def serving(_app: web.Application) -> AsyncIterator[None]:
        async with services.serving(), running(login.abandoned_logins(services).look_for_ever()):
            yield
            pool.close()

    app.cleanup_ctx.append(serving)
    return app


async def _without_banner(_request: web.Request, response: web.StreamResponse) -> None:
    """No answer names the server's program and version (ASVS 13.4.6)."""
    response.headers.popall(hdrs.SERVER, None)
