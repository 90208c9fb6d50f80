"""The pages about users: search, one user, and an act for one, which asks before it is carried out."""

from dataclasses import dataclass

from aiohttp import web

from gateway.admin.pages import views
from gateway.admin.pages.console import AdminRequest, Console
from gateway.admin.pages.events import Events
from gateway.administration.user_recovery import UserRecovery
from gateway.administration.user_report import UserReport
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import Registration
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.second_factor.enrolments import Copies
from gateway.second_factor.factors import admin_code
from gateway.services import Services
from gateway.web.endpoint import Failure, Redirect, Reply
from gateway.web.request_context import LANGUAGE

PAGE = 20
THROUGH = "administration pages"
"""What an administrator uses here, for the audit."""
MOST_PAGES = 500
USER = "{user:[0-9A-Za-z:._-]{1,64}}"
ACTS = ("code", "unlock", "reset", "sign-out")
DONE = frozenset((*ACTS, "contact"))
"""Values of `done`, for which the user's page says once what has just happened."""
NOT_FOR_ONESELF = ("code", "reset")


@dataclass(frozen=True, slots=True)
class UserPages:
    """The pages below `/-/admin/users`, and the first page."""

    services: Services
    recovery: UserRecovery
    events: Events

    def routes(self, console: Console) -> list[web.RouteDef]:
        """The routes."""
        acts = f"/users/{USER}/{{act:{'|'.join(ACTS)}}}"
        return [
            console.read("", self.search),
            console.read(f"/users/{USER}", self.show),
            console.ask(acts, self.ask),
            console.act(acts, self.act),
        ]

    async def search(self, request: AdminRequest) -> Reply:
        """Users whose name or address has the text that was typed, page by page."""
        query, tenant = request.own.http.query, request.own.tenant
        text, number = query.get("q", "").strip()[:100], _page_number(query.get("page"))
        first = (number - 1) * PAGE
        found = await self.services.users.search(tenant.keycloak, text, first, PAGE + 1)
        language = request.own.http[LANGUAGE]
        rows = [views.user_row(one, await self._copies(tenant, one), language) for one in found[:PAGE]]
        more = len(found) > PAGE
        return request.page("users", "users", text=text, rows=rows, number=number, more=more)

    async def show(self, request: AdminRequest) -> Reply:
        """One user: methods, locks, sessions, and what an administrator can do."""
        account = await self._account(request)
        if account is None:
            return Reply(Failure(Problem.USER_GONE))
        done = request.own.http.query.get("done", "")
        page = await self._view(request, account)
        logins = await self.events.last_logins(request.own.tenant.id, account.user.id, request.own.http[LANGUAGE])
        return request.page("user", "users", user=page, logins=logins, done=done if done in DONE else "")

    async def ask(self, request: AdminRequest) -> Reply:
        """The page that says what the act will do."""
        account = await self._account(request)
        act = request.own.http.match_info["act"]
        if account is None:
            return Reply(Failure(Problem.USER_GONE))
        if not self._may(request, account, act):
            return Reply(Failure(Problem.BAD_INPUT))
        return request.page("act", "users", user=await self._view(request, account), act=act)

    async def act(self, request: AdminRequest) -> Reply:
        """Carries out one act."""
        account, act, tenant = await self._account(request), request.own.http.match_info["act"], request.own.tenant
        if account is None:
            return Reply(Failure(Problem.USER_GONE))
        user = account.user
        if not self._may(request, account, act):
            return Reply(Failure(Problem.BAD_INPUT))
        back = request.url(f"/users/{user.id}")
        try:
            match act:
                case "code":
                    made = await self.recovery.code(tenant.id, user.username, request.by)
                    page = await self._view(request, account)
                    code = admin_code.shown(made["code"])
                    context = {"user": page, "code": code, "minutes": made["minutes"], "here": back}
                    return request.page("code", "users", **context)
                case "unlock":
                    await self.recovery.unlock(tenant.id, user.username, request.by)
                case "reset":
                    await self.recovery.reset(tenant.id, user.username, request.by)
                case _:
                    await UserReport(self.services, THROUGH).sign_out(tenant.id, user.username, request.by)
        except Misconfigured as error:
            return Reply(Failure(Problem.BAD_INPUT, cause=str(error)))
        return Reply(Redirect(f"{back}?done={act}"))

    async def _account(self, request: AdminRequest) -> Account | None:
        return await self.services.users.account(request.own.tenant.keycloak, request.user_id)

    def _may(self, request: AdminRequest, account: Account, act: str) -> bool:
        """Whether the act is possible: administrators help others, and a code needs a page that accepts it."""
        if act in NOT_FOR_ONESELF and account.user.id == request.session.user_id:
            return False
        return act != "code" or _codes_count(request.own.tenant)

    async def _copies(self, tenant: Tenant, account: Account) -> Copies:
        return await self.services.enrolments.copies(tenant, account.user.id, account)

    async def _view(self, request: AdminRequest, account: Account) -> views.UserView:
        tenant, user, services = request.own.tenant, account.user, self.services
        facts = views.Facts(
            account=account,
            copies=await self._copies(tenant, account),
            locks=await self.recovery.locks(tenant.id, user),
            locked_by_keycloak=await services.users.locked_until(tenant.keycloak, user.username),
            sessions=await services.sessions.of_user(tenant, user.id),
            own_session=request.session.id,
            acts=frozenset(act for act in ACTS if self._may(request, account, act)),
        )
        return views.user_view(tenant, facts, request.own.http[LANGUAGE], services.clock.now())


def _codes_count(tenant: Tenant) -> bool:
    """Whether an administrator's code is accepted anywhere."""
    return tenant.policy.admin_codes or tenant.policy.registration is not Registration.OPEN


def _page_number(text: str | None) -> int:
    number = int(text) if text and text.isascii() and text.isdecimal() and len(text) < 5 else 1
    return min(max(number, 1), MOST_PAGES)
