"""Starts processes on a core of their own, and reads from the operating system what they use."""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))
MEASURED, OTHERS = _CORES[0], _CORES[-1]
"""The core of the design under test, and the core of everything else."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Python keeps its bytecode, as in an installation: else each start compiles everything."""
PATIENCE = 60.0
"""Seconds that a process has to begin, and to end."""


@dataclass(frozen=True)
class Running:
    """Processes that were started, with their children."""

    pids: tuple[int, ...]

    def __add__(self, other: "Running") -> "Running":
        """The processes of both."""
        return Running(self.pids + other.pids)

    @property
    def tree(self) -> list[int]:
        """The ids of the processes and of all processes below them."""
        found = [*self.pids]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found += map(int, task.read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of CPU, user and system, of all threads so far.

        The clock of a process (clock_getcpuclockid in the C library) reads what `/proc/<pid>/stat` rounds to 10 ms.
        """
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.tree)

    def rss(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Most resident bytes since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak begin at the present size."""
        for pid in self.tree:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in self.tree]
        return sum(int(found[1]) * 1024 for text in texts if (found := re.search(rf"^{name}:\s+(\d+) kB", text, re.M)))


def pin() -> None:
    """Keep this process, and all that it starts from now on, off the core of the design under test."""
    os.sched_setaffinity(0, {OTHERS})


@asynccontextmanager
async def started(
    command: Sequence[str], log: Path, ready: Callable[[], bool], *, core: int = OTHERS, poll: float = 0.02
) -> AsyncIterator[Running]:
    """Run `command` on `core` with its output in `log`, from the moment that it is ready; it ends with the context."""
    pinned = ("setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command)
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *pinned, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=ENVIRONMENT
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while not ready():
                if process.returncode is not None:
                    raise RuntimeError(f"{command[0]} ended:\n{log.read_text(errors='replace')[-2000:]}")
                await asyncio.sleep(poll)
        yield Running((process.pid,))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def listens(port: int) -> Callable[[], bool]:
    """Whether a connection to `port` of this machine is accepted."""

    def ready() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    return ready
