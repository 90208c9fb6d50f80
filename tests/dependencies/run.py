"""What belongs to one test run, however many processes it has? A folder, an owner, and what was started once.

With xdist the owner is the controlling process, which outlives every worker; it ends what the workers started.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dependencies import process

_FOLDER, _OWNER = "EFCX_GATEWAY_TEST_FOLDER", "EFCX_GATEWAY_TEST_OWNER"


@dataclass(frozen=True)
class Run:
    """One test run: ``folder`` is shared by its processes and removed at its end."""

    folder: Path
    owner: int

    @classmethod
    def begin(cls) -> "Run":
        """In the owning process, before workers start: they find the run by the environment."""
        run = cls(Path(tempfile.mkdtemp(prefix="efcx-gateway-run-")), os.getpid())
        os.environ[_FOLDER], os.environ[_OWNER] = str(run.folder), str(run.owner)
        return run

    @classmethod
    def current(cls) -> "Run":
        """The run this process belongs to."""
        return cls(Path(os.environ[_FOLDER]), int(os.environ[_OWNER]))

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``make`` gave to the first process of the run that asked; an entry ``keeper`` is stopped at the end."""
        record = self.folder / f"{name}.json"
        with locked(self.folder / f"{name}.lock"):
            if not record.exists():
                text = json.dumps(make())
                record.touch(mode=0o600)
                record.write_text(text)
            found: dict[str, Any] = json.loads(record.read_text())
            return found

    def end(self) -> None:
        """In the owning process: stop what was started, remove the folder."""
        for record in self.folder.glob("*.json"):
            keeper = json.loads(record.read_text()).get("keeper")
            if keeper:
                process.stop(int(keeper))
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time; the kernel gives the lock back however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
