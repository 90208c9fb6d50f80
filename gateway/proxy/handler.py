"""Checks every request, and answers those that no page of the gateway takes.

`request_check_middleware` is the outermost middleware: nothing, own pages included, runs before it has passed.
`ProxyHandler` answers every path that is not one of ours.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from aiohttp import http_parser, web
from aiohttp.typedefs import Handler, Middleware

from gateway.domain.errors import GatewayError, Misconfigured
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.proxy import headers, routing, service_worker_scripts
from gateway.proxy.admission import Admission, ProblemResponder, Sessions, Streams
from gateway.proxy.authorization import (
    AnswerPreflight,
    Decision,
    Deny,
    Forward,
    RedirectToSignIn,
    RedirectToStepUp,
    is_navigation,
)
from gateway.proxy.downstream import Downstream
from gateway.proxy.forward import Failed, Forwarder
from gateway.proxy.request_check import METHODS, Checked, InvalidRequest, RequestHead, check
from gateway.proxy.routing import RouteMatch
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.proxy.websocket import PER_SESSION, WebSockets
from gateway.web import continue_100, cookies, protections
from gateway.web.client_address import HEADER as FORWARDED_FOR
from gateway.web.client_address import Unparseable, client_address
from gateway.web.request_context import CLIENT_ADDRESS, CONFIGURATION, CONFIGURATION_SOURCE, REFERENCE, TENANT

CHECKED = web.RequestKey("checked", Checked)
"""The request as the one thing it means."""

_LOGGED_PATH = 200
_PRIVATE = {"Cache-Control": "no-store", "Vary": "Cookie"}
_log = structlog.get_logger(__name__)


def server_options() -> dict[str, Any]:
    """What `web.AppRunner` must be given so that nothing is changed or refused before our own check sees it.

    aiohttp's limits stand above ours, which answer 431 with a way out; bodies are never decompressed. Of a body that
    its reader does not take, twice `read_bufsize` bytes are held, and one read (`connections.READ`).
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
    """Refuse to start on aiohttp's pure-Python parser, which lets more odd requests through.

    Raises `errors.Misconfigured`.
    """
    if http_parser.HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise Misconfigured("aiohttp", "its compiled parser is missing; install the wheel, unset AIOHTTP_NO_EXTENSIONS")


def request_check_middleware(respond: ProblemResponder) -> Middleware:
    """The check of every request; it sets CHECKED, CONFIGURATION, TENANT and CLIENT_ADDRESS.

    A service worker's script that is refused, for whatever reason, is answered with the script that unregisters it.
    """

    def refused(
        request: web.Request, worker_script: bool, problem: Problem, status: int, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        if worker_script:
            return _closing(_unregistering(request, problem.value))
        return _closing(respond(request, problem, status=status, headers=headers))

    @web.middleware
    async def request_check(request: web.Request, handler: Handler) -> web.StreamResponse:
        head = head_of(request)
        worker_script = service_worker_scripts.is_asked_for(head)
        checked = check(head)
        if isinstance(checked, InvalidRequest):
            allow = {"Allow": ", ".join(sorted(METHODS))} if checked.status == 405 else {}
            return refused(request, worker_script, checked.problem, checked.status, allow)
        configuration = request.app[CONFIGURATION_SOURCE]()
        request[CHECKED] = checked
        request[CONFIGURATION] = configuration
        address = client_address(
            request.remote, checked.all(FORWARDED_FOR.lower()), configuration.gateway.trusted_proxies
        )
        if isinstance(address, Unparseable):
            return refused(request, worker_script, Problem.BAD_REQUEST, 400, {})
        request[CLIENT_ADDRESS] = address
        tenant = configuration.tenant_of_host(checked.host)
        if tenant is None:
            return refused(request, worker_script, Problem.UNKNOWN_HOST, 421, {})
        request[TENANT] = tenant
        prefix = configuration.gateway.prefix
        if worker_script:
            found = routing.find(checked, tenant, prefix)
            why = None if tenant.active else Problem.TENANT_NOT_AVAILABLE.value
            why = why or service_worker_scripts.refusal(checked, found, prefix)
            if why is not None:
                return _unregistering(request, why, found)
        if not tenant.active and not checked.path.startswith(f"{prefix}static/"):
            return respond(request, Problem.TENANT_NOT_AVAILABLE, headers=_PRIVATE)
        response = await handler(request)
        if checked.header("upgrade") is not None and not response.prepared:
            response.force_close()  # aiohttp's parser holds back what follows an upgrade that is not taken
        return response

    return request_check


def head_of(request: web.Request) -> RequestHead:
    """The head as it came, one character a byte."""
    return RequestHead(
        method=request.method,
        target=request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1"),
        version=(request.version.major, request.version.minor),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers),
    )


