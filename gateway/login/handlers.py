"""How do the login pages look from outside? URL ↔ flow, HTML and JSON.

GET shows the login's step or redirects to it; POST performs one action and redirects (303), or shows the page again
with the problem and its status. A program asks by `Accept: application/json` and gets the same as data: 200 went on,
401 wrong password, 422 wrong or expired code or bad input, 403 stopped, 409 out of order, 429, 503.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import hdrs, web

from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.session import Session
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.login.flow import Flow, Went
from gateway.login.record import Login, Step
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering.problem_texts import ProblemView, problem_view
from gateway.rendering.step_view import StepView, as_json
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, protections, return_to
from gateway.web.browser_text import browser_text
from gateway.web.cookies import BrowserSecret, Cookie, TooLarge
from gateway.web.csrf import Csrf, same_origin
from gateway.web.failures import wants_json
from gateway.web.pages import Pages
from gateway.web.protections import Fields, Unreadable
from gateway.web.request import CLIENT_ADDRESS, CONFIGURATION, LANGUAGE, REFERENCE, REQUEST_ID, TENANT

ASK_AGAIN = 2
"""Seconds after which a page asks again while another request of the same login is sending."""
STEPS = {step.value: step for step in Step}
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Browser:
    """What this browser's cookies say; `secret` None when it has no login cookie (its `tag` is new then)."""

    tag: str
    secret: str | None
    browser_id: str
    browser_is_new: bool
    session: str | None


