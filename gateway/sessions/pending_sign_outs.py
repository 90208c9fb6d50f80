"""Completes sign-outs for which the store did not respond.

The gateway clears the browser's cookies in any case. This replica rejects the session at once, and retries until the
store confirms the deletion. Only this process remembers the sign-out: if the process ends first, the session stays in
the store until its idle limit, although no browser has its cookie any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.domain import errors
from gateway.sessions.session_key import SessionKey

FIRST_PAUSE, LAST_PAUSE = 0.2, 30.0
"""Seconds between two attempts: at first, and at most."""


class PendingSignOuts:
    """The sessions whose end the store has not confirmed yet."""

    def __init__(self) -> None:
        self._tasks: dict[SessionKey, asyncio.Task[None]] = {}

    def __contains__(self, place: SessionKey) -> bool:
        """Whether the session at `place` was signed out here and is not yet removed from the store."""
        return place in self._tasks

    def begin(self, place: SessionKey, end: Callable[[], Awaitable[object]], longest: float) -> None:
        """Retry `end` until the store responds; after `longest` seconds the session has expired anyway."""
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
