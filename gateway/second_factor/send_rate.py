"""Limits the send rate of a channel by slots.

Relays accept a number of mails per minute (`rate` of a channel), and reject or drop the rest. So each mail takes a slot
before its code is made or counted. Slots are kept in the store, so that the rate holds for all replicas together.

- In any minute at most `rate` slots begin. A slot may be used until `GRACE` seconds after it begins. The windows are
  longer by the same time, so the relay's own count stays within the rate too.
- A small burst is sent at once. If others are waiting, the next mail gets the first free moment after theirs.
- A holder (one user) has one place in a channel's queue for all their logins and tabs: asking again returns the same
  moment. A holder who missed their slot, or whose mail no relay accepted, does not go back to the end of the queue: a
  twentieth of each rate from 20 is reserved for them.

This module neither sends nor waits, and knows no address.
"""

import asyncio
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from gateway.domain import errors
from gateway.domain.channel import Channel
from gateway.domain.ports import Clock
from gateway.store.protocol import Store

MINUTE = 60.0
GRACE = 3.0
"""Seconds for which a slot may be used after it begins: a browser that asks again is at least a second late."""
WINDOW = MINUTE + GRACE
KEPT = 3600.0
"""Seconds for which a missed place is kept."""
TRIES = 50
_SHARE_AGAIN = 20
_BURSTS = 10  # per window: a relay that processes mails one by one gets them in small portions
_NONE = struct.pack("!I", 0)


@dataclass(frozen=True, slots=True)
class SendSlots:
    """`(seconds, most)` for slots in turn and for repeated requests; without the latter all requests queue in turn."""

    in_turn: tuple[tuple[float, int], ...]
    again: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """The newest slots that were taken, oldest first (seconds since the epoch)."""

    in_turn: tuple[float, ...] = ()
    again: tuple[float, ...] = ()


def limits_of(rate: int) -> SendSlots:
    """The limits for `rate` mails per minute."""
    again = rate // _SHARE_AGAIN
    most = rate - again
    burst = ceil(most / _BURSTS)
    return SendSlots(((WINDOW, most), (WINDOW * burst / most, burst)), ((WINDOW, again),) if again else ())


def first_free(taken: Sequence[float], limits: Sequence[tuple[float, int]], now: float) -> float:
    """The earliest moment from `now`, not before the last slot taken, at which no limit is exceeded."""
    at = max(now, taken[-1]) if taken else now
    return max([at, *(taken[-most] + seconds for seconds, most in limits if len(taken) >= most)])


class SendRate:
    """Assigns slots; see the module's docstring."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}  # one for each channel with a rate: those of the configuration

    async def take(self, channel: Channel, holder: str) -> float | None:
        """Take a slot for one mail. None: send it now. Else the moment to ask again (seconds since the epoch).

        `holder` identifies the user that the mail is for; each has one place in the queue.

        :raises errors.Conflict: others changed the slots first, too often.
        """
        rate = channel.rate_per_minute
        if rate is None:
            return None
        async with self._turns.setdefault(channel.service_identifier, asyncio.Lock()):
            return await self._take(_name(channel.service_identifier), rate, _name(holder))

    async def take_spare(self, channel: Channel) -> float | None:
        """Take a slot for a mail without urgency, only if no request waits. None: send it; else when to ask again."""
        rate = channel.rate_per_minute
        if rate is None:
            return None
        limits, where = limits_of(rate), _name(channel.service_identifier)
        async with self._turns.setdefault(channel.service_identifier, asyncio.Lock()):
            for _ in range(TRIES):
                raw = await self._store.get(_slots(where))
                taken, now = _read(raw), self._clock.now()
                at = first_free(taken.in_turn, limits.in_turn, now)
                if at > now:
                    return at
                if await self._keep(where, raw, _with(taken, limits, at, again=False)):
                    return None
        raise errors.Conflict("slots of a channel", "changed by others too often")

    async def not_used(self, channel: Channel, holder: str) -> None:
        """Note that the slot's mail was not sent: `holder` keeps precedence over new requests."""
        if channel.rate_per_minute is not None:
            place = _place(_name(channel.service_identifier), _name(holder))
            await self._store.set(place, _moment(self._clock.now() - GRACE), KEPT)

    async def _take(self, where: str, rate: int, holder: str) -> float | None:
        now, place = self._clock.now(), _place(where, holder)
        held = await self._store.get(place)
        if held is not None:
            at = _moments(held)[0]
            if now < at:
                return at
            if not await self._store.delete_if(place, held):
                return now  # another request of the same holder took it
            if now < at + GRACE:
                return None
        at = await self._next(where, rate, again=held is not None)
        now = self._clock.now()
        if at <= now:
            return None
        if not await self._store.add(place, _moment(at), at - now + KEPT):
            held = await self._store.get(place)  # another replica was first: its slot counts, this one stays unused
            return _moments(held)[0] if held else at
        return at

    async def _next(self, where: str, rate: int, *, again: bool) -> float:
        limits = limits_of(rate)
        for _ in range(TRIES):
            raw = await self._store.get(_slots(where))
            taken, now = _read(raw), self._clock.now()
            at = first_free(taken.in_turn, limits.in_turn, now)
            sooner = first_free(taken.again, limits.again, now) if again and limits.again else at
            if await self._keep(where, raw, _with(taken, limits, min(at, sooner), again=sooner < at)):
                return min(at, sooner)
        raise errors.Conflict("slots of a channel", "changed by others too often")

    async def _keep(self, where: str, old: bytes | None, taken: Taken) -> bool:
        new = struct.pack("!I", len(taken.in_turn)) + _moment(*taken.in_turn, *taken.again)
        ttl = max(*taken.in_turn[-1:], *taken.again[-1:], 0.0, 0.0) - self._clock.now() + 2 * WINDOW
        if old is None:
            return await self._store.add(_slots(where), new, ttl)
        return await self._store.swap(_slots(where), old, new, ttl)


def _with(taken: Taken, limits: SendSlots, at: float, *, again: bool) -> Taken:
    """`taken` and one more; slots that no limit needs any more are dropped."""
    if again:
        return Taken(taken.in_turn, (*taken.again, at)[-limits.again[0][1] :])
    return Taken((*taken.in_turn, at)[-limits.in_turn[0][1] :], taken.again)


def _read(raw: bytes | None) -> Taken:
    if raw is None:
        return Taken()
    (count,) = struct.unpack_from("!I", raw)
    moments = _moments(raw[len(_NONE) :])
    return Taken(moments[:count], moments[count:])


def _moment(*at: float) -> bytes:
    return struct.pack(f"!{len(at)}d", *at)


def _moments(raw: bytes) -> tuple[float, ...]:
    return struct.unpack(f"!{len(raw) // 8}d", raw)


def _slots(where: str) -> str:
    return f"pace:{{{where}}}:slots"


def _place(where: str, holder: str) -> str:
    return f"pace:{{{where}}}:place:{holder}"


def _name(text: str) -> str:
    """The name of a mailbox or user in the store's keys: a digest."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
