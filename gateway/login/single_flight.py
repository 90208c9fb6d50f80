"""Joins requests that want the same thing at the same time: one of them does it, the others get its outcome.

It saves work within a process and is no lock: five tabs, or five hundred, ask Keycloak once, and two replicas that do
the same do no harm. The work belongs to no request: a browser that closes its connection leaves nothing half done.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """The work under way in this process."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, ...], asyncio.Future[T]] = {}

    async def join(self, name: tuple[str, ...], begin: Callable[[], Awaitable[T]]) -> T:
        """Returns the outcome of `begin`, or of the work under way by this `name`; raises what it raises."""
        work = self._under_way.get(name)
        if work is None:
            work = self._under_way[name] = asyncio.ensure_future(begin())
            work.add_done_callback(lambda done: self._finished(name, done))
        return await asyncio.shield(work)

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def _finished(self, name: tuple[str, ...], work: asyncio.Future[T]) -> None:
        del self._under_way[name]
        if not work.cancelled():
            work.exception()  # retrieved, also when no request waits for it any more
