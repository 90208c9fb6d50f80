"""Limits how often one thing is logged, so that no client can fill the log."""

import time
from collections.abc import Callable


class Seldom:
    """Allows one line in `period` seconds for each key. Beyond `most` keys it allows none."""

    def __init__(self, period: float, most: int = 1000, now: Callable[[], float] = time.monotonic) -> None:
        self._period = period
        self._most = most
        self._now = now
        self._until: dict[str, float] = {}  # in the order in which they end

    def allows(self, key: str = "") -> bool:
        """Whether a line about `key` may be written now. If so, the period begins."""
        now = self._now()
        while self._until and (first := next(iter(self._until.items())))[1] <= now:
            del self._until[first[0]]
        if key in self._until or len(self._until) >= self._most:
            return False
        self._until[key] = now + self._period
        return True
