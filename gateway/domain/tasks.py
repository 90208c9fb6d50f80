"""How a task ends when it is cancelled, although a library may lose the cancellation.

`asyncio.wait_for` of Python 3.11 returns the result, and drops the cancellation, when both happen in one turn of the
loop (https://github.com/python/cpython/issues/86296; 3.12 does not). redis-py waits that way. A task that lost its
cancellation and then waits for the next message waits for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

AGAIN = 1.0
"""Seconds until a task that has not ended is cancelled once more."""


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancels `task` until it has ended. Raises what the task raised, but for its cancellation.

    A cancellation of the caller passes, unlike with `suppress(CancelledError)` around `await task`.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=AGAIN)
    if not task.cancelled():
        task.result()


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` beside the block, and ends it with the block. Raises what `work` raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end(task)


class CancellationKept:
    """A block at whose end a cancellation that came inside it is raised, whatever the block made of it.

    Only for blocks that run in a task. A result or an error of the block gives way to the cancellation.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _cancellations()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (error is None or isinstance(error, Exception)) and _cancellations() > self._before:
            raise asyncio.CancelledError from error


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
