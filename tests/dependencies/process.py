"""Starts the process of a dependency so that it never outlives the test run.

A small keeper process (this file, run as a script) is the parent of the server. It starts the server, and ends it on
request or when the process that owns the run has ended, even by SIGKILL.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0  # seconds for a server to stop; Keycloak may write its class archive then


class Stopped(RuntimeError):
    """The process ended, or was not ready in time; the text holds the end of its log."""


def start(command: Sequence[str], log: Path, *, owner: int, env: Mapping[str, str] | None = None) -> int:
    """Starts `command` under a keeper, with its output in `log`.

    :param owner: process id of the run; when that process has ended, the keeper ends the server.
    :returns: the keeper's process id, for :func:`stop`.
    """
    with log.open("ab") as out:
        keeper = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(owner), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(os.environ if env is None else env),
        )
    # Another process than the one that started it may stop it, so the Popen object is not kept.
    keeper.returncode = 0
    return keeper.pid


def stop(keeper: int) -> None:
    """Ends the server of this keeper, and waits for both."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(keeper, signal.SIGTERM)
        _wait_gone(keeper, PATIENCE + 5)


def alive(pid: int) -> bool:
    """Returns whether this process runs (a zombie does not)."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_ready(
    ready: Callable[[], bool], keeper: int, log: Path, *, seconds: float, tell: Callable[[float], None]
) -> None:
    """Calls `ready` until it returns true.

    :param tell: called about every five seconds with the elapsed seconds, for a line of progress.
    :raises Stopped: the process ended or the time is up.
    """
    begun = reported = time.monotonic()
    while not ready():
        now = time.monotonic()
        if not alive(keeper):
            raise Stopped(f"ended before it was ready\n{tail(log)}")
        if now - begun > seconds:
            stop(keeper)
            raise Stopped(f"not ready after {seconds:.0f} s\n{tail(log)}")
        if now - reported > 5:
            reported = now
            tell(now - begun)
        select.select([], [], [], 0.1)


def tail(log: Path, lines: int = 25) -> str:
    """Returns the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


def _wait_gone(pid: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        select.select([], [], [], 0.05)


# ------------------------------------------------------------------ the keeper itself


def _keep(owner: int, command: Sequence[str]) -> int:
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, which then stops this keeper
    child = subprocess.Popen(command)
    with contextlib.suppress(KeyboardInterrupt):
        for _ in _moments():
            if child.poll() is not None:
                return child.returncode
            if asked or not alive(owner):
                break
    child.terminate()
    try:
        return child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _moments() -> Iterator[None]:
    while True:
        yield
        select.select([], [], [], 0.1)


if __name__ == "__main__":
    sys.exit(_keep(int(sys.argv[1]), sys.argv[2:]))
