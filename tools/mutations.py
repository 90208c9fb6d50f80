"""Changes the gateway at random places and reports the changes that no test notices.

    python -m tools.mutations --count 200 --seed 1

The tool works in a copy of the tree. For each mutation it runs the tests that run the changed line, the quickest first,
and stops at the first failure. It takes the lines and seconds of each test from `make coverage`. A mutation that no
test notices within `--limit` seconds of tests survives. `build/mutations.json` holds the results; `--again` tries the
survivors of that file once more. The tests that noticed something run on the unchanged copy at the end: a test that
fails there proves nothing.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import coverage
import pytest

from tools.executed_lines import SECONDS
from tools.mutants import Mutation, draw

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "build" / "coverage"
RESULTS = ROOT / "build" / "mutations.json"
DECIDE = ("keycloak", "login", "proxy", "second_factor", "sessions", "web")
"""The packages whose code decides something."""
LEFT_OUT = (".git", ".venv*", "build", "dist", ".*_cache", ".hypothesis", "__pycache__")
MEMORY = 8 * 2**30
"""The address space of a run in bytes: a mutation may fill the memory."""
PRELOADED = ("aiohttp", "authlib.jose", "cryptography.x509", "keycloak", "pydantic", "redis.asyncio", "structlog")
"""Imported once, before the forks."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one mutation; `by` is the test that noticed it."""

    file: str
    line: int
    kind: str
    diff: str
    verdict: str
    by: str = ""
    tests: int = 0


class Lines:
    """The tests that run each line, and their seconds."""

    def __init__(self, data: Path, seconds: Mapping[str, float]) -> None:
        self._data = coverage.CoverageData(str(data))
        self._data.read()
        self._seconds = seconds

    @cached_property
    def _files(self) -> dict[str, str]:
        """The measured files by their path in the tree."""
        return {file[file.rindex("/gateway/") + 1 :]: file for file in self._data.measured_files()}

    def tests(self, file: str, lines: Collection[int]) -> list[str]:
        """Returns the tests that run one of the lines, or any line of the file if none is named.

        Tests in the folder of the package come before others, and the first case of a test before its second. Among
        those the quickest is first.
        """
        contexts = self._data.contexts_by_lineno(self._files.get(file, file))
        own = "tests" + file.removeprefix("gateway").rpartition("/")[0]
        found = {test for line in (lines or contexts) for test in contexts.get(line, ()) if test}
        if not found and not lines:
            found = {test for test in self._seconds if test.startswith(own)}
        turns: defaultdict[str, int] = defaultdict(int)
        ranked = []
        for test in sorted(found, key=lambda one: (self._seconds.get(one, 1.0), one)):
            name = test.partition("[")[0]
            ranked.append((not test.startswith(own), turns[name], self._seconds.get(test, 1.0), test))
            turns[name] += 1
        return [test for *_, test in sorted(ranked)]

    def within(self, tests: Sequence[str], limit: float) -> list[str]:
        """Returns the first of the tests, as many as take `limit` seconds together."""
        left, taken = limit, []
        for test in tests:
            left -= self._seconds.get(test, 1.0)
            if left < 0:
                break
            taken.append(test)
        return taken


