"""Makes the answers of the login pages: a page, JSON or a redirect, and its cookies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import hdrs

from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.login.effects.account_action import AccountAction
from gateway.login.effects.send_code import ASK_AT_LEAST, ASK_BESIDE
from gateway.login.flow import FlowResult, Page
from gateway.login.login_request import LoginRequest
from gateway.login.record import ActKind, Login, Purpose
from gateway.login.state_machine import Step
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.sso import SsoPage
from gateway.login.steps.verify import VerifyView
from gateway.observe.audit import AuditEvent, RequestAudit
from gateway.rendering.languages import Language, Languages
from gateway.rendering.problem_view import ProblemView, problem_view
from gateway.rendering.step_view import StepView, as_json, codes_file
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, endpoint, security_headers
from gateway.web.cookies import BrowserSecret, TooLarge
from gateway.web.endpoint import Redirect, Reply
from gateway.web.forms import FormFields

ASK_AGAIN = 2
"""Seconds after which a page asks again while another request of the same login is sending."""
DAY = 86400
SHOWS_CODES = (ActKind.SHOW_CODES, ActKind.NEW_CODES)
"""Acts whose answer shows the backup codes."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneView(StepView):
    """The end of a login: `location` is where the browser goes next. `codes` are those that an act shows."""

    location: str
    codes: Sequence[str] = field(default=(), repr=False)

    def own_json(self) -> dict[str, Any]:
        """The way on, and the codes."""
        body: dict[str, Any] = {"codes": list(self.codes)} if self.codes else {}
        return body | {"location": self.location}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedView(StepView):
    """The end of a login without a session: `location` is the page of its named path, "" for none."""

    location: str = ""

    def own_json(self) -> dict[str, Any]:
        """The named path."""
        return {"location": self.location} if self.location else {}


@dataclass(frozen=True, slots=True)
class LoginResponses:
    """Makes the answers of the login pages."""

    steps: Mapping[Step, Page]
    password: PasswordPage
    sso: SsoPage
    sessions: Sessions
    languages: Languages
    clock: Clock
    random: Random
    account_action: AccountAction

    async def go_on(self, request: LoginRequest, result: FlowResult) -> Reply:
        """A redirect: to the target when done, to the named path of a stopped login, else to the page of the step.

        Backup codes are shown in the answer to the form that carried the proof, never by GET.
        """
        body: endpoint.Page | Redirect
        login, step, prefix = result.login, result.step, request.configuration.gateway.prefix
        act = login.act if login and login.opened else None
        if login and act and act.kind in SHOWS_CODES and request.posted:
            codes, used = await self.account_action.codes(request, login)
            user, language = login.user, self._language(request)
            account = user.username if user else ""
            file = codes_file(request.tenant, request.host, account, codes, language=language, at=self.clock.now())
            name = user.display_name if user else ""
            context = {"file": replace(file, used=used), "username": name, "csrf": "", "here": f"{prefix}account"}
            body = endpoint.Page("account_codes.html", context)
        elif step is Step.BACKUP_CODES and result.secret is not None:
            return await self.answer(request, result, {})
        elif leads_to := _named_path(request, login):
            body = Redirect(leads_to)
        elif step is not Step.DONE:
            body = Redirect(f"{prefix}login/{step.value}?to={quote(request.to, safe='/')}")
        else:
            page = f"{prefix}account"
            enrolled = login is not None and login.purpose is Purpose.ENROL and request.to == page
            done = act.kind.value if act else Purpose.ENROL.value if enrolled else ""
            body = Redirect(f"{page}?done={done}" if done else request.to)
        return await self._with_cookies(Reply(body), request, result)

    def to_beginning(self, request: LoginRequest, again: int = 0, more: str = "") -> Reply:
        """To `/-/login`, without a cookie: the browser sends its newest secret there. `more` ends the query."""
        to = quote(request.to, safe="/")
        prefix = request.configuration.gateway.prefix
        return Reply(Redirect(f"{prefix}login?to={to}{f'&again={again}' if again else ''}{more}"))

    async def answer(
        self, request: LoginRequest, result: FlowResult, fields: FormFields, status: int | None = None
    ) -> Reply:
        """The page of the step (or its JSON) with its problem."""
        no_page = result.step is Step.DONE or _named_path(request, result.login)
        if no_page and not request.as_data:
            return await self.go_on(request, result)  # whatever was asked of it
        request = replace(request, just_proved=result.secret is not None and request.posted)
        view = await self._view(request, result, fields)
        held = view.held if isinstance(view, VerifyView) else None
        problem = self._problem(request, result.problem_detail or held)
        seconds = None if request.as_data else asks_again_in(result, self.clock.now())
        headers = {}
        if seconds is not None and isinstance(view, VerifyView) and view.answerable:
            view = replace(view, again_in=seconds)  # a script spares what is being typed
        elif seconds is not None:
            headers["Refresh"] = str(seconds)
        if problem and problem.retry_after:
            headers[hdrs.RETRY_AFTER] = str(problem.retry_after)
        code = status or _status(result, problem, asked=request.posted)
        if problem:  # each reference that a page shows is in the log
            login = result.login.id if result.login else ""
            log.info(
                "problem", problem=problem.code, status=code, reference=request.reference, step=view.step, login=login
            )
        reply = Reply(
            endpoint.Page(f"steps/{view.step.replace('-', '_')}.html", {"view": view, "problem": problem}),
            data=as_json(view, problem) if request.as_data else None,
            headers=headers,
            status=code,
        )
        return await self._with_cookies(reply, request, result)

    async def _view(self, request: LoginRequest, result: FlowResult, fields: FormFields) -> StepView:
        state, login = result.state, result.login
        if result.step is Step.DONE or result.signed_in:
            shows = login and login.opened and login.act and login.act.kind in SHOWS_CODES
            codes = (await self.account_action.codes(request, login))[0] if login and shows else ()
            return DoneView(**request.head(Step.DONE, login), location=request.to, codes=codes)
        if state is None:
            return await (self.sso if request.tenant.keycloak.sso else self.password).view(request, None, fields)
        if state.step is Step.STOPPED:  # the reason is the problem beside it; the user can only sign in again
            location = _named_path(request, login) or ""
            return StoppedView(**request.head(Step.STOPPED, login), can_cancel=False, location=location)
        return await self.steps[state.step].view(request, state, fields)

    def _problem(self, request: LoginRequest, problem_detail: ProblemDetail | None) -> ProblemView | None:
        if problem_detail is None:
            return None
        language = self._language(request)
        view = problem_view(problem_detail.problem, language, problem_detail.until, self.clock.now(), request.reference)
        if problem_detail.problem is Problem.PASSWORD_REFUSED and problem_detail.detail:
            view = replace(view, text="")  # Keycloak's sentence says it all
        return replace(view, next=problem_detail.detail) if problem_detail.detail else view

    def _language(self, request: LoginRequest) -> Language:
        return self.languages.get(request.language, request.tenant.zone)

    async def _with_cookies(self, reply: Reply, request: LoginRequest, result: FlowResult) -> Reply:
        """The login cookie when it is new, and at the end the session's, the token's, the trust and the browser's."""
        tenant, added, headers = request.tenant, list[str](), dict(reply.headers)
        if result.secret is not None and result.secret != request.secret:
            added.append(cookies.login(tenant, BrowserSecret(request.tag, result.secret).value))
        elif request.secret is None:
            added.append(cookies.login(tenant, cookies.new_browser_secret(self.random, request.tag).value))
        login, given = result.login, result.given
        session = await self.sessions.current(tenant, given.session) if login and given.session else None
        if login is None or session is None:
            return replace(reply, cookies=tuple(added))
        before = request.session
        if before and before.id != session.id:  # a browser has one session: the one it had before ends
            await self.sessions.end(tenant, before.id)
        added.append(cookies.session(tenant, given.session))
        if tenant.apps is None:
            added += token_cookie(tenant, session, request.audit, self.clock.now())
        if given.trust:
            added.append(cookies.trust(tenant, given.trust, login.policy.trust_browser_days * DAY))
        if login.opened and login.opened.other_user:  # the apps' data in this browser belong to the user before
            headers["Clear-Site-Data"] = security_headers.clear_site_data(tenant)
        if request.browser_is_new and request.browser_id:
            added.append(cookies.browser(tenant, request.browser_id))
        return replace(reply, cookies=tuple(added), headers=headers)


