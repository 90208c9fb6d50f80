"""May this attempt go on, and how is it counted?

Runs the groups of `limits` on the store: one script per group, in the order given; a refusal gives the earlier groups
back. Limits hold for any number of tabs, logins and replicas because nothing is looked at before it is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.second_factor.limits import Group, Limit
from gateway.store.protocol import Held, Rule, Store


@dataclass(frozen=True, slots=True)
class Allowed:
    """Counted. `counts` by the limit's name; `locks` are the limits that this very attempt brought to a lock."""

    counts: dict[str, int]
    locks: tuple[tuple[Limit, float], ...] = ()

    def count(self, prefix: str) -> int:
        """The count of the limit whose name begins with `prefix`, 0 when there is none."""
        return next((n for name, n in self.counts.items() if name.startswith(prefix)), 0)


@dataclass(frozen=True, slots=True)
class Limited:
    """Not counted: held by `limit` until then (seconds since the epoch)."""

    limit: Limit
    until: float

    @property
    def problem(self) -> Problem:
        """What a user is told."""
        return self.limit.problem


class RateLimiter:
    """Reserve, look, give back and clear, over groups of limits."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def reserve(self, groups: Sequence[Group]) -> Allowed | Limited:
        """Count one attempt under every limit of every group, or under none."""
        now = self._clock.now()
        counts: dict[str, int] = {}
        locks: list[tuple[Limit, float]] = []
        for index, group in enumerate(groups):
            found = await self._store.reserve(_rules(group), now)
            if isinstance(found, Held):
                await self.give_back(groups[:index])
                return Limited(group[found.index], found.until)
            for limit, count in zip(group, found.counts, strict=True):
                counts[limit.name] = count
                if seconds := locked_for(limit, count):
                    locks.append((limit, now + seconds))
        return Allowed(counts, tuple(locks))

    async def look(self, groups: Sequence[Group]) -> Allowed | Limited:
        """What `reserve` would meet, without counting."""
        now = self._clock.now()
        counts: dict[str, int] = {}
        for group in groups:
            found = await self._store.look(_rules(group), now)
            if isinstance(found, Held):
                return Limited(group[found.index], found.until)
            counts |= {limit.name: count for limit, count in zip(group, found.counts, strict=True)}
        return Allowed(counts)

    async def give_back(self, groups: Sequence[Group]) -> None:
        """Nobody judged, or it was right where only failures count: undo one `reserve`."""
        now = self._clock.now()
        for group in groups:
            await self._store.give_back(_rules(group), now)

    async def clear(self, groups: Sequence[Group]) -> None:
        """A success: forget counts and locks."""
        for group in groups:
            await self._store.clear(_rules(group))


def locked_for(limit: Limit, count: int) -> float:
    """Seconds for which reaching `count` locks, 0 when it does not."""
    steps = limit.rule.steps
    exact = next((seconds for at, seconds in steps if at == count), 0.0)
    last, seconds = steps[-1]
    return exact or (seconds if limit.rule.beyond and count > last else 0.0)


def _rules(group: Group) -> tuple[Rule, ...]:
    return tuple(limit.rule for limit in group)
