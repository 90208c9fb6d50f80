"""Tests of `gateway.cli.shutdown`."""

import asyncio
import signal

from gateway.cli.shutdown import Shutdown

OVERDUE = 1  # the exit status

LONG = 3600.0


class ExitRecorder:
    """Records exit codes instead of ending the process."""

    def __init__(self) -> None:
        self.codes: asyncio.Queue[int] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def __call__(self, code: int) -> None:
        self._loop.call_soon_threadsafe(self.codes.put_nowait, code)


async def test_the_first_signal_begins_the_shutdown_and_the_second_exits_at_once() -> None:
    exits = ExitRecorder()
    stopping = Shutdown(lambda: LONG, leave=exits)
    stopping.signalled(signal.SIGTERM)
    assert stopping.asked.is_set()
    stopping.signalled(signal.SIGINT)
    async with asyncio.timeout(10):
        assert await exits.codes.get() == 130


async def test_a_process_that_exceeds_the_shutdown_time_exits() -> None:
    exits = ExitRecorder()
    Shutdown(lambda: 0.01, leave=exits).signalled(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await exits.codes.get() == OVERDUE


async def test_the_shutdown_time_is_counted_from_the_first_signal() -> None:
    timeouts = iter([LONG])
    stopping = Shutdown(lambda: next(timeouts), leave=ExitRecorder())
    stopping.begin()
    stopping.signalled(signal.SIGTERM)
    assert 0 < stopping.notice + stopping.for_requests < LONG


async def test_a_shutdown_begun_without_a_signal_does_not_count_as_the_first_signal() -> None:
    exits = ExitRecorder()
    stopping = Shutdown(lambda: LONG, leave=exits)
    stopping.begin()
    stopping.signalled(signal.SIGTERM)
    await asyncio.sleep(0)
    assert exits.codes.empty()
