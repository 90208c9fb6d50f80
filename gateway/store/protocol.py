"""Defines the verbs on bytes that every store has.

Two implementations (`memory`, `redis`) share one contract suite. Values have no meaning here: `records` turns them into
typed, sealed, expiring records, `single_use` into single use, `replica_events` into replica events. `counters` has the
rules that `reserve` counts by.

Keys are text. The part in `{braces}` is the tag: all keys of one `reserve` share it, so that Redis Cluster keeps them
in one slot. Every key has a `ttl` (seconds), which only frees memory: callers pass `now` to decide whether something
has expired.

Every verb raises `errors.Unreachable` if the store does not respond in time; the operation may still have taken effect.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.store.counters import Held, Reserved, Rule


class Store(Protocol):
    """See the module's docstring for keys, `ttl` and errors."""

    async def get(self, key: str) -> bytes | None:
        """The value of `key`, or None."""

    def ask(self, key: str, answered: Callable[[bytes | None], None]) -> None:
        """Call `answered` with the value of `key`, later and without a task.

        It only confirms: None means that there is no value, or that the store does not respond. `get` tells which.
        """

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

    async def check(self) -> tuple[str, ...]:
        """Write and read a value; returns warnings. Raises `errors.Unreachable` if either fails."""

    async def close(self) -> None:
        """Close the connections."""