class ProxyHandler:
    """The catch-all handler: apps, and our own 404."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        streams: Streams,
        respond: ProblemResponder,
        clock: Clock,
        pool: UpstreamPool,
        tasks: BackgroundTasks,
        websockets_per_session: int = PER_SESSION,
    ) -> None:
        self._admission = Admission(sessions)
        self._sessions = sessions
        self._streams = streams
        self._respond = respond
        self._clock = clock
        self._forwarder = Forwarder(pool)
        self._websockets = WebSockets(pool, clock, per_session=websockets_per_session)
        self._tasks = tasks

    def add_to(self, app: web.Application) -> None:
        """Take every path that no route added before takes."""
        app.router.add_route("*", "/{path:.*}", self.handle, expect_handler=continue_100.wait)
        app.on_shutdown.append(self._end_streams)

    async def _end_streams(self, _app: web.Application) -> None:
        """Before requests under way are waited for: WebSockets and event streams have no end of their own."""
        self._websockets.end()
        self._forwarder.end_streams()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Forward, or say why not."""
        checked, tenant = request[CHECKED], request[TENANT]
        prefix = request[CONFIGURATION].gateway.prefix
        decision = await self._admission.admit(checked, tenant, prefix)
        if not isinstance(decision, Forward) and service_worker_scripts.is_asked_for(checked):
            return _unregistering(request, _why(decision), routing.find(checked, tenant, prefix))
        match decision:
            case Forward(found, session):
                return await self._forward(request, checked, tenant, found, session)
            case RedirectToSignIn(location, navigation) | RedirectToStepUp(location, navigation):
                if navigation:
                    return web.Response(status=303, headers={"Location": location, **_PRIVATE})
                extra = {"login": headers.public_origin(checked, tenant) + location}
                return self._problem(request, Problem.SIGN_IN_FIRST, status=401, extra=extra)
            case AnswerPreflight():
                return web.Response(status=204, headers=dict(headers.preflight_fields(checked, tenant)))
            case Deny(Problem.NOT_FOUND) if checked.path == "/" and is_navigation(checked):
                return web.Response(status=303, headers={"Location": tenant.home, **_PRIVATE})
            case Deny(Problem.SIGN_IN_HERE as problem):
                login = f"{headers.public_origin(checked, tenant)}{prefix}login"
                return self._problem(request, problem, extra={"login": login})
            case Deny(problem):
                return self._problem(request, problem)

    async def _forward(
        self, request: web.Request, checked: Checked, tenant: Tenant, found: RouteMatch, session: Session | None
    ) -> web.StreamResponse:
        head = headers.request_head(checked, found, tenant, session, request[CLIENT_ADDRESS])
        extra = self._renewed_token_cookie(checked, tenant, session)

        def rewrite(fields: Iterable[tuple[str, str]]) -> headers.HeaderFields:
            return headers.response_fields(fields, checked, found.route, tenant, extra=extra)

        closing = self._closing_with(session) if session else None
        if checked.upgrade:
            if session is None or closing is None:  # a public path takes no upgrade (`routing.find`)
                return self._problem(request, Problem.NOT_FOUND)
            outcome = await self._websockets.splice(
                request,
                checked,
                head,
                found.route,
                session_id=session.id,
                rewrite=rewrite,
                closing=closing,
                on_activity=lambda: self._report_use(session),
            )
        else:
            outcome = await self._forwarder.forward(
                Downstream(request), checked, head, found.route, rewrite=rewrite, closing=closing
            )
        if not isinstance(outcome, Failed):
            return outcome
        name, path = found.route.name, found.route.path or "/"
        _log.warning("app_failed", app=name, route=path, problem=outcome.problem.value, why=outcome.why)
        cause = f"route {path}: {outcome.why}"
        response = self._problem(request, outcome.problem, cause=cause)
        return _closing(response) if request.body_exists or checked.upgrade else response

    def _problem(
        self,
        request: web.Request,
        problem: Problem,
        *,
        status: int | None = None,
        extra: Mapping[str, str] | None = None,
        cause: str = "",
    ) -> web.StreamResponse:
        """A page for people, JSON for scripts; a page of a configured origin may read the reason."""
        checked, tenant = request[CHECKED], request[TENANT]
        fields = {**_PRIVATE, **dict(headers.cors_fields(checked, tenant))}
        if tenant.origins:
            fields["Vary"] = "Cookie, Origin"
        as_json = not is_navigation(checked)  # a script may ask for "*/*" and still cannot read a page
        return self._respond(request, problem, status=status, headers=fields, extra=extra, cause=cause, as_json=as_json)

    def _renewed_token_cookie(self, checked: Checked, tenant: Tenant, session: Session | None) -> headers.HeaderFields:
        """A browser whose token cookie is not the session's token gets the right one with this answer."""
        if session is None or cookies.read(checked.all("cookie"), tenant.token_cookie.name) == session.tokens.access:
            return ()
        cookie = cookies.token(tenant, session, self._clock.now())
        return () if isinstance(cookie, cookies.TooLarge) else (("Set-Cookie", cookie),)

    def _closing_with(self, session: Session) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """Streams end with their session: when told, and at its absolute end."""

        def closing(cut: Callable[[], None]) -> Callable[[], None]:
            left = max(0.0, session.ends_at - self._clock.now())
            timer = asyncio.get_running_loop().call_later(left, cut)
            unregister = self._streams.register(session.id, cut)

            def forget() -> None:
                timer.cancel()
                unregister()

            return forget

        return closing

    def _report_use(self, session: Session) -> None:
        self._tasks.start(self._used(session), "use of a WebSocket")

    async def _used(self, session: Session) -> None:
        try:
            await self._sessions.used(session)
        except GatewayError as error:  # the next report is a minute away
            _log.warning("session_use_not_recorded", why=error.what)


def _unregistering(request: web.Request, why: str, found: object = None) -> web.StreamResponse:
    """The script that unregisters a service worker, in place of the one that was asked for; `why` is logged."""
    tenant = request.get(TENANT)
    _log.info(
        "worker_script_refused",
        why=why,
        tenant=tenant.id if tenant else None,
        route=(found.route.path or "/") if isinstance(found, RouteMatch) else None,
        path=request.raw_path.partition("?")[0][:_LOGGED_PATH],
        reference=request.get(REFERENCE),
    )
    fields = protections.headers(tenant)
    response = web.Response(text=service_worker_scripts.SCRIPT, content_type="text/javascript", headers=fields)
    return _closing(response) if request.body_exists or "Upgrade" in request.headers else response


def _why(decision: Decision) -> str:
    """For the log."""
    match decision:
        case RedirectToSignIn():
            return "no session"
        case Deny(problem):
            return problem.value
        case _:
            return "the session does not open this route"


def _closing(response: web.StreamResponse) -> web.StreamResponse:
    response.force_close()
    return response
