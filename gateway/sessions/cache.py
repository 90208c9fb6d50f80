"""Caches session records, so that most requests need no store access.

A copy is used only for a few seconds, and only while this replica receives every replica event. So a copy that may be
out of date is never used. A record that was read before an event arrived is not cached after it.

The ids of reissued sessions are cached too.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import inf

from gateway.domain.ports import Clock
from gateway.domain.session import Session
from gateway.sessions.session_key import SessionKey, public_id
from gateway.store.replica_events import ReplicaEvents

MOST = 10_000
"""Copies in one process, about 4.3 KB each with the tokens of a usual realm."""
MOST_IDS = 10_000
"""Ids remembered in one process, about 300 bytes each."""
COPIES_COUNT = 5.0
"""Seconds after which the store is read again, even without an event."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The stored record of a session; `renewed_at` is when its tokens were issued."""

    session: Session
    renewed_at: float


class SessionCache:
    """The local copies of one replica."""

    def __init__(
        self, *, replica_events: ReplicaEvents, clock: Clock, most: int = MOST, seconds: float = COPIES_COUNT
    ) -> None:
        self._replica_events = replica_events
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._copies: OrderedDict[str, tuple[SessionRecord, SessionKey, float, float]] = OrderedDict()
        """By the digest of the place, which is another for each session; the oldest first."""
        self._mark = 0

    def get(self, place: SessionKey) -> SessionRecord | None:
        """The copy, or None if there is none that may be used now."""
        found = self._copies.get(place.digest)
        if found is None or not self._replica_events.alive:
            return None
        kept, there, since, until = found
        if there.tag != place.tag or there.tenant != place.tenant or not since <= self._clock.now() < until:
            return None
        self._copies.move_to_end(place.digest)
        return kept

    def mark(self) -> int:
        """A mark for `put`; take it before reading the store."""
        return self._mark

    def put(self, place: SessionKey, kept: SessionRecord, mark: int, *, until: float = inf) -> None:
        """Cache a record that was read from the store, unless a copy was dropped since `mark`.

        The copy may be used until then, and for `seconds` at most.
        """
        if mark != self._mark or not self._seconds:
            return
        now = self._clock.now()
        self._copies.pop(place.digest, None)
        self._copies[place.digest] = kept, place, now, min(until, now + self._seconds)
        if len(self._copies) > self._most:
            self._copies.popitem(last=False)

    def drop(self, place: SessionKey) -> None:
        """Remove one copy, because its session changed or ended."""
        self._mark += 1
        self._copies.pop(place.digest, None)

    def clear(self) -> None:
        """Remove all copies, because events may have been missed."""
        self._mark += 1
        self._copies.clear()

    def __len__(self) -> int:
        return len(self._copies)


class ReissuedIds:
    """The ids of reissued sessions that one replica has seen. They cannot be computed from their place (`public_id`).

    The id at a place never changes. So an id that was seen once stays valid, even while the store does not respond.
    """

    def __init__(self, *, most: int = MOST_IDS) -> None:
        self._most = most
        self._ids: OrderedDict[SessionKey, str] = OrderedDict()

    def note(self, place: SessionKey, session_id: str) -> None:
        """Remember that the session at `place` has this id."""
        if session_id == public_id(place):
            return
        self._ids[place] = session_id
        self._ids.move_to_end(place)
        while len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def of(self, place: SessionKey) -> str:
        """The id of the session at `place`: the remembered one, else that of a session that was never reissued."""
        return self._ids.get(place) or public_id(place)