def token_cookie(tenant: Tenant, session: Session, audit: RequestAudit, now: float) -> list[str]:
    """The token cookie; none for a token that fits into no cookie, which is told."""
    token = cookies.token(tenant, session, now)
    if not isinstance(token, TooLarge):
        return [token]
    log.error("token_cookie_too_large", cookie=token.name, size=token.size, tenant=tenant.id)
    audit.write(AuditEvent.TOKEN_COOKIE_TOO_LARGE, session, size=token.size)
    return []


def _named_path(request: LoginRequest, login: Login | None) -> str | None:
    """The page of the named path to which a stopped login leads, by today's settings; None for the stopped page."""
    name = login.stopped.path if login and login.stopped else None
    return request.tenant.path_address(name, login.app) if login and name else None


def asks_again_in(result: FlowResult, now: float) -> int | None:
    """Seconds after which a page whose code is not sent yet asks again by itself; None when it does not.

    Soon while another request is sending, when the wait ends, and now and then while a code is queued.
    """
    if result.step is not Step.VERIFY or result.login is None:
        return None
    verification = result.login.verification
    until = verification.queued_until
    if until is not None and until > now:
        return min(int(until - now) + 1, ASK_BESIDE if verification.challenge else ASK_AT_LEAST)
    if verification.challenge:
        return None
    if result.problem_detail is None:
        return ASK_AGAIN
    if result.problem_detail.problem is Problem.WAIT and result.problem_detail.until:
        return int(result.problem_detail.until - now) + 1
    return None


def _status(result: FlowResult, problem: ProblemView | None, *, asked: bool) -> int:
    """What a program reads of the answer; a page that is only looked at fails when nothing can be done about it."""
    if result.out_of_order:
        return 409
    if problem is None:
        return 200
    return problem.status if asked or problem.status >= 500 else 200
