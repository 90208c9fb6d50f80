"""Who builds what lives? The composition root: the only place that makes stores, pools, factors and handlers.

`build` takes the source of the configuration in force (tenants, channels and policies are arguments of each call,
never built in) and gives an aiohttp application; what must be closed or kept running is one `cleanup_ctx` each.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from aiohttp import hdrs, web

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.crypto.signing import Signer
from gateway.delivery.mail import Mailer
from gateway.domain.channel import ChannelKind
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Chance, Clock, SystemChance, SystemClock
from gateway.domain.problem import Problem
from gateway.domain.session import Session, Tokens
from gateway.domain.tenant import Tenant
from gateway.keycloak import sign_in as keycloak
from gateway.keycloak.connection import Connections
from gateway.keycloak.endings import Endings
from gateway.keycloak.profile import Profile
from gateway.keycloak.sign_in_queue import SignInQueue
from gateway.keycloak.users import Users
from gateway.login.announcing import Announcing
from gateway.login.browsers import Browsers, Seen
from gateway.login.effects import Effects
from gateway.login.flow import Flow, Page
from gateway.login.handlers import LoginHandlers
from gateway.login.machine import Login, Step
from gateway.login.proofs import Proofs
from gateway.login.reaper import Reaper
from gateway.login.reports import Reports
from gateway.login.sending import Sending
from gateway.login.steps.confirm import ConfirmPage
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.register import RegisterPage
from gateway.login.steps.stopped import StoppedPage
from gateway.login.steps.verify import VerifyPage
from gateway.logout import Logout
from gateway.observe.audit import Audit, AuditEvent
from gateway.proxy.admission import ProblemResponder
from gateway.proxy.gate import Gate, request_check_middleware
from gateway.proxy.pool import Pool
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.mails import Mails
from gateway.rendering.templates import build_environment
from gateway.second_factor.attempts import Attempts
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors.email import EmailFactor
from gateway.sessions import sessions as events
from gateway.sessions.refresh import Ended
from gateway.sessions.sessions import Sessions
from gateway.settings.snapshot import Configuration
from gateway.store.interface import Store
from gateway.store.locks import StoreLock
from gateway.store.notices import Notices
from gateway.store.once import Once
from gateway.store.open import open_store
from gateway.store.records import Records
from gateway.web import cookies, csrf
from gateway.web.arrival import arrival_middleware
from gateway.web.assets import Assets
from gateway.web.csrf import Csrf
from gateway.web.failures import Failures
from gateway.web.language import LanguageChoice
from gateway.web.pages import Pages
from gateway.web.request import CLIENT_ADDRESS, CONFIGURATION_SOURCE, REFERENCE, TENANT

T = TypeVar("T")
REAP_EVERY = 30.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class World:
    """What everything else stands on: given once to `build`."""

    configuration: Callable[[], Configuration]
    ring: KeyRing
    clock: Clock
    chance: Chance
    audit: Audit
    store: Store
    lock: StoreLock
    once: Once
    notices: Notices
    sign_in: keycloak.SignIn
    endings: Endings
    users: Users
    profile: Profile
    mailer: Mailer
    mails: Mails
    pages: Pages
    forms: Csrf

    def sealer(self, purpose: str) -> Sealer:
        """A sealer for one purpose."""
        return Sealer(self.ring, purpose, self.chance)

    def records(self, name: str, of: type[T]) -> Records[T]:
        """Records of one kind."""
        return Records(store=self.store, sealer=self.sealer(name), clock=self.clock, name=name, of=of)


STORE = web.AppKey("store", Store)
KEYCLOAK = web.AppKey("keycloak", Users)
PROFILE = web.AppKey("profile", Profile)
REAPER = web.AppKey("reaper", Reaper)
"""What readiness, start-up checks and tests look at."""


def build(
    configuration: Callable[[], Configuration],
    ring: KeyRing,
    *,
    clock: Clock | None = None,
    chance: Chance | None = None,
    audit: Audit | None = None,
    extra_routes: Iterable[web.RouteDef] = (),
) -> web.Application:
    """The gateway. `configuration` is asked once per request; `extra_routes` (the demo's) stand before the apps.

    Raises `errors.Misconfigured` when the store's address is no store's.
    """
    clock, chance = clock or SystemClock(), chance or SystemChance()
    settings = configuration().gateway
    store = open_store(settings.store, clock)
    connections = Connections()
    sign_in = keycloak.SignIn(connections, clock)
    environment = build_environment(data_root())
    languages = load_languages(data_root() / "locales", settings.languages)
    assets = Assets(data_root() / "static", settings.prefix)
    pages = Pages(environment, languages, assets, chance, settings.prefix)
    world = World(
        configuration=configuration,
        ring=ring,
        clock=clock,
        chance=chance,
        audit=audit or Audit(clock),
        store=store,
        lock=StoreLock(store, clock, chance),
        once=Once(store, clock),
        notices=Notices(store=store, chance=chance),
        sign_in=sign_in,
        endings=Endings(sign_in),
        users=Users(connections),
        profile=Profile(connections),
        mailer=Mailer(clock, chance),
        mails=Mails(environment, languages),
        pages=pages,
        forms=Csrf(Signer(ring, csrf.PURPOSE)),
    )
    failures = Failures(pages=pages, clock=clock, chance=chance)
    sessions, pool = _sessions(world), Pool()
    reaper, login = _login(world, sessions)
    logout = Logout(
        sessions=sessions, pages=pages, failures=failures, csrf=world.forms, chance=chance, audit=world.audit
    )
    gate = Gate(
        sessions=sessions,
        streams=sessions,
        respond=_responder(failures, world.audit),
        token_cookie=_token_cookie(clock),
        clock=clock,
        pool=pool,
    )

    app = web.Application(
        middlewares=[
            failures.middleware,
            request_check_middleware(_responder(failures, world.audit)),
            arrival_middleware(languages, chance),
        ]
    )
    app.on_response_prepare.append(_without_banner)
    app[CONFIGURATION_SOURCE] = configuration
    app[STORE], app[KEYCLOAK], app[PROFILE], app[REAPER] = store, world.users, world.profile, reaper
    prefix = settings.prefix
    app.add_routes(login.routes(prefix))
    app.add_routes(logout.routes(prefix))
    app.add_routes([web.post(f"{prefix}language", LanguageChoice(languages=languages, failures=failures).post)])
    app.add_routes(assets.routes())
    app.add_routes(extra_routes)
    gate.add_to(app)
    app.cleanup_ctx.append(_closing(store.close, world.mailer.close, connections.close))
    app.cleanup_ctx.append(_closing(world.endings.close))
    app.cleanup_ctx.append(_listening(world.notices))
    app.cleanup_ctx.append(_reaping(reaper))
    app.cleanup_ctx.append(_closing_pool(pool))
    return app


def _login(world: World, sessions: Sessions) -> tuple[Reaper, LoginHandlers]:
    """The login: machine, steps, effects, handlers."""
    clock, chance, ring = world.clock, world.chance, world.ring
    reports, proofs = Reports(world.audit), Proofs(clock, chance)
    attempts, names = Attempts(world.store, clock), Signer(ring, "user-names")
    logins, browsers = world.records("login", Login), Browsers(world.records("browser", Seen), clock)
    email = EmailFactor(mailer=world.mailer, mails=world.mails, signer=Signer(ring, "message-code"))
    challenges = Challenges(
        factors={(FactorKind.EMAIL, ChannelKind.SMTP): email},
        attempts=attempts,
        once=world.once,
        store=world.store,
        addresses=Signer(ring, "addresses"),
        clock=clock,
        chance=chance,
    )
    enrolments = Enrolments(
        profile=world.profile,
        store=world.store,
        sets=world.sealer("enrolments"),
        guards=world.sealer("guards"),
        lock=world.lock,
        clock=clock,
        on_unguarded=lambda tenant, user: world.audit.write(
            AuditEvent.ENROLMENT_UNGUARDED, tenant=tenant.id, user_id=user
        ),
    )
    sending = Sending(challenges, world.once, proofs, reports)
    reaper = Reaper(world.store, world.once, logins, clock, world.configuration, world.endings.begin)
    limits = world.configuration().gateway.limits
    steps: dict[Step, Page] = {
        Step.PASSWORD: PasswordPage(
            sign_in=world.sign_in,
            queue=SignInQueue(world.lock, clock, at_once=limits.grants_at_once, patience=limits.grant_wait),
            users=world.users,
            enrolments=enrolments,
            attempts=attempts,
            browsers=browsers,
            names=names,
            clock=clock,
            reports=reports,
            end_session=world.endings.begin,
        ),
        Step.REGISTER: RegisterPage(challenges, proofs, clock, reports),
        Step.CONFIRM: ConfirmPage(clock),
        Step.VERIFY: VerifyPage(challenges, sending, proofs, clock, reports),
        Step.STOPPED: StoppedPage(clock),
    }
    effects = Effects(
        sending=sending,
        enrolments=enrolments,
        users=world.users,
        once=world.once,
        sessions=sessions,
        browsers=browsers,
        names=names,
        clock=clock,
        reports=reports,
        tell_profile_address=Announcing(email, world.pages.languages, proofs, reports).tell,
    )

    def dead(tenant: Tenant, login: Login) -> None:
        if login.tokens:
            world.endings.begin(tenant, login.tokens)

    flow = Flow(logins, steps, effects.runners, clock, chance, on_begun=reaper.note, on_dead=dead)
    return reaper, LoginHandlers(flow, sessions, world.pages, world.forms, clock, chance, reports)


def _sessions(world: World) -> Sessions:
    def tenant_of(tenant_id: str) -> Tenant | None:
        return world.configuration().tenant(tenant_id)

    async def refresh(tenant: Tenant, tokens: Tokens) -> Tokens | Ended:
        answer = await world.sign_in.refresh(tenant.keycloak, tokens)
        return Ended(answer.reason) if isinstance(answer, keycloak.Ended) else answer

    def heard(event: str, session: Session, details: Mapping[str, str]) -> None:
        names = {events.OPENED: AuditEvent.SESSION_OPENED, events.ENDED: AuditEvent.SESSION_ENDED}
        if audited := names.get(event):
            world.audit.write(
                audited,
                tenant=session.tenant,
                user_id=session.user_id,
                username=session.username,
                session=session.id,
                **details,
            )
        tenant = tenant_of(session.tenant)
        if event == events.ENDED and details.get("reason") != "keycloak" and tenant:
            world.endings.begin(tenant, session.tokens)

    return Sessions(
        store=world.store,
        sealer=world.sealer("session"),
        clock=world.clock,
        lock=world.lock,
        notices=world.notices,
        refresher=refresh,
        tenants=tenant_of,
        on_event=heard,
    )


def _responder(failures: Failures, audit: Audit) -> ProblemResponder:
    """Problems of the proxy as answers; those an operator wants to see are audited."""
    audited = {Problem.SIGN_IN_HERE: AuditEvent.DOOR_CLOSED, Problem.ORIGIN_REFUSED: AuditEvent.ORIGIN_REFUSED}

    def respond(
        request: web.Request,
        problem: Problem,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        cause: str = "",
        as_json: bool = False,
    ) -> web.StreamResponse:
        if event := audited.get(problem):
            audit.write(
                event,
                tenant=request[TENANT].id,
                client=request.get(CLIENT_ADDRESS),
                reference=request.get(REFERENCE),
                method=request.method,
                path=request.rel_url.raw_path[:200],
            )
        return failures.respond(
            request, problem, status=status, headers=headers, extra=extra, cause=cause, as_json=as_json
        )

    return respond


async def _without_banner(_request: web.Request, response: web.StreamResponse) -> None:
    """No answer names the server's program and version (ASVS 13.4.6)."""
    response.headers.popall(hdrs.SERVER, None)


def _token_cookie(clock: Clock) -> Callable[[Tenant, Session], str | None]:
    def token_cookie(tenant: Tenant, session: Session) -> str | None:
        cookie = cookies.token(tenant, session, clock.now())
        return None if isinstance(cookie, cookies.TooLarge) else cookie

    return token_cookie


Context = Callable[[web.Application], AsyncIterator[None]]


def _closing(*closes: Callable[[], object]) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        yield
        for close in closes:
            with suppress(GatewayError):
                await close()  # type: ignore[misc]  # each is a coroutine function

    return context


def _closing_pool(pool: Pool) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        yield
        pool.close()

    return context


def _listening(notices: Notices) -> Context:
    async def context(_app: web.Application) -> AsyncIterator[None]:
        async with notices.running():
            yield

    return context


def _reaping(reaper: Reaper) -> Context:
    async def look_for_ever() -> None:
        while True:
            await asyncio.sleep(REAP_EVERY)
            try:
                await reaper.look()
            except GatewayError as error:
                log.warning("dead_logins_not_looked_for", what=error.what)

    async def context(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(look_for_ever())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return context
