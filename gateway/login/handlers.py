"""How do the login pages look from outside? URL ↔ flow, HTML and JSON.

GET shows the login's step or redirects to it; POST performs one action and redirects (303), or shows the page again
with the problem and its status. A program asks by `Accept: application/json` and gets the same as data: 200 went on,
401 wrong password, 422 wrong or expired code or bad input, 403 stopped, 409 out of order, 429, 503.
"""

from dataclasses import dataclass

import structlog
from aiohttp import web

from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, Trouble
from gateway.domain.session import Session
from gateway.login.answers import Answers, redirect
from gateway.login.flow import Flow, Went
from gateway.login.record import Login, Purpose, Step
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.login.visits import Browser, Visits
from gateway.login.within import Within
from gateway.observe.audit import AuditEvent
from gateway.web import protections
from gateway.web.failures import wants_json
from gateway.web.protections import Fields, Unreadable

STEPS = {step.value: step for step in Step}
FACTORS = {factor.value: factor for factor in FactorKind}
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginHandlers:
    """The handlers of `/-/login` and its steps."""

    flow: Flow
    within: Within
    visits: Visits
    answers: Answers
    reports: Reports

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [
            web.get(f"{prefix}login", self.begin),
            web.post(f"{prefix}login", self.begin_within),
            web.get(f"{prefix}login/{{step}}", self.show),
            web.post(f"{prefix}login/{{step}}", self.act),
        ]

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Where every login begins: on to the app with a session that may, else the login's step, else the password."""
        browser = self.visits.browser(request)
        visit = self.visits.visit(request, browser, request.query.get("to"))
        session = None if wants_json(request) else await self.answers.session(visit.tenant, browser)
        if session and _may_open(session, visit):
            return redirect(visit.to)
        login = _goes_on(await self.flow.load(visit, browser.secret), session)
        if session and login is None:
            went = await self.within.step_up(visit, session, recent=False)
        else:
            went = await self.flow.look(visit, login)
        if went.login and not wants_json(request):
            return await self.answers.go_on(visit, browser, went)
        return await self.answers.answer(request, visit, browser, went, {}, asked=False)

    async def begin_within(self, request: web.Request) -> web.StreamResponse:
        """Begin an `enrol` or `step-up` from a page of ours: fields `purpose`, `factor`, `to`."""
        browser = self.visits.browser(request)
        fields = await protections.read_fields(request)
        if isinstance(fields, Unreadable):
            return await self._unreadable(request, browser, fields)
        visit = self.visits.visit(request, browser, fields.get("to"))
        session = await self.answers.session(visit.tenant, browser)
        if not self.visits.ours(request, visit.tenant, browser, fields):
            return await self._refused(request, visit, browser, fields, fields.get("purpose", ""))
        if session is None:
            return await self.answers.answer(request, visit, browser, Went(None), {}, asked=True)
        wanted = FACTORS.get(fields.get("factor", ""))
        match fields.get("purpose"):
            case Purpose.ENROL.value if wanted:
                went = await self.within.enrol(visit, session, wanted)
            case Purpose.STEP_UP.value:
                went = await self.within.step_up(visit, session, recent=True)
            case _:
                went = Went(None, Trouble(Problem.BAD_INPUT))
        if wants_json(request) or (went.failed and went.step is not Step.STOPPED):
            return await self.answers.answer(request, visit, browser, went, {}, asked=True)
        return await self.answers.go_on(visit, browser, went)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page of one step, or the way to the one that is due."""
        wanted = STEPS.get(request.match_info["step"])
        if wanted is None:
            raise web.HTTPNotFound
        browser = self.visits.browser(request)
        visit = self.visits.visit(request, browser, request.query.get("to"))
        login = await self.flow.load(visit, browser.secret)
        if login is None and await self._is_in(request, visit, browser):
            return redirect(visit.to)  # the back button, long after the login
        if wanted is Step.PASSWORD and (login is None or login.stopped):
            return await self.answers.answer(request, visit, browser, Went(None), {}, asked=False)
        if login is None:
            expired = Trouble(Problem.LOGIN_EXPIRED) if browser.secret and wanted is not Step.DONE else None
            return await self.answers.answer(request, visit, browser, Went(None, expired), {}, asked=False)
        went = await self.flow.look(visit, login)
        if wants_json(request) or (went.step is wanted and went.step is not Step.DONE):
            return await self.answers.answer(request, visit, browser, went, {}, asked=False)
        return await self.answers.go_on(visit, browser, went)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """One action of one step's form."""
        page = STEPS.get(request.match_info["step"])
        if page is None or page is Step.DONE:
            raise web.HTTPNotFound
        browser = self.visits.browser(request)
        fields = await protections.read_fields(request)
        if isinstance(fields, Unreadable):
            return await self._unreadable(request, browser, fields)
        visit = self.visits.visit(request, browser, fields.get("to"))
        login = await self.flow.load(visit, browser.secret)
        if not self.visits.ours(request, visit.tenant, browser, fields, begins=page is Step.PASSWORD):
            return await self._refused(request, visit, browser, fields, page.value)
        if login is None and page is not Step.PASSWORD:
            if await self._is_in(request, visit, browser):
                return redirect(visit.to)  # another tab of this browser finished
            expired = Went(None, Trouble(Problem.LOGIN_EXPIRED))
            return await self.answers.answer(request, visit, browser, expired, {}, asked=True)
        went = await self.flow.act(visit, login, page, fields.get("action", ""), fields)
        left = login and login.purpose is not Purpose.SIGN_IN and went.login is None and not went.trouble
        if left and not wants_json(request):
            return redirect(f"{visit.configuration.gateway.prefix}account")  # cancelled inside a session
        shown_here = went.failed and not went.out_of_order and went.step is not Step.STOPPED
        if wants_json(request) or shown_here:
            return await self.answers.answer(request, visit, browser, went, fields, asked=True)
        return await self.answers.go_on(visit, browser, went)

    async def _unreadable(self, request: web.Request, browser: Browser, why: Unreadable) -> web.StreamResponse:
        visit = self.visits.visit(request, browser, why.to)
        login = await self.flow.load(visit, browser.secret)
        log.info("form_unreadable", detail=why.detail, reference=visit.reference)
        shown = Went(login, Trouble(why.problem))
        return await self.answers.answer(request, visit, browser, shown, {}, asked=True, status=why.status)

    async def _refused(
        self, request: web.Request, visit: Visit, browser: Browser, fields: Fields, page: str
    ) -> web.StreamResponse:
        login = await self.flow.load(visit, browser.secret)
        self.reports.tell(visit, AuditEvent.FORM_REFUSED, step=page)
        problem = Problem.FORM_EXPIRED if browser.secret or not fields.get("csrf") else Problem.NO_COOKIE
        shown = Went(login, Trouble(problem))
        return await self.answers.answer(request, visit, browser, shown, fields, asked=True)

    async def _is_in(self, request: web.Request, visit: Visit, browser: Browser) -> bool:
        """Whether a person's browser may open where he wants to go: he is led there, whatever page he was on."""
        session = None if wants_json(request) else await self.answers.session(visit.tenant, browser)
        return session is not None and _may_open(session, visit)


def _may_open(session: Session, visit: Visit) -> bool:
    return session.routes is None or visit.app in session.routes


def _goes_on(login: Login | None, session: Session | None) -> Login | None:
    """The login that a visit to its beginning goes on with: not a stopped one, not one of another session."""
    if login is None or login.stopped:
        return None
    if login.purpose is Purpose.SIGN_IN:
        return login if session is None else None
    return login if session and login.session == session.id and not login.opened else None
