"""The one test that looks at CPU time: a gross regression of the gateway beside nginx. No other test times anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.missing import missing

MOST = 40.0
"""About twice the ratio that `make bench` measures."""


@pytest.mark.slow
def test_a_request_uses_no_gross_multiple_of_the_cpu_of_nginx() -> None:
    for program in ("nginx", "wrk", "setpriv", "taskset"):
        if not (shutil.which(program) or shutil.which(program, path="/usr/sbin")):
            missing(program, "install it (Debian: nginx-light wrk util-linux)")
    words = f"--work 2k --connections 32 --rounds 3 --seconds 1 --designs nginx,gateway --most {MOST:g}"
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare", *words.split()],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
