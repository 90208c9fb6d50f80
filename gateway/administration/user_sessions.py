"""The acts of an administrator on the sessions of one user."""

from dataclasses import dataclass

from gateway.administration.administrator_acts import AdministratorActs
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.observe.audit import AuditEvent

REASON = "administrator"


@dataclass(frozen=True, slots=True)
class UserSessions(AdministratorActs):
    """Ends sessions here and at Keycloak. Raises `Unreachable` or `Refused` if a dependency prevents it."""

    async def end(self, tenant: Tenant, user: User, session_id: str, by: str) -> Session | None:
        """End one session of the user; None if they have no such session."""
        sessions = self.services.sessions
        if all(one.id != session_id for one in await sessions.of_user(tenant, user.id)):
            return None
        ended = await sessions.end(tenant, session_id, reason=REASON)
        if ended:
            self._audit(AuditEvent.USER_SIGNED_OUT, tenant, user, by, sessions=1)
        return ended

    async def end_all(self, tenant: Tenant, user: User, by: str) -> int:
        """End every session of the user, also those that only Keycloak knows; returns how many ended here."""
        ended = await self.services.sessions.end_all(tenant, user.id, reason=REASON)
        await self.services.users.end_sessions(tenant.keycloak, user.id)
        self._audit(AuditEvent.USER_SIGNED_OUT, tenant, user, by, sessions=len(ended))
        return len(ended)
