"""Ends a session whose user signed out while the store did not answer, as soon as the store answers.

The gateway cleans the user's browser at once. This replica rejects the session from then on, and tries to end it
everywhere until the store has taken that. Only this process knows of it: when the process ends first, the session
lives to its idle limit, and no browser has its cookie.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.domain import errors
from gateway.domain.tasks import BackgroundTasks
from gateway.sessions.session_key import SessionKey

FIRST_PAUSE, LAST_PAUSE = 0.2, 30.0
"""Seconds between two attempts: at first, and at most."""


class PendingSignOuts:
    """The sessions whose end the store has not confirmed yet."""

    def __init__(self, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._places: set[SessionKey] = set()

    def __contains__(self, place: SessionKey) -> bool:
        """Whether the user signed out of the session at `place`."""
        return bool(self._places) and place in self._places

    def begin(self, place: SessionKey, end: Callable[[], Awaitable[object]], longest: float) -> None:
        """Try `end` until the store answers; after `longest` seconds the session is over anyway."""
        self._places.add(place)
        task = self._tasks.start(self._until_ended(end, longest), "sign-out")
        task.add_done_callback(lambda _: self._places.discard(place))

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
