"""What does one reservation do to a counter and its lock?

Pure arithmetic over one rule. `memory` runs it as it stands; the scripts of `redis` say the same in Lua, and the
contract suite holds both to it.

- A count that ends before `now` is 0. Reserving adds 1 and, when sliding or new, moves its end to `now + window`.
- Reaching a step (or, with `beyond`, passing the last one) locks until `now + step's seconds`. The lock remembers the
  count that led to it and that count's end, so that giving back can undo exactly this.
- A sliding count that led to a lock as long as its window lives one window more, from the lock's end: a time in which
  nothing could fail clears nothing, and so the next failure after it is one more.
- With `restart` the count is gone once it locked; `Reserved.counts` still says what was reached.
- Giving back lowers the count by 1 and opens the lock if this count had led to it. Counts of several callers are alike:
  after five reservations and one given back, four stand, whoever they belong to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.store.protocol import Held, Rule

MARGIN = 86400.0
"""Seconds a count or lock is kept in memory beyond its end, by which no clock of an installation is wrong."""


@dataclass(frozen=True, slots=True)
class Count:
    """`number` reservations that end at `ends_at`."""

    number: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A lock until `until`, led to by `count`."""

    until: float
    count: Count


def standing(count: Count | None, now: float) -> Count | None:
    """`count` if it still counts."""
    return count if count and count.ends_at > now else None


def in_force(lock: Closed | None, now: float) -> Closed | None:
    """`lock` if it still locks."""
    return lock if lock and lock.until > now else None


def longest(untils: Sequence[float | None]) -> Held | None:
    """Which rule's lock lasts longest (the first of equal ones); None when none is locked."""
    locked = [(until, -index) for index, until in enumerate(untils) if until is not None]
    if not locked:
        return None
    until, index = max(locked)
    return Held(-index, until)


def reserved(rule: Rule, count: Count | None, now: float) -> tuple[Count, Closed | None]:
    """The count after one more, and the lock that it leads to."""
    old = standing(count, now)
    ends_at = old.ends_at if old and not rule.sliding else now + rule.window
    new = Count((old.number if old else 0) + 1, ends_at)
    seconds = _locks_for(rule, new.number)
    if seconds is None:
        return new, None
    lock = Closed(now + seconds, new)
    return (replace(new, ends_at=lock.until + rule.window) if rule.sliding and seconds >= rule.window else new), lock


def given_back(rule: Rule, count: Count | None, lock: Closed | None, now: float) -> tuple[Count | None, Closed | None]:
    """Count and lock (None = to be forgotten) after one is given back."""
    old, held = standing(count, now), in_force(lock, now)
    if held and (old is None or old.number == held.count.number):
        old, lock = held.count, None
    if old is None or old.number <= 1:
        return None, lock
    return standing(Count(old.number - 1, old.ends_at), now), lock


def _locks_for(rule: Rule, number: int) -> float | None:
    for reached, seconds in rule.steps:
        if reached == number:
            return seconds
    if rule.beyond and rule.steps and number > rule.steps[-1][0]:
        return rule.steps[-1][1]
    return None
