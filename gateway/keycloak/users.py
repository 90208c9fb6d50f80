"""Reads and changes users in Keycloak.

The gateway's administrator (service account) reads accounts, sets passwords and ends sessions with python-keycloak.
Nothing is cached: a change made in Keycloak takes effect at the next read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import Account, User
from gateway.keycloak.admin_client import may_write_users
from gateway.keycloak.clients import KeycloakClients, user_path
from gateway.keycloak.error_mapping import Declined, where


@dataclass(frozen=True, slots=True)
class PasswordRefused:
    """The realm's password policy rejects a password; `text` is Keycloak's and names the first broken rule."""

    text: str


class Users:
    """Reads and changes accounts as the administrator of each access.

    Every method raises `errors.Refused` if the administrator lacks the right, `errors.Unreachable` if Keycloak does not
    respond.
    """

    def __init__(self, connections: KeycloakClients) -> None:
        self._connections = connections

    async def account(self, access: KeycloakAccess, user_id: str) -> Account | None:
        """The account with this id, or None if there is none."""
        try:
            async with self._connections.administration(access, "reading a user") as admin:
                found = await admin.a_get_user(user_path(user_id))
                credentials = await admin.a_get_credentials(user_path(user_id))
                return _account(found, credentials)
        except Declined as no:
            if no.status == 404:
                return None
            raise

    async def find(self, access: KeycloakAccess, username: str) -> Account | None:
        """The only account with this exact user name or e-mail address, or None.

        Case does not matter, as at Keycloak's own login. If the name is one user's name and another user's address, the
        result is None: depending on the realm, Keycloak prefers the address or ignores it, and callers must not act on
        the wrong user.
        """
        if not username:
            return None
        found: set[str] = set()
        async with self._connections.administration(access, "looking for a user") as admin:
            for key in ("username", "email"):
                hits = await admin.a_get_users({key: username, "exact": True, "max": 3})
                found |= {str(h["id"]) for h in hits if str(h.get(key, "")).casefold() == username.casefold()}
        return await self.account(access, found.pop()) if len(found) == 1 else None

    async def set_password(self, access: KeycloakAccess, user_id: str, new: Secret) -> PasswordRefused | None:
        """Set a permanent password; this also removes UPDATE_PASSWORD (measured). Returns None if it is set.

        After `errors.Unreachable` it is unknown whether it is set. Old sessions stay open: see `end_sessions`.
        """
        try:
            async with self._connections.administration(access, "setting a password") as admin:
                await admin.a_set_user_password(user_path(user_id), new.reveal(), temporary=False)
        except Declined as no:
            if no.status == 400:
                return PasswordRefused(no.text)
            raise
        return None

    async def end_sessions(self, access: KeycloakAccess, user_id: str) -> None:
        """End every session of the user at Keycloak, with back-channel logout to each client that has it enabled."""
        async with self._connections.administration(access, "ending a user's sessions") as admin:
            await admin.a_user_logout(user_path(user_id))

    async def check(self, access: KeycloakAccess) -> None:
        """Check that the administrator can sign in, read users and write users.

        Raises `errors.Refused` naming the missing role, `errors.Unreachable`, `errors.Misconfigured`.
        """
        try:
            async with self._connections.administration(access, "checking the administrator") as admin:
                await admin.a_get_users({"max": 1})
                may_write = await may_write_users(access, admin)
        except Declined as no:
            raise errors.Misconfigured(where(access), no.detail) from no
        if not may_write:
            raise errors.Refused(where(access), "its administrator lacks the role manage-users of realm-management")


def attributes_of(found: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The attributes of a user representation."""
    return {name: tuple(values) for name, values in (found.get("attributes") or {}).items()}


def _account(found: Mapping[str, Any], credentials: list[Any]) -> Account:
    dates = [int(one["createdDate"]) for one in credentials if one.get("type") == "password" and "createdDate" in one]
    user = User(
        id=str(found["id"]),
        username=str(found["username"]),
        email=str(found.get("email") or ""),
        email_verified=found.get("emailVerified") is True,
        first_name=str(found.get("firstName") or ""),
        last_name=str(found.get("lastName") or ""),
    )
    return Account(
        user=user,
        enabled=found.get("enabled") is True,
        required_actions=tuple(found.get("requiredActions") or ()),
        credential_date=max(dates, default=None),
        created_at=int(found["createdTimestamp"]) / 1000 if found.get("createdTimestamp") else None,
        attributes=attributes_of(found),
    )
