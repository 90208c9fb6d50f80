"""Facts about how a task ends."""

import asyncio
from contextlib import suppress

import pytest

from gateway.domain import tasks
from gateway.domain.tasks import CancellationKept, end


async def deaf(times: int) -> None:
    """Loses so many cancellations."""
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def begun(work: "asyncio._CoroutineLike[None]") -> "asyncio.Task[None]":
    """`work` as a task that waits already."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


async def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN", 0.01)
    task = await begun(deaf(3))
    await end(task)
    assert task.cancelled()


async def test_what_the_task_raises_meanwhile_is_raised() -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await end(await begun(fail()))


async def test_a_cancellation_of_the_task_that_waits_passes() -> None:
    task = await begun(deaf(1))
    waiting = await begun(end(task))
    waiting.cancel()
    await asyncio.wait([waiting])
    await end(task)
    assert waiting.cancelled()


async def test_a_cancellation_that_a_block_lost_is_raised_at_its_end() -> None:
    async def lose() -> None:
        with CancellationKept(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = await begun(lose())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_cancellation_that_was_answered_before_the_block_is_not_raised_again() -> None:
    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with CancellationKept():
                await asyncio.sleep(0)
            raise ZeroDivisionError

    task = await begun(clean_up())
    task.cancel()
    with pytest.raises(ZeroDivisionError):
        await task


async def test_a_time_limit_inside_the_block_is_no_cancellation() -> None:
    with CancellationKept(), suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
