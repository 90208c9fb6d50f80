"""Decides which users may see an administration page, and may change something there.

A page is shown by the roles of the session, to a user who proved a factor of their own in it. A change needs a
confirmation: a factor verified in the last five minutes for this purpose. It also reads the administrator's roles from
Keycloak again. A session that was opened with a code of an administrator or supervisor sees no page. Each denial is
audited.
"""

from dataclasses import dataclass
from urllib.parse import quote

from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.keycloak.users import Users
from gateway.observe.audit import AuditEvent
from gateway.web.endpoint import Failure, OwnRequest, Redirect, Reply
from gateway.web.request_context import CHECKED


@dataclass(frozen=True, slots=True)
class Access:
    """The rules for pages and acts. A method returns the answer that takes the place of the page; None for none."""

    users: Users
    clock: Clock

    def refused(self, request: OwnRequest, session: Session) -> Reply | None:
        """The answer to a user who may not see this page now."""
        if not request.tenant.serves_administration(request.http[CHECKED].host):
            return Reply(Failure(Problem.NOT_FOUND))
        if session.assisted:
            return denied(request, session, "assisted session", Problem.ASSISTED)
        if request.tenant.administration.administrators.isdisjoint(session.roles):
            return denied(request, session, "role")
        if session.proved_at is None:
            return to_confirmation(request)
        return None

    def unconfirmed(self, request: OwnRequest, session: Session, back: str = "") -> Reply | None:
        """The way to a confirmation, and then to `back` or this page."""
        return None if session.confirmed(self.clock.now()) else to_confirmation(request, back)

    async def refused_to_change(self, request: OwnRequest, session: Session) -> Reply | None:
        """The answer to a user who may not change anything, as Keycloak has their roles now."""
        authority = await self.users.authority(request.tenant.keycloak, session.user_id)
        if authority is None or request.tenant.administration.administrators.isdisjoint(authority.roles):
            return denied(request, session, "role at Keycloak")
        return None


def denied(request: OwnRequest, session: Session, why: str, problem: Problem = Problem.ADMIN_NOT_ALLOWED) -> Reply:
    """Audits that the user lacks the right, and says so."""
    path = request.http.path.removeprefix(request.prefix)
    request.audit.write(AuditEvent.ADMINISTRATION_DENIED, session, method=request.http.method, path=path, reason=why)
    return Reply(Failure(problem))


def to_confirmation(request: OwnRequest, back: str = "") -> Reply:
    """The way to the login that asks for a factor, and then to `back` or this page."""
    to = back or request.http.path_qs
    return Reply(Redirect(f"{request.prefix}login?act=administer&to={quote(to, safe='/')}"))
