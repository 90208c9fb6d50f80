"""Defines counters with locks, and computes the effect of one reservation on them.

Pure arithmetic of one rule. `memory` calls it directly; the scripts of `redis` do the same in Lua. One contract suite
tests both.

- A count that ends before `now` is 0. Reserving adds 1 and, if sliding or new, moves its end to `now + window`.
- Reaching a step, or exceeding the last one, locks until `now + step's seconds`. The lock stores the
  count that caused it and that count's end, so that `given_back` can undo exactly this.
- If a sliding count causes a lock at least as long as its window, the count lives one more window from the lock's end.
  No attempt is possible while the lock lasts, so that time does not clear the count.
- A lock is judged by today's rule. If its count is below the first step now, or a sliding count's step locks for a
  shorter time now, the lock ends early: an operator who raises a limit frees the users that the old one locked.
- With `restart` the count is removed when it locks; `Reserved.counts` still has the number reached.
- With `ends_with_lock` the count ends with the lock that it caused last. Rules with locks of their own may share it.
- Giving back lowers the count by 1, and removes the lock if this count caused it. Reservations are interchangeable:
  after five reservations by any callers and one given back, the count is four.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

MARGIN = 600.0
"""Seconds for which a count or lock is stored beyond its end: more than the clocks of an installation differ (NTP).

Any client makes counters, by the names that it types. So it is not longer.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One counter and the locks that it causes.

    `count` and `lock` are keys (same tag). A count lives `window` seconds from its last increase (from the first one
    if `sliding` is False); after a lock at least as long as the window, it lives `window` seconds from the lock's end.
    `steps` are `(count, locked for seconds)` in rising order: reaching a count locks. Every reservation beyond the
    last step locks as long as that step. `restart` sets the count back to 0 when it locks, `ends_with_lock` when that
    lock ends.
    """

    count: str
    lock: str
    window: float
    steps: tuple[tuple[int, float], ...]
    sliding: bool = True
    restart: bool = False
    ends_with_lock: bool = False

    def locked_for(self, count: int) -> float | None:
        """Seconds for which reaching `count` locks; None when it does not."""
        for reached, seconds in self.steps:
            if reached == count:
                return seconds
        if self.steps and count > self.steps[-1][0]:
            return self.steps[-1][1]
        return None

    def end_of(self, lock: "Closed") -> float:
        """The end of a lock by this rule, which may have other steps than the one that caused it."""
        seconds = next((seconds for reached, seconds in reversed(self.steps) if reached <= lock.count.number), None)
        if seconds is None:
            return 0.0
        begun = lock.count.ends_at - self.window
        return min(lock.until, begun + seconds) if self.sliding else lock.until


@dataclass(frozen=True, slots=True)
class Reserved:
    """The reservation was counted under every rule; `counts` are the new counts, in the order of the rules."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was counted, because the rule at `index` is locked until `until` (seconds since the epoch)."""

    index: int
    until: float


@dataclass(frozen=True, slots=True)
class Count:
    """`number` reservations that end at `ends_at`."""

    number: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A lock until `until`, caused by `count`."""

    until: float
    count: Count


def held(rules: Sequence[Rule], locks: Sequence[Closed | None], now: float) -> Held | None:
    """The lock that lasts longest (the first of equal ones); None if no rule is locked at `now`."""
    ends = [rule.end_of(lock) if lock else 0.0 for rule, lock in zip(rules, locks, strict=True)]
    in_force = [(until, -index) for index, until in enumerate(ends) if until > now]
    if not in_force:
        return None
    until, index = max(in_force)
    return Held(-index, until)


def reserved(rule: Rule, count: Count | None, now: float) -> tuple[Count, Closed | None]:
    """The count after one more reservation, and the lock that it causes."""
    new = Count(1, now + rule.window)
    if count and count.ends_at > now:
        new = Count(count.number + 1, new.ends_at if rule.sliding else count.ends_at)
    seconds = rule.locked_for(new.number)
    if seconds is None:
        return new, None
    lock = Closed(now + seconds, new)
    if rule.ends_with_lock:
        return replace(new, ends_at=lock.until), lock
    return (replace(new, ends_at=lock.until + rule.window) if rule.sliding and seconds >= rule.window else new), lock


def given_back(count: Count | None, lock: Closed | None, now: float) -> tuple[Count | None, Closed | None]:
    """Count and lock after one reservation is given back; None means remove it."""
    alive = count if count and count.ends_at > now else None
    if lock and lock.until > now and (not alive or alive.number == lock.count.number):
        ends_at = lock.count.ends_at
        count, lock = replace(lock.count, ends_at=min(alive.ends_at, ends_at) if alive else ends_at), None
    if not count or count.ends_at <= now or count.number <= 1:
        return None, lock
    return Count(count.number - 1, count.ends_at), lock
