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
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web

from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Session
from gateway.domain.tenant import SSO_CALLBACK
from gateway.domain.texts import marked as _
from gateway.keycloak.sso import CANCELLED, LATER, Code, Declined, NotFromRealm, read_answer
from gateway.login.begin_in_session import AccountForm, BeginInSession
from gateway.login.flow import ENTRIES, CutShort, Flow, FlowResult
from gateway.login.login_records import digest
from gateway.login.login_request import LoginRequest, of_account_page, of_login_page, read_request, with_target
from gateway.login.record import ADMINISTER, Act, ActKind, Login, Purpose, Slot
from gateway.login.responses import LoginResponses
from gateway.login.state_machine import Step, state_of
from gateway.login.steps.sso import SsoPage, rejected
from gateway.observe.audit import AuditEvent
from gateway.web import cookies
from gateway.web.cookies import BrowserSecret, Cookie
from gateway.web.csrf import foreign_origin
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Redirect, Reply
from gateway.web.error_responses import Handler
from gateway.web.forms import FormFields, InvalidForm, read_fields
from gateway.web.request_context import LANGUAGE
from gateway.web.return_to import SIGNED_OUT

STEPS = {step.value: step for step in Step}
FACTORS = {factor.value: factor for factor in FactorKind}
ACTS = {kind.value: kind for kind in ActKind}
RETRIES, RETRY_AFTER = 5, 0.3
"""How often a browser is redirected to try again, after so many seconds, while another tab's answer is on its way."""
JUST_LEFT = 10.0
"""Seconds after which the handler waits for no such answer any more."""
CAME = "came"
"""Marks the second and third request of a browser that had no login cookie."""
_IDLE_LIMIT = _("The limit is %(time)s.")
LoginEndpoint = Callable[[OwnRequest, LoginRequest], Awaitable[Reply]]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginHandlers:
    """The handlers of `/-/login` and its steps."""

    flow: Flow
    in_session: BeginInSession
    responses: LoginResponses
    sso: SsoPage
    clock: Clock
    random: Random
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The routes that `app` mounts."""
        path = f"{endpoints.prefix}login"
        steps = "|".join(STEPS)
        posted = "|".join(name for name in STEPS if name != Step.DONE.value)
        return [
            web.get(path, self._handler(endpoints, self.begin)),
            web.post(path, self._handler(endpoints, self.begin_within)),
            web.get(f"{path}/{{step:{steps}}}", self._handler(endpoints, self.show)),
            web.post(f"{path}/{{step:{posted}}}", self._handler(endpoints, self.act)),
            web.get(f"{endpoints.prefix}{SSO_CALLBACK}", self._handler(endpoints, self.come_back)),
        ]

    def _handler(self, endpoints: Endpoints, endpoint: LoginEndpoint) -> Handler:
        """The aiohttp handler of `endpoint`, which gets the fields of a form and the request as the login knows it.

        Its answer sets the new login secret also when an effect failed after an accepted proof.
        """

        async def handle(own: OwnRequest) -> Reply | web.StreamResponse:
            fields = await read_fields(own.http) if own.http.method == "POST" else {}
            if isinstance(fields, InvalidForm):
                request = await self._read(endpoints, own, fields.to)
                return await self._unreadable(request, fields)
            to = fields.get("to") if own.http.method == "POST" else own.http.query.get("to")
            request = await self._read(endpoints, own, to)
            try:
                return await endpoint(replace(own, fields=fields), request)
            except CutShort as cut:
                response = endpoints.errors.of_error(own.http, cut.__cause__ or cut)
                cookie = cookies.login(own.tenant, BrowserSecret(cut.tag, cut.secret).value)
                response.headers.add(hdrs.SET_COOKIE, cookie)
                return response

        return endpoints.handler(handle, navigation=True)

    async def begin(self, own: OwnRequest, request: LoginRequest) -> Reply:
        """Begins every login: redirects to the app with a session that may open it, else to the login's step."""
        slot = await self.flow.logins.find(request)
        session = None if request.as_data else request.session
        administers = session is not None and own.http.query.get("act") == ADMINISTER
        confirmed = not administers or (session and session.confirmed(self.clock.now()))
        if session and session.opens(request.tenant, request.app) and confirmed:
            return Reply(Redirect(request.to))
        login = _goes_on(slot.login, session)
        login = login if login is None or login.administers or not administers else None
        again = _number(own.http.query.get("again"))
        if login is None and session is None and not request.as_data and again < RETRIES and self._just_left(slot):
            await self.wait(RETRY_AFTER)  # another tab's answer, with the newest secret, is on its way
            return self.responses.to_beginning(request, again + 1)
        if session and login is None:
            result = await self.in_session.begin(request, slot, session, administers=administers)
        else:
            said = ProblemDetail(Problem.SIGNED_OUT) if SIGNED_OUT in own.http.query else await self._idled(own)
            if login is None and said is None and request.tenant.keycloak.sso and not request.as_data:
                return await self._leave(own, request)
            result = await self.flow.enter(request, login) if login else FlowResult(None, said)
        return await self._answered(request, result)

    async def begin_within(self, own: OwnRequest, request: LoginRequest) -> Reply:
        """A button of the account page: begins a login for one act.

        Fields `act`, `factor`, `target`, `version`, `to`.
        """
        fields, session = own.fields, request.session
        if session is None:
            return await self.responses.answer(request, FlowResult(None), {})
        out_of_date = Reply(Redirect(f"{own.prefix}account?done=out-of-date"))
        if not of_account_page(own, session):
            foreign = foreign_origin(own.http.headers, own.tenant)
            request.audit.write(AuditEvent.FORM_REJECTED, step=fields.get("act", "")[:40], **foreign)
            if request.as_data or foreign:
                return Reply(Failure(Problem.FORM_EXPIRED))
            return out_of_date
        target = fields.get("target", "")
        form = AccountForm(fields.get("form", ""), int(fields["version"]), target)
        slot = await self.flow.logins.find(request)
        factor = FACTORS.get(fields.get("factor", ""))
        match fields.get("act"):
            case Purpose.ENROL.value if factor:
                result = await self.in_session.begin(request, slot, session, form, wanted=factor)
            case str(kind) if kind in ACTS:
                result = await self.in_session.begin(request, slot, session, form, act=Act(ACTS[kind], factor, target))
            case _:
                result = FlowResult(None, ProblemDetail(Problem.BAD_INPUT))
        if result.login is None and result.problem_detail:
            if result.problem_detail.problem is Problem.ENROLMENT_CHANGED and not request.as_data:
                return out_of_date
            return Reply(Failure(result.problem_detail.problem))
        return await self._answered(request, result)

    async def show(self, own: OwnRequest, request: LoginRequest) -> Reply:
        """The page of one step, or a redirect to the one that is due."""
        wanted = STEPS[own.http.match_info["step"]]
        slot = await self.flow.logins.find(request)
        login = slot.login
        if login is None and _is_in(request):
            return Reply(Redirect(request.to))  # the back button, long after the login
        if wanted in ENTRIES and (login is None or login.stopped):
            if wanted is not _first_page(request):
                return self.responses.to_beginning(request)
            return await self.responses.answer(request, FlowResult(None), {})
        if login is None and slot.spent and not request.as_data:
            return self.responses.to_beginning(request)
        if login is None:
            if not request.secret or wanted is Step.DONE:
                return await self.responses.answer(request, FlowResult(None), {})
            return await self._expired(request, FlowResult(None, ProblemDetail(Problem.LOGIN_EXPIRED)))
        result = await self.flow.look(request, login)
        if result.step is wanted and result.step is not Step.DONE and not result.inert:
            return await self.responses.answer(request, result, {})
        return await self._answered(request, result)

    async def act(self, own: OwnRequest, request: LoginRequest) -> Reply:
        """One action of one step's form."""
        page, fields = STEPS[own.http.match_info["step"]], own.fields
        slot = await self.flow.logins.find(request)
        if not of_login_page(own, request, begins=page in ENTRIES):
            foreign = foreign_origin(own.http.headers, own.tenant)
            request.audit.write(AuditEvent.FORM_REJECTED, step=page.value, **foreign)
            problem = Problem.FORM_EXPIRED if request.secret or not fields.get("csrf") else Problem.NO_COOKIE
            return await self.responses.answer(request, _shown(slot, problem), fields)
        gone = slot.login is None and slot.spent is None
        if gone and page not in ENTRIES and _is_in(request):
            return Reply(Redirect(request.to))  # another tab of this browser finished
        within = slot.login if slot.login and slot.login.purpose is not Purpose.SIGN_IN else None
        if within is None and page in ENTRIES and page is not _first_page(request):
            return self.responses.to_beginning(request)  # the settings changed
        if page is Step.SSO and not fields.get("action") and (within is None or state_of(within).step is page):
            return Reply(Redirect(self.sso.single_sign_on.page(request, within)))
        result = await self.flow.act(request, slot, page, fields.get("action", ""), fields)
        if _is(result, Problem.LOGIN_EXPIRED) and result.login is None:
            return await self._expired(request, result)
        if _is(result, Problem.CANCELLED) or _is(result, Problem.SIGN_IN_CANCELLED):
            await self.responses.password.forget(request)
            return await self.responses.answer(request, result, {"username": ""})
        login = slot.login
        left = login and login.purpose is not Purpose.SIGN_IN and result.login is None and not result.problem_detail
        if left and not result.inert and not result.signed_in and not request.as_data:
            return Reply(Redirect(f"{own.prefix}account"))  # cancelled inside a session
        if result.failed and (result.step is page or not result.out_of_order) and result.step is not Step.STOPPED:
            return await self.responses.answer(request, result, fields)
        return await self._answered(request, result, fields)

    # ------------------------------------------------------------------ single sign-on

    async def _leave(self, own: OwnRequest, request: LoginRequest) -> Reply:
        """Redirects a browser without a login to Keycloak's page.

        The sign-in is bound to the login cookie. So a browser without one gets it first, and comes back after a moment:
        tabs that open at once get a cookie each, and the last one stays.
        """
        if request.host.lower() in request.tenant.hosts:  # Keycloak returns it to `public_url`, to the cookie there
            to = quote(request.to, safe="/")
            return Reply(Redirect(f"{request.tenant.public_url}{own.prefix}login?to={to}"))
        came = own.http.query.get(CAME)
        if request.secret is None and came:
            return await self.responses.answer(request, FlowResult(None, ProblemDetail(Problem.NO_COOKIE)), {})
        if request.secret is None or came == "0":
            if came:
                await self.wait(RETRY_AFTER)
            again = self.responses.to_beginning(request, more=f"&{CAME}={1 if came else 0}")
            given = cookies.login(own.tenant, cookies.new_browser_secret(self.random, request.tag).value)
            return again if came else replace(again, cookies=(given,))
        return Reply(Redirect(self.sso.single_sign_on.page(request, None)))

    async def come_back(self, own: OwnRequest, request: LoginRequest) -> Reply:
        """The way back from Keycloak's page, with a code or an error."""
        access, query = own.tenant.keycloak, own.http.query
        if access.sso is None:
            return Reply(Failure(Problem.NOT_FOUND))
        asked = {name: query.getall(name) for name in query}
        started = self.sso.single_sign_on.started(request, asked.get("state", [""])[0])
        if started is None:
            rejected(request, "not begun in this browser", Problem.NOT_STARTED_HERE)
            return await self._stays(request, None, Problem.NOT_STARTED_HERE)
        request = with_target(request, started.to, own.prefix)
        if started.secret != digest(request.secret or ""):  # the browser went on since, in another tab
            return self.responses.to_beginning(request)
        slot = await self.flow.logins.find(request)
        within = slot.login if slot.login and started.login == slot.login.id else None
        match read_answer(access, asked):
            case NotFromRealm(why=why):
                rejected(request, why, Problem.SIGN_IN_MISCONFIGURED)
                return await self._stays(request, within, Problem.SIGN_IN_MISCONFIGURED)
            case Declined(error=error, description=text):
                return await self._stays(request, within, _declined(request, error, text))
            case Code(code=code, state=state):
                named = {"login": started.login, "round": started.round, "form": started.id}
                fields = {**named, "state": state, "code": code.value}
                result = await self.flow.act(request, slot, Step.SSO, "", fields)
                if result.failed and not result.out_of_order and result.step is not Step.STOPPED:
                    return await self.responses.answer(replace(request, posted=True), result, {})
                return await self._answered(request, result)

    async def _stays(self, request: LoginRequest, within: Login | None, problem: Problem) -> Reply:
        """The page that leads to Keycloak, with a problem."""
        result = FlowResult(state_of(within) if within else None, ProblemDetail(problem))
        return await self.responses.answer(replace(request, posted=True), result, {})

    async def _expired(self, request: LoginRequest, result: FlowResult) -> Reply:
        """The password page after a login that lay too long, with its user name."""
        user = await self.flow.logins.last_user(request)
        return await self.responses.answer(request, result, {"username": user.username} if user else {})

    async def _answered(self, request: LoginRequest, result: FlowResult, fields: FormFields | None = None) -> Reply:
        """A redirect for a browser, the data for a program."""
        if request.as_data and result.inert and result.problem_detail is None:
            result = replace(result, problem_detail=ProblemDetail(Problem.LOGIN_EXPIRED))
        if not request.as_data and (result.inert or result.signed_in):
            return Reply(Redirect(request.to)) if _is_in(request) else self.responses.to_beginning(request)
        if request.as_data or result.state is None:
            return await self.responses.answer(request, result, fields or {})
        return await self.responses.go_on(request, result)

    async def _read(self, endpoints: Endpoints, own: OwnRequest, to: str | None) -> LoginRequest:
        return read_request(own, await endpoints.session(own), to, self.random)

    async def _unreadable(self, request: LoginRequest, why: InvalidForm) -> Reply:
        slot = await self.flow.logins.find(request)
        log.info("form_unreadable", detail=why.detail, reference=request.reference)
        return await self.responses.answer(request, _shown(slot, why.problem), {}, why.status)

    async def _idled(self, own: OwnRequest) -> ProblemDetail | None:
        """Whether the session of this browser ended at its idle limit, as the problem to show."""
        value = own.cookies.get(Cookie.SESSION)
        if value is None or not await self.responses.sessions.ended_idle(own.tenant, value):
            return None
        time = own.http[LANGUAGE].duration(own.tenant.session.idle)
        return ProblemDetail(Problem.IDLED, detail=own.http[LANGUAGE].gettext(_IDLE_LIMIT) % {"time": time})

    def _just_left(self, slot: Slot) -> bool:
        """Whether the answer with a newer secret, or with a session, may still be on its way to the browser."""
        spent = slot.spent
        if spent is None or not (spent.next or spent.login.opened):
            return False
        return self.clock.now() < spent.at + JUST_LEFT


