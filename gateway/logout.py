"""Signs a user out: `GET /-/logout` shows the buttons, `POST` ends the session here and at Keycloak, or all sessions.

Keycloak posts a logout token to `/-/oidc/backchannel-logout` if one of its sessions ends elsewhere.

The gateway deletes what it gave the browser, except the trust of this browser and the id that says which users finished
a login here. It does so also when the store does not answer (503). The browser deletes the apps' pages from its cache
(`Clear-Site-Data`). The gateway does not wait for Keycloak.
"""

from dataclasses import dataclass

from aiohttp import web

from gateway.domain.errors import Unreachable
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.keycloak.logout_tokens import KEPT, LogoutTokens
from gateway.keycloak.tokens import TokenRefused
from gateway.observe.audit import AuditEvent
from gateway.sessions.sessions import Sessions
from gateway.store.single_use import SingleUse
from gateway.web import cookies, return_to, security_headers
from gateway.web.cookies import Cookie
from gateway.web.csrf import LOGOUT
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Page, Redirect, Reply
from gateway.web.error_responses import problem_of
from gateway.web.return_to import SIGNED_OUT


@dataclass(frozen=True, slots=True)
class Logout:
    """The endpoints of `/-/logout`. The end of a session here ends Keycloak's too (`assembly.sessions`)."""

    sessions: Sessions
    random: Random

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The routes that `app` mounts."""
        return [
            endpoints.get("logout", self.ask, on_app_hosts=True),
            endpoints.post("logout", self.leave, act=LOGOUT, on_app_hosts=True),
        ]

    async def ask(self, request: OwnRequest) -> Reply:
        """A page with a button: a link or picture on another site signs no user out."""
        tenant, known = request.tenant, request.browser
        browser = known or cookies.new_browser_secret(self.random)
        to = return_to.check(request.http.query.get("to"), tenant, request.prefix)
        return Reply(
            Page("logout.html", {"csrf": request.token(browser.tag, LOGOUT), "to": to}),
            cookies=() if known else (cookies.login(tenant, browser.value),),
        )

    async def leave(self, request: OwnRequest) -> Reply:
        """End the session. A browser without a session loses its cookies all the same."""
        body: Redirect | Failure = Redirect(f"{request.prefix}login?{SIGNED_OUT}=yes")
        tenant, value = request.tenant, request.cookies.get(Cookie.SESSION)
        try:
            session = await self._ended(request, value) if value else None
        except Unreachable as error:  # `sessions` tries again; the browser is cleaned now, for its next user
            body = Failure(problem_of(error), cause=str(error))
        else:
            if session:
                request.audit.write(AuditEvent.LOGOUT, session)
        return Reply(
            body,
            data={"signed_out": True},
            cookies=(
                cookies.forget(tenant, Cookie.SESSION),
                cookies.forget(tenant, Cookie.LOGIN),
                cookies.forget_token(tenant),
                cookies.forget_language(tenant),
            ),
            headers={"Clear-Site-Data": security_headers.clear_site_data(tenant)},
        )

    async def _ended(self, request: OwnRequest, value: str) -> Session | None:
        """The session of this browser, which has ended, and with `everywhere` the user's other ones too."""
        session = await self.sessions.leave(request.tenant, value)
        if session and request.fields.get("everywhere") == "yes":
            others = await self.sessions.end_all(request.tenant, session.user_id, reason="everywhere")
            request.audit.write(AuditEvent.SIGNED_OUT_EVERYWHERE, session, sessions=len(others))
        return session


@dataclass(frozen=True, slots=True)
class BackChannelLogout:
    """The endpoint of Keycloak's logout tokens. A session that has ended already is ended too: 200."""

    sessions: Sessions
    tokens: LogoutTokens
    single_use: SingleUse
    clock: Clock

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The route that `app` mounts."""
        return [endpoints.post("oidc/backchannel-logout", self.end, by_server=True, on_app_hosts=True)]

    async def end(self, request: OwnRequest) -> Reply | web.StreamResponse:
        """End the sessions that the token names.

        If the store or the realm's keys are not available, the answer is 503, and the token may be sent again.
        """
        access = request.tenant.keycloak
        try:
            token = await self.tokens.verify(access, request.fields.get("logout_token", ""), self.clock.now())
        except TokenRefused as error:
            return Reply(Failure(Problem.BAD_REQUEST, cause=str(error)))
        once = request.tenant.id, ("logout token", token.id)
        if not await self.single_use.claim(*once, KEPT):
            return Reply(Failure(Problem.BAD_REQUEST, cause="the logout token was used before"))
        try:
            await self.sessions.end_as_keycloak(request.tenant, token.user_id, token.session_id)
        except Unreachable:
            await self.single_use.release(*once)
            raise
        return web.Response(headers=security_headers.headers(secure=request.tenant.secure))
