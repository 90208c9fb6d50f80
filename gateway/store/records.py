"""Stores typed values, sealed and with an expiry.

A record is JSON with a schema number and its expiry, sealed for exactly its key and tenant. It reads as None if it is
absent, has expired by the injected clock, does not open, or has an unknown schema number. The last two are logged with
the record's name only.

A change is a compare-and-swap loop: on a write conflict, the record is read again and the same change applied again.
It begins with the bytes that this process read or wrote last. If the store has others, nothing is written over them.
"""

import asyncio
import random
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from json.encoder import encode_basestring_ascii
from typing import Generic, TypeVar
from urllib.parse import quote

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.crypto.key_ring import Sealer, Unopenable, seal_of
from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.store.locks import LocalLocks
from gateway.store.protocol import Store

T = TypeVar("T")
TRIES = 50
"""Attempts of one change before it raises `Conflict`."""
PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Upper limit of the random pause between two attempts, in seconds: its growth per attempt, and its maximum. Without a
pause, a replica nearer to the store would always win."""
LAST = 200
"""Records of which a process remembers the sealed bytes that it read or wrote last."""
MARGIN = 60.0
"""Seconds for which the store keeps a record beyond its expiry."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII)
_log = structlog.get_logger(__name__)


@lru_cache(maxsize=256)
def _quoted(tenant: str) -> str:
    return quote(tenant, safe="")


@dataclass(frozen=True, slots=True)
class RecordKey:
    """A record's key: `tag` groups keys that belong together (one slot of a cluster), `rest` distinguishes them."""

    tag: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """A new value with a new expiry."""

    value: T
    expires_at: float


class _Envelope(BaseModel, Generic[T]):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
    schema_number: int
    expires_at: float
    value: T


