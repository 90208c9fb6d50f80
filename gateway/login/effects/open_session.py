"""Makes the session at the end of a sign-in, or notes in a session what was proved inside it.

Account, enrolments and policy are read again first. The session's secret is derived from the login secret that this
request spends; it is kept nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.crypto.key_ring import Signer
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Satisfied, Session
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.domain.user import User
from gateway.keycloak.grant_queue import normalised
from gateway.login import state_machine
from gateway.login.account_change_mails import AccountChange, AccountChangeMails, Change
from gateway.login.final_checks import FinalChecks
from gateway.login.flow import StepResult
from gateway.login.login_records import BrowserUsers, LoginSecrets
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login, Opened, SessionOpened, Stopped
from gateway.login.state_machine import LoginState
from gateway.observe.audit import AuditEvent
from gateway.second_factor.rate_limits import Limited, RateLimiter, locked_apps
from gateway.second_factor.trusted_browsers import Holder, TrustCookie, TrustedBrowsers
from gateway.sessions.sessions import NewSession, Sessions


@dataclass(frozen=True, slots=True)
class OpenSession:
    """See the module's text."""

    final_checks: FinalChecks
    sessions: Sessions
    browsers: BrowserUsers
    names: Signer
    trust: TrustedBrowsers
    attempts: RateLimiter
    secrets: LoginSecrets
    clock: Clock
    mails: AccountChangeMails

    async def open(self, request: LoginRequest, state: LoginState) -> StepResult:
        """Make the session."""
        login, secret = state.login, request.secret
        user, tokens = login.user, login.tokens
        if user is None or tokens is None or secret is None:
            return StepResult((Stopped(ProblemDetail(Problem.PASSWORD_CHANGED)),))
        if refused := await self.final_checks.refused_to_open(request, login, user):
            return refused
        satisfied, rule = state_machine.satisfied(state)
        locked = await locked_apps(self.attempts, request.tenant, user.id)
        session, _ = await self.sessions.open(
            request.tenant,
            NewSession(
                user=user,
                tokens=tokens,
                password_at=login.password_at,
                satisfied=satisfied,
                rule=rule,
                proved_at=login.proved_at,
                routes=_may_open(request, login, locked),
                assisted=login.assisted,
            ),
            tag=login.tag,
            secret=self.secrets.session(secret),
            client=request.client,
            browser=request.browser,
            request_id=request.audit.request_id,
            reference=request.reference,
        )
        other_user = False
        if request.browser_id:
            name = self.names.sign(request.tenant.id, normalised(user.username))
            shown = user.username if request.tenant.may_trust_from(request.client) else ""
            other_user = await self.browsers.remember(request.tenant.id, request.browser_id, name, shown)
        trust = await self._trust(request, login, user, satisfied, secret)
        opened = Opened(session.id, self.clock.now(), trust_tag=trust, other_user=other_user)
        return StepResult((SessionOpened(opened),))

    async def touch(self, request: LoginRequest, state: LoginState) -> StepResult:
        """Note in the session what was proved, and that it may open the wanted route; under a new cookie."""
        login, user, secret = state.login, state.login.user, request.secret
        if user is None or secret is None:
            return StepResult((Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),))
        if refused := await self.final_checks.refused_to_open(request, login, user):
            return refused
        satisfied, rule = state_machine.satisfied(state)
        locked = await locked_apps(self.attempts, request.tenant, user.id)
        held = locked.get(login.app)
        if held and login.proved_at is None:  # nothing was asked, as in a trusted browser
            facts = {"limit": held.limit.setting, "problem": held.problem.value}
            request.audit.write(AuditEvent.LIMIT_REACHED, user, **facts)
            return StepResult((Stopped(held.detail),))
        routes = _not_locked(request.tenant, locked)

        def proved(session: Session) -> Session:
            session = replace(session, assisted=session.assisted or login.assisted)
            if login.proved_at is not None:
                confirmed_at = login.proved_at if login.administers else session.confirmed_at
                session = replace(session, proved_at=login.proved_at, confirmed_at=confirmed_at)
                return replace(session, satisfied=Satisfied.PROVED, rule="", routes=routes)
            if login.recent:
                return session
            if session.satisfied is Satisfied.PROVED:
                return replace(session, routes=routes)
            return replace(session, satisfied=satisfied, rule=rule, routes=routes)

        cookie = {"tag": login.tag, "secret": self.secrets.session(secret)}
        if await self.sessions.reissue(request.tenant, login.session, proved, **cookie) is None:
            return StepResult((Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),))
        return StepResult((SessionOpened(Opened(login.session, self.clock.now())),))

    async def _trust(self, request: LoginRequest, login: Login, user: User, satisfied: Satisfied, secret: str) -> str:
        """The tag of the trust cookie to set: a new secret after it was used, or the first one the user asked for.

        The secret is derived from the login secret, so that doing this twice gives the same one.
        """
        new, tenant, held = self.secrets.trust(secret), request.tenant.id, request.trust
        seen = {"browser": request.browser, "client": request.client}
        if satisfied is Satisfied.TRUSTED and held:
            return held.tag if await self.trust.rotate(tenant, held, new, **seen) else ""
        if not (login.remember and login.proved) or login.assisted or login.credential_date is None:
            return ""
        tag = self.secrets.trust_tag(secret)
        holder = Holder(user.id, login.credential_date, login.enrolments.trust_epoch)
        await self.trust.give(tenant, TrustCookie(tag, new), holder, replaces=held, **seen)
        days = login.policy.trust_browser_days
        request.audit.write(AuditEvent.BROWSER_TRUSTED, user, days=days)
        await self.mails.notify(request, login, AccountChange(Change.BROWSER_TRUSTED, count=days))
        return tag


def _not_locked(tenant: Tenant, locked: Mapping[str, Limited]) -> tuple[str, ...] | None:
    """The routes that a session with a second factor opens: all of them, or all that are not locked now."""
    return tuple(route.path for route in tenant.routes if route.path not in locked) if locked else None


def _may_open(request: LoginRequest, login: Login, locked: Mapping[str, Limited]) -> tuple[str, ...] | None:
    """The routes the session opens; where nothing was asked because the route asks nothing, such routes only."""
    if login.proved or login.route_asks or not login.policy.enabled:
        return _not_locked(request.tenant, locked)
    return tuple(route.path for route in request.tenant.routes if route.second_factor is RouteFactor.OFF)
