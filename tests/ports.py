"""Free ports for tests: below the range that the kernel hands out, and given to one test process only.

Several test processes run in parallel (xdist workers, a second run in another terminal). Each reservation is a file
lock, which the kernel releases when the process ends in any way.
"""

import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path
from typing import TextIO

FIRST, LAST = 20_000, 32_000
_KEPT = 200  # reservations of this process; the oldest is released for the next one, so that few files stay open
_promised: deque[TextIO] = deque()


def free_port() -> int:
    """Returns a TCP port on 127.0.0.1 that no server uses and no other test process was given."""
    folder = Path(tempfile.gettempdir()) / f"efcx-gateway-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    rng = random.SystemRandom()
    for _ in range(500):
        port = rng.randrange(FIRST, LAST)
        promise = (folder / str(port)).open("w")
        try:
            fcntl.flock(promise, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            promise.close()
            continue
        if not _is_free(port):
            promise.close()
            continue
        _promised.append(promise)
        if len(_promised) > _KEPT:
            _promised.popleft().close()
        return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
