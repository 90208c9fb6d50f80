"""Makes the answers of the login pages: a page, JSON or a redirect, and its cookies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.login.account_acts import AccountActs
from gateway.login.flow import Flow, FlowResult, IssuedSecrets
from gateway.login.login_request import LoginCookies
from gateway.login.record import ActKind, Login, Step
from gateway.login.reports import Reports
from gateway.login.sending import ASK_AT_LEAST, ASK_BESIDE
from gateway.login.viewing import view_of
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.rendering.problem_texts import ProblemView, problem_view
from gateway.rendering.step_view import StepView, as_json, codes_file
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, security_headers
from gateway.web.cookies import BrowserSecret, TooLarge
from gateway.web.error_responses import wants_json
from gateway.web.forms import FormFields
from gateway.web.pages import Pages

ASK_AGAIN = 2
"""Seconds after which a page asks again while another request of the same login is sending."""
DAY = 86400
SHOWS_CODES = (ActKind.SHOW_CODES, ActKind.NEW_CODES)
"""Acts whose answer shows the backup codes."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginResponses:
    """Makes the answers of the login pages."""

    flow: Flow
    sessions: Sessions
    pages: Pages
    clock: Clock
    random: Random
    reports: Reports
    acts: AccountActs

    async def session(self, tenant: Tenant, browser: LoginCookies) -> Session | None:
        """The session of this browser."""
        return await self.sessions.current(tenant, browser.session) if browser.session else None

    async def go_on(
        self, request: web.Request, visit: LoginRequest, browser: LoginCookies, went: FlowResult
    ) -> web.StreamResponse:
        """A redirect: to the target when done, else to the page of the step.

        Backup codes are shown in the answer to the form that carried the proof, never by GET.
        """
        response: web.StreamResponse
        login, prefix = went.login, visit.configuration.gateway.prefix
        act = login.act if login and login.opened else None
        if login and act and act.kind in SHOWS_CODES and request.method == "POST":
            codes, name = await self.acts.codes(visit, login), login.user.display_name if login.user else ""
            file = codes_file(visit.tenant.branding.name, visit.host, codes)
            context = {"codes": codes, "file": file, "username": name, "csrf": "", "here": f"{prefix}account"}
            response = self.pages.render(request, "account_codes.html", context)
        elif went.step is Step.BACKUP_CODES and went.secret is not None:
            return await self.answer(request, visit, browser, went, {}, asked=True)
        elif went.step is not Step.DONE:
            response = redirect(f"{prefix}login/{went.step.value}?to={quote(visit.to, safe='/')}")
        else:
            response = redirect(f"{prefix}account?done={act.kind.value}" if act else visit.to)
        await self._set_cookies(response, visit, browser, went)
        return response

    def to_beginning(self, visit: LoginRequest, again: int = 0) -> web.StreamResponse:
        """To `/-/login`, without a cookie: the browser comes there with its newest secret."""
        to = quote(visit.to, safe="/")
        return redirect(f"{visit.configuration.gateway.prefix}login?to={to}{f'&again={again}' if again else ''}")

    async def answer(
        self,
        request: web.Request,
        visit: LoginRequest,
        browser: LoginCookies,
        went: FlowResult,
        fields: FormFields,
        *,
        asked: bool,
        status: int | None = None,
    ) -> web.StreamResponse:
        """The page of the step (or its JSON) with its problem; `asked` when something was asked for by POST."""
        if went.step is Step.DONE and not wants_json(request):
            return await self.go_on(request, visit, browser, went)  # it has no page, whatever was asked of it
        login = went.login or self.flow.begin(visit, "")
        visit = replace(visit, just_proved=went.secret is not None and request.method == "POST")
        view = await self._view(visit, went, login, fields)
        problem = self._problem(visit, went.problem_detail or view.held)
        code = status or _status(went, problem, asked=asked)
        response: web.StreamResponse
        if wants_json(request):
            headers = security_headers.headers(visit.tenant)
            response = web.json_response(as_json(view, problem), status=code, headers=headers)
        else:
            context = {"view": view, "problem": problem}
            template = f"steps/{view.step.replace('-', '_')}.html"
            response = self.pages.render(request, template, context, code, headers=self._refresh(went))
        if problem and problem.retry_after:
            response.headers[hdrs.RETRY_AFTER] = str(problem.retry_after)
        await self._set_cookies(response, visit, browser, went)
        return response

    async def _view(self, visit: LoginRequest, went: FlowResult, login: Login, fields: FormFields) -> StepView:
        if went.step is Step.DONE or went.signed_in:
            shows = login.opened and login.act and login.act.kind in SHOWS_CODES
            return replace(
                view_of(Step.DONE, visit, login, self.clock.now()),
                location=visit.to,
                codes=await self.acts.codes(visit, login) if shows else (),
            )
        return await self.flow.pages[went.step].view(visit, login, fields)

    def _problem(self, visit: LoginRequest, problem_detail: ProblemDetail | None) -> ProblemView | None:
        if problem_detail is None:
            return None
        language = self.pages.languages.get(visit.language)
        view = problem_view(problem_detail.problem, language, problem_detail.until, self.clock.now(), visit.reference)
        return replace(view, next=problem_detail.detail) if problem_detail.detail else view

    def _refresh(self, went: FlowResult) -> Mapping[str, str]:
        seconds = asks_again_in(went, self.clock.now())
        return {} if seconds is None else {"Refresh": str(seconds)}

    async def _set_cookies(
        self, response: web.StreamResponse, visit: LoginRequest, browser: LoginCookies, went: FlowResult
    ) -> None:
        """The login cookie when it is new, and at the end the session's, the token's, the trust and the browser's."""
        tenant = visit.tenant
        if went.secret is not None and went.secret != browser.secret:
            _add(response, cookies.login(tenant, BrowserSecret(browser.tag, went.secret).value))
        elif browser.secret is None:
            _add(response, cookies.login(tenant, cookies.new_browser_secret(self.random, browser.tag).value))
        if went.login and went.given.session:
            await self._set_session(response, visit, browser, went.login, went.given)

    async def _set_session(
        self,
        response: web.StreamResponse,
        visit: LoginRequest,
        browser: LoginCookies,
        login: Login,
        given: IssuedSecrets,
    ) -> None:
        tenant = visit.tenant
        session = await self.sessions.current(tenant, given.session)
        if session is None:
            return
        before = visit.session
        if before and before.id != session.id:  # a browser has one session: the one it had before ends
            await self.sessions.end(tenant, before.id)
        _add(response, cookies.session(tenant, given.session))
        token = cookies.token(tenant, session, self.clock.now())
        if isinstance(token, TooLarge):
            log.error("token_cookie_too_large", cookie=token.name, size=token.size, tenant=tenant.id)
            self.reports.tell(visit, AuditEvent.TOKEN_COOKIE_TOO_LARGE, login.user, size=token.size)
        else:
            _add(response, token)
        if given.trust:
            _add(response, cookies.trust(tenant, given.trust, login.policy.trust_browser_days * DAY))
        if login.opened and login.opened.other_user:  # what the apps kept is of the user before
            response.headers["Clear-Site-Data"] = security_headers.clear_site_data(tenant)
        if browser.browser_is_new:
            _add(response, cookies.browser(tenant, browser.browser_id))


def asks_again_in(went: FlowResult, now: float) -> int | None:
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
    if went.problem_detail is None:
        return ASK_AGAIN
    if went.problem_detail.problem is Problem.WAIT and went.problem_detail.until:
        return int(went.problem_detail.until - now) + 1
    return None


def redirect(to: str) -> web.Response:
    """303 to a checked target of our own origin."""
    return web.Response(
        status=303, headers={hdrs.LOCATION: to, hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "same-origin"}
    )


def _status(went: FlowResult, problem: ProblemView | None, *, asked: bool) -> int:
    """What a program reads of the answer; a page that is only looked at fails when nothing can be done about it."""
    if went.out_of_order:
        return 409
    if problem is None:
        return 200
    return problem.status if asked or problem.status >= 500 else 200


def _add(response: web.StreamResponse, cookie: str) -> None:
    response.headers.add(hdrs.SET_COOKIE, cookie)
