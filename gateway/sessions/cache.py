"""May a request be answered without asking the store?

Only from a copy made a few seconds ago, and only while this replica hears every notice: a copy that could be out of
date does not count. A copy read before a notice came in is not kept after it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.ports import Clock
from gateway.domain.session import Session
from gateway.sessions.session_key import SessionKey

MOST = 10_000
"""Copies kept in one process, about 3 KB each."""
OLDEST = 5.0
"""Seconds after which the store is asked again, whatever was heard."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What the store keeps of a session: `renewed_at` is when its tokens came."""

    session: Session
    renewed_at: float


class SessionCache:
    """The local copies of one replica.

    :param alive: whether the replica hears every notice now (`Notices.alive`).
    """

    def __init__(self, *, alive: Callable[[], bool], clock: Clock, most: int = MOST) -> None:
        self._alive = alive
        self._clock = clock
        self._most = most
        self._copies: OrderedDict[SessionKey, tuple[SessionRecord, float]] = OrderedDict()
        self._mark = 0

    def get(self, place: SessionKey) -> SessionRecord | None:
        """The copy, if it counts now."""
        found = self._copies.get(place)
        if found is None or not self._alive() or not 0 <= self._clock.now() - found[1] <= OLDEST:
            return None
        self._copies.move_to_end(place)
        return found[0]

    def mark(self) -> int:
        """Take it before the store is read, and give it to `put`."""
        return self._mark

    def put(self, place: SessionKey, kept: SessionRecord, mark: int) -> None:
        """Keep what was read from the store, unless something was dropped since `mark`."""
        if mark != self._mark:
            return
        self._copies[place] = kept, self._clock.now()
        self._copies.move_to_end(place)
        while len(self._copies) > self._most:
            self._copies.popitem(last=False)

    def drop(self, place: SessionKey) -> None:
        """Forget one copy: its session changed or ended."""
        self._mark += 1
        self._copies.pop(place, None)

    def clear(self) -> None:
        """Forget all: notices may have been missed."""
        self._mark += 1
        self._copies.clear()

    def __len__(self) -> int:
        return len(self._copies)
