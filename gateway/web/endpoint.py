"""The one form of the gateway's own endpoints.

An endpoint is a function of an `OwnRequest` that returns a `Reply`. `Endpoints` does what all of them need: the check
of Fetch Metadata, the session of the cookie, the form with its size limit and token, HTML or JSON by `Accept`, cookies
and headers. An endpoint that answers an error of its own returns a response in place of a `Reply`.

Two kinds of token exist, and each names an act. One is bound to the browser, by the tag of its login cookie. The other
is bound to a session, by its id. A form without a token changes nothing but words, and only its origin is checked.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode

from aiohttp import hdrs, web

from gateway.domain.ports import Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import SSO_CALLBACK, Tenant
from gateway.observe.audit import Audit, RequestAudit
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, return_to, security_headers
from gateway.web.cookies import BrowserSecret, Cookie
from gateway.web.csrf import Csrf, is_navigation, same_origin
from gateway.web.error_responses import ErrorResponses, Handler
from gateway.web.forms import FormFields, InvalidForm, read_fields
from gateway.web.pages import Pages
from gateway.web.pages_host import Handover, digest
from gateway.web.request_context import (
    CHECKED,
    CLIENT_ADDRESS,
    CONFIGURATION,
    REFERENCE,
    REQUEST_ID,
    TENANT,
    cookies_of,
    wants_json,
)


@dataclass(frozen=True, slots=True)
class Page:
    """A template and its names."""

    template: str
    context: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Redirect:
    """303 to a path of our own origin, to the page of a named path, to Keycloak's own sign-in page, or to another host
    of the tenant."""

    location: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A problem. `status` None is the problem's own; `cause` is for the log."""

    problem: Problem
    status: int | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of an endpoint. A program that asks for JSON gets `data`, where there is some, in place of `body`.

    `status` is that of a page or of data.
    """

    body: Page | Redirect | Failure
    data: Mapping[str, object] | None = None
    status: int = 200
    cookies: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request to an endpoint of the gateway's own. `fields` are those of its form, empty for a GET."""

    http: web.Request
    tenant: Tenant
    prefix: str
    audit: RequestAudit
    csrf: Csrf
    cookies: Mapping[Cookie, str]
    fields: FormFields = field(default_factory=dict)

    @property
    def browser(self) -> BrowserSecret | None:
        """The login cookie."""
        return cookies.browser_secret(self.cookies.get(Cookie.LOGIN))

    def token(self, tag: str, *act: str) -> str:
        """The token for a form of `act`; `tag` is the browser's tag or the session's id."""
        return self.csrf.token(self.tenant, tag, *act)

    def is_own_form(self, tag: str | None, *act: str) -> bool:
        """Whether one of our own pages posted `fields` with the token for `act` and `tag`."""
        verified = self.csrf.verify(self.tenant, tag, self.fields.get("csrf"), *act)
        return verified and same_origin(self.http.headers, self.tenant)


