"""Checks the lock files: names, versions and hashes only. Prints a line for each fault.

Standard library only: it runs before anything is installed, too.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lock_faults(name: str) -> list[str]:
    """A lock names packages only: no address, and a hash for each."""
    text = (ROOT / name).read_text()
    faults = [f"{name}:{n}: an address" for n, line in enumerate(text.splitlines(), 1) if "://" in line]
    logical = re.sub(r"\\\n", " ", text)
    for line in logical.splitlines():
        if re.match(r"[A-Za-z0-9]", line) and "--hash=sha256:" not in line:
            faults.append(f"{name}: no hash for {line.split()[0]}")
        if line.startswith("-"):
            faults.append(f"{name}: an option: {line.split()[0]}")
    return faults


def main() -> int:
    locks = ("requirements.lock", "requirements.runtime.lock", "requirements.build.lock")
    faults = [fault for lock in locks for fault in lock_faults(lock)]
    for fault in faults:
        print(fault)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
