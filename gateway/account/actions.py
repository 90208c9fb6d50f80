"""What can a user do on his own page? The handlers of `/-/account`.

Turning a method off, looking at the backup codes, saving them as a file, making new ones: each needs a session with a
proof of the last five minutes, and a form of ours. Where the proof is older the page offers to give one.
"""

from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import hdrs, web

from gateway.account.overview import may_turn_off, overview
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.observe.audit import Audit, AuditEvent
from gateway.rendering.problem_texts import problem_view
from gateway.rendering.step_view import codes_file
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.factors import backup_code
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, protections
from gateway.web.cookies import BrowserSecret, Cookie
from gateway.web.csrf import Csrf, same_origin
from gateway.web.failures import Failures, wants_json
from gateway.web.pages import Pages
from gateway.web.protections import Unreadable
from gateway.web.request import CLIENT_ADDRESS, CONFIGURATION, LANGUAGE, REFERENCE, REQUEST_ID, TENANT

FACTORS = {factor.value: factor for factor in FactorKind}
EVERYWHERE = "everywhere"
"""What the page is told to have been done: nothing that could be seen on it."""


@dataclass(frozen=True, slots=True)
class Account:
    """See the module's text."""

    sessions: Sessions
    enrolments: Enrolments
    pages: Pages
    failures: Failures
    csrf: Csrf
    clock: Clock
    chance: Chance
    audit: Audit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [
            web.get(f"{prefix}account", self.show),
            web.post(f"{prefix}account/turn-off", self.turn_off),
            web.post(f"{prefix}account/sign-out-everywhere", self.sign_out_everywhere),
            web.get(f"{prefix}account/backup-codes", self.codes),
            web.post(f"{prefix}account/backup-codes", self.new_codes),
            web.get(f"{prefix}account/backup-codes.txt", self.codes_file),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page."""
        session = await self._session(request)
        if session is None:
            return self._sign_in(request)
        return await self._page(request, session, done=request.query.get("done", ""))

    async def turn_off(self, request: web.Request) -> web.StreamResponse:
        """Turn one method off; trusted browsers end, and with the last method the backup codes."""
        asked = await self._asked(request)
        if isinstance(asked, web.StreamResponse):
            return asked
        session, fields = asked
        tenant, factor = request[TENANT], FACTORS.get(fields.get("factor", ""))
        enrolments = await self._enrolments(tenant, session)
        if factor is None or enrolments is None or not may_turn_off(tenant.policy, enrolments, factor):
            return await self._page(request, session, Problem.BAD_INPUT)

        def may(now: EnrolmentSet) -> bool:  # another tab may have turned the other one off meanwhile
            return may_turn_off(tenant.policy, now, factor)

        if await self.enrolments.turn_off(tenant, session.user_id, factor, may) is None:
            return await self._page(request, session, Problem.ENROLMENT_CHANGED)
        self._tell(request, session, AuditEvent.FACTOR_OFF, factor=factor.value)
        return self._back(request)

    async def sign_out_everywhere(self, request: web.Request) -> web.StreamResponse:
        """End every other session of the user and all trust in browsers, this one's too."""
        asked = await self._asked(request)
        if isinstance(asked, web.StreamResponse):
            return asked
        session, _ = asked
        tenant = request[TENANT]
        if await self.enrolments.end_trust(tenant, session.user_id) is None:
            return await self._page(request, session, Problem.ENROLMENT_CHANGED)
        ended = await self.sessions.end_all(tenant, session.user_id, except_id=session.id, reason="everywhere")
        self._tell(request, session, AuditEvent.SIGNED_OUT_EVERYWHERE, sessions=len(ended))
        return self._redirect(request, f"account?done={EVERYWHERE}")

    async def codes(self, request: web.Request) -> web.StreamResponse:
        """The unused backup codes, after a fresh proof."""
        session = await self._session(request)
        if session is None:
            return self._sign_in(request)
        enrolments = await self._enrolments(request[TENANT], session)
        if not session.is_fresh(self.clock.now()) or enrolments is None:
            return self._back(request)
        self._tell(request, session, AuditEvent.BACKUP_CODES_SHOWN)
        shown = tuple(backup_code.shown(code) for code in enrolments.backup_codes)
        return self._render(request, "account_codes.html", {"codes": shown, "username": session.display_name})

    async def codes_file(self, request: web.Request) -> web.StreamResponse:
        """The same as a text file to keep."""
        session = await self._session(request)
        if session is None:
            return self._sign_in(request)
        enrolments = await self._enrolments(request[TENANT], session)
        if not session.is_fresh(self.clock.now()) or enrolments is None:
            return self._back(request)
        self._tell(request, session, AuditEvent.BACKUP_CODES_SHOWN, file=True)
        shown = tuple(backup_code.shown(code) for code in enrolments.backup_codes)
        text = codes_file(request[TENANT].branding.name, request.url.host or "", shown)
        headers = {
            **protections.headers(request[TENANT]),
            hdrs.CONTENT_DISPOSITION: 'attachment; filename="backup-codes.txt"',
        }
        return web.Response(text=text, content_type="text/plain", charset="utf-8", headers=headers)

    async def new_codes(self, request: web.Request) -> web.StreamResponse:
        """New backup codes in the place of all old ones."""
        asked = await self._asked(request)
        if isinstance(asked, web.StreamResponse):
            return asked
        session, _ = asked
        tenant = request[TENANT]
        if not tenant.policy.backup_codes:
            return await self._page(request, session, Problem.BAD_INPUT)
        codes = backup_code.make(tenant.policy.backup_codes, self.chance)
        if await self.enrolments.renew_backup_codes(tenant, session.user_id, codes) is None:
            return await self._page(request, session, Problem.ENROLMENT_CHANGED)
        self._tell(request, session, AuditEvent.BACKUP_CODES_RENEWED)
        return self._redirect(request, "account/backup-codes")

    async def _asked(self, request: web.Request) -> "tuple[Session, protections.Fields] | web.StreamResponse":
        """The session and form of a POST that may change something; else the answer."""
        tenant = request[TENANT]
        fields = await protections.read_fields(request)
        if isinstance(fields, Unreadable):
            return self.failures.respond(request, fields.problem, status=fields.status, cause=fields.detail)
        session, browser = await self._session(request), self._login_cookie(request)
        if session is None:
            return self._sign_in(request)
        ours = self.csrf.verify(tenant, browser.tag if browser else None, fields.get("csrf"))
        if not ours or not same_origin(request.headers, tenant):
            return await self._page(request, session, Problem.FORM_EXPIRED)
        if not session.is_fresh(self.clock.now()):
            return self._back(request)
        return session, fields

    async def _page(
        self, request: web.Request, session: Session, problem: Problem | None = None, *, done: str = ""
    ) -> web.StreamResponse:
        tenant, now = request[TENANT], self.clock.now()
        if problem and wants_json(request):
            return self.failures.respond(request, problem)
        enrolments = await self._enrolments(tenant, session)
        if enrolments is None:
            return self.failures.respond(request, Problem.ENROLMENT_UNREADABLE)
        language = self.pages.languages.get(request[LANGUAGE])
        shown = problem_view(problem, language, None, now, request[REFERENCE]) if problem else None
        page = overview(tenant.policy, session, enrolments, language, now)
        context: dict[str, object] = {
            "page": page,
            "problem": shown,
            "signed_out_elsewhere": done == EVERYWHERE,
            "here": request[CONFIGURATION].gateway.prefix + "account",
        }
        return self._render(request, "account.html", context, shown.status if shown else 200)

    def _render(
        self, request: web.Request, template: str, context: dict[str, object], status: int = 200
    ) -> web.StreamResponse:
        known = self._login_cookie(request)
        browser = known or cookies.new_browser_secret(self.chance)
        token = self.csrf.token(request[TENANT], browser.tag)
        response = self.pages.render(request, template, {"csrf": token, **context}, status)
        if known is None:
            response.headers.add(hdrs.SET_COOKIE, cookies.login(request[TENANT], browser.value))
        return response

    async def _enrolments(self, tenant: Tenant, session: Session) -> EnrolmentSet | None:
        """The user's registrations; None when they are not what the gateway wrote."""
        found = await self.enrolments.read(tenant, session.user_id)
        if not isinstance(found, Tampered):
            return found
        self.audit.write(
            AuditEvent.ENROLMENT_TAMPERED, tenant=tenant.id, user_id=session.user_id, finding=found.finding
        )
        return None

    async def _session(self, request: web.Request) -> Session | None:
        tenant = request[TENANT]
        headers = request.headers.getall(hdrs.COOKIE, ())
        value = cookies.read(headers, cookies.name_of(Cookie.SESSION, tenant))
        return await self.sessions.current(tenant, value) if value else None

    def _login_cookie(self, request: web.Request) -> BrowserSecret | None:
        headers = request.headers.getall(hdrs.COOKIE, ())
        return cookies.browser_secret(cookies.read(headers, cookies.name_of(Cookie.LOGIN, request[TENANT])))

    def _tell(self, request: web.Request, session: Session, event: AuditEvent, **details: object) -> None:
        self.audit.write(
            event,
            tenant=session.tenant,
            user_id=session.user_id,
            username=session.username,
            client=request[CLIENT_ADDRESS],
            request_id=request[REQUEST_ID],
            reference=request[REFERENCE],
            **details,
        )

    def _sign_in(self, request: web.Request) -> web.StreamResponse:
        prefix = request[CONFIGURATION].gateway.prefix
        return self._redirect(request, f"login?to={quote(f'{prefix}account', safe='/')}")

    def _back(self, request: web.Request) -> web.StreamResponse:
        return self._redirect(request, "account")

    def _redirect(self, request: web.Request, where: str) -> web.StreamResponse:
        location = request[CONFIGURATION].gateway.prefix + where
        return web.Response(status=303, headers={**protections.headers(request[TENANT]), hdrs.LOCATION: location})