class Records(Generic[T]):
    """Records of the frozen dataclass `of` under the name `name`. The last `most` that `ask` found stay opened.

    Increase `schema` when a field changes its meaning: a record with another number reads as None.
    """

    def __init__(
        self, *, store: Store, sealer: Sealer, clock: Clock, name: str, of: type[T], schema: int = 1, most: int = 0
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._name = name
        self._schema = schema
        self._of = of
        self._turns = LocalLocks()
        self._most = most
        self._asked: OrderedDict[str, tuple[bytes, float, T]] = OrderedDict()
        """By the store key: the seal of a record, when it expires, and its value."""
        self._last: OrderedDict[str, bytes] = OrderedDict()

    @cached_property
    def _envelope(self) -> type[_Envelope[T]]:
        """The class of the JSON: pydantic makes it at the first use, because a start has no use for it."""
        return _Envelope[self._of]  # type: ignore[name-defined]

    async def read(self, tenant: str, key: str | RecordKey) -> T | None:
        """The value, or None."""
        place, context = self._place(tenant, key)
        sealed = await self._store.get(place)
        found = self._opened(context, sealed)
        if sealed is None or found is None:
            return None
        self._saw(place, sealed)
        return found.value

    def ask(self, tenant: str, key: str | RecordKey, found: Callable[[T | None], None]) -> None:
        """Call `found` with the value, later: None if there is none, or if the store does not respond (`Store.ask`)."""
        place = self._store_key(tenant, key)

        def answered(sealed: bytes | None) -> None:
            found(self._opened_before(tenant, place, sealed) if sealed else None)

        self._store.ask(place, answered)

    async def add(self, tenant: str, key: str | RecordKey, value: T, expires_at: float) -> bool:
        """Write only if there is no readable record; whether it was written."""
        place, context = self._place(tenant, key)
        sealed, ttl = self._sealed(context, value, expires_at)
        for _ in range(TRIES):
            if await self._store.add(place, sealed, ttl):
                self._saw(place, sealed)
                return True
            there = await self._store.get(place)
            if self._opened(context, there):
                return False
            if there is not None and await self._store.swap(place, there, sealed, ttl):
                return True
        raise self._conflict()

    async def write(self, tenant: str, key: str | RecordKey, value: T, expires_at: float) -> None:
        """Write, whether there is a record or not."""
        place, context = self._place(tenant, key)
        sealed, ttl = self._sealed(context, value, expires_at)
        await self._store.set(place, sealed, ttl)

    async def change(self, tenant: str, key: str | RecordKey, change: Callable[[T], T | Changed[T] | None]) -> T | None:
        """Apply `change` to the current value and return the new one.

        `change` may run several times, each time on the newest value, so it must be pure. It returns a new value (the
        expiry stays), `Changed`, the same object (nothing is written), or None (nothing is written either).

        :returns: the current value; None if there was none, or if `change` returned None.
        :raises errors.Conflict: others changed the record first, too often.
        """
        place, context = self._place(tenant, key)
        async with self._turns.turn(place):
            for tried in range(TRIES):
                last = self._last.pop(place, None)
                sealed = last or await self._store.get(place)
                old = self._opened(context, sealed)
                answer = change(old.value) if old else None
                if sealed is None or old is None or answer is None or answer is old.value:
                    if last:  # nothing is to be written over it, but it may no longer be the current value
                        continue
                    return old.value if old and answer is not None else None
                new = answer if isinstance(answer, Changed) else Changed(answer, old.expires_at)
                resealed, ttl = self._sealed(context, new.value, new.expires_at)
                if await self._store.swap(place, sealed, resealed, ttl):
                    self._saw(place, resealed)
                    return new.value
                await asyncio.sleep(random.uniform(0, min(tried * PAUSE, LONGEST_PAUSE)))  # noqa: S311 - no secret
        raise self._conflict()

    async def remove(self, tenant: str, key: str | RecordKey) -> bool:
        """Remove the record; whether there was one."""
        return await self._store.delete(self._place(tenant, key)[0])

    def _saw(self, place: str, sealed: bytes) -> None:
        """Remember what the store has at `place`, for the next `change`: it reads only if that is no longer so."""
        self._last[place] = sealed
        if len(self._last) > LAST:
            self._last.popitem(last=False)

    def _place(self, tenant: str, key: str | RecordKey) -> tuple[str, str]:
        """The record's key in the store, and the context for which its value is sealed."""
        place = self._store_key(tenant, key)
        return place, _context(place, tenant)

    def _store_key(self, tenant: str, key: str | RecordKey) -> str:
        """The record's key in the store, which no record of another tenant or key has."""
        tag, rest = (key, "") if isinstance(key, str) else (key.tag, key.rest)
        tag = tag if _PLAIN.fullmatch(tag) else quote(tag, safe="")
        return f"{self._name}:{{{_quoted(tenant)}/{tag}}}:{rest}"

    def _sealed(self, context: str, value: T, expires_at: float) -> tuple[bytes, float]:
        envelope = self._envelope(schema_number=self._schema, expires_at=expires_at, value=value)
        sealed = self._sealer.seal(envelope.model_dump_json().encode(), context)
        return sealed, expires_at - self._clock.now() + MARGIN

    def _opened(self, context: str, sealed: bytes | None) -> "_Envelope[T] | None":
        if sealed is None:
            return None
        try:
            found = self._envelope.__pydantic_validator__.validate_json(self._sealer.open(sealed, context))
        except (Unopenable, ValidationError) as error:
            # Log the error's type only: a validation error quotes the value.
            _log.warning("record_unopenable", record=self._name, why=type(error).__name__)
            return None
        if found.schema_number != self._schema:
            _log.warning("record_of_another_schema", record=self._name)
            return None
        return found if found.expires_at > self._clock.now() else None

    def _opened_before(self, tenant: str, place: str, sealed: bytes) -> T | None:
        """The value, or None; while the same bytes are there, it is the same object."""
        mark = seal_of(sealed)
        known = self._asked.get(place)
        if known is not None and known[0] == mark and known[1] > self._clock.now():
            self._asked.move_to_end(place)
            return known[2]
        opened = self._opened(_context(place, tenant), sealed)
        if opened is None:
            return None
        if self._most:
            self._asked.pop(place, None)
            self._asked[place] = mark, opened.expires_at, opened.value
            if len(self._asked) > self._most:
                self._asked.popitem(last=False)
        return opened.value

    def _conflict(self) -> errors.Conflict:
        return errors.Conflict(f"record {self._name}", "changed by others too often")


def _context(place: str, tenant: str) -> str:
    """The context for which a value at `place` is sealed, as `json.dumps` writes both."""
    return f"[{encode_basestring_ascii(place)}, {encode_basestring_ascii(tenant)}]"
