"""The attribute of every user of one realm, for tests without Keycloak."""

import asyncio

from gateway.domain.errors import Conflict
from gateway.domain.tenant import KeycloakAccess
from gateway.keycloak.users import UserProfiles


class Attributes(UserProfiles):
    """The attribute of every user of one realm, as Keycloak holds it: an administrator of the realm may edit it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def read(self, access: KeycloakAccess, user_id: str) -> str | None:
        return self.values.get(user_id)

    async def write(self, access: KeycloakAccess, user_id: str, sealed: str, expected: str | None) -> None:
        await asyncio.sleep(0)
        if self.values.get(user_id) != expected:
            raise Conflict("keycloak", "changed meanwhile")
        self.values[user_id] = sealed
