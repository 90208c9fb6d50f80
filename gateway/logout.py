"""Signs a user out: `GET /-/logout` shows a button, `POST` ends the session here and at Keycloak.

Everything the browser was given goes, but for the id that says which users finished a login here; also when the store
does not answer (503). So do the apps' pages in its cache (`Clear-Site-Data`). Keycloak is not waited for.
"""

from dataclasses import dataclass

from aiohttp import hdrs, web

from gateway.domain.errors import Unreachable
from gateway.domain.ports import Random
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.observe.audit import Audit, AuditEvent
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, protections, return_to
from gateway.web.cookies import BrowserSecret, Cookie
from gateway.web.csrf import LOGOUT, Csrf, is_navigation, same_origin
from gateway.web.error_responses import ErrorResponses, problem_of, wants_json
from gateway.web.pages import Pages
from gateway.web.protections import InvalidForm
from gateway.web.request_context import CLIENT_ADDRESS, CONFIGURATION, REFERENCE, REQUEST_ID, TENANT

_CLEAR_SITE_DATA = "Clear-Site-Data"


@dataclass(frozen=True, slots=True)
class Logout:
    """The handlers of `/-/logout`. Ending a session here ends Keycloak's too (`app` sees to it)."""

    sessions: Sessions
    pages: Pages
    failures: ErrorResponses
    csrf: Csrf
    random: Random
    audit: Audit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [web.get(f"{prefix}logout", self.ask), web.post(f"{prefix}logout", self.leave)]

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """A page with a button: a link or picture elsewhere signs nobody out."""
        if not is_navigation(request.headers):
            return self.failures.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
        tenant = request[TENANT]
        known = self._login_cookie(request)
        browser = known or cookies.new_browser_secret(self.random)
        to = return_to.check(request.query.get("to"), tenant, request[CONFIGURATION].gateway.prefix)
        page = self.pages.render(
            request, "logout.html", {"csrf": self.csrf.token(tenant, browser.tag, LOGOUT), "to": to}
        )
        if known is None:
            page.headers.add(hdrs.SET_COOKIE, cookies.login(tenant, browser.value))
        return page

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """End the session. Without one the browser is cleaned all the same."""
        tenant = request[TENANT]
        fields = await protections.read_fields(request)
        if isinstance(fields, InvalidForm):
            return self.failures.respond(request, fields.problem, status=fields.status, cause=fields.detail)
        browser = self._login_cookie(request)
        ours = self.csrf.verify(tenant, browser.tag if browser else None, fields.get("csrf"), LOGOUT)
        if not same_origin(request.headers, tenant) or not ours:
            return self.failures.respond(request, Problem.FORM_EXPIRED)
        prefix = request[CONFIGURATION].gateway.prefix
        response: web.StreamResponse
        try:
            await self._end(request, tenant)
        except Unreachable as error:  # `sessions` goes on trying; the browser is cleaned now, for its next user
            response = self.failures.respond(request, problem_of(error), cause=str(error))
            return _cleaned(response, tenant)
        if wants_json(request):
            response = web.json_response({"signed_out": True}, headers=protections.headers(tenant))
        else:
            headers = {**protections.headers(tenant), hdrs.LOCATION: f"{prefix}login"}
            response = web.Response(status=303, headers=headers)
        return _cleaned(response, tenant)

    async def _end(self, request: web.Request, tenant: Tenant) -> None:
        value = cookies.read(request.headers.getall(hdrs.COOKIE, ()), cookies.name_of(Cookie.SESSION, tenant))
        session = await self.sessions.leave(tenant, value) if value else None
        if session is None:
            return
        self.audit.write(
            AuditEvent.LOGOUT,
            tenant=tenant.id,
            user_id=session.user_id,
            username=session.username,
            client=request[CLIENT_ADDRESS],
            request_id=request[REQUEST_ID],
            reference=request[REFERENCE],
        )

    def _login_cookie(self, request: web.Request) -> BrowserSecret | None:
        headers = request.headers.getall(hdrs.COOKIE, ())
        return cookies.browser_secret(cookies.read(headers, cookies.name_of(Cookie.LOGIN, request[TENANT])))


def _cleaned(response: web.StreamResponse, tenant: Tenant) -> web.StreamResponse:
    """`response`, which takes from the browser what it was given and what it keeps of the apps."""
    response.headers[_CLEAR_SITE_DATA] = protections.clear_site_data(tenant)
    for gone in (
        cookies.forget(tenant, Cookie.SESSION),
        cookies.forget(tenant, Cookie.LOGIN),
        cookies.forget_token(tenant),
        cookies.forget_language(tenant),
    ):
        response.headers.add(hdrs.SET_COOKIE, gone)
    return response