class _Chosen:
    """A pytest plugin: runs the chosen tests in their order, and keeps the tests that fail."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid]
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def _pytest(tree: Path, tests: Sequence[str], report: Path, *options: str) -> None:
    """Runs tests of `tree` in this process, which is a fork, and never returns."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    log = os.open(report.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    chosen = _Chosen(tests)
    files = sorted({test.partition("::")[0] for test in tests})
    code: int = 70
    with suppress(BaseException):
        code = int(pytest.main([*files, "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *options], plugins=[chosen]))
    report.write_text(json.dumps({"code": code, "failed": chosen.failed}))
    os._exit(0)


def run(tree: Path, tests: Sequence[str], seconds: float, *options: str) -> dict[str, Any]:
    """Runs tests in a fork and returns pytest's exit code and the failed tests; the code is None after `seconds`."""
    report = tree.parent / "report.json"
    report.unlink(missing_ok=True)
    if not (child := os.fork()):
        _pytest(tree, tests, report, *options)
    for end, then in ((seconds, signal.SIGINT), (20.0, signal.SIGKILL), (20.0, None)):
        until = time.monotonic() + end
        while time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG)[0]:
                in_time = then is signal.SIGINT and report.exists()
                return dict(json.loads(report.read_text())) if in_time else {"code": None, "failed": []}
            time.sleep(0.05)
        if then is not None:
            with suppress(ProcessLookupError):
                os.killpg(child, then)
    raise RuntimeError(f"process {child} does not end")


@contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """Changes a file while the block runs; the time of the original stays, for its compiled form."""
    before, times = file.read_text(), file.stat()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def judge(tree: Path, file: str, mutation: Mutation, lines: Lines, options: argparse.Namespace) -> Result:
    """Runs the tests against one mutation."""
    source = (tree / file).read_text()
    every = lines.tests(file, mutation.lines)
    tests = options.tests or lines.within(every, options.limit)
    found: dict[str, Any] = {"code": 0, "failed": []}
    if tests:
        with changed(tree / file, mutation.apply(source)):
            found = run(tree, tests, 30 + 5 * options.limit, "-x", "--timeout", "60")
    verdict = "survived" if found["code"] == 0 else "out of time" if found["code"] is None else "killed"
    by = (found["failed"] or ("",))[0]
    return Result(file, mutation.line, mutation.kind, mutation.diff(source, file), verdict, by, len(every))


def copy(folder: Path) -> Path:
    """Copies the tree into a folder."""
    return Path(shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT)))


def unproved(tree: Path, results: Sequence[Result]) -> set[str]:
    """Returns the tests that noticed a mutation and fail without one, too."""
    tests = sorted({result.by for result in results if result.by})
    return set(run(tree, tests, 1800.0)["failed"]) if tests else set()


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="number of mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--packages", nargs="+", choices=DECIDE, default=DECIDE, help="packages to change")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first mutations of the draw")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of tests for one mutation")
    parser.add_argument("--again", action="store_true", help="try the survivors of the last run once more")
    parser.add_argument("--tests", nargs="+", help="run these files instead of the tests that run the line")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the mutations; the status is 1 if one survived."""
    options = parsed(arguments)
    for name in PRELOADED:
        import_module(name)
    lines = Lines(DATA, json.loads((ROOT / SECONDS).read_text()))
    sources = {
        str(path.relative_to(ROOT)): path.read_text()
        for package in options.packages
        for path in (ROOT / "gateway" / package).rglob("*.py")
    }
    drawn = draw(sources, options.count, options.seed)[options.skip :]
    known = [Result(**one) for one in json.loads(RESULTS.read_text())] if options.again else []
    if options.again:
        survived = {result.diff for result in known if result.verdict == "survived"}
        drawn = [(file, one) for file, one in drawn if one.diff(sources[file], file) in survived]
        known = [result for result in known if result.verdict != "survived"]
    print(f"{len(drawn)} mutations, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = copy(Path(folder))
        for number, (file, mutation) in enumerate(drawn, 1):
            begun = time.monotonic()
            result = judge(tree, file, mutation, lines, options)
            known.append(result)
            RESULTS.write_text(json.dumps([_fields(one) for one in known], indent=1))
            took = f"{result.verdict:<11} {time.monotonic() - begun:>4.0f} s"
            print(f"{number:>4} {took} {file}:{result.line} {result.kind}  {result.by}", flush=True)
        wrong = unproved(tree, known)
    return _report(known, wrong)


def _fields(result: Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in Result.__slots__}


def _report(results: Sequence[Result], wrong: Collection[str]) -> int:
    survivors = [one for one in results if one.verdict == "survived" or one.by in wrong]
    for one in survivors:
        about = f"{one.tests} tests run the line" if one.tests else "no test runs the line"
        print(f"\n{one.file} {one.kind}: {about}\n{one.diff}")
    for test in sorted(wrong):
        print(f"\nfails without a mutation, too: {test}")
    share = 100 * (1 - len(survivors) / max(len(results), 1))
    print(f"\n{len(results)} mutations, {len(survivors)} survived, {share:.1f} % killed")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
