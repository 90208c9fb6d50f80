"""Stores a user's sealed enrolments in their Keycloak profile, without overwriting other changes.

They are in the user attribute `efcx2fa`, as text that has no meaning here. A text of up to 2,000 characters is one
value; a longer one is split into parts `1/2:…`, because Keycloak accepts 2,048 per value. Keycloak has no versions: the
last PUT wins (measured). So call `write` under the per-user lock. It compares before and after, and its PUT contains
only the four fields that a PUT with attributes would otherwise erase, and the attributes as just read. It never sends
`enabled` or `requiredActions`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.domain import errors
from gateway.domain.tenant import KeycloakAccess
from gateway.keycloak.clients import KeycloakClients, user_path
from gateway.keycloak.error_mapping import Declined, where
from gateway.keycloak.user_profile_schema import ATTRIBUTE, findings
from gateway.keycloak.users import attributes_of

PART = 2000
KEPT_WITH_ATTRIBUTES = ("username", "email", "firstName", "lastName")

_PART = re.compile(r"([1-9][0-9]?)/([1-9][0-9]?):(.*)", re.DOTALL)


class UserProfiles:
    """The sealed enrolments of the users of every realm."""

    def __init__(self, connections: KeycloakClients) -> None:
        self._connections = connections

    async def read(self, access: KeycloakAccess, user_id: str) -> str | None:
        """The sealed text, or None if there is none.

        Values that do not fit together are returned as one text that does not open, never as None.

        Raises `errors.Conflict` if the user no longer exists, `errors.Unreachable`, `errors.Refused`.
        """
        return sealed_in(attributes_of(await self._get(access, user_id)))

    async def write(self, access: KeycloakAccess, user_id: str, sealed: str, expected: str | None) -> None:
        """Replace `expected` (None: no value) with `sealed`; returns only after reading it back.

        Raises `errors.Conflict` if the current value is another one; `errors.Unreachable` if the response or the
        read-back does not confirm the write. The value may be stored all the same; repeat the call to find out. Also
        raises `errors.Refused`, and `errors.Misconfigured` if the realm does not accept the attribute.
        """
        found = await self._get(access, user_id)
        standing = sealed_in(attributes_of(found))
        if standing == sealed:
            return  # an earlier attempt of this write succeeded
        if standing != expected:
            raise errors.Conflict(where(access), "the user's enrolments were changed meanwhile")
        attributes = {name: list(values) for name, values in attributes_of(found).items()}
        attributes[ATTRIBUTE] = list(values_of(sealed))
        kept = {name: found[name] for name in KEPT_WITH_ATTRIBUTES if name in found}
        unanswered: errors.Unreachable | None = None
        try:
            async with self._connections.administration(access, "storing enrolments") as admin:
                await admin.a_update_user(user_path(user_id), {**kept, "attributes": attributes})
        except Declined as no:
            if no.status == 404:
                raise errors.Conflict(where(access), "the user no longer exists") from no
            raise errors.Misconfigured(where(access), f"storing enrolments: {no.detail}") from no
        except errors.Unreachable as error:
            unanswered = error  # Keycloak may have stored it: the read-back decides
        if await self.read(access, user_id) != sealed:
            detail = "storing enrolments: the value read back is not the one written"
            raise errors.Unreachable(where(access), detail) from unanswered

    async def check_declared(self, access: KeycloakAccess) -> tuple[str, ...]:
        """The problems of the realm's user profile, each with its fix; empty if there are none."""
        async with self._connections.administration(access, "reading the user profile") as admin:
            return findings(await admin.a_get_realm_users_profile())

    async def _get(self, access: KeycloakAccess, user_id: str) -> Mapping[str, Any]:
        try:
            async with self._connections.administration(access, "reading a user") as admin:
                return await admin.a_get_user(user_path(user_id))
        except Declined as no:
            if no.status == 404:
                raise errors.Conflict(where(access), "the user no longer exists") from no
            raise


def values_of(sealed: str) -> tuple[str, ...]:
    """The attribute's values for `sealed`."""
    if len(sealed) <= PART and not _PART.fullmatch(sealed):
        return (sealed,)
    step = PART - len("99/99:")
    parts = [sealed[start : start + step] for start in range(0, len(sealed), step)]
    if len(parts) > 99:
        raise ValueError("too large for an attribute")
    return tuple(f"{number}/{len(parts)}:{part}" for number, part in enumerate(parts, start=1))


def sealed_in(attributes: Mapping[str, Sequence[str]]) -> str | None:
    """The text in a user's attributes, in any order of its parts; None if there is no such attribute."""
    values = attributes.get(ATTRIBUTE) or ()
    if not values:
        return None
    if len(values) == 1 and not _PART.fullmatch(values[0]):
        return values[0]
    parts: dict[int, str] = {}
    for value in values:
        match = _PART.fullmatch(value)
        if not match or int(match[2]) != len(values) or int(match[1]) > len(values):
            break
        parts[int(match[1])] = match[3]
    if len(parts) != len(values):
        return "\n".join(values)  # damaged, which must not look like a user without enrolments
    return "".join(parts[number] for number in sorted(parts))
