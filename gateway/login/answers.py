"""How does a step leave the gateway: as a page, as JSON, or as a redirect, and with which cookies?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.login.flow import Flow, Went
from gateway.login.record import Login, Opened, Step
from gateway.login.reports import Reports
from gateway.login.sending import ASK_AT_LEAST, ASK_BESIDE
from gateway.login.viewing import view_of
from gateway.login.visit import Visit
from gateway.login.visits import Browser
from gateway.observe.audit import AuditEvent
from gateway.rendering.problem_texts import ProblemView, problem_view
from gateway.rendering.step_view import StepView, as_json
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, protections
from gateway.web.cookies import BrowserSecret, TooLarge
from gateway.web.failures import wants_json
from gateway.web.pages import Pages
from gateway.web.protections import Fields

ASK_AGAIN = 2
"""Seconds after which a page asks again while another request of the same login is sending."""
DAY = 86400
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """Makes the answers of the login pages."""

    flow: Flow
    sessions: Sessions
    pages: Pages
    clock: Clock
    chance: Chance
    reports: Reports

    async def session(self, tenant: Tenant, browser: Browser) -> Session | None:
        """The session of this browser."""
        return await self.sessions.current(tenant, browser.session) if browser.session else None

    async def go_on(self, visit: Visit, browser: Browser, went: Went) -> web.StreamResponse:
        """A redirect: to the target when done, else to the page of the step."""
        prefix = visit.configuration.gateway.prefix
        done = went.step is Step.DONE
        response = redirect(visit.to if done else f"{prefix}login/{went.step.value}?to={quote(visit.to, safe='/')}")
        await self._set_cookies(response, visit, browser, went.login)
        return response

    async def answer(
        self,
        request: web.Request,
        visit: Visit,
        browser: Browser,
        went: Went,
        fields: Fields,
        *,
        asked: bool,
        status: int | None = None,
    ) -> web.StreamResponse:
        """The page of the step (or its JSON) with its problem; `asked` when something was asked for by POST."""
        if went.step is Step.DONE and not wants_json(request):
            return await self.go_on(visit, browser, went)  # it has no page, whatever was asked of it
        login = went.login or self.flow.begin(visit)
        view = await self._view(visit, went, login, fields)
        problem = self._problem(visit, went.trouble or view.held)
        code = status or _status(went, problem, asked=asked)
        response: web.StreamResponse
        if wants_json(request):
            headers = protections.headers(visit.tenant)
            response = web.json_response(as_json(view, problem), status=code, headers=headers)
        else:
            context = {"view": view, "problem": problem}
            template = f"steps/{view.step.replace('-', '_')}.html"
            response = self.pages.render(request, template, context, code, headers=self._refresh(went))
        if problem and problem.retry_after:
            response.headers[hdrs.RETRY_AFTER] = str(problem.retry_after)
        await self._set_cookies(response, visit, browser, went.login)
        return response

    async def _view(self, visit: Visit, went: Went, login: Login, fields: Fields) -> StepView:
        if went.step is Step.DONE:
            return replace(
                view_of(Step.DONE, visit, login, self.clock.now()),
                location=visit.to,
            )
        return await self.flow.pages[went.step].view(visit, login, fields)

    def _problem(self, visit: Visit, trouble: Trouble | None) -> ProblemView | None:
        if trouble is None:
            return None
        language = self.pages.languages.get(visit.language)
        view = problem_view(trouble.problem, language, trouble.until, self.clock.now(), visit.reference)
        return replace(view, next=trouble.detail) if trouble.detail else view

    def _refresh(self, went: Went) -> Mapping[str, str]:
        seconds = asks_again_in(went, self.clock.now())
        return {} if seconds is None else {"Refresh": str(seconds)}

    async def _set_cookies(
        self, response: web.StreamResponse, visit: Visit, browser: Browser, login: Login | None
    ) -> None:
        """The login cookie when it is new, and at the end the session's, the token's, the trust and the browser's."""
        tenant = visit.tenant
        if login and login.secret != browser.secret:
            _add(response, cookies.login(tenant, BrowserSecret(login.tag, login.secret).value))
        elif browser.secret is None:
            _add(response, cookies.login(tenant, cookies.new_browser_secret(self.chance, browser.tag).value))
        if login and login.opened and login.opened.cookie:
            await self._set_session(response, visit, browser, login, login.opened)

    async def _set_session(
        self, response: web.StreamResponse, visit: Visit, browser: Browser, login: Login, opened: Opened
    ) -> None:
        tenant = visit.tenant
        session = await self.sessions.current(tenant, opened.cookie)
        if session is None:
            return
        before = await self.session(tenant, browser)
        if before and before.id != session.id:  # a browser has one session: the one it had before ends
            await self.sessions.end(tenant, before.id)
        _add(response, cookies.session(tenant, opened.cookie))
        token = cookies.token(tenant, session, self.clock.now())
        if isinstance(token, TooLarge):
            log.error("token_cookie_too_large", cookie=token.name, size=token.size, tenant=tenant.id)
            self.reports.tell(visit, AuditEvent.TOKEN_COOKIE_TOO_LARGE, login.user, size=token.size)
        else:
            _add(response, token)
        if opened.trust:
            _add(response, cookies.trust(tenant, opened.trust, login.policy.trust_browser_days * DAY))
        if browser.browser_is_new:
            _add(response, cookies.browser(tenant, browser.browser_id))


def asks_again_in(went: Went, now: float) -> int | None:
    """Seconds after which a page whose code is not sent yet asks again by itself; None when it does not.

    Soon while another request is sending, when the wait ends, and now and then while a code is queued.
    """
    if went.step is not Step.VERIFY or went.login is None:
        return None
    until = went.login.queued_until
    if until is not None and until > now:
        return min(int(until - now) + 1, ASK_BESIDE if went.login.challenge else ASK_AT_LEAST)
    if went.login.challenge:
        return None
    if went.trouble is None:
        return ASK_AGAIN
    if went.trouble.problem is Problem.WAIT and went.trouble.until:
        return int(went.trouble.until - now) + 1
    return None


def redirect(to: str) -> web.Response:
    """303 to a checked target of our own origin."""
    return web.Response(
        status=303, headers={hdrs.LOCATION: to, hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "same-origin"}
    )


def _status(went: Went, problem: ProblemView | None, *, asked: bool) -> int:
    """What a program reads of the answer; a page that is only looked at fails when nothing can be done about it."""
    if went.out_of_order:
        return 409
    if problem is None:
        return 200
    return problem.status if asked or problem.status >= 500 else 200


def _add(response: web.StreamResponse, cookie: str) -> None:
    response.headers.add(hdrs.SET_COOKIE, cookie)
