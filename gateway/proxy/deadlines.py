"""One timer for the deadlines of many exchanges."""

import asyncio
from typing import Protocol


class Timed(Protocol):
    """An exchange that has a deadline."""

    deadline: float
    """On the event loop's clock."""

    def expire(self, now: float) -> None:
        """Called when `deadline` has passed."""


class Deadlines:
    """Looks at every exchange under way when the earliest deadline has come; a deadline may move later meanwhile."""

    def __init__(self) -> None:
        self._under_way: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    @property
    def under_way(self) -> tuple[Timed, ...]:
        """The exchanges that have a deadline now."""
        return tuple(self._under_way)

    def add(self, exchange: Timed) -> None:
        """Watch the deadline of `exchange`; call it again when the deadline has moved to an earlier time."""
        self._under_way.add(exchange)
        if self._timer is None or exchange.deadline < self._at:
            self._set(exchange.deadline)

    def remove(self, exchange: Timed) -> None:
        """Watch it no more."""
        self._under_way.discard(exchange)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for exchange in tuple(self._under_way):
            if exchange.deadline <= now:
                exchange.expire(now)
        if self._under_way and self._timer is None:
            self._set(max(min(exchange.deadline for exchange in self._under_way), now + 0.01))
