"""The few verbs on bytes that every store has.

Two implementations (`memory`, `redis`), one contract suite. Nothing here knows what a value means: `records` makes
typed, sealed, expiring values of it, `counters` limits, `once` single use, `replica_events` messages between replicas.

Keys are text. The part in `{braces}` is the tag: all keys of one `reserve` share it, so that Redis Cluster keeps them
in one slot. Every key has a life (`ttl`, seconds), which only frees memory: whether something still counts is judged
against the `now` that is passed in.

Every verb raises `errors.Unreachable` when the store did not answer in time; nothing is ever assumed then.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rule:
    """One counter and the locks it leads to.

    `count` and `lock` are keys (same tag). A count lives `window` seconds from its last increase (from the first one
    when `sliding` is False), and when that led to a lock as long as the window, from the lock's end. `steps` are
    `(count, locked for seconds)` in rising order: reaching a count locks; when `beyond`, every further one locks as
    long as the last step. `restart` sets the count back to 0 when it locks.
    """

    count: str
    lock: str
    window: float
    steps: tuple[tuple[int, float], ...]
    beyond: bool = True
    sliding: bool = True
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Reserved:
    """Counted under every rule; `counts` are the counts after it, in the order of the rules."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was counted: the rule at `index` is locked until `until` (seconds since the epoch)."""

    index: int
    until: float


class Store(Protocol):
    """See the module's text for keys, lives and errors."""

    async def get(self, key: str) -> bytes | None:
        """The value of `key`, or None."""

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Write `key` whatever it held."""

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        """Write `key` only if it holds nothing; whether it was written."""

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        """Write `new` only while `key` still holds `old`; whether it was written."""

    async def delete(self, key: str) -> bool:
        """Forget `key`; whether it held something."""

    async def delete_if(self, key: str, old: bytes) -> bool:
        """Forget `key` only while it holds `old`; whether it did."""

    async def reserve(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        """Atomically: when a rule is locked at `now`, count nothing, say which (the longest wait); else count all."""

    async def look(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        """What `reserve` would find, without counting: current counts, or the lock in force."""

    async def give_back(self, rules: Sequence[Rule], now: float) -> None:
        """Undo one `reserve` of these rules, and the lock that this very count led to."""

    async def clear(self, rules: Sequence[Rule]) -> None:
        """Forget counts and locks of these rules."""

    async def append(self, key: str, value: bytes, keep: int, ttl: float) -> None:
        """Add to the end of a list that keeps its last `keep` values."""

    async def last(self, key: str, count: int) -> list[bytes]:
        """The last `count` values of a list, newest first."""

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell every subscriber of `channel`, on every replica, this process included."""

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Messages of `channel` from the moment the context is open (the subscription stands when it opens)."""

    async def check(self) -> None:
        """A real write and read; raises `errors.Unreachable` when either fails."""

    async def close(self) -> None:
        """Give back connections."""
