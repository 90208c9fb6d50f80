"""Time and random numbers that a test controls, for `gateway.domain.ports.Clock` and `Random`."""

import random

START = 1_800_000_000.0  # a second in 2027, in the middle of a TOTP step


class FakeClock:
    """A clock that only a test advances."""

    def __init__(self, at: float = START) -> None:
        self._now = at

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Advances the clock; a negative value is an error."""
        if seconds < 0:
            raise ValueError("time goes forward; use set() to go back on purpose")
        self._now += seconds

    def set(self, at: float) -> None:
        """Sets the clock to a time, in seconds since the epoch."""
        self._now = at


class SeededRandom:
    """Repeatable random numbers: the same seed gives the same bytes and numbers in the same order."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, n: int) -> bytes:
        """Returns `n` bytes."""
        return self._random.randbytes(n)

    def below(self, n: int) -> int:
        """Returns a whole number from 0 to `n - 1`."""
        return self._random.randrange(n)
