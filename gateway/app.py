"""Who builds what lives? The composition root: the only place that makes stores, pools, factors and handlers.

`build` takes the source of the configuration in force (tenants, channels and policies are arguments of each call,
never built in) and gives an aiohttp application; what must be closed or kept running is one `cleanup_ctx` each.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

import structlog
from aiohttp import hdrs, web

from gateway import assembly
from gateway.account.handlers import Account
from gateway.assembly import Services
from gateway.crypto.sealing import KeyRing
from gateway.crypto.signing import Signer
from gateway.delivery.smtp import Mailer
from gateway.domain.configuration import Configuration
from gateway.domain.errors import GatewayError
from gateway.domain.ports import Clock, Random, SystemClock, SystemRandom
from gateway.domain.tasks import end
from gateway.keycloak import token_endpoint as keycloak
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.grant_queue import GrantQueue
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.profile import UserProfiles
from gateway.keycloak.users import Users
from gateway.login.abandoned_logins import AbandonedLogins
from gateway.logout import Logout
from gateway.observe.audit import Audit
from gateway.proxy.handler import ProxyHandler
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.mails import Mails
from gateway.rendering.templates import build_environment
from gateway.second_factor.used_codes import UsedCodes
from gateway.store.factory import open_store
from gateway.store.locks import StoreLock
from gateway.store.protocol import Store
from gateway.store.replica_events import ReplicaEvents
from gateway.store.single_use import SingleUse
from gateway.web import csrf
from gateway.web.assets import Assets
from gateway.web.continue_100 import asking_later
from gateway.web.csrf import Csrf
from gateway.web.endpoint import Endpoints
from gateway.web.error_responses import ErrorResponses
from gateway.web.language import LanguageChoice
from gateway.web.middleware import RequestMiddleware
from gateway.web.pages import Pages

REAP_EVERY = 30.0
log = structlog.get_logger(__name__)


STORE = web.AppKey("store", Store)
KEYCLOAK = web.AppKey("keycloak", Users)
PROFILE = web.AppKey("profile", UserProfiles)
REAPER = web.AppKey("reaper", AbandonedLogins)
CONNECTIONS = web.AppKey("connections", KeycloakClients)
SIGN_IN = web.AppKey("sign_in", keycloak.TokenEndpoint)
"""What readiness, start-up checks and tests look at."""


def build(
    configuration: Callable[[], Configuration],
    ring: KeyRing,
    *,
    clock: Clock | None = None,
    random: Random | None = None,
    audit: Audit | None = None,
    extra_routes: Iterable[web.RouteDef] = (),
) -> web.Application:
    """The gateway. `configuration` is asked once per request; `extra_routes` (the demo's) stand before the apps.

    Raises `errors.Misconfigured` when the store's address is no store's.
    """
    clock, random = clock or SystemClock(), random or SystemRandom()
    settings = configuration().gateway
    store = open_store(settings.store, clock)
    connections = KeycloakClients()
    sign_in = keycloak.TokenEndpoint(connections, clock)
    lock, limits = StoreLock(store, clock, random), settings.limits
    environment = build_environment(data_root())
    languages = load_languages(data_root() / "locales", settings.languages)
    assets = Assets(data_root() / "static", settings.prefix)
    pages = Pages(environment, languages, assets, random, settings.prefix)
    services = Services(
        configuration=configuration,
        ring=ring,
        clock=clock,
        random=random,
        audit=audit or Audit(clock),
        store=store,
        lock=lock,
        once=SingleUse(store, clock),
        replica_events=ReplicaEvents(store=store, random=random),
        sign_in=sign_in,
        queue=GrantQueue(
            lock,
            clock,
            per_name=limits.grants_per_user_waiting,
            per_address=limits.grants_per_user_and_client,
            at_once=limits.grants_at_once,
            patience=limits.grant_wait,
        ),
        endings=LogoutRetries(sign_in),
        users=Users(connections),
        profile=UserProfiles(connections),
        mailer=Mailer(clock, random),
        mails=Mails(environment, languages),
        pages=pages,
        forms=Csrf(Signer(ring, csrf.PURPOSE)),
    )
    failures = ErrorResponses(pages=pages, clock=clock, random=random)
    sessions, pool, factors = assembly.sessions(services), UpstreamPool(), assembly.second_factor(services)
    reaper, login = assembly.login(services, factors, sessions, failures)
    endpoints = Endpoints(settings.prefix, failures, pages, sessions, services.forms, services.audit)
    gate = ProxyHandler(
        sessions=sessions,
        errors=failures,
        audit=services.audit,
        clock=clock,
        pool=pool,
    )

    app = web.Application(middlewares=[RequestMiddleware(configuration, failures, pages, random).handle])
    app.on_response_prepare.append(_without_banner)
    app[STORE], app[KEYCLOAK], app[PROFILE], app[REAPER] = store, services.users, services.profile, reaper
    app[CONNECTIONS], app[SIGN_IN] = connections, sign_in
    app.add_routes(
        asking_later(
            (
                *login.routes(settings.prefix),
                *Logout(sessions, random).routes(endpoints),
                *Account(factors.enrolments, languages, random).routes(endpoints),
                *LanguageChoice(languages).routes(endpoints),
                *assets.routes(),
                *extra_routes,
            )
        )
    )
    gate.add_to(app)
    app.cleanup_ctx.append(_closing(store.close, services.mailer.close, connections.close))
    app.cleanup_ctx.append(_closing(services.endings.close, services.queue.close))
    app.cleanup_ctx.append(_listening(services.replica_events))
    app.cleanup_ctx.append(_born(factors.consuming))
    app.cleanup_ctx.append(_reaping(reaper))
    app.cleanup_ctx.append(_closing_pool(pool))
    return app


async def _without_banner(_request: web.Request, response: web.StreamResponse) -> None:
    """No answer names the server's program and version (ASVS 13.4.6)."""
    response.headers.popall(hdrs.SERVER, None)


Context = Callable[[web.Application], AsyncIterator[None]]


def _closing(*closes: Callable[[], object]) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        yield
        for close in closes:
            with suppress(GatewayError):
                await close()  # type: ignore[misc]  # each is a coroutine function

    return context


def _closing_pool(pool: UpstreamPool) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        yield
        pool.close()

    return context


def _listening(replica_events: ReplicaEvents) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        async with replica_events.running():
            yield

    return context


def _born(consuming: UsedCodes) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        with suppress(GatewayError):  # a store that is down now is born later: that refuses more, never less
            await consuming.born()
        yield

    return context


def _reaping(reaper: AbandonedLogins) -> Context:
    async def look_for_ever() -> None:
        while True:
            await asyncio.sleep(REAP_EVERY)
            try:
                await reaper.look()
            except GatewayError as error:
                log.warning("abandoned_logins_not_ended", what=error.what)
            except Exception:  # the next look may be another; without one, no dead login would ever be ended
                log.exception("abandoned_logins_not_ended")

    async def context(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(look_for_ever())
        yield
        await end(task)

    return context
