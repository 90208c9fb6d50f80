"""Mutual exclusion by name: `LocalLocks` within this process, `StoreLock` over all replicas.

A lock is a random value in the store (the fence) and the moment at which it expires. Only its owner knows the fence and
can remove it, so an owner that was too slow never releases its successor's lock. Within one process waiting is a fair
queue; between processes it is short polls with jitter.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from gateway.domain import errors
from gateway.domain.ports import Clock, Random
from gateway.store.protocol import Store

FIRST_POLL, LAST_POLL = 0.005, 0.05
"""Seconds between two polls of a lock that another request has: at first, and at most."""
MARGIN = 5.0
"""Seconds for which the store keeps a lock beyond its end. The injected clock decides when it ends."""
_log = structlog.get_logger(__name__)


class LocalLocks:
    """A fair queue for each name in this process; a name without a user or waiter takes no memory."""

    def __init__(self) -> None:
        self._queues: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn of `name` and keep it while the context is open."""
        lock, waiting = self._queues.get(name, (asyncio.Lock(), 0))
        self._queues[name] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._queues[name]
            if waiting == 1:
                del self._queues[name]
            else:
                self._queues[name] = lock, waiting - 1

    def __len__(self) -> int:
        """The number of names in use."""
        return len(self._queues)


class StoreLock:
    """Implements `domain.ports.Lock` over all replicas that share `store`."""

    def __init__(self, store: Store, clock: Clock, random: Random) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._turns = LocalLocks()

    @asynccontextmanager
    async def hold(self, name: str, *, wait: float, ttl: float) -> AsyncIterator[None]:
        """See `domain.ports.Lock`; with `wait` 0 there is one attempt."""
        ends = time.monotonic() + wait
        turn = self._turns.turn(name)
        try:
            async with asyncio.timeout(wait if wait > 0 else _ONE_TURN):
                await turn.__aenter__()
        except TimeoutError as error:
            raise errors.Conflict(f"lock {_kind(name)}", "held by another request") from error
        try:
            key = f"lock:{name}"
            fence = await self._acquire(key, name, ends, ttl)
            try:
                yield
            finally:
                await self._release(key, name, fence)
        finally:
            await turn.__aexit__(None, None, None)

    async def _acquire(self, key: str, name: str, ends: float, ttl: float) -> bytes:
        pause = FIRST_POLL
        while True:
            fence = json.dumps([self._random.token_bytes(16).hex(), self._clock.now() + ttl]).encode()
            try:
                if await self._take(key, fence, ttl):
                    return fence
            except (errors.Unreachable, asyncio.CancelledError):
                # The store may have set the lock although the answer was lost: remove it.
                with suppress(errors.Unreachable):
                    await self._store.delete_if(key, fence)
                raise
            if time.monotonic() >= ends:
                raise errors.Conflict(f"lock {_kind(name)}", "held by another replica")
            await asyncio.sleep(pause * (0.5 + self._random.below(1000) / 1000))
            pause = min(pause * 2, LAST_POLL)

    async def _take(self, key: str, fence: bytes, ttl: float) -> bool:
        if await self._store.add(key, fence, ttl + MARGIN):
            return True
        held = await self._store.get(key)
        if held is None or json.loads(held)[1] > self._clock.now():
            return False
        return await self._store.swap(key, held, fence, ttl + MARGIN)

    async def _release(self, key: str, name: str, fence: bytes) -> None:
        try:
            was_held = await self._store.delete_if(key, fence)
        except errors.Unreachable:
            _log.warning("lock_not_released", lock=_kind(name))  # it expires by itself
            return
        if not was_held:
            _log.warning("lock_expired_while_held", lock=_kind(name))


_ONE_TURN = 0.001


def _kind(name: str) -> str:
    """The part of a lock's name that may be logged; the rest can contain a user's id."""
    return name.partition(":")[0]
