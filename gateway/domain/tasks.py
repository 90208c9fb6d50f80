"""Background tasks, and how they end when they are cancelled although a library may lose the cancellation.

`asyncio.wait_for` of Python 3.11 returns the result, and drops the cancellation, when both happen in one turn of the
loop (https://github.com/python/cpython/issues/86296; 3.12 does not). redis-py waits that way. A task that lost its
cancellation and then waits for the next message never ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
AGAIN = 1.0
"""Seconds until a task that has not ended is cancelled once more."""


class BackgroundTasks:
    """Tasks of one process that no request waits for.

    An error that one of them raises is logged by asyncio with the name of the task.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin `work`, and keep it from the garbage collector until it has ended."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self, timeout: float) -> None:
        """Give what runs `timeout` seconds to end, and cancel the rest. Returns when nothing runs."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while self._running:
                        await asyncio.wait(self._running)
        finally:
            await _cancelled(lambda: self._running)


class SingleFlight(Generic[T]):
    """Joins requests that want the same thing at the same time: one of them does it, the others get its outcome.

    It saves work within a process and is no lock: five tabs, or five hundred, ask Keycloak once, and two replicas that
    do the same do no harm. The work belongs to no request: a browser that closes its connection leaves nothing half
    done.
    """

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, ...], asyncio.Future[T]] = {}

    async def join(self, name: tuple[str, ...], begin: Callable[[], Awaitable[T]]) -> T:
        """Returns the outcome of `begin`, or of the work under way by this `name`; raises what it raises.

        `name` may contain secrets: it is never logged.
        """

        def finished(done: asyncio.Future[T]) -> None:  # a closure: its representation shows no part of the name
            self._under_way.pop(name, None)
            if not done.cancelled():
                done.exception()  # retrieved, also when no request waits for it any more

        work = self._under_way.get(name)
        if work is None:
            work = self._under_way[name] = asyncio.ensure_future(begin())
            work.add_done_callback(finished)
        return await asyncio.shield(work)

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancels `task` until it has ended. Raises what the task raised, but for its cancellation.

    A cancellation of the caller passes, unlike with `suppress(CancelledError)` around `await task`.
    """
    await _cancelled(lambda: () if task.done() else (task,))
    if not task.cancelled():
        task.result()


async def _cancelled(left: Callable[[], Collection["asyncio.Task[Any]"]]) -> None:
    while tasks := tuple(left()):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=AGAIN)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Runs `work` beside the block, and ends it with the block. Raises what `work` raised."""
    task = asyncio.create_task(work)
    try:
        yield task
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
