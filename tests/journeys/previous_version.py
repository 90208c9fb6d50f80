"""The previous version of the gateway, taken from the repository's history, and either version as a real process.

Both versions run on the packages of this virtual environment, so a test with them shows no upgrade of a package.
"""

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures import process
from tests.fixtures.missing import missing
from tests.fixtures.run import Run

PREVIOUS = "ccd24b7761a32a6ab7123355201c67764ffa2ed9"
"""The commit that an upgrade starts from. At each release, set it to the commit of the release before."""
ROOT = Path(__file__).resolve().parents[2]
SAFE_PATH = "-P"
"""The interpreter's option that keeps the working directory, which is this tree, out of the import path."""


@dataclass(frozen=True)
class Version:
    """One version of the program, run from the files of `tree`."""

    tree: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes: `tree` comes before the installed package, and byte code is written."""
        elsewhere = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
        inherited = {name: value for name, value in os.environ.items() if name not in elsewhere}
        return {**inherited, "PYTHONPATH": str(self.tree)}

    def command(self, *words: str, config: Path) -> list[str]:
        """The command line of `efcx-gateway`."""
        return [sys.executable, SAFE_PATH, "-m", "gateway", *words, "--config", str(config)]

    async def run(self, *words: str, config: Path) -> str:
        """Runs a command to its end and returns its output."""
        return await self._output(self.command(*words, config=config))

    async def package(self) -> Path:
        """Returns the folder that `import gateway` finds under the same options and variables."""
        probe = "import gateway, pathlib; print(pathlib.Path(gateway.__file__).parent.resolve())"
        return Path((await self._output([sys.executable, SAFE_PATH, "-c", probe])).strip())

    @asynccontextmanager
    async def serving(self, config: Path, log: Path) -> AsyncIterator[None]:
        """Runs `serve` in a separate process, from the line that names its ports until SIGTERM has ended it."""
        command = self.command("serve", config=config)
        keeper = process.start(command, log, owner=Run.current().owner, env=self.environment)
        try:
            # In a thread, because the loop serves the mail server and the app at the same time.
            await asyncio.to_thread(
                process.wait_ready,
                lambda: "efcx-gateway listens on" in log.read_text(),
                keeper,
                log,
                seconds=60,
                tell=lambda _gone: None,
            )
            yield
        finally:
            await asyncio.to_thread(process.stop, keeper)

    async def _output(self, command: list[str]) -> str:
        started = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, said = await started.communicate()
        assert started.returncode == 0, said.decode()
        return out.decode()


THIS = Version(ROOT)


def without_hooks_variables() -> dict[str, str]:
    """The environment without git's variables: in a git hook they name the hook's repository, whatever `-C` says."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def take(to: Path, *, commit: str = PREVIOUS, repository: Path = ROOT) -> Version:
    """Extracts `commit` to `to`; the repository stays as it is.

    Without git, without a repository, and in a shallow clone without `commit` the test is skipped. A whole history
    without `commit` means that PREVIOUS is wrong: the test is skipped, and with `CI=true` it fails.
    """
    git = shutil.which("git")
    if not git:
        pytest.skip("UPGRADE NOT TESTED: no git here; install it (Debian: git)")

    def ask(*words: str) -> subprocess.CompletedProcess[bytes]:
        command = [git, "-C", str(repository), *words]
        return subprocess.run(command, capture_output=True, check=False, env=without_hooks_variables())

    shallow = ask("rev-parse", "--is-shallow-repository")
    if shallow.returncode:
        pytest.skip(f"UPGRADE NOT TESTED: git reads no history here: {shallow.stderr.decode().strip()}")
    if ask("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        if shallow.stdout.strip() == b"true":
            pytest.skip(f"UPGRADE NOT TESTED: this clone is shallow, without {commit}; git fetch --unshallow gets it")
        missing(
            f"commit {commit}", "UPGRADE NOT TESTED; name the previous version in tests/journeys/previous_version.py"
        )
    archive = ask("archive", "--format=tar", commit)
    assert archive.returncode == 0, archive.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(to, filter="data")
    return Version(to.resolve())
