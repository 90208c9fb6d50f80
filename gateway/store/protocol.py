"""Defines the verbs on bytes that every store has.

Two implementations (`memory`, `redis`) share one contract suite. Values have no meaning here: `records` turns them into
typed, sealed, expiring records, `counters` into limits, `once` into single use, `replica_events` into replica events.

Keys are text. The part in `{braces}` is the tag: all keys of one `reserve` share it, so that Redis Cluster keeps them
in one slot. Every key has a `ttl` (seconds), which only frees memory: callers pass `now` to decide whether something
has expired.

Every verb raises `errors.Unreachable` if the store does not respond in time; the operation may still have taken effect.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rule:
    """One counter and the locks that it causes.

    `count` and `lock` are keys (same tag). A count lives `window` seconds from its last increase (from the first one
    if `sliding` is False); after a lock at least as long as the window, it lives `window` seconds from the lock's end.
    `steps` are `(count, locked for seconds)` in rising order: reaching a count locks. With `beyond`, every further
    reservation locks as long as the last step. `restart` sets the count back to 0 when it locks.
    """

    count: str
    lock: str
    window: float
    steps: tuple[tuple[int, float], ...]
    beyond: bool = True
    sliding: bool = True
    restart: bool = False

    def locked_for(self, count: int) -> float | None:
        """Seconds for which reaching `count` locks; None when it does not."""
        for reached, seconds in self.steps:
            if reached == count:
                return seconds
        if self.beyond and self.steps and count > self.steps[-1][0]:
            return self.steps[-1][1]
        return None


@dataclass(frozen=True, slots=True)
class Reserved:
    """The reservation was counted under every rule; `counts` are the new counts, in the order of the rules."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was counted, because the rule at `index` is locked until `until` (seconds since the epoch)."""

    index: int
    until: float


class Store(Protocol):
    """See the module's docstring for keys, `ttl` and errors."""

    async def get(self, key: str) -> bytes | None:
        """The value of `key`, or None."""

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Write `key`, whether it has a value or not."""

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        """Write `key` only if it has no value; whether it was written."""

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        """Write `new` only if the value of `key` is still `old`; whether it was written."""

    async def delete(self, key: str) -> bool:
        """Remove `key`; whether it had a value."""

    async def delete_if(self, key: str, old: bytes) -> bool:
        """Remove `key` only if its value is still `old`; whether it was removed."""

    async def reserve(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        """Atomically count under all rules; if one is locked at `now`, count nothing and return the longest lock."""

    async def look(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        """The current counts, or the lock in force, without counting."""

    async def give_back(self, rules: Sequence[Rule], now: float) -> None:
        """Undo one `reserve` of these rules, and the lock that this count caused."""

    async def clear(self, rules: Sequence[Rule]) -> None:
        """Remove the counts and locks of these rules."""

    async def append(self, key: str, value: bytes, keep: int, ttl: float) -> None:
        """Append to a list, which keeps its last `keep` values."""

    async def last(self, key: str, count: int) -> list[bytes]:
        """The last `count` values of a list, newest first."""

    async def publish(self, channel: str, message: bytes) -> None:
        """Send to every subscriber of `channel` on every replica, including this process."""

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The messages of `channel`; when the context opens, the store has confirmed the subscription."""

    async def check(self) -> None:
        """Write and read a value; raises `errors.Unreachable` if either fails."""

    async def close(self) -> None:
        """Close the connections."""
