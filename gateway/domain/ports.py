"""Ports for the inputs of a pure decision: time, random bytes, and a lock."""

import secrets
import time
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Clock(Protocol):
    """The clock that decides every expiry."""

    def now(self) -> float:
        """Seconds since the epoch."""


class Random(Protocol):
    """The source of every secret."""

    def token_bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""

    def below(self, limit: int) -> int:
        """An unpredictable whole number in `[0, limit)`."""


class Lock(Protocol):
    """Mutual exclusion by name that holds over all replicas of the gateway."""

    def hold(self, name: str, *, wait: float, ttl: float) -> AbstractAsyncContextManager[None]:
        """Hold `name` while the context is open.

        `wait` limits the seconds to try; after `ttl` seconds the lock expires. Raises `errors.Conflict` when another
        holder keeps it for longer than `wait`, `errors.Unreachable` when the store does not answer.
        """


class SystemClock:
    """The wall clock."""

    now = staticmethod(time.time)


class SystemRandom:
    """The operating system's random source."""

    token_bytes = staticmethod(secrets.token_bytes)
    below = staticmethod(secrets.randbelow)
