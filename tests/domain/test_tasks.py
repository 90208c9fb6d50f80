"""Tests of how tasks end."""

import asyncio
import gc
from contextlib import suppress

import pytest

from gateway.domain import tasks
from gateway.domain.tasks import BackgroundTasks, CancellationKept, end


async def ignoring_cancellations(times: int) -> None:
    """Ignores that number of cancellations."""
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def begun(work: "asyncio._CoroutineLike[None]") -> "asyncio.Task[None]":
    """Returns `work` as a task that already waits."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


async def test_a_task_that_ignores_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN", 0.01)
    task = await begun(ignoring_cancellations(3))
    await end(task)
    assert task.cancelled()


async def test_an_exception_of_the_ending_task_is_raised() -> None:
    async def fail() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await end(await begun(fail()))


async def test_a_cancellation_of_the_waiting_task_is_passed_on() -> None:
    task = await begun(ignoring_cancellations(1))
    waiting = await begun(end(task))
    waiting.cancel()
    await asyncio.wait([waiting])
    await end(task)
    assert waiting.cancelled()


async def test_a_cancellation_swallowed_in_a_block_is_raised_at_its_end() -> None:
    async def lose() -> None:
        with CancellationKept(), suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = await begun(lose())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_cancellation_handled_before_the_block_is_not_raised_again() -> None:
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


async def test_a_timeout_inside_the_block_is_no_cancellation() -> None:
    with CancellationKept(), suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()


async def turn() -> None:
    """Lets the event loop run all other tasks once."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_soon(passed.set)
    await passed.wait()


async def test_background_tasks_that_end_in_time_are_awaited() -> None:
    background, gone = BackgroundTasks(), []

    async def work() -> None:
        await turn()
        gone.append("first")
        background.start(later(), "begun while the others are waited for")

    async def later() -> None:
        await turn()
        gone.append("second")

    background.start(work(), "work")
    await background.close(30)
    assert (gone, len(background)) == (["first", "second"], 0)


async def test_background_tasks_that_do_not_end_are_cancelled_and_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN", 0.01)
    background = BackgroundTasks()
    left = [background.start(ignoring_cancellations(times), "deaf") for times in (0, 3)]
    await background.close(0.01)
    assert all(task.cancelled() for task in left)
    assert len(background) == 0


async def test_background_tasks_end_even_when_the_waiting_task_is_cancelled() -> None:
    background = BackgroundTasks()
    left = background.start(ignoring_cancellations(0), "deaf")
    closing = await begun(background.close(30))
    closing.cancel()
    await asyncio.wait([closing])
    assert (closing.cancelled(), left.cancelled()) == (True, True)


async def test_an_error_of_a_background_task_is_logged_with_the_tasks_name() -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))

    async def fail() -> None:
        raise ZeroDivisionError

    background = BackgroundTasks()
    background.start(fail(), "what fails")
    await background.close(30)
    gc.collect()
    [context] = reported
    assert "what fails" in repr(context["future"])
    assert isinstance(context["exception"], ZeroDivisionError)
