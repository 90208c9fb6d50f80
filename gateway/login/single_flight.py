"""Many requests of one browser want the same thing at once: who does it? One of them; the others take its outcome.

An effect that is due, or a password that several tabs send. This is no lock but thrift, within a process: five tabs, or
five hundred, ask Keycloak once, and what two replicas do all the same must do no harm. The flight belongs to nobody's
request: a browser that goes away does not leave a registration half written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """What is under way in this process."""

    def __init__(self) -> None:
        self._single_flight: dict[tuple[str, ...], asyncio.Future[T]] = {}

    async def join(self, name: tuple[str, ...], begin: Callable[[], Awaitable[T]]) -> T:
        """The outcome of the flight `name`, begun by `begin` unless it is under way; raises what it raises."""
        flight = self._single_flight.get(name)
        if flight is None:
            flight = self._single_flight[name] = asyncio.ensure_future(begin())
            flight.add_done_callback(lambda done: self._landed(name, done))
        return await asyncio.shield(flight)

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._single_flight)

    def _landed(self, name: tuple[str, ...], flight: asyncio.Future[T]) -> None:
        del self._single_flight[name]
        if not flight.cancelled():
            flight.exception()  # seen, also when nobody waits for it any more
