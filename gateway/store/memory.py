"""The store for one process: a few dictionaries.

No verb awaits between its read and its write, so each is atomic in the one event loop that may use it. The injected
clock decides what has expired, and later writes free it. A restart loses everything, including locks.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.store.counters import MARGIN, Closed, Count, given_back, in_force, longest, reserved, standing
from gateway.store.protocol import Held, Reserved, Rule

T = TypeVar("T")


class MemoryStore:
    """Implements `store.interface.Store` in this process."""

    def __init__(self, clock: Clock) -> None:
        self._values: _Shelf[bytes] = _Shelf(clock)
        self._lists: _Shelf[deque[bytes]] = _Shelf(clock)
        self._counts: _Shelf[Count] = _Shelf(clock)
        self._locks: _Shelf[Closed] = _Shelf(clock)
        self._shelves = (self._values, self._lists, self._counts, self._locks)
        self._subscribers: dict[str, set[asyncio.Queue[bytes | None]]] = {}
        self._closed = False

    @property
    def size(self) -> int:
        """The number of values, lists, counts and locks in memory."""
        return sum(len(shelf) for shelf in self._shelves)

    @property
    def noted_ends(self) -> int:
        """The number of expiry entries; never much more than twice `size`."""
        return sum(shelf.noted_ends for shelf in self._shelves)

    async def get(self, key: str) -> bytes | None:
        self._open()
        return self._values.get(key)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        self._open()
        self._values.keep(key, value, ttl)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        self._open()
        if self._values.get(key) is not None:
            return False
        self._values.keep(key, value, ttl)
        return True

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        self._open()
        if self._values.get(key) != old:
            return False
        self._values.keep(key, new, ttl)
        return True

    async def delete(self, key: str) -> bool:
        self._open()
        return any([shelf.drop(key) for shelf in self._shelves])

    async def delete_if(self, key: str, old: bytes) -> bool:
        self._open()
        return self._values.get(key) == old and self._values.drop(key)

    async def reserve(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        self._open()
        if held := self._held(rules, now):
            return held
        counts = []
        for rule in rules:
            count, lock = reserved(rule, self._counts.get(rule.count), now)
            counts.append(count.number)
            if lock:
                self._locks.keep(rule.lock, lock, lock.until - now + MARGIN)
            if lock and rule.restart:
                self._counts.drop(rule.count)
            else:
                self._counts.keep(rule.count, count, count.ends_at - now + MARGIN)
        return Reserved(tuple(counts))

    async def look(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        self._open()
        if held := self._held(rules, now):
            return held
        counts = (standing(self._counts.get(rule.count), now) for rule in rules)
        return Reserved(tuple(count.number if count else 0 for count in counts))

    async def give_back(self, rules: Sequence[Rule], now: float) -> None:
        self._open()
        for rule in rules:
            count, lock = given_back(rule, self._counts.get(rule.count), self._locks.get(rule.lock), now)
            if count:
                self._counts.keep(rule.count, count, count.ends_at - now + MARGIN)
            else:
                self._counts.drop(rule.count)
            if not lock:
                self._locks.drop(rule.lock)

    async def clear(self, rules: Sequence[Rule]) -> None:
        self._open()
        for rule in rules:
            self._counts.drop(rule.count)
            self._locks.drop(rule.lock)

    async def append(self, key: str, value: bytes, keep: int, ttl: float) -> None:
        self._open()
        self._lists.keep(key, deque([*(self._lists.get(key) or ()), value], maxlen=keep), ttl)

    async def last(self, key: str, count: int) -> list[bytes]:
        self._open()
        newest_first = reversed(self._lists.get(key) or ())
        return [value for _, value in zip(range(count), newest_first, strict=False)]

    async def publish(self, channel: str, message: bytes) -> None:
        self._open()
        for queue in self._subscribers.get(channel, ()):
            queue.put_nowait(message)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._subscription(channel)

    async def check(self) -> None:
        self._open()

    async def close(self) -> None:
        self._closed = True
        for queues in self._subscribers.values():
            for queue in queues:
                queue.put_nowait(None)

    @asynccontextmanager
    async def _subscription(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        self._open()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._subscribers.setdefault(channel, set()).add(queue)
        try:
            yield _messages(queue)
        finally:
            self._subscribers[channel].discard(queue)

    def _held(self, rules: Sequence[Rule], now: float) -> Held | None:
        locks = [in_force(self._locks.get(rule.lock), now) for rule in rules]
        return longest([lock.until if lock else None for lock in locks])

    def _open(self) -> None:
        if self._closed:
            raise _closed()


async def _messages(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (message := await queue.get()) is not None:
        yield message
    raise _closed()


def _closed() -> errors.Unreachable:
    return errors.Unreachable("store", "closed")


class _Shelf(Generic[T]):
    """Items of one kind by key, each with an expiry."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[T, float]] = {}
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def noted_ends(self) -> int:
        return len(self._ends)

    def get(self, key: str) -> T | None:
        kept = self._kept.get(key)
        return kept[0] if kept and kept[1] > self._clock.now() else None

    def keep(self, key: str, thing: T, ttl: float) -> None:
        ends_at = self._clock.now() + ttl
        self._kept[key] = (thing, ends_at)
        heapq.heappush(self._ends, (ends_at, key))
        self._free()

    def drop(self, key: str) -> bool:
        stood = self.get(key) is not None
        self._kept.pop(key, None)
        return stood

    def _free(self) -> None:
        now = self._clock.now()
        while self._ends and self._ends[0][0] <= now:
            ends_at, key = heapq.heappop(self._ends)
            if (kept := self._kept.get(key)) and kept[1] <= ends_at:
                del self._kept[key]
        if len(self._ends) > 2 * len(self._kept) + 1000:  # keys that were often rewritten or dropped leave old entries
            self._ends = [(ends_at, key) for key, (_, ends_at) in self._kept.items()]
            heapq.heapify(self._ends)
