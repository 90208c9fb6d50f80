"""What if the store does not answer when a user signs out?

His browser is cleaned all the same, and he walks away. So this replica knows his session no more, and tries to end it
everywhere until the store has taken that. Nothing but this process remembers: when it ends first, the session goes on
to its idle limit, with nobody left who has its cookie.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.domain import errors
from gateway.sessions.session_key import SessionKey

FIRST_PAUSE, LAST_PAUSE = 0.2, 30.0
"""Seconds between two tries: at first, and at most."""


class PendingSignOuts:
    """The sessions whose end the store has not taken yet."""

    def __init__(self) -> None:
        self._tasks: dict[SessionKey, asyncio.Task[None]] = {}

    def __contains__(self, place: SessionKey) -> bool:
        """Whether somebody signed out of the session at `place`."""
        return place in self._tasks

    def begin(self, place: SessionKey, end: Callable[[], Awaitable[object]], longest: float) -> None:
        """Try `end` until the store answers; after `longest` seconds the session is over anyway."""
        task = asyncio.create_task(self._until_ended(end, longest))
        self._tasks[place] = task
        task.add_done_callback(lambda _: self._tasks.pop(place, None))

    async def _until_ended(self, end: Callable[[], Awaitable[object]], longest: float) -> None:
        pause = FIRST_PAUSE
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                while True:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_PAUSE)
                    with suppress(errors.Unreachable):
                        await end()
                        return
