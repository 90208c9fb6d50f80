"""Reads and changes users in Keycloak, and the sealed enrolments in their profiles.

The gateway's administrator (service account) reads accounts, sets passwords and ends sessions with python-keycloak.
Nothing is cached: a change made in Keycloak takes effect at the next read.

The enrolments are in the user attribute `efcx2fa`, as text that has no meaning here. A text of up to 2,000 characters
is one value; a longer one is split into parts `1/2:…`, because Keycloak accepts 2,048 per value. Keycloak has no
versions: the last PUT wins (measured). So call `UserProfiles.write` under the per-user lock. It compares before and
after, and its PUT contains only the four fields that a PUT with attributes would otherwise erase, and the attributes as
just read. It never sends `enabled` or `requiredActions`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import Account, User
from gateway.keycloak.admin_client import may_write_users
from gateway.keycloak.clients import KeycloakClients, user_path
from gateway.keycloak.http_errors import Declined, where
from gateway.keycloak.user_profile_schema import ATTRIBUTE, HOW, findings, users_may_edit

PART = 2000
PAGE = 100
KEPT_WITH_ATTRIBUTES = ("username", "email", "firstName", "lastName")
_PART = re.compile(r"([1-9][0-9]?)/([1-9][0-9]?):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PasswordRefused:
    """The realm's password policy rejects a password; `text` is Keycloak's and names the first broken rule."""

    text: str


@dataclass(frozen=True, slots=True)
class Authority:
    """The effective realm roles of an enabled user (of groups and composites too), and the paths of their groups."""

    username: str
    roles: frozenset[str]
    groups: frozenset[str]


class Users:
    """Reads and changes accounts as the administrator of each access.

    Every method raises `errors.Refused` if the administrator lacks the right, `errors.Unreachable` if Keycloak does not
    respond.
    """

    def __init__(self, clients: KeycloakClients) -> None:
        self._clients = clients

    async def account(self, access: KeycloakAccess, user_id: str) -> Account | None:
        """The account with this id, or None if there is none."""
        try:
            async with self._clients.administration(access, "reading a user") as admin:
                path = user_path(user_id)
                found, credentials = await admin.a_get_user(path), await admin.a_get_credentials(path)
        except Declined as no:
            if no.status == 404:
                return None
            raise
        phone = _phone(access, found)
        needed = frozenset({access.phone_attribute} if phone else ())
        return _account(found, credentials, phone, verified=bool(await self.guarded(access, needed)))

    async def guarded(self, access: KeycloakAccess, attributes: frozenset[str]) -> frozenset[str]:
        """Those of `attributes` that no user of the realm may edit; none when the administrator cannot read it."""
        if not attributes:
            return frozenset()
        try:
            async with self._clients.administration(access, "reading the user profile") as admin:
                profile = await admin.a_get_realm_users_profile()
        except (Declined, errors.Refused):
            return frozenset()
        return frozenset(name for name in attributes if not users_may_edit(profile, name))

    async def find(self, access: KeycloakAccess, username: str) -> Account | None:
        """The only account with this exact user name or e-mail address, or None.

        Case does not matter, as at Keycloak's own login. If the name is one user's name and another user's address, the
        result is None: depending on the realm, Keycloak prefers the address or ignores it, and callers must not act on
        the wrong user.
        """
        found = await self._only(access, username)
        return await self.account(access, str(found["id"])) if found else None

    async def with_attribute(
        self, access: KeycloakAccess, name: str, value: str, first: int, most: int
    ) -> tuple[Account, ...]:
        """Up to `most` users whose attribute has exactly this value, by user name, from number `first` on.

        Their password dates are not read.
        """
        return await self._page(access, {"q": f"{name}:{value}"}, first, most)

    async def search(self, access: KeycloakAccess, text: str, first: int, most: int) -> tuple[Account, ...]:
        """Up to `most` users by user name, from number `first` on; with `text` those whose names or address have it.

        Service accounts are none of them. Their password dates are not read.
        """
        plain = text.replace("*", " ").replace('"', " ").strip()
        return await self._page(access, {"search": f"*{plain}*"} if plain else {}, first, most)

    async def authority(self, access: KeycloakAccess, user_id: str) -> Authority | None:
        """What the user may do now, as Keycloak has it; None if they are disabled or gone."""
        try:
            async with self._clients.administration(access, "reading the roles of a user") as admin:
                path = user_path(user_id)
                found = await admin.a_get_user(path)
                if found.get("enabled") is not True:
                    return None
                roles = await admin.a_get_composite_realm_roles_of_user(path)
                groups = await admin.a_get_user_groups(path)
        except Declined as no:
            if no.status == 404:
                return None
            raise
        names, paths = (str(one["name"]) for one in roles), (str(one["path"]) for one in groups)
        return Authority(str(found["username"]), frozenset(names), frozenset(paths))

    async def _page(
        self, access: KeycloakAccess, query: Mapping[str, Any], first: int, most: int
    ) -> tuple[Account, ...]:
        async with self._clients.administration(access, "looking for users") as admin:
            page = await admin.a_get_users({**query, "first": first, "max": most, "briefRepresentation": False})
        guarded = bool(await self.guarded(access, frozenset(filter(None, (access.phone_attribute,)))))
        return tuple(_account(one, [], _phone(access, one), verified=guarded) for one in page)

    async def username_of(self, access: KeycloakAccess, typed: str) -> str:
        """The user name of the only user with the e-mail address `typed`; else `typed` itself."""
        found = await self._only(access, typed) if "@" in typed else None
        return str(found["username"]) if found else typed

    async def locked_until(self, access: KeycloakAccess, username: str) -> float | None:
        """Until when Keycloak's brute force detection locks a user; None when it does not.

        In seconds since the epoch, 0 if Keycloak does not tell.
        """
        found = await self._only(access, username)
        if found is None:
            return None
        async with self._clients.administration(access, "reading failed logins") as admin:
            status = await admin.a_get_bruteforce_detection_status(user_path(str(found["id"])))
        return float(status.get("failedLoginNotBefore") or 0) if status.get("disabled") else None

    async def _only(self, access: KeycloakAccess, name: str) -> Mapping[str, Any] | None:
        """The only user with exactly this user name or e-mail address, as a search returns them."""
        found: dict[str, Mapping[str, Any]] = {}
        if not name:
            return None
        async with self._clients.administration(access, "looking for a user") as admin:
            for key in ("username", "email") if "@" in name else ("username",):
                hits = await admin.a_get_users({key: name, "exact": True, "max": 3})
                found |= {str(h["id"]): h for h in hits if str(h.get(key, "")).casefold() == name.casefold()}
        return next(iter(found.values())) if len(found) == 1 else None

    async def set_password(self, access: KeycloakAccess, user_id: str, new: Secret) -> PasswordRefused | None:
        """Set a permanent password; this also removes UPDATE_PASSWORD (measured). Returns None if it is set.

        After `errors.Unreachable` it is unknown whether it is set. Old sessions stay open: see `end_sessions`.
        """
        try:
            async with self._clients.administration(access, "setting the password of a user") as admin:
                await admin.a_set_user_password(user_path(user_id), new.value, temporary=False)
        except Declined as no:
            if no.status == 400:
                return PasswordRefused(no.text)
            raise
        return None

    async def end_sessions(self, access: KeycloakAccess, user_id: str) -> None:
        """End every session of the user at Keycloak, with back-channel logout to each client that has it enabled."""
        async with self._clients.administration(access, "ending a user's sessions") as admin:
            await admin.a_user_logout(user_path(user_id))

    async def check(self, access: KeycloakAccess) -> None:
        """Check that the administrator can sign in, read users and write users.

        Raises `errors.Refused` naming the missing role, `errors.Unreachable`, `errors.Misconfigured`.
        """
        try:
            async with self._clients.administration(access, "checking the administrator") as admin:
                await admin.a_get_users({"max": 1})
                may_write = await may_write_users(access, admin)
        except Declined as no:
            raise errors.Misconfigured(where(access), no.detail) from no
        if not may_write:
            raise errors.Refused(where(access), "its administrator lacks the role manage-users of realm-management")

    async def realm_settings(self, access: KeycloakAccess) -> Mapping[str, Any]:
        """What the administrator may read of the realm's settings: without the role view-realm, next to nothing."""
        try:
            async with self._clients.administration(access, "reading the realm's settings") as admin:
                settings: Mapping[str, Any] = await admin.a_get_realm(access.realm)
                return settings
        except errors.Refused:
            return {}


