"""Counts attempts in the store and rejects those over a limit.

Each group of `limits` is one script, run in the order given. A rejection gives the earlier groups back. Limits hold for
any number of tabs, logins and replicas, because every attempt is counted before anything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.second_factor.limits import Group, Limit
from gateway.store.counters import Held
from gateway.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Allowed:
    """Counted. `counts` by the limit's name; `locks` are the limits that this very attempt locked."""

    counts: dict[str, int]
    locks: tuple[tuple[Limit, float], ...] = ()

    def count(self, prefix: str) -> int:
        """The count of the limit whose name begins with `prefix`, 0 when there is none."""
        return next((n for name, n in self.counts.items() if name.startswith(prefix)), 0)


@dataclass(frozen=True, slots=True)
class Limited:
    """Not counted: `limit` holds until then (seconds since the epoch)."""

    limit: Limit
    until: float

    @property
    def problem(self) -> Problem:
        """The problem that a user sees."""
        return self.limit.problem


class RateLimiter:
    """Reserve, look, give back and clear, over groups of limits."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def reserve(self, groups: Sequence[Group]) -> Allowed | Limited:
        """Counts one attempt under every limit of every group, or under none."""
        now = self._clock.now()
        counts: dict[str, int] = {}
        locks: list[tuple[Limit, float]] = []
        for index, group in enumerate(groups):
            found = await self._store.reserve([limit.rule for limit in group], now)
            if isinstance(found, Held):
                await self.give_back(groups[:index])
                return Limited(group[found.index], found.until)
            for limit, count in zip(group, found.counts, strict=True):
                counts[limit.name] = count
                if seconds := limit.rule.locked_for(count):
                    locks.append((limit, now + seconds))
        return Allowed(counts, tuple(locks))

    async def look(self, groups: Sequence[Group]) -> Allowed | Limited:
        """What `reserve` would meet, without counting."""
        now = self._clock.now()
        counts: dict[str, int] = {}
        for group in groups:
            found = await self._store.look([limit.rule for limit in group], now)
            if isinstance(found, Held):
                return Limited(group[found.index], found.until)
            counts |= {limit.name: count for limit, count in zip(group, found.counts, strict=True)}
        return Allowed(counts)

    async def give_back(self, groups: Sequence[Group]) -> None:
        """Undoes one `reserve`: nothing was verified, or the entry was right where only failures count."""
        now = self._clock.now()
        for group in groups:
            await self._store.give_back([limit.rule for limit in group], now)

    async def clear(self, groups: Sequence[Group]) -> None:
        """Clears counts and locks after a success."""
        for group in groups:
            await self._store.clear([limit.rule for limit in group])
