"""The endpoint of `/-/account`: the user's own page.

It shows which factors are on and where the user is signed in, and has one form for each act: set up, change, turn off,
view or renew backup codes, end one session or all others. The page itself changes nothing. Each form posts to
`/-/login` and begins a login for that one act, whose last form carries the proof (`login.effects.account_action`). A
form's token names session, act, factor, target and the version of the user's enrolments.
"""

from dataclasses import dataclass

from aiohttp import web

from gateway.account.overview import Facts, overview
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.keycloak.users import Users
from gateway.observe.audit import AuditEvent
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.factor_uses import FactorUses
from gateway.second_factor.trusted_browsers import Holder, TrustedBrowsers
from gateway.sessions.sessions import Sessions
from gateway.web import cookies
from gateway.web.cookies import Cookie
from gateway.web.csrf import account_act
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Page, Reply
from gateway.web.request_context import CONFIGURATION, LANGUAGE

DONE = frozenset({"sign-out-everywhere", "turn-off", "enrol", "end-session", "end-trust", "out-of-date"})
"""Values of `done`, for which the page says once what has just happened."""
FORM_BYTES = 16


@dataclass(frozen=True, slots=True)
class Account:
    """The user's own page."""

    enrolments: Enrolments
    users: Users
    sessions: Sessions
    trust: TrustedBrowsers
    uses: FactorUses
    clock: Clock
    random: Random

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The routes that `app` mounts."""
        return [endpoints.get_with_session("account", self.show)]

    async def show(self, request: OwnRequest, session: Session) -> Reply:
        """The page."""
        tenant, configuration = request.tenant, request.http[CONFIGURATION]
        account = await self.users.account(tenant.keycloak, session.user_id)
        if account is None or not account.enabled:
            return Reply(Failure(Problem.ACCOUNT_CHANGED))
        enrolments = await self.enrolments.read(tenant, session.user_id, account)
        if isinstance(enrolments, Tampered):
            request.audit.write(AuditEvent.ENROLMENT_TAMPERED, session, **enrolments.details)
            return Reply(Failure(Problem.ENROLMENT_UNREADABLE))
        version, done = enrolments.version, request.http.query.get("done", "")
        holder = Holder(session.user_id, account.credential_date, enrolments.trust_epoch)
        trust = cookies.browser_secret(request.cookies.get(Cookie.TRUST))
        facts = Facts(
            now=self.clock.now(),
            uses=await self.uses.of(tenant.id, session.user_id),
            sessions=await self.sessions.of_user(tenant, session.user_id),
            browsers=await self.trust.of_user(tenant.id, holder, tenant.policy),
            networks=configuration.gateway.networks,
            trust_tag=trust.tag if trust else "",
        )

        def token(kind: str, factor: str = "", target: str = "") -> str:
            return request.token(session.id, *account_act(kind, factor, version, target))

        context = {
            "page": overview(tenant.policy, session, enrolments, request.http[LANGUAGE], facts),
            "token": token,
            "version": version,
            "form": self.random.token_bytes(FORM_BYTES).hex(),
            "done": done if done in DONE else "",
            "here": f"{request.prefix}account",
        }
        return Reply(Page("account.html", context))
