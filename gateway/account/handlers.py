"""The handler of `/-/account`: the user's own page.

It shows which factors are on and has one form for each act: set up, turn off, view or renew backup codes, sign out
everywhere else. The page itself changes nothing. Each form posts to `/-/login` and begins a login for that one act,
whose last form carries the proof (`login.account_acts`). A form's token names session, act, factor and the version of
the user's enrolments.
"""

from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import hdrs, web

from gateway.account.overview import overview
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.observe.audit import Audit, AuditEvent
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.sessions.sessions import Sessions
from gateway.web import cookies, protections
from gateway.web.cookies import Cookie
from gateway.web.csrf import Csrf, account_act, is_navigation
from gateway.web.error_responses import ErrorResponses
from gateway.web.pages import Pages
from gateway.web.request_context import CLIENT_ADDRESS, CONFIGURATION, LANGUAGE, REFERENCE, REQUEST_ID, TENANT

DONE = frozenset({"sign-out-everywhere", "turn-off", "out-of-date"})
"""What the page may be told to have happened just now; it says so once."""
FORM_BYTES = 16


@dataclass(frozen=True, slots=True)
class Account:
    """See the module's text."""

    sessions: Sessions
    enrolments: Enrolments
    pages: Pages
    failures: ErrorResponses
    csrf: Csrf
    clock: Clock
    random: Random
    audit: Audit

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What `app` mounts under `prefix`."""
        return [web.get(f"{prefix}account", self.show)]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page; the login for a browser without a session."""
        if not is_navigation(request.headers):
            return self.failures.respond(request, Problem.ORIGIN_REFUSED, cause="not a navigation")
        tenant, session = request[TENANT], await self._session(request)
        if session is None:
            return self._sign_in(request)
        enrolments = await self._enrolments(request, session)
        if enrolments is None:
            return self.failures.respond(request, Problem.ENROLMENT_UNREADABLE)
        language = self.pages.languages.get(request[LANGUAGE])
        version, done = enrolments.version, request.query.get("done", "")

        def token(kind: str, factor: str = "") -> str:
            return self.csrf.token(tenant, session.id, *account_act(kind, factor, version))

        context: dict[str, object] = {
            "page": overview(tenant.policy, session, enrolments, language),
            "token": token,
            "version": version,
            "form": self.random.token_bytes(FORM_BYTES).hex(),
            "done": done if done in DONE else "",
            "here": request[CONFIGURATION].gateway.prefix + "account",
        }
        return self.pages.render(request, "account.html", context)

    async def _enrolments(self, request: web.Request, session: Session) -> EnrolmentSet | None:
        """The user's enrolments; None when they are not what the gateway wrote."""
        tenant: Tenant = request[TENANT]
        found = await self.enrolments.read(tenant, session.user_id)
        if not isinstance(found, Tampered):
            return found
        self.audit.write(
            AuditEvent.ENROLMENT_TAMPERED,
            tenant=tenant.id,
            user_id=session.user_id,
            username=session.username,
            client=request[CLIENT_ADDRESS],
            request_id=request[REQUEST_ID],
            reference=request[REFERENCE],
            finding=found.finding,
        )
        return None

    async def _session(self, request: web.Request) -> Session | None:
        tenant = request[TENANT]
        headers = request.headers.getall(hdrs.COOKIE, ())
        value = cookies.read(headers, cookies.name_of(Cookie.SESSION, tenant))
        return await self.sessions.current(tenant, value) if value else None

    def _sign_in(self, request: web.Request) -> web.StreamResponse:
        prefix = request[CONFIGURATION].gateway.prefix
        location = f"{prefix}login?to={quote(f'{prefix}account', safe='/')}"
        return web.Response(status=303, headers={**protections.headers(request[TENANT]), hdrs.LOCATION: location})
