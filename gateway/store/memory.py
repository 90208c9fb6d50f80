"""The store for one process: a dictionary, and a heap of the moments at which its entries expire.

No verb awaits between its read and its write, so each is atomic in the one event loop that may use it. Each verb first
removes what has expired by the injected clock. A restart loses everything, including locks.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.store.counters import MARGIN, Closed, Count, Held, Reserved, Rule, given_back, held, reserved


class MemoryStore:
    """Implements `store.protocol.Store` in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, Any] = {}  # bytes, a list of them, or a `Count` or `Closed` of `counters`
        self._ends: dict[str, float] = {}
        self._expiries: list[tuple[float, str]] = []
        self._subscribers: dict[str, set[asyncio.Queue[bytes | None]]] = {}
        self._closed = False

    @property
    def size(self) -> int:
        """The number of values, lists, counts and locks in memory."""
        return len(self._kept)

    @property
    def noted_ends(self) -> int:
        """The number of expiry entries; never much more than twice `size`."""
        return len(self._expiries)

    async def get(self, key: str) -> bytes | None:
        return self._live().get(key)

    def ask(self, key: str, answered: Callable[[bytes | None], None]) -> None:
        value = None if self._closed else self._live().get(key)
        asyncio.get_running_loop().call_soon(answered, value)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        self._live()
        self._keep(key, value, ttl)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if key in self._live():
            return False
        self._keep(key, value, ttl)
        return True

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        if self._live().get(key) != old:
            return False
        self._keep(key, new, ttl)
        return True

    async def delete(self, key: str) -> bool:
        return self._live().pop(key, None) is not None

    async def delete_if(self, key: str, old: bytes) -> bool:
        live = self._live()
        if live.get(key) != old:
            return False
        del live[key]
        return True

    async def reserve(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        live = self._live()
        if locked := held(rules, [live.get(rule.lock) for rule in rules], now):
            return locked
        counts = []
        for rule in rules:
            count, lock = reserved(rule, live.get(rule.count), now)
            counts.append(count.number)
            if lock:
                self._keep(rule.lock, lock, lock.until - now + MARGIN)
            if lock and rule.restart:
                live.pop(rule.count, None)
            else:
                self._keep(rule.count, count, count.ends_at - now + MARGIN)
        return Reserved(tuple(counts))

    async def look(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        live = self._live()
        if locked := held(rules, [live.get(rule.lock) for rule in rules], now):
            return locked
        counts = [live.get(rule.count) for rule in rules]
        return Reserved(tuple(count.number if count and count.ends_at > now else 0 for count in counts))

    async def give_back(self, rules: Sequence[Rule], now: float) -> None:
        live = self._live()
        for rule in rules:
            count, lock = given_back(live.pop(rule.count, None), live.get(rule.lock), now)
            if count:
                self._keep(rule.count, count, count.ends_at - now + MARGIN)
            if not lock:
                live.pop(rule.lock, None)

    async def clear(self, rules: Sequence[Rule]) -> None:
        live = self._live()
        for rule in rules:
            live.pop(rule.count, None)
            live.pop(rule.lock, None)

    async def append(self, key: str, value: bytes, keep: int, ttl: float) -> None:
        self._keep(key, deque([*self._live().get(key, ()), value], maxlen=keep), ttl)

    async def last(self, key: str, count: int) -> list[bytes]:
        newest_first = reversed(self._live().get(key, ()))
        return [value for _, value in zip(range(count), newest_first, strict=False)]

    async def publish(self, channel: str, message: bytes) -> None:
        self._live()
        for queue in self._subscribers.get(channel, ()):
            queue.put_nowait(message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self._live()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._subscribers.setdefault(channel, set()).add(queue)
        try:
            yield _messages(queue)
        finally:
            self._subscribers[channel].discard(queue)

    async def check(self) -> tuple[str, ...]:
        self._live()
        return ()

    async def close(self) -> None:
        self._closed = True
        for queues in self._subscribers.values():
            for queue in queues:
                queue.put_nowait(None)

    def _live(self) -> dict[str, Any]:
        """What has not expired, by key. Raises `errors.Unreachable` once the store is closed."""
        if self._closed:
            raise _closed()
        now = self._clock.now()
        while self._expiries and self._expiries[0][0] <= now:
            _, key = heapq.heappop(self._expiries)
            if key in self._ends and self._ends[key] <= now:  # else a later write moved the end
                del self._ends[key]
                self._kept.pop(key, None)
        return self._kept

    def _keep(self, key: str, thing: bytes | deque[bytes] | Count | Closed, ttl: float) -> None:
        ends_at = self._clock.now() + ttl
        self._kept[key] = thing
        self._ends[key] = ends_at
        heapq.heappush(self._expiries, (ends_at, key))
        if len(self._expiries) > 2 * len(self._kept) + 1000:  # old ends of keys that were often rewritten or removed
            self._ends = {key: self._ends[key] for key in self._kept}
            self._expiries = [(ends_at, key) for key, ends_at in self._ends.items()]
            heapq.heapify(self._expiries)


async def _messages(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (message := await queue.get()) is not None:
        yield message
    raise _closed()


def _closed() -> errors.Unreachable:
    return errors.Unreachable("store", "closed")
