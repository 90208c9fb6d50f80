"""How is what proves somebody used up exactly once?

- A message code: its challenge, by one owner.
- An app's code: its time step, by one owner, never a step before the last one used; and where no step is known, none
  up to the store's birth, because a store that was lost forgets marks but not time (`security.md` F24); a secret made
  in this very login has no past.
- A backup code: a mark in the store for the life of the set, then the set written without it and read back, and only
  then accepted; a failure in between leaves it burned, not accepted (F21).
- An administrator's code: by one owner; the mark outlives the code.

The same owner asking again gets the same yes, so a double click is one proof.
"""

import json
from dataclasses import dataclass

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.second_factor.admin_codes import AdminCodes
from gateway.second_factor.enrolments import GUARD_LIFE, Enrolments
from gateway.second_factor.factors import backup_code, totp
from gateway.store.protocol import Store
from gateway.store.single_use import SingleUse

MARK_LIFE = 86400.0
TRIES = 50
BORN = "born"


@dataclass(frozen=True, slots=True)
class UsedCodes:
    """Uses up what a factor accepted."""

    once: SingleUse
    store: Store
    enrolments: Enrolments
    admin_codes: AdminCodes
    clock: Clock

    async def as_enrolment(self, tenant: Tenant, user: User, seen: EnrolmentSet, kind: FactorKind) -> Enrolment:
        """What the factor of `kind` judges by, where it is no method of the user's: unused codes, a live code."""
        if kind is FactorKind.BACKUP_CODE:
            return Enrolment(kind, secret=" ".join(seen.backup_codes))
        live = await self.admin_codes.live(tenant.id, user.id)
        return Enrolment(kind, secret=live.digest if live else "")

    async def use(
        self,
        tenant: Tenant,
        user: User,
        seen: EnrolmentSet,
        consume: tuple[str, ...],
        owner: str,
        *,
        new_secret: bool = False,
    ) -> EnrolmentSet | Problem | None:
        """Use it up for `owner`: None, or the set that stands now, or why it is not this owner's.

        Raises `errors.Unreachable` when that cannot be done: then nothing is accepted.
        """
        kind, value = consume[0], consume[1]
        what = (kind, user.id, value)
        life = GUARD_LIFE if kind == backup_code.CONSUMED else MARK_LIFE
        if kind == totp.CONSUMED:
            since = -1 if new_secret else await self.born() // totp.INTERVAL
            if not await self._not_before_last(tenant, user, int(value), owner, since):
                return Problem.NEXT_CODE
        if not await self.once.consume(tenant.id, what, owner, life):
            return Problem.NEXT_CODE if kind == totp.CONSUMED else Problem.WRONG_CODE
        if kind == backup_code.CONSUMED:
            return await self.enrolments.redeem(tenant, user.id, seen, value, owner) or Problem.WRONG_CODE
        return None

    async def _not_before_last(self, tenant: Tenant, user: User, step: int, owner: str, since: int) -> bool:
        """Whether `step` is later than the last one used (where none is known: than `since`), or this owner's own.

        The mark follows.
        """
        key = f"totp-step:{{{tenant.id}/user/{user.id}}}"
        mark = json.dumps([step, owner]).encode()
        for _ in range(TRIES):
            raw = await self.store.get(key)
            if raw is None:
                if step <= since:
                    return False
                if await self.store.add(key, mark, GUARD_LIFE):
                    return True
                continue
            last, by = json.loads(raw)
            if step == last:
                return bool(by == owner)
            if step < last:
                return False
            if await self.store.swap(key, raw, mark, GUARD_LIFE):
                return True
        return False

    async def born(self) -> int:
        """When this store began, seconds since the epoch; called at every start, which lengthens the note's life."""
        await self.store.add(BORN, str(int(self.clock.now())).encode(), GUARD_LIFE)
        raw = await self.store.get(BORN)
        if raw is None:
            return int(self.clock.now())
        await self.store.swap(BORN, raw, raw, GUARD_LIFE)
        return int(raw)
