"""Caches session records, so that most requests need no store access.

A copy is used only for a few seconds, and only while this replica receives every replica event. So a copy that may be
out of date is never used. A record that was read before an event arrived is not cached after it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from gateway.domain.ports import Clock
from gateway.domain.session import Session
from gateway.sessions.session_key import SessionKey
from gateway.store.replica_events import ReplicaEvents

MOST = 10_000
"""Copies in one process, about 3 KB each."""
OLDEST = 5.0
"""Seconds after which the store is read again, even without an event."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The stored record of a session; `renewed_at` is when its tokens were issued."""

    session: Session
    renewed_at: float


class SessionCache:
    """The local copies of one replica."""

    def __init__(self, *, replica_events: ReplicaEvents, clock: Clock, most: int = MOST) -> None:
        self._replica_events = replica_events
        self._clock = clock
        self._most = most
        self._copies: OrderedDict[SessionKey, tuple[SessionRecord, float]] = OrderedDict()
        self._mark = 0

    def get(self, place: SessionKey) -> SessionRecord | None:
        """The copy, or None if there is none that may be used now."""
        found = self._copies.get(place)
        if found is None or not self._replica_events.alive or not 0 <= self._clock.now() - found[1] <= OLDEST:
            return None
        self._copies.move_to_end(place)
        return found[0]

    def mark(self) -> int:
        """A mark for `put`; take it before reading the store."""
        return self._mark

    def put(self, place: SessionKey, kept: SessionRecord, mark: int) -> None:
        """Cache a record that was read from the store, unless a copy was dropped since `mark`."""
        if mark != self._mark:
            return
        self._copies[place] = kept, self._clock.now()
        self._copies.move_to_end(place)
        while len(self._copies) > self._most:
            self._copies.popitem(last=False)

    def drop(self, place: SessionKey) -> None:
        """Remove one copy, because its session changed or ended."""
        self._mark += 1
        self._copies.pop(place, None)

    def clear(self) -> None:
        """Remove all copies, because events may have been missed."""
        self._mark += 1
        self._copies.clear()

    def __len__(self) -> int:
        return len(self._copies)
