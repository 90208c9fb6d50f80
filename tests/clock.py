"""Time and chance as a test wants them: the twins of ``gateway.domain.ports.Clock`` and ``Random``."""

import random

START = 1_800_000_000.0  # some second in 2027, far from every rounding edge of a TOTP step


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, at: float = START) -> None:
        self._now = at

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass (never backwards)."""
        if seconds < 0:
            raise ValueError("time goes forward; use set() to go back on purpose")
        self._now += seconds

    def set(self, at: float) -> None:
        """Jump to a moment, seconds since the epoch."""
        self._now = at


class SeededRandom:
    """Chance that repeats itself: the same seed gives the same bytes and numbers in the same order."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, n: int) -> bytes:
        """``n`` bytes."""
        return self._random.randbytes(n)

    def below(self, n: int) -> int:
        """A whole number from 0 to ``n - 1``."""
        return self._random.randrange(n)