def _first_page(request: LoginRequest) -> Step:
    """The page at which a sign-in begins at this tenant."""
    return Step.SSO if request.tenant.keycloak.sso else Step.PASSWORD


def _declined(request: LoginRequest, error: str, description: str) -> Problem:
    """Why Keycloak gave no code."""
    if error == CANCELLED:
        return Problem.SIGN_IN_CANCELLED
    later = error in LATER
    problem = Problem.SIGN_IN_UNAVAILABLE if later else Problem.SIGN_IN_MISCONFIGURED
    detail = f"{error}: {description}"
    request.audit.write(AuditEvent.LOGIN_UNAVAILABLE, problem=problem.value, what="sign-in at Keycloak", detail=detail)
    return problem


def _shown(slot: Slot, problem: Problem) -> FlowResult:
    return FlowResult(state_of(slot.login) if slot.login else None, ProblemDetail(problem))


def _is(result: FlowResult, problem: Problem) -> bool:
    return result.problem_detail is not None and result.problem_detail.problem is problem


def _is_in(request: LoginRequest) -> bool:
    """Whether this browser may open its target: then it is redirected there from any page."""
    return not request.as_data and request.session is not None and request.session.opens(request.tenant, request.app)


def _goes_on(login: Login | None, session: Session | None) -> Login | None:
    """The login that a request for `/-/login` continues: not a stopped one, no sign-in of a signed-in browser."""
    if login is None or login.stopped:
        return None
    return None if login.purpose is Purpose.SIGN_IN and session else login


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 3 else 0
