"""Answers every request that is not for a page of the gateway's own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from aiohttp import hdrs, http_parser, web

from gateway.domain.configuration import Configuration
from gateway.domain.errors import Misconfigured
from gateway.domain.ports import Clock, Random, SystemRandom
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.observe.audit import Audit, AuditEvent, RequestAudit
from gateway.proxy import forward_auth, headers, routing
from gateway.proxy.authorization import (
    AnswerPreflight,
    Decision,
    Deny,
    DenyApp,
    Forward,
    RedirectHome,
    RedirectToSignIn,
    RedirectToStepUp,
    UnregisterWorker,
    authorize,
    is_navigation,
    needs_session,
)
from gateway.proxy.downstream import Downstream
from gateway.proxy.fast_path import FastPath
from gateway.proxy.forward import Failed, Forwarder
from gateway.proxy.public_urls import public_origin
from gateway.proxy.request_protocol import failed_on_fast_path
from gateway.proxy.routing import RouteMatch
from gateway.proxy.runner import FAST_PATH
from gateway.proxy.session_stream import OpenStreams, SessionStream
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.proxy.websocket import PER_SESSION, WebSockets
from gateway.sessions.sessions import Sessions
from gateway.web import continue_100, cookies
from gateway.web.cookies import Cookie, TooLarge
from gateway.web.error_responses import ErrorResponses
from gateway.web.request_check import Checked
from gateway.web.request_context import (
    CHECKED,
    CLIENT_ADDRESS,
    CONFIGURATION,
    IN_QUESTION,
    REFERENCE,
    REQUEST_ID,
    REQUEST_ID_FIELD,
    TENANT,
    cookies_of,
)
from gateway.web.service_worker_scripts import unregistering

_PRIVATE = {"Cache-Control": "no-store", "Vary": "Cookie"}
_AUDITED = {Problem.SIGN_IN_HERE: AuditEvent.ENDPOINT_BLOCKED, Problem.ORIGIN_REFUSED: AuditEvent.ORIGIN_REJECTED}
_log = structlog.get_logger(__name__)


def server_options() -> dict[str, Any]:
    """The options of `web.AppRunner`, so that aiohttp changes and rejects nothing before our own check.

    aiohttp's limits are above ours, which answer 431 with advice. Bodies are never decompressed. Of a body that its
    reader does not take, aiohttp holds twice `read_bufsize` bytes and one read (`connection_limits.READ`).
    """
    return {
        "auto_decompress": False,
        "keepalive_timeout": 75.0,
        "max_line_size": 16_384,
        "max_field_size": 65_536,
        "max_headers": 512,
        "access_log": None,
        "read_bufsize": 8_192,
    }


def require_strict_parser() -> None:
    """Reject aiohttp's pure-Python parser at start, which lets more odd requests through.

    Raises `errors.Misconfigured`.
    """
    if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise Misconfigured("aiohttp", "its compiled parser is missing; install the wheel, unset AIOHTTP_NO_EXTENSIONS")


class ProxyHandler:
    """The handler of every path that no other route takes: apps, and our own 404."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        errors: ErrorResponses,
        audit: Audit,
        clock: Clock,
        pool: UpstreamPool,
        tasks: BackgroundTasks,
        configuration: Callable[[], Configuration],
        random: Random | None = None,
        websockets_per_session: int = PER_SESSION,
    ) -> None:
        self._sessions = sessions
        self._errors = errors
        self._audit = audit
        self._clock = clock
        self._streams = OpenStreams()
        self._forwarder = Forwarder(pool, self._streams)
        self._websockets = WebSockets(pool, self._streams, per_session=websockets_per_session)
        self._tasks = tasks
        self.fast_path = FastPath(
            configuration=configuration,
            sessions=sessions,
            pool=pool,
            streams=self._streams,
            clock=clock,
            random=random or SystemRandom(),
            tasks=tasks,
        )

    def add_to(self, app: web.Application) -> None:
        """Take every path that no route added before takes, and plain requests before aiohttp sees them."""
        app[FAST_PATH] = self.fast_path
        app.router.add_route("*", "/{path:.*}", self.handle, expect_handler=continue_100.wait)
        app.on_shutdown.append(self._end_streams)

    async def _end_streams(self, _app: web.Application) -> None:
        """End WebSockets and event streams, which have no end of their own, before requests are waited for."""
        self._streams.end()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Decide on the request and answer it.

        Raises `errors.Unreachable` when the store does not answer: then no request reaches an app.
        """
        checked, tenant, prefix = request[CHECKED], request[TENANT], request[CONFIGURATION].gateway.prefix
        failed = failed_on_fast_path(request)
        match = routing.find(checked, tenant, prefix)
        if IN_QUESTION in request:
            match = forward_auth.read_alike(checked, tenant, match)
        session = None
        if needs_session(checked, match):
            value = cookies_of(request).get(cookies.name_of(Cookie.SESSION, tenant))
            session = await self._sessions.current(tenant, value) if value else None
        decision = authorize(checked, tenant, match, session, prefix)
        if isinstance(decision, Forward) and IN_QUESTION in request:
            return forward_auth.allowed(checked, tenant, decision)
        if failed is not None and isinstance(decision, Forward):
            return self._app_failed(request, decision.match, failed)
        return await self._answer(request, checked, tenant, decision)

    async def _answer(
        self, request: web.Request, checked: Checked, tenant: Tenant, decision: Decision
    ) -> web.StreamResponse:
        """Carry out the decision."""
        match decision:
            case Forward():
                return await self._forward(request, checked, tenant, decision)
            case RedirectHome(location) | RedirectToSignIn(location, True) | RedirectToStepUp(location, True):
                return web.Response(status=303, headers={hdrs.LOCATION: location, **_PRIVATE})
            case RedirectToSignIn(location) | RedirectToStepUp(location):
                login = public_origin(checked, tenant) + location
                return self._problem(request, Problem.SIGN_IN_FIRST, status=401, extra={"login": login})
            case AnswerPreflight(route):
                return web.Response(status=204, headers=dict(headers.preflight_fields(checked, tenant, route)))
            case UnregisterWorker(why, route):
                return unregistering(request, why, route)
            case DenyApp(route, session):
                self._report(request, AuditEvent.APP_DENIED, session, app=route.name)
                return self._problem(request, Problem.APP_NOT_ALLOWED, extra={"app": route.name})
            case Deny(problem):
                return self._denied(request, problem)

    def _report(self, request: web.Request, event: AuditEvent, user: Session | None = None, **details: str) -> None:
        audit = RequestAudit(
            self._audit, request[TENANT].id, request[CLIENT_ADDRESS], request[REQUEST_ID], request[REFERENCE]
        )
        checked = request[CHECKED]
        audit.write(event, user, **details, method=checked.method, path=checked.path[:200])

    def _denied(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        """A problem in place of the app's answer; the audit gets those that an operator looks for."""
        checked, tenant = request[CHECKED], request[TENANT]
        if event := _AUDITED.get(problem):
            self._report(request, event)
        login = f"{public_origin(checked, tenant)}{request[CONFIGURATION].gateway.prefix}login"
        return self._problem(request, problem, extra={"login": login} if problem is Problem.SIGN_IN_HERE else None)

    async def _forward(
        self, request: web.Request, checked: Checked, tenant: Tenant, decision: Forward
    ) -> web.StreamResponse:
        match, session = decision.match, decision.session
        head = headers.request_head(checked, match, tenant, session, request[CLIENT_ADDRESS])
        request_id = (REQUEST_ID_FIELD, request[REQUEST_ID])
        head = replace(head, fields=(*head.fields, request_id))
        private = session is not None and not match.route.shared_cache
        extra = self._renewed_token_cookie(cookies_of(request), tenant, session) if private else ()
        prefix = request[CONFIGURATION].gateway.prefix

        def rewrite(status: int, fields: Iterable[tuple[str, str]]) -> headers.HeaderFields:
            ours = (*extra, request_id)
            return headers.response_fields(
                fields, checked, match.route, tenant, prefix, status=status, private=private, extra=ours
            )

        stream = SessionStream(self._sessions, session, self._clock, self._tasks, match.route) if session else None
        if checked.upgrade and stream:  # a public path takes no upgrade (`routing.find`)
            outcome = await self._websockets.splice(request, checked, head, match.route, stream=stream, rewrite=rewrite)
        else:
            outcome = await self._forwarder.forward(
                Downstream(request), checked, head, match.route, stream=stream, rewrite=rewrite
            )
        if not isinstance(outcome, Failed):
            return outcome
        response = self._app_failed(request, match, outcome)
        if not request.content.is_eof():
            response.force_close()
        return response

    def _app_failed(self, request: web.Request, match: RouteMatch, outcome: Failed) -> web.StreamResponse:
        """A problem, because the app gave no answer."""
        name, path = match.route.name, match.route.path or "/"
        _log.warning("app_failed", app=name, route=path, problem=outcome.problem.value, why=outcome.why)
        return self._problem(request, outcome.problem, cause=f"route {path}: {outcome.why}")

    def _problem(
        self,
        request: web.Request,
        problem: Problem,
        *,
        status: int | None = None,
        extra: Mapping[str, str] | None = None,
        cause: str = "",
    ) -> web.StreamResponse:
        """A page for users, JSON for scripts; a page of a configured origin may read the reason."""
        checked, tenant = request[CHECKED], request[TENANT]
        fields = {**_PRIVATE, **dict(headers.cors_fields(checked, tenant))}
        if tenant.origins:
            fields["Vary"] = "Cookie, Origin"
        as_json = not is_navigation(checked)  # a script may ask for "*/*" and still cannot read a page
        return self._errors.respond(
            request, problem, status=status, headers=fields, extra=extra, cause=cause, as_json=as_json
        )

    def _renewed_token_cookie(
        self, found: Mapping[str, str], tenant: Tenant, session: Session | None
    ) -> headers.HeaderFields:
        """The session's token for a browser whose token cookie has another one; nothing when no cookie can hold it."""
        if session is None or found.get(tenant.token_cookie.name) == session.tokens.access:
            return ()
        cookie = cookies.token(tenant, session, self._clock.now())
        return () if isinstance(cookie, TooLarge) else (("Set-Cookie", cookie),)
