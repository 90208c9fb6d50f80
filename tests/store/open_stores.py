"""Stores for tests of races.

With one open connection, or without a turn of the event loop, the first of many calls would finish before the second
begins.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from gateway.domain.channel import TlsSettings
from gateway.domain.ports import Clock
from gateway.store.counters import Held, Reserved, Rule
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.redis import RedisStore

WARM = 8
"""Connections that are open before a test begins: that number of commands reaches the server together."""


class YieldingStore(MemoryStore):
    """A memory store that gives other tasks some turns before each verb, as a store behind a network does.

    How many differs: in step with each other, of two replicas the same one would lose every time. The same numbers in
    every run.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._random = Random(0)

    async def _others(self) -> None:
        for _ in range(self._random.randint(1, 3)):
            await asyncio.sleep(0)

    async def get(self, key: str) -> bytes | None:
        await self._others()
        return await super().get(key)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self._others()
        await super().set(key, value, ttl)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        await self._others()
        return await super().add(key, value, ttl)

    async def swap(self, key: str, old: bytes, new: bytes, ttl: float) -> bool:
        await self._others()
        return await super().swap(key, old, new, ttl)

    async def delete(self, key: str) -> bool:
        await self._others()
        return await super().delete(key)

    async def delete_if(self, key: str, old: bytes) -> bool:
        await self._others()
        return await super().delete_if(key, old)

    async def reserve(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        await self._others()
        return await super().reserve(rules, now)

    async def look(self, rules: Sequence[Rule], now: float) -> Reserved | Held:
        await self._others()
        return await super().look(rules, now)

    async def give_back(self, rules: Sequence[Rule], now: float) -> None:
        await self._others()
        await super().give_back(rules, now)

    async def clear(self, rules: Sequence[Rule]) -> None:
        await self._others()
        await super().clear(rules)

    async def append(self, key: str, value: bytes, keep: int, ttl: float) -> None:
        await self._others()
        await super().append(key, value, keep, ttl)

    async def last(self, key: str, count: int) -> list[bytes]:
        await self._others()
        return await super().last(key, count)


@asynccontextmanager
async def opened(address: str, clock: Clock, *, prefix: str = "test:", timeout: float = 10.0) -> AsyncIterator[Store]:
    """Yields the store at `address` with `WARM` open connections; an empty address means in this process."""
    store: Store = YieldingStore(clock)
    if address:
        store = await warm(RedisStore(url=address, prefix=prefix, timeout=timeout, tls=TlsSettings()))
    try:
        yield store
    finally:
        await store.close()


async def warm(store: RedisStore) -> RedisStore:
    """Returns `store` with that number of idle connections."""
    pool = store._pool
    connections = await asyncio.gather(*(pool.get_connection() for _ in range(WARM)))  # type: ignore[no-untyped-call]
    for connection in connections:
        await pool.release(connection)
    return store
