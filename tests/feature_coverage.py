"""The tests of each row with their verdicts: `make rows`; with `--strict` a lacking row is a failure."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.feature_coverage_plugin import RESULTS

LIST = Path(__file__).with_name("rows.txt")
_STYLE = {"passed": "green", "failed": "bold red", "skipped": "yellow", "not run": "dim", "no test": "bold red"}


def groups() -> dict[str, list[str]]:
    """Returns the name of each group with its row ids, in the order of `rows.txt`."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in LIST.read_text().splitlines():
        text = line.strip()
        if text.startswith("["):
            name = text.strip("[]")
            found[name] = []
        elif text and not text.startswith("#"):
            found[name] += text.split()
    return found


def verdict(tests: list[str], results: dict[str, Any]) -> str:
    """Returns one word for a row: the worst of its tests, `not run` without a result, `no test` without a test."""
    if not tests:
        return "no test"
    each = {results.get(test, {}).get("verdict", "not run") for test in tests}
    return next(word for word in ("failed", "not run", "skipped", "passed") if word in each)


def collect() -> dict[str, list[str]]:
    """Returns each row id with the tests marked with it, collected from the tree."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests", f"--rows-to={file}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not file.exists():
            sys.exit(done.stdout + done.stderr)
        if done.returncode:
            print(done.stdout[-2000:])
        found: dict[str, list[str]] = json.loads(file.read_text())
        return found


def main(strict: bool) -> int:
    """Prints a table for each group; returns 1 if `strict` and a demanded row is not shown by passed tests."""
    shown = collect()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    console = Console(width=None if sys.stdout.isatty() else 140)
    lacking: list[str] = []
    known: set[str] = set()
    for name, rows in groups().items():
        table = Table("row", "tests", "verdict", title=name, title_justify="left")
        for row in rows:
            known.add(row)
            tests = shown.get(row, [])
            word = verdict(tests, results)
            files = sorted({test.partition("::")[0].removeprefix("tests/") for test in tests})
            table.add_row(row, f"{len(tests)} in {', '.join(files)}" if tests else "–", f"[{_STYLE[word]}]{word}[/]")
            if word != "passed" and not name.endswith("later"):
                lacking.append(f"{row} ({word})")
        console.print(table)
    if others := sorted(set(shown) - known):
        console.print(f"also shown, in no list: {', '.join(others)}")
    console.print(f"demanded and not shown: {', '.join(lacking)}" if lacking else "every demanded row is shown")
    return int(strict and bool(lacking))


if __name__ == "__main__":
    sys.exit(main("--strict" in sys.argv[1:]))
