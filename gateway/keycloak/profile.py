"""Where is a user's sealed set kept, and how is it changed without undoing anybody else's change?

In the attribute `efcx2fa` of the Keycloak user: text that means nothing here. One value up to 2,000 characters; above
it parts `1/2:…`, as Keycloak takes 2,048 a value. Keycloak knows no versions: the last PUT wins (measured). So `write`
is called under the per-user lock, compares before and after, and puts back only the four names that a PUT with
attributes would erase, and the attributes as just read; never `enabled` or `requiredActions`.
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
    """The sealed sets of the users of every realm."""

    def __init__(self, connections: KeycloakClients) -> None:
        self._connections = connections

    async def read(self, access: KeycloakAccess, user_id: str) -> str | None:
        """The sealed text, None when there is none. Values that do not fit together come back as one text that will
        not open, never as None.

        Raises `errors.Conflict` when the user is gone, `errors.Unreachable`, `errors.Refused`.
        """
        return sealed_in(attributes_of(await self._get(access, user_id)))

    async def write(self, access: KeycloakAccess, user_id: str, sealed: str, expected: str | None) -> None:
        """Keep `sealed` where `expected` stood (None: nothing). Returns only when Keycloak was seen to hold it.

        Raises `errors.Conflict` when something else stands there, `errors.Unreachable` when the answer or the
        read-back does not show it (it may be kept all the same: the same call again finds out), `errors.Refused`,
        `errors.Misconfigured` (the realm does not take the attribute).
        """
        found = await self._get(access, user_id)
        standing = sealed_in(attributes_of(found))
        if standing == sealed:
            return  # an earlier try of this very write
        if standing != expected:
            raise errors.Conflict(where(access), "the user's second factors were changed meanwhile")
        attributes = {name: list(values) for name, values in attributes_of(found).items()}
        attributes[ATTRIBUTE] = list(values_of(sealed))
        kept = {name: found[name] for name in KEPT_WITH_ATTRIBUTES if name in found}
        unanswered: errors.Unreachable | None = None
        try:
            async with self._connections.administration(access, "keeping second factors") as admin:
                await admin.a_update_user(user_path(user_id), {**kept, "attributes": attributes})
        except Declined as no:
            if no.status == 404:
                raise errors.Conflict(where(access), "the user no longer exists") from no
            raise errors.Misconfigured(where(access), f"keeping second factors: {no.detail}") from no
        except errors.Unreachable as error:
            unanswered = error  # it may have been done: what Keycloak holds decides
        if await self.read(access, user_id) != sealed:
            detail = "keeping second factors: what is read back is not what was written"
            raise errors.Unreachable(where(access), detail) from unanswered

    async def check_declared(self, access: KeycloakAccess) -> tuple[str, ...]:
        """What in the realm's user profile is in the way, each with how to set it; empty when all is well."""
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
    """The attribute's values for a text."""
    if len(sealed) <= PART and not _PART.fullmatch(sealed):
        return (sealed,)
    step = PART - len("99/99:")
    parts = [sealed[start : start + step] for start in range(0, len(sealed), step)]
    if len(parts) > 99:
        raise ValueError("too large for an attribute")
    return tuple(f"{number}/{len(parts)}:{part}" for number, part in enumerate(parts, start=1))


def sealed_in(attributes: Mapping[str, Sequence[str]]) -> str | None:
    """The text in a user's attributes, whatever the order of its parts; None when the attribute is not there."""
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
        return "\n".join(values)  # a fault, and no reason to believe that nobody is enrolled
    return "".join(parts[number] for number in sorted(parts))
