"""The folder, owner and started processes of one test run, shared by all its processes.

With xdist the owner is the controlling process, which outlives every worker and ends what the workers started.
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
    """One test run: its processes share `folder`, which is removed at the end."""

    folder: Path
    owner: int

    @classmethod
    def begin(cls) -> "Run":
        """Begins the run in the owning process, before workers start; they find it by an environment variable."""
        run = cls(Path(tempfile.mkdtemp(prefix="efcx-gateway-run-")), os.getpid())
        os.environ[_FOLDER], os.environ[_OWNER] = str(run.folder), str(run.owner)
        return run

    @classmethod
    def current(cls) -> "Run":
        """Returns the run of this process."""
        return cls(Path(os.environ[_FOLDER]), int(os.environ[_OWNER]))

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Returns what `make` gave to the first process of the run; the end of the run stops an entry `keeper`."""
        record = self.folder / f"{name}.json"
        with locked(self.folder / f"{name}.lock"):
            if not record.exists():
                text = json.dumps(make())
                record.touch(mode=0o600)
                record.write_text(text)
            found: dict[str, Any] = json.loads(record.read_text())
            return found

    def end(self) -> None:
        """Stops all started processes and removes the folder; for the owning process."""
        for record in self.folder.glob("*.json"):
            keeper = json.loads(record.read_text()).get("keeper")
            if keeper:
                process.stop(int(keeper))
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one process in at a time; the kernel releases the lock when the process ends in any way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
