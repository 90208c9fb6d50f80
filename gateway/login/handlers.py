"""The handlers of the login pages: URL to flow, HTML and JSON.

GET shows the login's step or redirects to it; POST performs one action and redirects (303), or shows the page again
with the problem and its status. A program asks by `Accept: application/json` and gets the same as data: 200 went on,
401 wrong password, 422 wrong or expired code or bad input, 403 stopped, 409 out of order, 429, 503. Its next form names
`login`, `round` and `form` as it was given them.

A browser whose login secret was replaced is led to `/-/login` with no cookie set: it comes there with its newest one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog
from aiohttp import hdrs, web

from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Session
from gateway.login.begin_in_session import AccountForm, BeginInSession
from gateway.login.flow import CutShort, Flow, FlowResult
from gateway.login.login_records import Slot
from gateway.login.login_request import LoginCookies, LoginRequests
from gateway.login.record import Act, ActKind, Login, Purpose, Step
from gateway.login.reports import Reports
from gateway.login.responses import LoginResponses, redirect
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.web import cookies, forms
from gateway.web.cookies import BrowserSecret
from gateway.web.csrf import is_navigation, same_origin
from gateway.web.error_responses import ErrorResponses, Handler, wants_json
from gateway.web.forms import FormFields, InvalidForm
from gateway.web.request_context import TENANT

STEPS = {step.value: step for step in Step}
FACTORS = {factor.value: factor for factor in FactorKind}
ACTS = {kind.value: kind for kind in ActKind}
COMES_AGAIN, COMES_AGAIN_AFTER = 5, 0.3
"""How often a browser is asked to come again, after so many seconds, while another tab's answer is on its way."""
JUST_LEFT = 10.0
"""Seconds after which no such answer is waited for any more."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginHandlers:
    """The handlers of `/-/login` and its steps."""

    flow: Flow
    in_session: BeginInSession
    visits: LoginRequests
    answers: LoginResponses
    failures: ErrorResponses
    reports: Reports
    clock: Clock
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [
            web.get(f"{prefix}login", self._kept(self.begin)),
            web.post(f"{prefix}login", self._kept(self.begin_within)),
            web.get(f"{prefix}login/{{step}}", self._kept(self.show)),
            web.post(f"{prefix}login/{{step}}", self._kept(self.act)),
        ]

    def _kept(self, handler: Handler) -> Handler:
        """`handler`, whose answer sets the new login secret also when an effect failed after an accepted proof."""

        async def kept(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except CutShort as cut:
                response = self.failures.of_error(request, cut.__cause__ or cut)
                cookie = cookies.login(request[TENANT], BrowserSecret(cut.tag, cut.secret).value)
                response.headers.add(hdrs.SET_COOKIE, cookie)
                return response

        return kept

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Where every login begins: on to the app with a session that may, else the login's step, else the password."""
        if not is_navigation(request.headers):
            return self.failures.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
        browser, visit = await self._visit(request, request.query.get("to"))
        as_data, slot = wants_json(request), await self.flow.find(visit)
        session = None if as_data else visit.session
        if session and _may_open(session, visit):
            return redirect(visit.to)
        login = _goes_on(slot.login, session)
        again = _number(request.query.get("again"))
        if login is None and session is None and not as_data and again < COMES_AGAIN and self._just_left(slot):
            await self.wait(COMES_AGAIN_AFTER)  # another tab's answer, with the newest secret, is on its way
            return self.answers.to_beginning(visit, again + 1)
        if session and login is None:
            went = await self.in_session.step_up(visit, slot, session)
        else:
            went = await self.flow.enter(visit, login) if login else FlowResult(None)
        return await self._answered(request, visit, browser, went, asked=False)

    async def begin_within(self, request: web.Request) -> web.StreamResponse:
        """A button of the account page: begins a login for one act. Fields `act`, `factor`, `version`, `to`."""
        if not is_navigation(request.headers):
            return self.failures.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
        fields = await forms.read_fields(request)
        if isinstance(fields, InvalidForm):
            return await self._unreadable(request, fields)
        browser, visit = await self._visit(request, fields.get("to"))
        session = visit.session
        if session is None:
            return await self.answers.answer(request, visit, browser, FlowResult(None), {}, asked=True)
        if not self.visits.of_account_page(request, visit.tenant, session, fields):
            self.reports.tell(visit, AuditEvent.FORM_REJECTED, step=fields.get("act", "")[:40])
            if wants_json(request) or not same_origin(request.headers, visit.tenant):
                return self.failures.respond(request, Problem.FORM_EXPIRED)
            return redirect(f"{visit.configuration.gateway.prefix}account?done=out-of-date")
        slot, form = await self.flow.find(visit), AccountForm(fields.get("form", ""), int(fields["version"]))
        factor = FACTORS.get(fields.get("factor", ""))
        match fields.get("act"):
            case Purpose.ENROL.value if factor:
                went = await self.in_session.enrol(visit, slot, session, factor, form)
            case str(kind) if kind in ACTS:
                went = await self.in_session.act(visit, slot, session, Act(ACTS[kind], factor), form)
            case _:
                went = FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        if went.login is None and went.problem_detail:
            if went.problem_detail.problem is Problem.ENROLMENT_CHANGED and not wants_json(request):
                return redirect(f"{visit.configuration.gateway.prefix}account?done=out-of-date")
            return self.failures.respond(request, went.problem_detail.problem)
        return await self._answered(request, visit, browser, went, asked=True)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page of one step, or the way to the one that is due."""
        wanted = STEPS.get(request.match_info["step"])
        if wanted is None:
            raise web.HTTPNotFound
        if not is_navigation(request.headers):
            return self.failures.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
        browser, visit = await self._visit(request, request.query.get("to"))
        slot = await self.flow.find(visit)
        login = slot.login
        if login is None and self._is_in(request, visit):
            return redirect(visit.to)  # the back button, long after the login
        if wanted is Step.PASSWORD and (login is None or login.stopped):
            return await self.answers.answer(request, visit, browser, FlowResult(None), {}, asked=False)
        if login is None and slot.spent and not wants_json(request):
            return self.answers.to_beginning(visit)
        if login is None:
            expired = ProblemDetail(Problem.LOGIN_EXPIRED) if browser.secret and wanted is not Step.DONE else None
            return await self.answers.answer(request, visit, browser, FlowResult(None, expired), {}, asked=False)
        went = await self.flow.look(visit, login)
        if went.step is wanted and went.step is not Step.DONE and not went.inert:
            return await self.answers.answer(request, visit, browser, went, {}, asked=False)
        return await self._answered(request, visit, browser, went, asked=False)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """One action of one step's form."""
        page = STEPS.get(request.match_info["step"])
        if page is None or page is Step.DONE:
            raise web.HTTPNotFound
        if not is_navigation(request.headers):
            return self.failures.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
        fields = await forms.read_fields(request)
        if isinstance(fields, InvalidForm):
            return await self._unreadable(request, fields)
        browser, visit = await self._visit(request, fields.get("to"))
        slot = await self.flow.find(visit)
        if not self.visits.ours(request, visit.tenant, browser, fields, begins=page is Step.PASSWORD):
            self.reports.tell(visit, AuditEvent.FORM_REJECTED, step=page.value)
            problem = Problem.FORM_EXPIRED if browser.secret or not fields.get("csrf") else Problem.NO_COOKIE
            shown = FlowResult(slot.login, ProblemDetail(problem))
            return await self.answers.answer(request, visit, browser, shown, fields, asked=True)
        gone = slot.login is None and slot.spent is None
        if gone and page is not Step.PASSWORD and self._is_in(request, visit):
            return redirect(visit.to)  # another tab of this browser finished
        went = await self.flow.act(visit, slot, page, fields.get("action", ""), fields)
        login = slot.login
        left = login and login.purpose is not Purpose.SIGN_IN and went.login is None and not went.problem_detail
        if left and not went.inert and not went.signed_in and not wants_json(request):
            return redirect(f"{visit.configuration.gateway.prefix}account")  # cancelled inside a session
        elsewhere = went.step is Step.STOPPED or (went.out_of_order and went.step is not page)
        shown_here = went.failed and not elsewhere
        if shown_here:
            return await self.answers.answer(request, visit, browser, went, fields, asked=True)
        return await self._answered(request, visit, browser, went, asked=True, fields=fields)

    async def _answered(
        self,
        request: web.Request,
        visit: LoginRequest,
        browser: LoginCookies,
        went: FlowResult,
        *,
        asked: bool,
        fields: FormFields | None = None,
    ) -> web.StreamResponse:
        """The way on for a browser, the data for a program."""
        if wants_json(request):
            if went.inert and went.problem_detail is None:
                went = replace(went, problem_detail=ProblemDetail(Problem.LOGIN_EXPIRED))
            return await self.answers.answer(request, visit, browser, went, fields or {}, asked=asked)
        if went.inert or went.signed_in:
            may = visit.session is not None and _may_open(visit.session, visit)
            return redirect(visit.to) if may else self.answers.to_beginning(visit)
        if went.login is None:
            return await self.answers.answer(request, visit, browser, went, fields or {}, asked=asked)
        return await self.answers.go_on(request, visit, browser, went)

    async def _visit(self, request: web.Request, to: str | None) -> tuple[LoginCookies, LoginRequest]:
        """The cookies, and the request with the browser's live session."""
        browser = self.visits.browser(request)
        session = await self.answers.session(request[TENANT], browser)
        return browser, self.visits.visit(request, browser, to, session)

    async def _unreadable(self, request: web.Request, why: InvalidForm) -> web.StreamResponse:
        browser, visit = await self._visit(request, why.to)
        slot = await self.flow.find(visit)
        log.info("form_unreadable", detail=why.detail, reference=visit.reference)
        shown = FlowResult(slot.login, ProblemDetail(why.problem))
        return await self.answers.answer(request, visit, browser, shown, {}, asked=True, status=why.status)

    def _just_left(self, slot: Slot) -> bool:
        """Whether the browser's secret was replaced so lately that the answer with the newer one may be on its way."""
        return slot.gone_on and slot.spent is not None and self.clock.now() < slot.spent.at + JUST_LEFT

    def _is_in(self, request: web.Request, visit: LoginRequest) -> bool:
        """Whether a user's browser may open where it wants to go: it is led there, whatever page it was on."""
        return not wants_json(request) and visit.session is not None and _may_open(visit.session, visit)


def _may_open(session: Session, visit: LoginRequest) -> bool:
    return session.routes is None or visit.app in session.routes


def _goes_on(login: Login | None, session: Session | None) -> Login | None:
    """The login that a visit to its beginning goes on with: not a stopped one, no sign-in of a signed-in browser."""
    if login is None or login.stopped:
        return None
    return None if login.purpose is Purpose.SIGN_IN and session else login


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 3 else 0
