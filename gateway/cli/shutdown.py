"""Ends the process: gracefully on the first signal, at once on the second, and always within the promised time.

The second signal and the time limit end the process with `os._exit`. It waits for nothing: neither for a task that does
not end, nor for a thread that waits for a name server.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable

import structlog

SIGNALS = (signal.SIGTERM, signal.SIGINT)
OVERDUE = 1
"""Exit code if the process did not end in time."""
NOTICE, NOTICE_SHARE = 2.0, 1 / 4
"""Seconds between "not ready" and closing the port, and the largest share of the timeout that they may take."""
CLOSING_SHARE = 1 / 5
"""The share of the timeout that is reserved for closing the store and other connections after the last request."""

log = structlog.get_logger("serve")


class Shutdown:
    """Controls the end of one process. The first signal sets `asked`; other code may set it too.

    :param timeout: returns the seconds from the first signal to the end of the process; called once, at that signal.
    :param leave: ends the process with an exit code and does not return.
    """

    def __init__(self, timeout: Callable[[], float], *, leave: Callable[[int], object] = os._exit) -> None:
        self.asked = asyncio.Event()
        self._timeout = timeout
        self._leave = leave
        self._signals = 0
        self._begun: float | None = None
        self._seconds = 0.0

    def follow_signals(self) -> None:
        """Handles SIGTERM and SIGINT of this process in the running loop."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.signalled, number)

    def signalled(self, number: signal.Signals) -> None:
        """Handles one signal; the second one ends the process with 128 + `number`, as a shell reports it."""
        self._signals += 1
        if self._signals > 1:
            log.warning("shutdown_forced", signal=number.name)
            self._leave(128 + number)
        else:
            self.begin()

    def begin(self) -> None:
        """Sets `asked`; the first call starts the timeout."""
        self.asked.set()
        if self._begun is not None:
            return
        self._begun = asyncio.get_running_loop().time()
        self._seconds = self._timeout()
        overdue = threading.Timer(self._seconds, self._overdue)
        overdue.daemon = True  # the timer must not keep the process running
        overdue.start()

    @property
    def notice(self) -> float:
        """Seconds for load balancers to notice that this process is no longer ready."""
        return min(NOTICE, self._seconds * NOTICE_SHARE)

    @property
    def for_requests(self) -> float:
        """Seconds that are left for running requests."""
        if self._begun is None:
            return 0.0
        return max(0.0, self._begun + self._seconds * (1 - CLOSING_SHARE) - asyncio.get_running_loop().time())

    def _overdue(self) -> None:
        """Runs in a separate thread, because the event loop itself may be blocked."""
        log.error("shutdown_overdue", shutdown_timeout=self._seconds)
        self._leave(OVERDUE)
