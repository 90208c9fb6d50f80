"""The application: its middlewares and its features. `gateway.services` builds what they share."""

from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from gateway.account.handlers import Account
from gateway.admin.api import feature as api
from gateway.admin.pages import feature as admin_pages
from gateway.admin.pages.users import THROUGH
from gateway.admin.tenants import SettingsFiles
from gateway.administration.user_recovery import UserRecovery
from gateway.domain.tasks import running
from gateway.keycloak.logout_tokens import LogoutTokens
from gateway.login import feature as login
from gateway.logout import BackChannelLogout, Logout
from gateway.proxy.forward_auth import ForwardAuth
from gateway.proxy.handler import ProxyHandler
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.services import Services
from gateway.web.continue_100 import asking_later
from gateway.web.endpoint import Endpoints
from gateway.web.language import LanguageChoice
from gateway.web.middleware import RequestMiddleware, without_banner


def build(
    services: Services, extra_routes: Iterable[web.RouteDef] = (), settings: SettingsFiles | None = None
) -> web.Application:
    """The gateway on these services, which must outlive it. `extra_routes` (the demo's) precede the apps'.

    `settings` are the files that the API changes; None: it changes none.
    """
    random, sessions, pages = services.random, services.sessions, services.pages
    errors, audit, pool = services.error_responses, services.audit, UpstreamPool()
    endpoints = Endpoints(
        services.configuration().gateway.prefix, errors, pages, sessions, services.csrf, audit, random
    )
    features = (
        *login.build(services).routes(endpoints),
        *login.handover(services).routes(endpoints),
        *Logout(sessions, random).routes(endpoints),
        *BackChannelLogout(
            sessions, LogoutTokens(services.keycloak_clients), services.single_use, services.clock
        ).routes(endpoints),
        *Account(
            enrolments=services.enrolments,
            users=services.users,
            sessions=sessions,
            trust=services.trusted_browsers,
            uses=services.factor_uses,
            clock=services.clock,
            random=random,
        ).routes(endpoints),
        *admin_pages.routes(services, endpoints, UserRecovery(services, THROUGH), settings),
        *LanguageChoice(pages.languages).routes(endpoints),
        *api.public_routes(services, settings),
        *pages.assets.routes(),
        *extra_routes,
    )
    middleware = ForwardAuth(RequestMiddleware(services.configuration, errors, pages, random))
    app = web.Application(middlewares=[middleware.handle])
    app.on_response_prepare.append(without_banner)
    app.add_routes(asking_later(features))
    ProxyHandler(
        sessions=sessions,
        errors=errors,
        audit=audit,
        clock=services.clock,
        pool=pool,
        tasks=services.tasks,
        configuration=services.configuration,
        random=random,
    ).add_to(app)

    async def serving(_app: web.Application) -> AsyncIterator[None]:
        async with services.serving(), running(login.login_records(services).watch_abandoned()):
            yield
            pool.close()

    app.cleanup_ctx.append(serving)
    return app
