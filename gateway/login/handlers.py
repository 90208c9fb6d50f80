"""The handlers of the login pages: URL to flow, HTML and JSON.

GET shows the login's step or redirects to it; POST performs one action and redirects (303), or shows the page again
with the problem and its status. A program asks by `Accept: application/json` and gets the same as data: 200 result on,
401 wrong password, 422 wrong or expired code or bad input, 403 stopped, 409 out of order, 429, 503. Its next form names
`login`, `round` and `form` as it was given them.

A browser whose login secret was replaced is redirected to `/-/login` with no cookie set: it sends its newest one there.
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
from gateway.login.login_request import LoginRequest, LoginRequests, of_account_page, of_login_page
from gateway.login.machine import state_of
from gateway.login.record import Act, ActKind, Login, Purpose, Step
from gateway.login.responses import LoginResponses, redirect
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
RETRIES, RETRY_AFTER = 5, 0.3
"""How often a browser is redirected to try again, after so many seconds, while another tab's answer is on its way."""
JUST_LEFT = 10.0
"""Seconds after which the handler waits for no such answer any more."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginHandlers:
    """The handlers of `/-/login` and its steps."""

    flow: Flow
    in_session: BeginInSession
    requests: LoginRequests
    responses: LoginResponses
    failures: ErrorResponses
    clock: Clock
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [
            web.get(f"{prefix}login", self._guarded(self.begin)),
            web.post(f"{prefix}login", self._guarded(self.begin_within)),
            web.get(f"{prefix}login/{{step}}", self._guarded(self.show)),
            web.post(f"{prefix}login/{{step}}", self._guarded(self.act)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        """`handler`, for navigations to steps that exist only.

        Its answer sets the new login secret also when an effect failed after an accepted proof.
        """

        async def guarded(http: web.Request) -> web.StreamResponse:
            step = http.match_info.get("step", Step.PASSWORD.value)
            if step not in STEPS or (http.method == "POST" and STEPS[step] is Step.DONE):
                raise web.HTTPNotFound
            if not is_navigation(http.headers):
                return self.failures.respond(http, Problem.ORIGIN_REFUSED, cause="not a navigation")
            try:
                return await handler(http)
            except CutShort as cut:
                response = self.failures.of_error(http, cut.__cause__ or cut)
                cookie = cookies.login(http[TENANT], BrowserSecret(cut.tag, cut.secret).value)
                response.headers.add(hdrs.SET_COOKIE, cookie)
                return response

        return guarded

    async def begin(self, http: web.Request) -> web.StreamResponse:
        """Begins every login: redirects to the app with a session that may open it, else to the login's step."""
        request = await self.requests.read(http, http.query.get("to"))
        as_data, slot = wants_json(http), await self.flow.logins.find(request)
        session = None if as_data else request.session
        if session and _may_open(session, request):
            return redirect(request.to)
        login = _goes_on(slot.login, session)
        again = _number(http.query.get("again"))
        if login is None and session is None and not as_data and again < RETRIES and self._just_left(slot):
            await self.wait(RETRY_AFTER)  # another tab's answer, with the newest secret, is on its way
            return self.responses.to_beginning(request, again + 1)
        if session and login is None:
            result = await self.in_session.begin(request, slot, session)
        else:
            result = await self.flow.enter(request, login) if login else FlowResult(None)
        return await self._answered(http, request, result, asked=False)

    async def begin_within(self, http: web.Request) -> web.StreamResponse:
        """A button of the account page: begins a login for one act. Fields `act`, `factor`, `version`, `to`."""
        fields = await forms.read_fields(http)
        if isinstance(fields, InvalidForm):
            return await self._unreadable(http, fields)
        request = await self.requests.read(http, fields.get("to"))
        session = request.session
        if session is None:
            return await self.responses.answer(http, request, FlowResult(None), {}, asked=True)
        if not of_account_page(self.requests.csrf, http, request.tenant, session, fields):
            request.audit(AuditEvent.FORM_REJECTED, step=fields.get("act", "")[:40])
            if wants_json(http) or not same_origin(http.headers, request.tenant):
                return self.failures.respond(http, Problem.FORM_EXPIRED)
            return redirect(f"{request.configuration.gateway.prefix}account?done=out-of-date")
        slot, form = await self.flow.logins.find(request), AccountForm(fields.get("form", ""), int(fields["version"]))
        factor = FACTORS.get(fields.get("factor", ""))
        match fields.get("act"):
            case Purpose.ENROL.value if factor:
                result = await self.in_session.begin(request, slot, session, form, wanted=factor)
            case str(kind) if kind in ACTS:
                result = await self.in_session.begin(request, slot, session, form, act=Act(ACTS[kind], factor))
            case _:
                result = FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        if result.login is None and result.problem_detail:
            if result.problem_detail.problem is Problem.ENROLMENT_CHANGED and not wants_json(http):
                return redirect(f"{request.configuration.gateway.prefix}account?done=out-of-date")
            return self.failures.respond(http, result.problem_detail.problem)
        return await self._answered(http, request, result, asked=True)

    async def show(self, http: web.Request) -> web.StreamResponse:
        """The page of one step, or a redirect to the one that is due."""
        wanted = STEPS[http.match_info["step"]]
        request = await self.requests.read(http, http.query.get("to"))
        slot = await self.flow.logins.find(request)
        login = slot.login
        if login is None and self._is_in(http, request):
            return redirect(request.to)  # the back button, long after the login
        if wanted is Step.PASSWORD and (login is None or login.stopped):
            return await self.responses.answer(http, request, FlowResult(None), {}, asked=False)
        if login is None and slot.spent and not wants_json(http):
            return self.responses.to_beginning(request)
        if login is None:
            expired = ProblemDetail(Problem.LOGIN_EXPIRED) if request.secret and wanted is not Step.DONE else None
            return await self.responses.answer(http, request, FlowResult(None, expired), {}, asked=False)
        result = await self.flow.look(request, login)
        if result.step is wanted and result.step is not Step.DONE and not result.inert:
            return await self.responses.answer(http, request, result, {}, asked=False)
        return await self._answered(http, request, result, asked=False)

    async def act(self, http: web.Request) -> web.StreamResponse:
        """One action of one step's form."""
        page = STEPS[http.match_info["step"]]
        fields = await forms.read_fields(http)
        if isinstance(fields, InvalidForm):
            return await self._unreadable(http, fields)
        request = await self.requests.read(http, fields.get("to"))
        slot = await self.flow.logins.find(request)
        if not of_login_page(self.requests.csrf, http, request, fields, begins=page is Step.PASSWORD):
            request.audit(AuditEvent.FORM_REJECTED, step=page.value)
            problem = Problem.FORM_EXPIRED if request.secret or not fields.get("csrf") else Problem.NO_COOKIE
            return await self.responses.answer(http, request, _shown(slot, problem), fields, asked=True)
        gone = slot.login is None and slot.spent is None
        if gone and page is not Step.PASSWORD and self._is_in(http, request):
            return redirect(request.to)  # another tab of this browser finished
        result = await self.flow.act(request, slot, page, fields.get("action", ""), fields)
        login = slot.login
        left = login and login.purpose is not Purpose.SIGN_IN and result.login is None and not result.problem_detail
        if left and not result.inert and not result.signed_in and not wants_json(http):
            return redirect(f"{request.configuration.gateway.prefix}account")  # cancelled inside a session
        elsewhere = result.step is Step.STOPPED or (result.out_of_order and result.step is not page)
        shown_here = result.failed and not elsewhere
        if shown_here:
            return await self.responses.answer(http, request, result, fields, asked=True)
        return await self._answered(http, request, result, asked=True, fields=fields)

    async def _answered(
        self,
        http: web.Request,
        request: LoginRequest,
        result: FlowResult,
        *,
        asked: bool,
        fields: FormFields | None = None,
    ) -> web.StreamResponse:
        """A redirect for a browser, the data for a program."""
        if wants_json(http):
            if result.inert and result.problem_detail is None:
                result = replace(result, problem_detail=ProblemDetail(Problem.LOGIN_EXPIRED))
            return await self.responses.answer(http, request, result, fields or {}, asked=asked)
        if result.inert or result.signed_in:
            may = request.session is not None and _may_open(request.session, request)
            return redirect(request.to) if may else self.responses.to_beginning(request)
        if result.state is None:
            return await self.responses.answer(http, request, result, fields or {}, asked=asked)
        return await self.responses.go_on(http, request, result)

    async def _unreadable(self, http: web.Request, why: InvalidForm) -> web.StreamResponse:
        request = await self.requests.read(http, why.to)
        slot = await self.flow.logins.find(request)
        log.info("form_unreadable", detail=why.detail, reference=request.reference)
        shown = _shown(slot, why.problem)
        return await self.responses.answer(http, request, shown, {}, asked=True, status=why.status)

    def _just_left(self, slot: Slot) -> bool:
        """Whether the browser's secret was replaced so lately that the answer with the newer one may be on its way."""
        return slot.gone_on and slot.spent is not None and self.clock.now() < slot.spent.at + JUST_LEFT

    def _is_in(self, http: web.Request, request: LoginRequest) -> bool:
        """Whether this browser may open its target: then it is redirected there from any page."""
        return not wants_json(http) and request.session is not None and _may_open(request.session, request)


def _shown(slot: Slot, problem: Problem) -> FlowResult:
    return FlowResult(state_of(slot.login) if slot.login else None, ProblemDetail(problem))


def _may_open(session: Session, request: LoginRequest) -> bool:
    return session.routes is None or request.app in session.routes


def _goes_on(login: Login | None, session: Session | None) -> Login | None:
    """The login that a request for `/-/login` continues: not a stopped one, no sign-in of a signed-in browser."""
    if login is None or login.stopped:
        return None
    return None if login.purpose is Purpose.SIGN_IN and session else login


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 3 else 0