Endpoint = Callable[[OwnRequest], Awaitable[Reply | web.StreamResponse]]
SessionEndpoint = Callable[[OwnRequest, Session], Awaitable[Reply | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Makes routes below `prefix` of endpoints."""

    prefix: str
    errors: ErrorResponses
    pages: Pages
    sessions: Sessions
    csrf: Csrf
    audit: Audit
    random: Random

    def get(self, path: str, endpoint: Endpoint, *, on_app_hosts: bool = False) -> web.RouteDef:
        """A page that a browser loads as a page of its own."""
        return web.get(self.prefix + path, self.handler(endpoint, navigation=True, on_app_hosts=on_app_hosts))

    def get_with_session(self, path: str, endpoint: SessionEndpoint) -> web.RouteDef:
        """A page for a signed-in user; a browser without a session is redirected to the login."""

        async def signed_in(request: OwnRequest) -> Reply | web.StreamResponse:
            session = await self.session(request)
            if session is None:
                return Reply(Redirect(f"{self.prefix}login?to={quote(self.prefix + path, safe='/')}"))
            return await endpoint(request, session)

        return self.get(path, signed_in)

    def post(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        act: str | None = None,
        by_server: bool = False,
        on_app_hosts: bool = False,
    ) -> web.RouteDef:
        """A form with the browser's token for `act`; without `act`, a form of one of our own pages.

        `by_server`: another server sends it, and it proves itself without a cookie.
        """

        async def with_form(request: OwnRequest) -> Reply | web.StreamResponse:
            if act is None and not by_server and not same_origin(request.http.headers, request.tenant):
                return Reply(Failure(Problem.ORIGIN_REFUSED))
            fields = await read_fields(request.http)
            if isinstance(fields, InvalidForm):
                return Reply(Failure(fields.problem, fields.status, fields.detail))
            request = replace(request, fields=fields)
            browser = request.browser
            if act is not None and not request.is_own_form(browser.tag if browser else None, act):
                return Reply(Failure(Problem.FORM_EXPIRED))
            return await endpoint(request)

        return web.post(self.prefix + path, self.handler(with_form, navigation=False, on_app_hosts=on_app_hosts))

    async def session(self, request: OwnRequest) -> Session | None:
        """The session of the cookie. Raises what `Sessions.current` raises."""
        value = request.cookies.get(Cookie.SESSION)
        return await self.sessions.current(request.tenant, value) if value else None

    def handler(self, endpoint: Endpoint, *, navigation: bool, on_app_hosts: bool = False) -> Handler:
        """The aiohttp handler of `endpoint`. `navigation`: scripts and frames get no answer from it.

        Where the tenant has a `pages_host`, only endpoints with `on_app_hosts` exist at the hosts of its apps.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            if navigation and not is_navigation(request.headers):
                return self.errors.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
            own = self._read(request)
            elsewhere = own.tenant.pages_url and not on_app_hosts
            reply = self._to_pages_host(own) if elsewhere else await endpoint(own)
            return self._respond(request, reply) if isinstance(reply, Reply) else reply

        return handle

    def _to_pages_host(self, own: OwnRequest) -> Reply:
        """The way to the page at the host that has it. A login begins with a handover, bound to a cookie set here."""
        tenant, http, prefix = own.tenant, own.http, own.prefix
        page = http.path.removeprefix(prefix)
        if http.method not in ("GET", "HEAD") or page == SSO_CALLBACK:
            return Reply(Failure(Problem.NOT_FOUND, cause=f"it is at {tenant.pages_host}"))
        if page.partition("/")[0] != "login":
            return Reply(Redirect(f"{tenant.pages_url}{http.path_qs}"))
        bound = cookies.browser_secret(own.cookies.get(Cookie.HANDOVER)) or cookies.new_browser_secret(self.random)
        to = return_to.check(http.query.get("to"), tenant, prefix)
        target = Handover(http[CHECKED].host, digest(bound.value), to).target(prefix)
        kept = {name: http.query[name] for name in ("purpose", return_to.SIGNED_OUT) if name in http.query}
        query = urlencode({**kept, "to": target}, quote_via=quote, safe="/")
        given = cookies.handover(tenant, bound.value)
        return Reply(Redirect(f"{tenant.pages_url}{prefix}login?{query}"), cookies=(given,))

    def _read(self, request: web.Request) -> OwnRequest:
        tenant, prefix = request[TENANT], request[CONFIGURATION].gateway.prefix
        audit = RequestAudit(self.audit, tenant.id, request[CLIENT_ADDRESS], request[REQUEST_ID], request[REFERENCE])
        return OwnRequest(request, tenant, prefix, audit, self.csrf, cookies.own(cookies_of(request), tenant))

    def _respond(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        headers = security_headers.headers(secure=request[TENANT].secure)
        response: web.Response
        match reply.body:
            case Failure(problem, status, cause):
                response = self.errors.respond(request, problem, status=status, cause=cause)
            case _ if reply.data is not None and wants_json(request):
                response = web.json_response(reply.data, status=reply.status, headers=headers)
            case Redirect(location):
                response = web.Response(status=303, headers={**headers, hdrs.LOCATION: location})
            case Page(template, context):
                response = self.pages.render(request, template, context, reply.status)
        response.headers.update(reply.headers)
        for cookie in reply.cookies:
            response.headers.add(hdrs.SET_COOKIE, cookie)
        return response
