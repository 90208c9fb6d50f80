"""Computes the effect of one reservation on a counter and its lock.

Pure arithmetic of one rule. `memory` calls it directly; the scripts of `redis` do the same in Lua. One contract suite
tests both.

- A count that ends before `now` is 0. Reserving adds 1 and, if sliding or new, moves its end to `now + window`.
- Reaching a step (or, with `beyond`, exceeding the last one) locks until `now + step's seconds`. The lock stores the
  count that caused it and that count's end, so that `given_back` can undo exactly this.
- If a sliding count causes a lock at least as long as its window, the count lives one more window from the lock's end.
  No attempt is possible while the lock lasts, so that time does not clear the count.
- With `restart` the count is removed when it locks; `Reserved.counts` still has the number reached.
- Giving back lowers the count by 1, and removes the lock if this count caused it. Reservations are interchangeable:
  after five reservations by any callers and one given back, the count is four.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.store.protocol import Held, Rule

MARGIN = 86400.0
"""Seconds for which a count or lock is stored beyond its end: more than the clocks of an installation can differ."""


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


def standing(count: Count | None, now: float) -> Count | None:
    """`count` if it has not ended at `now`."""
    return count if count and count.ends_at > now else None


def in_force(lock: Closed | None, now: float) -> Closed | None:
    """`lock` if it has not ended at `now`."""
    return lock if lock and lock.until > now else None


def longest(untils: Sequence[float | None]) -> Held | None:
    """The lock that lasts longest (the first of equal ones); None if no rule is locked."""
    locked = [(until, -index) for index, until in enumerate(untils) if until is not None]
    if not locked:
        return None
    until, index = max(locked)
    return Held(-index, until)


def reserved(rule: Rule, count: Count | None, now: float) -> tuple[Count, Closed | None]:
    """The count after one more reservation, and the lock that it causes."""
    old = standing(count, now)
    ends_at = old.ends_at if old and not rule.sliding else now + rule.window
    new = Count((old.number if old else 0) + 1, ends_at)
    seconds = rule.locked_for(new.number)
    if seconds is None:
        return new, None
    lock = Closed(now + seconds, new)
    return (replace(new, ends_at=lock.until + rule.window) if rule.sliding and seconds >= rule.window else new), lock


def given_back(rule: Rule, count: Count | None, lock: Closed | None, now: float) -> tuple[Count | None, Closed | None]:
    """Count and lock after one reservation is given back; None means remove it."""
    old, held = standing(count, now), in_force(lock, now)
    if held and (old is None or old.number == held.count.number):
        old, lock = held.count, None
    if old is None or old.number <= 1:
        return None, lock
    return standing(Count(old.number - 1, old.ends_at), now), lock
