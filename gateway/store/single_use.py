"""Single use over all replicas: a proof is consumed once, an act is begun once.

`consume` stores an owner. The first owner wins, and the same owner gets the same result again, so a double click counts
as one proof. `claim` is for acts that must not run twice: it rejects even the same owner until the claim is released or
has expired by the injected clock.

The store contains digests only: neither a code nor an owner's id can be read there.
"""

import hashlib
import json
from dataclasses import dataclass

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.store.protocol import Store

TRIES = 20
MARGIN = 60.0
"""Seconds for which the store keeps an entry beyond its end. The injected clock decides when it ends."""


@dataclass(frozen=True, slots=True)
class _Entry:
    owner: str
    ends_at: float


class SingleUse:
    """Single use over all replicas that share `store`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def consume(self, tenant: str, what: tuple[str, ...], owner: str, ttl: float) -> bool:
        """Whether `owner` has consumed `what`, now or up to `ttl` seconds ago; False if another owner has."""
        holder = await self._take(_place("used", tenant, what), _digest((owner,)), ttl)
        return holder is None or holder.owner == _digest((owner,))

    async def claim(self, tenant: str, what: tuple[str, ...], ttl: float, *, owner: str = "") -> bool:
        """Whether the act `what` may begin: it was not claimed in the last `ttl` seconds.

        `owner` identifies this attempt. With it, `release` never releases the claim of a later attempt.
        """
        return await self._take(_place("claim", tenant, what), _digest((owner,)), ttl) is None

    async def release(self, tenant: str, what: tuple[str, ...], *, owner: str = "") -> None:
        """Release a claim of this `owner`, because the act failed and may begin again."""
        place = _place("claim", tenant, what)
        raw = await self._store.get(place)
        if raw is not None and _read(raw).owner == _digest((owner,)):
            await self._store.delete_if(place, raw)

    async def _take(self, place: str, owner: str, ttl: float) -> _Entry | None:
        """None if `owner` took it now; else the entry of its present owner."""
        now = self._clock.now()
        mine = json.dumps([owner, now + ttl]).encode()
        for _ in range(TRIES):
            if await self._store.add(place, mine, ttl + MARGIN):
                return None
            raw = await self._store.get(place)
            if raw is None:
                continue
            if (entry := _read(raw)).ends_at > now:
                return entry
            if await self._store.swap(place, raw, mine, ttl + MARGIN):
                return None
        raise errors.Conflict("single use", "changed by others too often")


def _read(raw: bytes) -> _Entry:
    owner, ends_at = json.loads(raw)
    return _Entry(str(owner), float(ends_at))


def _place(kind: str, tenant: str, what: tuple[str, ...]) -> str:
    return f"{kind}:{_digest((tenant, *what))}"


def _digest(parts: tuple[str, ...]) -> str:
    """A digest of length-prefixed parts, so that two different tuples never have the same input."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
