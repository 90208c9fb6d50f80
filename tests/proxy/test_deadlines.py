"""Tests of the one timer of all exchanges."""

import asyncio
from dataclasses import dataclass, field

from gateway.proxy.deadlines import Deadlines


@dataclass(eq=False)
class Exchange:
    """Has the interface of an exchange with a deadline."""

    deadline: float
    expired: asyncio.Event = field(default_factory=asyncio.Event)

    def expire(self, now: float) -> None:
        """Notes that the deadline has passed, and has no further one."""
        self.deadline = float("inf")
        self.expired.set()


async def test_a_deadline_that_moved_later_is_still_met_in_time() -> None:
    now = asyncio.get_running_loop().time()
    deadlines, exchange = Deadlines(), Exchange(now + 0.01)
    deadlines.add(exchange)
    exchange.deadline = now + 0.05
    async with asyncio.timeout(0.8):
        await exchange.expired.wait()
    assert asyncio.get_running_loop().time() >= now + 0.05
    deadlines.remove(exchange)
