"""Who was first? One proof is taken once, one act is begun once, on all replicas.

`consume` remembers an owner: the first one wins, and the same owner asking again gets the same yes, so a double click
is one proof. `claim` is for acts that must not run twice: even the same owner is refused a second time, until the claim
is released or its time is over by the injected clock.

What is consumed is kept as a digest; neither a code nor an owner's id can be read in the store.
"""

import hashlib
import json
from dataclasses import dataclass

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.store.protocol import Store

TRIES = 20
MARGIN = 60.0
"""Seconds the store remembers beyond the end, which the injected clock judges."""


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
        """Whether `what` is `owner`'s: it was free, or taken by the same owner, at most `ttl` seconds ago."""
        holder = await self._take(_place("used", tenant, what), _digest((owner,)), ttl)
        return holder is None or holder.owner == _digest((owner,))

    async def claim(self, tenant: str, what: tuple[str, ...], ttl: float, *, owner: str = "") -> bool:
        """Whether the act `what` may begin: nobody claimed it in the last `ttl` seconds.

        `owner` names this very try; give it, and `release` never frees the claim of a later one.
        """
        return await self._take(_place("claim", tenant, what), _digest((owner,)), ttl) is None

    async def release(self, tenant: str, what: tuple[str, ...], *, owner: str = "") -> None:
        """Give back a claim of this `owner`: the act failed and may begin again."""
        place = _place("claim", tenant, what)
        raw = await self._store.get(place)
        if raw is not None and _read(raw).owner == _digest((owner,)):
            await self._store.delete_if(place, raw)

    async def _take(self, place: str, owner: str, ttl: float) -> _Entry | None:
        """None when it is taken now; else who has it."""
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
    """Length-prefixed, so that no two tuples look alike."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
