"""What an administrator sees of one user: account, methods, locks and sessions; and the end of sessions."""

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import Any

from gateway.administration.administrator_acts import AdministratorActs
from gateway.administration.user_recovery import UserRecovery
from gateway.domain.errors import Misconfigured
from gateway.domain.session import Session
from gateway.observe.audit import AuditEvent
from gateway.observe.redaction import mask_address

PAGE = 100
"""Users whose sessions one call reads."""


@dataclass(frozen=True, slots=True)
class UserReport(AdministratorActs):
    """The acts `report`, `sessions` and `sign_out`. They take and raise what those of `UserRecovery` do."""

    async def report(self, tenant_id: str, username: str, by: str) -> dict[str, Any]:
        """Everything that is known of the user, without secrets and with masked addresses. Changes nothing."""
        services, tenant = self.services, self._tenant(tenant_id)
        account = await self._account(tenant, username)
        user = account.user
        recovery = UserRecovery(services, self.through)
        copies = await recovery.show(tenant_id, user.username, by)
        locks = await recovery.locks(tenant_id, user)
        locked_at_keycloak = await services.users.locked_until(tenant.keycloak, user.username)
        return {
            "user_id": user.id,
            "username": user.username,
            "name": user.display_name,
            "enabled": account.enabled,
            "required_actions": list(account.required_actions),
            "email": mask_address(user.email) if user.email else "",
            "email_verified": user.email_verified,
            "finding": copies["finding"],
            **(copies["keycloak"] or {"factors": [], "backup_codes": 0}),
            "locks": [{"setting": one.limit.setting or one.limit.name, "until": one.until} for one in locks],
            "locked_by_keycloak": locked_at_keycloak is not None,
            "locked_by_keycloak_until": locked_at_keycloak or None,
            "sessions": [_plain(one) for one in await services.sessions.of_user(tenant, user.id)],
        }

    async def sessions(self, tenant_id: str, by: str, first: str = "0") -> dict[str, Any]:
        """The open sessions of one page of the tenant's users, from number `first` on.

        The result has `sessions`, and `next`: the number at which the next page begins, None after the last one.
        """
        tenant, start = self._tenant(tenant_id), int(first)
        accounts = await self.services.users.search(tenant.keycloak, "", start, PAGE)
        found = await asyncio.gather(*(self.services.sessions.of_user(tenant, one.user.id) for one in accounts))
        sessions = [_plain(one) for one in chain.from_iterable(found)]
        return {"sessions": sessions, "next": start + PAGE if len(accounts) == PAGE else None}

    async def sign_out(self, tenant_id: str, username: str, by: str, session: str = "") -> dict[str, Any]:
        """End one session of the user by its id, or all of them, also those at Keycloak."""
        services, tenant = self.services, self._tenant(tenant_id)
        user = (await self._account(tenant, username)).user
        if session:
            if session not in [one.id for one in await services.sessions.of_user(tenant, user.id)]:
                raise Misconfigured(f"{user.username} has no open session {session}")
            ended = int(await services.sessions.end(tenant, session, reason="administrator") is not None)
        else:
            ended = len(await services.sessions.end_all(tenant, user.id, reason="administrator"))
            await services.users.end_sessions(tenant.keycloak, user.id)
        self._audit(AuditEvent.USER_SIGNED_OUT, tenant, user, by, sessions=ended)
        return {"username": user.username, "sessions": ended}


def _plain(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "username": session.username,
        "began": session.created_at,
        "used": session.used_at,
        "ends": session.ends_at,
        "second_factor": session.satisfied.value,
        "assisted": session.assisted,
    }