@dataclass(frozen=True, slots=True)
class LoginHandlers:
    """The handlers of `/-/login` and its steps."""

    flow: Flow
    sessions: Sessions
    pages: Pages
    csrf: Csrf
    clock: Clock
    chance: Chance
    reports: Reports

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [
            web.get(f"{prefix}login", self.begin),
            web.get(f"{prefix}login/{{step}}", self.show),
            web.post(f"{prefix}login/{{step}}", self.act),
        ]

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Where every login begins: on to the app with a session, else the login's step, else the password page."""
        browser = self._browser(request)
        visit = self._visit(request, browser, request.query.get("to"))
        if await self._is_in(request, visit, browser):
            return _redirect(visit.to)
        login = await self.flow.load(visit, browser.secret)
        went = await self.flow.look(visit, login if login and not login.stopped else None)
        if went.login and not wants_json(request):
            return await self._go_on(request, visit, browser, went)
        return await self._answer(request, visit, browser, went, {}, asked=False)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page of one step, or the way to the one that is due."""
        wanted = STEPS.get(request.match_info["step"])
        if wanted is None:
            raise web.HTTPNotFound
        browser = self._browser(request)
        visit = self._visit(request, browser, request.query.get("to"))
        login = await self.flow.load(visit, browser.secret)
        if login is None and await self._is_in(request, visit, browser):
            return _redirect(visit.to)  # the back button, long after the login
        if wanted is Step.PASSWORD and (login is None or login.stopped):
            return await self._answer(request, visit, browser, Went(None), {}, asked=False)
        if login is None:
            expired = Trouble(Problem.LOGIN_EXPIRED) if browser.secret and wanted is not Step.DONE else None
            return await self._answer(request, visit, browser, Went(None, expired), {}, asked=False)
        went = await self.flow.look(visit, login)
        if wants_json(request) or (went.step is wanted and went.step is not Step.DONE):
            return await self._answer(request, visit, browser, went, {}, asked=False)
        return await self._go_on(request, visit, browser, went)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """One action of one step's form."""
        page = STEPS.get(request.match_info["step"])
        if page is None or page is Step.DONE:
            raise web.HTTPNotFound
        browser = self._browser(request)
        fields = await protections.read_fields(request)
        if isinstance(fields, Unreadable):
            visit = self._visit(request, browser, None)
            login = await self.flow.load(visit, browser.secret)
            log.info("form_unreadable", detail=fields.detail, reference=visit.reference)
            shown = Went(login, Trouble(fields.problem))
            return await self._answer(request, visit, browser, shown, {}, asked=True, status=fields.status)
        visit = self._visit(request, browser, fields.get("to"))
        login = await self.flow.load(visit, browser.secret)
        if not self._ours(request, visit.tenant, browser, fields):
            self.reports.tell(visit, AuditEvent.FORM_REFUSED, step=page.value)
            shown = Went(login, Trouble(Problem.FORM_EXPIRED))
            return await self._answer(request, visit, browser, shown, fields, asked=True)
        if login is None and page is not Step.PASSWORD:
            if await self._is_in(request, visit, browser):
                return _redirect(visit.to)  # another tab of this browser finished
            expired = Went(None, Trouble(Problem.LOGIN_EXPIRED))
            return await self._answer(request, visit, browser, expired, {}, asked=True)
        went = await self.flow.act(visit, login, page, fields.get("action", ""), fields)
        shown_here = went.trouble is not None and not went.out_of_order and went.step is not Step.STOPPED
        if wants_json(request) or shown_here:
            return await self._answer(request, visit, browser, went, fields, asked=True)
        return await self._go_on(request, visit, browser, went)

    def _browser(self, request: web.Request) -> Browser:
        headers, tenant = request.headers.getall(hdrs.COOKIE, ()), request[TENANT]

        def value(cookie: Cookie) -> str | None:
            return cookies.read(headers, cookies.name_of(cookie, tenant))

        login = cookies.browser_secret(value(Cookie.LOGIN))
        known = cookies.browser_secret(value(Cookie.BROWSER))
        return Browser(
            tag=login.tag if login else cookies.new_browser_secret(self.chance).tag,
            secret=login.secret if login else None,
            browser_id=(known or cookies.new_browser_secret(self.chance)).value,
            browser_is_new=known is None,
            session=value(Cookie.SESSION),
        )

    def _visit(self, request: web.Request, browser: Browser, to: str | None) -> Visit:
        configuration, tenant = request[CONFIGURATION], request[TENANT]
        target = return_to.check(to, tenant, configuration.gateway.prefix)
        route = tenant.route_of(urlsplit(target).path)
        return Visit(
            configuration=configuration,
            tenant=tenant,
            tag=browser.tag,
            client=request[CLIENT_ADDRESS],
            host=request.host.rpartition(":")[0] or request.host,
            browser=browser_text(request.headers.get(hdrs.USER_AGENT, "")),
            language=request[LANGUAGE],
            request_id=request[REQUEST_ID],
            reference=request[REFERENCE],
            to=target,
            csrf=self.csrf.token(tenant, browser.tag),
            app=route.path if route else "",
            route_asks=route is None or route.second_factor is RouteFactor.REQUIRED,
            browser_id=browser.browser_id,
        )

    def _ours(self, request: web.Request, tenant: Tenant, browser: Browser, fields: Fields) -> bool:
        """Whether this form comes from one of our pages in this browser."""
        of_browser = browser.tag if browser.secret else None
        return same_origin(request.headers, tenant) and self.csrf.verify(tenant, of_browser, fields.get("csrf"))

    async def _is_in(self, request: web.Request, visit: Visit, browser: Browser) -> bool:
        """Whether a person's browser may open where he wants to go: he is led there, whatever page he was on."""
        session = None if wants_json(request) else await self._session(visit.tenant, browser)
        return session is not None and (session.routes is None or visit.app in session.routes)

    async def _session(self, tenant: Tenant, browser: Browser) -> Session | None:
        return await self.sessions.current(tenant, browser.session) if browser.session else None

    async def _go_on(self, request: web.Request, visit: Visit, browser: Browser, went: Went) -> web.StreamResponse:
        """A redirect: to the target when done, else to the page of the step."""
        prefix = visit.configuration.gateway.prefix
        done = went.step is Step.DONE
        response = _redirect(visit.to if done else f"{prefix}login/{went.step.value}?to={quote(visit.to, safe='/')}")
        await self._set_cookies(response, visit, browser, went.login)
        return response

    async def _answer(
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
            return await self._go_on(request, visit, browser, went)  # it has no page, whatever was asked of it
        login = went.login or self.flow.begin(visit)
        view = await self._view(visit, went, login, fields)
        problem = self._problem(visit, went.trouble)
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
            now = self.clock.now()
            return StepView(
                step="done",
                purpose=login.purpose.value,
                now=now,
                csrf=visit.csrf,
                to=visit.to,
                host=visit.host,
                location=visit.to,
            )
        return await self.flow.pages[went.step].view(visit, login, fields)

    def _problem(self, visit: Visit, trouble: Trouble | None) -> ProblemView | None:
        if trouble is None:
            return None
        language = self.pages.languages.get(visit.language)
        return problem_view(trouble.problem, language, trouble.until, self.clock.now(), visit.reference)

    def _refresh(self, went: Went) -> Mapping[str, str]:
        """A page whose code is not sent yet asks again: soon while another request sends, else when the wait ends."""
        if went.step is not Step.VERIFY or went.login is None or went.login.challenge:
            return {}
        if went.trouble is None:
            return {"Refresh": str(ASK_AGAIN)}
        if went.trouble.problem is Problem.WAIT and went.trouble.until:
            return {"Refresh": str(int(went.trouble.until - self.clock.now()) + 1)}
        return {}

    async def _set_cookies(
        self, response: web.StreamResponse, visit: Visit, browser: Browser, login: Login | None
    ) -> None:
        """The login cookie when it is new, and at the end the session's, the token's and the browser's."""
        tenant = visit.tenant
        if login and login.secret != browser.secret:
            _add(response, cookies.login(tenant, BrowserSecret(login.tag, login.secret).value))
        elif browser.secret is None:
            _add(response, cookies.login(tenant, cookies.new_browser_secret(self.chance, browser.tag).value))
        if login is None or login.opened is None:
            return
        session = await self.sessions.current(tenant, login.opened.cookie)
        if session is None:
            return
        await self._replace(tenant, browser, session)
        _add(response, cookies.session(tenant, login.opened.cookie))
        token = cookies.token(tenant, session, self.clock.now())
        if isinstance(token, TooLarge):
            log.error("token_cookie_too_large", cookie=token.name, size=token.size, tenant=tenant.id)
            self.reports.tell(visit, AuditEvent.TOKEN_COOKIE_TOO_LARGE, login.user, size=token.size)
        else:
            _add(response, token)
        if browser.browser_is_new:
            _add(response, cookies.browser(tenant, browser.browser_id))

    async def _replace(self, tenant: Tenant, browser: Browser, session: Session) -> None:
        """A browser has one session: the one it had before ends."""
        before = await self._session(tenant, browser)
        if before and before.id != session.id:
            await self.sessions.end(tenant, before.id)


def _status(went: Went, problem: ProblemView | None, *, asked: bool) -> int:
    """What a program reads of the answer; a page that is only looked at fails when nothing can be done about it."""
    if problem is None:
        return 409 if went.out_of_order else 200
    if went.out_of_order:
        return 409
    return problem.status if asked or problem.status >= 500 else 200


def _redirect(to: str) -> web.Response:
    return web.Response(
        status=303, headers={hdrs.LOCATION: to, hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "same-origin"}
    )


def _add(response: web.StreamResponse, cookie: str) -> None:
    response.headers.add(hdrs.SET_COOKIE, cookie)