class UserProfiles:
    """The sealed enrolments of the users of every realm."""

    def __init__(self, clients: KeycloakClients) -> None:
        self._clients = clients

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
        stored = sealed_in(attributes_of(found))
        if stored == sealed:
            return  # an earlier attempt of this write succeeded
        if stored != expected:
            raise errors.Conflict(where(access), "the user's enrolments were changed meanwhile")
        attributes = {name: list(values) for name, values in attributes_of(found).items()}
        attributes[ATTRIBUTE] = list(values_of(sealed))
        kept = {name: found[name] for name in KEPT_WITH_ATTRIBUTES if name in found}
        unanswered: errors.Unreachable | None = None
        try:
            async with self._clients.administration(access, "storing enrolments") as admin:
                await admin.a_update_user(user_path(user_id), {**kept, "attributes": attributes})
        except Declined as no:
            if no.status == 404:
                raise errors.Conflict(where(access), "the user no longer exists") from no
            raise errors.Misconfigured(where(access), f"storing enrolments: {no.detail}") from no
        except errors.Unreachable as error:
            unanswered = error  # Keycloak may have stored it: the read-back decides
        now = await self.read(access, user_id)
        if sealed and not now and unanswered is None:
            raise errors.Misconfigured(where(access), f"storing enrolments: Keycloak dropped the attribute; {HOW}")
        if now != sealed:
            detail = "storing enrolments: the value read back is not the one written"
            raise errors.Unreachable(where(access), detail) from unanswered

    async def set_contact(
        self, access: KeycloakAccess, user_id: str, email: str, phone: str | None, *, verified: bool
    ) -> bool:
        """Set the e-mail address, and the number in the attribute of the access or `phone` None: leave it.

        False if another user has the address. Raises as `write` does; call it under the same lock.
        """
        found = await self._get(access, user_id)
        attributes = {name: list(values) for name, values in attributes_of(found).items()}
        if phone is not None:
            attributes[access.phone_attribute] = [phone] if phone else []
        kept = {name: found[name] for name in KEPT_WITH_ATTRIBUTES if name in found}
        body = {**kept, "email": email, "emailVerified": verified, "attributes": attributes}
        try:
            async with self._clients.administration(access, "storing an address") as admin:
                await admin.a_update_user(user_path(user_id), body)
        except Declined as no:
            if no.status == 409:
                return False
            raise errors.Misconfigured(where(access), f"storing an address: {no.detail}") from no
        now = await self._get(access, user_id)
        if phone and attributes_of(now).get(access.phone_attribute) != (phone,):
            detail = f"storing a number: Keycloak dropped the attribute {access.phone_attribute}; declare it"
            raise errors.Misconfigured(where(access), detail)
        return True

    async def sample(self, access: KeycloakAccess, most: int) -> tuple[str, ...]:
        """The sealed texts of the first `most` users of the realm, by user name. Raises as `Users` does.

        Keycloak finds an attribute by its whole value only, so all users are read, page by page.
        """
        found: list[str] = []
        for first in range(0, most, PAGE):
            async with self._clients.administration(access, "reading users") as admin:
                page = await admin.a_get_users({"first": first, "max": PAGE, "briefRepresentation": False})
            found += filter(None, (sealed_in(attributes_of(user)) for user in page))
            if len(page) < PAGE:
                break
        return tuple(found)

    async def check_declared(self, access: KeycloakAccess) -> tuple[str, ...]:
        """The problems of the realm's user profile, each with its fix; empty if there are none."""
        return findings(await self.schema(access))

    async def schema(self, access: KeycloakAccess) -> Mapping[str, Any]:
        """The realm's user profile: which attributes there are, and who may read and write them."""
        async with self._clients.administration(access, "reading the user profile") as admin:
            profile: Mapping[str, Any] = await admin.a_get_realm_users_profile()
            return profile

    async def _get(self, access: KeycloakAccess, user_id: str) -> Mapping[str, Any]:
        try:
            async with self._clients.administration(access, "reading a user") as admin:
                return await admin.a_get_user(user_path(user_id))
        except Declined as no:
            if no.status == 404:
                raise errors.Conflict(where(access), "the user no longer exists") from no
            raise


def attributes_of(found: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The attributes of a user representation."""
    return {name: tuple(values) for name, values in (found.get("attributes") or {}).items()}


def _phone(access: KeycloakAccess, found: Mapping[str, Any]) -> str:
    return next(iter(attributes_of(found).get(access.phone_attribute, ())), "")


def _account(found: Mapping[str, Any], credentials: list[Any], phone: str, *, verified: bool) -> Account:
    # A directory that does not tell when a password was set answers -1 (LDAP) or 0, or has no such credential.
    dates = [int(one.get("createdDate") or 0) for one in credentials if one.get("type") == "password"]
    user = User(
        id=str(found["id"]),
        username=str(found["username"]),
        email=str(found.get("email") or ""),
        email_verified=found.get("emailVerified") is True,
        first_name=str(found.get("firstName") or ""),
        last_name=str(found.get("lastName") or ""),
        phone=phone,
        phone_verified=verified,
    )
    return Account(
        user=user,
        enabled=found.get("enabled") is True,
        required_actions=tuple(found.get("requiredActions") or ()),
        credential_date=max((date for date in dates if date > 0), default=None),
        created_at=int(found["createdTimestamp"]) / 1000 if found.get("createdTimestamp") else None,
        attributes=attributes_of(found),
    )


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
