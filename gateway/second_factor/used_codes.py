"""Marks accepted codes as used, exactly once across replicas.

A factor says what is used up (`Factor.redeem`); here are the marks it uses. The same owner may repeat a mark and gets
the same answer, so a double click is one proof.
"""

import json
from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.ports import Clock
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.second_factor.enrolments import GUARD_LIFE, Enrolments, first_noted
from gateway.store.protocol import Store
from gateway.store.single_use import SingleUse

MARK_LIFE = 86400.0
TRIES = 50


@dataclass(frozen=True, slots=True)
class Redemption:
    """The user and the owner (login, challenge, round) of a code that is used up.

    `enrolments` are those that the login saw. `new_secret` tells whether the secret was made in this login.
    """

    tenant: Tenant
    user: User
    enrolments: EnrolmentSet
    owner: str
    new_secret: bool = False


@dataclass(frozen=True, slots=True)
class UsedCodes:
    """The marks of used codes. Each method raises `errors.Unreachable` when it cannot mark."""

    once: SingleUse
    store: Store
    enrolments: Enrolments
    clock: Clock

    async def mark(self, what: str, value: str, by: Redemption, life: float = MARK_LIFE) -> bool:
        """Marks one value of the user as used by this owner; False when another owner used it."""
        return await self.once.consume(by.tenant.id, (what, by.user.id, value), by.owner, life)

    async def raise_to(self, what: str, value: int, since: int, by: Redemption) -> bool:
        """Marks a rising value of the user as used.

        False when `value` is not later than the last one used (where none is known: than `since`), unless this owner
        used it.
        """
        key = f"{what}:{{{by.tenant.id}/user/{by.user.id}}}"
        mark = json.dumps([value, by.owner]).encode()
        for _ in range(TRIES):
            raw = await self.store.get(key)
            if raw is None:
                if value <= since:
                    return False
                if await self.store.add(key, mark, GUARD_LIFE):
                    return True
                continue
            last, owner = json.loads(raw)
            if value <= last:
                return bool(value == last and owner == by.owner)
            if await self.store.swap(key, raw, mark, GUARD_LIFE):
                return True
        return False

    async def store_began(self) -> int:
        """When this store began, in seconds since the epoch. The gateway calls it at each start."""
        return await first_noted(self.store, "born", self.clock.now())
