"""Changes the gateway at random places and reports the changes that no test notices.

    python -m tools.mutations --count 200 --seed 1

The tool works in a copy of the tree. For each mutation it runs the tests that run the changed line, the quickest first,
and stops at the first failure. It takes the lines and seconds of each test from `make coverage`. A mutation survives if
neither the tests of `--limit` seconds nor mypy notice it. `build/mutations.json` holds the results; `--again` tries the
survivors of that file once more. The tests that noticed something run on the unchanged copy at the end: a test that
fails there proves nothing.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NoReturn

import coverage
import pytest
from _pytest.main import pytest_runtestloop

from tools.executed_lines import SECONDS
from tools.mutants import Mutation, draw

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "build" / "coverage"
RESULTS = ROOT / "build" / "mutations.json"
DECIDE = ("keycloak", "login", "proxy", "second_factor", "sessions", "web")
"""The packages whose code decides something."""
LEFT_OUT = (".git", ".venv*", "build", "dist", ".*_cache", ".hypothesis", "__pycache__")
Drawn = Sequence[tuple[str, Mutation]]
MEMORY = 8 * 2**30
"""The address space of a run in bytes: a mutation may fill the memory."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run of tests: pytest's exit code, None if it was out of time, and the tests that failed."""

    code: int | None
    failed: Sequence[str] = ()


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

    def __init__(self, data: Path, seconds: Mapping[str, float], files: Collection[str]) -> None:
        read = coverage.CoverageData(str(data))
        read.read()
        # All at once: in a fork this object would write an empty file over the data.
        self._contexts = {file: read.contexts_by_lineno(file) for file in files}
        self._seconds = seconds

    def tests(self, file: str, lines: Collection[int]) -> list[str]:
        """Returns the tests that run one of the lines, or any line of the file if none is named.

        Tests in the folder of the package come before others, and the first case of a test before its second. Among
        those the quickest is first.
        """
        contexts = self._contexts[file]
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


class Functions:
    """The functions of the gateway in this process, whose code a fork can replace."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._live: defaultdict[tuple[str, str], list[FunctionType]] = defaultdict(list)
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                self._live[one.__code__.co_filename, one.__code__.co_qualname].append(one)

    def replace(self, file: str, mutation: Mutation) -> bool:
        """Replaces the code of the changed functions; False if there is none, or one that does not fit."""
        path = str(self._tree / file)
        source = Path(path).read_text()
        before, after = (list(_codes(compile(text, path, "exec"))) for text in (source, mutation.apply(source)))
        found = False
        for old, new in zip(before, after, strict=False):
            if old.co_qualname != new.co_qualname:
                return False
            for one in self._live[path, old.co_qualname] if old != new else ():
                if one.__code__.co_firstlineno == old.co_firstlineno:
                    if one.__code__.co_freevars != new.co_freevars:
                        return False
                    one.__code__ = new
                    found = True
        return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Returns the code of all functions and classes in a module."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


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


class _Forks:
    """A pytest plugin: collects all tests once, and forks for each mutation inside of a function.

    The fork gets the changed code in memory, so it imports and collects nothing.
    """

    def __init__(self, work: Callable[["_Forks"], None], tree: Path) -> None:
        self._work, self._tree = work, tree

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        self._session = session
        self._functions = Functions(self._tree)
        gc.freeze()
        self._work(self)
        return True

    def run(self, file: str, mutation: Mutation, tests: Sequence[str], seconds: float) -> Outcome:
        """Runs tests with the mutation; the code is 75 if no function's code can be replaced."""

        def inside() -> tuple[int, list[str]]:
            if not self._functions.replace(file, mutation):
                return 75, []
            chosen = _Chosen(tests)
            session = self._session
            session.config.pluginmanager.register(chosen)
            session.config.option.maxfail = 1
            session.items = [self._items[test] for test in tests if test in self._items]
            with suppress(session.Failed, session.Interrupted):
                pytest_runtestloop(session)
            return int(session.testsfailed > 0), chosen.failed

        return forked(self._tree, inside, seconds)


def forked(tree: Path, inside: Callable[[], tuple[int, list[str]]], seconds: float) -> Outcome:
    """Runs a function in a fork, for so many seconds, in the folder `tree` and with its output in a file beside."""
    report = tree.parent / "report.json"
    report.unlink(missing_ok=True)
    if not (child := os.fork()):
        _fork(tree, inside, report)
    for end, then in ((seconds, signal.SIGINT), (20.0, signal.SIGKILL), (20.0, None)):
        until = time.monotonic() + end
        while time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG)[0]:
                if then is not signal.SIGINT or not report.exists():
                    return Outcome(None)
                return Outcome(**json.loads(report.read_text()))
            time.sleep(0.02)
        if then is not None:
            with suppress(ProcessLookupError):
                os.killpg(child, then)
    raise RuntimeError(f"process {child} does not end")


def _fork(tree: Path, inside: Callable[[], tuple[int, list[str]]], report: Path) -> NoReturn:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(tree)
    log = os.open(report.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code, failed = 70, [""]
    with suppress(BaseException):
        code, failed = inside()
    report.write_text(json.dumps({"code": code, "failed": failed}))
    os._exit(0)


def run(tree: Path, tests: Sequence[str], seconds: float, *options: str) -> Outcome:
    """Runs tests in a fork that imports the tree anew."""

    def inside() -> tuple[int, list[str]]:
        chosen = _Chosen(tests)
        return pytest_in(tree, {test.partition("::")[0] for test in tests}, chosen, *options), chosen.failed

    return forked(tree, inside, seconds)


def pytest_in(tree: Path, files: Collection[str], plugin: object, *options: str) -> int:
    """Runs pytest on files of `tree`."""
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    plain = ("-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--timeout", "60")
    return int(pytest.main([*sorted(files), *plain, *options], plugins=[plugin]))


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


def verdict_of(outcome: Outcome) -> str:
    """Names the outcome of the tests of a mutation."""
    return "survived" if outcome.code == 0 else "out of time" if outcome.code is None else "killed"


class Judge:
    """Runs the tests against one mutation after another, and writes the results."""

    def __init__(self, tree: Path, lines: Lines, options: argparse.Namespace, results: list[Result]) -> None:
        self._tree, self._lines, self._options, self.results = tree, lines, options, results
        self._out = os.dup(1)

    def tests(self, file: str, mutation: Mutation) -> list[str]:
        """Returns the tests to run, the most promising first."""
        return self._lines.within(self._lines.tests(file, mutation.lines), self._options.limit)

    def judge(self, file: str, mutation: Mutation, forks: _Forks | None = None) -> bool:
        """Judges a mutation by forks of a process with all tests, or by a new one; False if the former cannot."""
        begun = time.monotonic()
        tests = self.tests(file, mutation)
        seconds = 30 + 5 * self._options.limit
        outcome = Outcome(0)
        if tests and forks is not None:
            outcome = forks.run(file, mutation, tests, seconds)
            if outcome.code == 75:
                return False
        elif tests:
            with changed(self._tree / file, mutation.apply((self._tree / file).read_text())):
                outcome = run(self._tree, tests, seconds, "-x")
        by = (*outcome.failed, "")[0]
        diff = mutation.diff((self._tree / file).read_text(), file)
        result = Result(file, mutation.line, mutation.kind, diff, verdict_of(outcome), by, len(tests))
        self.results.append(result)
        RESULTS.write_text(json.dumps([_fields(one) for one in self.results], indent=1))
        took = f"{len(self.results):>4} {result.verdict:<11} {time.monotonic() - begun:>4.0f} s"
        os.write(self._out, f"{took} {file}:{mutation.line} {mutation.kind}  {by}\n".encode())
        return True


def copy(folder: Path) -> Path:
    """Copies the tree into a folder."""
    return Path(shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*LEFT_OUT)))


def by_types(tree: Path, results: Sequence[Result], sources: Mapping[str, str], drawn: Drawn) -> list[Result]:
    """Returns the results, where mypy notices some of the survivors: `make check` would, too."""
    found = []
    for result in results:
        one = next((m for file, m in drawn if file == result.file and m.diff(sources[file], file) == result.diff), None)
        if result.verdict == "survived" and one is not None:
            with changed(tree / result.file, one.apply(sources[result.file])):
                command = [sys.executable, "-m", "mypy", "--no-error-summary", result.file]
                done = subprocess.run(command, cwd=tree, capture_output=True, check=False)  # noqa: S603
            if done.returncode == 1:
                result = replace(result, verdict="killed", by="mypy")  # noqa: PLW2901 - the same one, judged
        found.append(result)
    return found


def unproved(tree: Path, results: Sequence[Result]) -> set[str]:
    """Returns the tests that noticed a mutation and fail without one, too."""
    tests = sorted({result.by for result in results if result.by and result.by != "mypy"})
    return set(run(tree, tests, 1800.0).failed) if tests else set()


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="number of mutations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--packages", nargs="+", choices=DECIDE, default=DECIDE, help="packages to change")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first mutations of the draw")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of tests for one mutation")
    parser.add_argument("--again", action="store_true", help="try the survivors of the last run once more")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the mutations; the status is 1 if one survived."""
    options = parsed(arguments)
    sources = {
        str(path.relative_to(ROOT)): path.read_text()
        for package in options.packages
        for path in (ROOT / "gateway" / package).rglob("*.py")
    }
    lines = Lines(DATA, json.loads((ROOT / SECONDS).read_text()), sources)
    drawn = draw(sources, options.count, options.seed)[options.skip :]
    known = [Result(**one) for one in json.loads(RESULTS.read_text())] if options.again else []
    if options.again:
        survived = {result.diff for result in known if result.verdict == "survived"}
        drawn = [(file, one) for file, one in drawn if one.diff(sources[file], file) in survived]
        known = [result for result in known if result.verdict != "survived"]
    print(f"{len(drawn)} mutations, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = copy(Path(folder))
        RESULTS.write_text(json.dumps([_fields(one) for one in known]))
        judge = Judge(tree, lines, options, known)
        for file, mutation in _in_memory(judge, tree, drawn):
            judge.judge(file, mutation)
        known = by_types(tree, judge.results, sources, drawn)
        RESULTS.write_text(json.dumps([_fields(one) for one in known], indent=1))
        wrong = unproved(tree, known)
    return _report(known, wrong)


def _in_memory(judge: Judge, tree: Path, drawn: Drawn) -> list[tuple[str, Mutation]]:
    """Judges the mutations inside of functions in a fork that collects the tests once; returns the others."""
    others = tree.parent / "others.json"

    def inside() -> tuple[int, list[str]]:
        left = []

        def work(forks: _Forks) -> None:
            for number, (file, mutation) in enumerate(drawn):
                if not mutation.lines or not judge.judge(file, mutation, forks):
                    left.append(number)
            others.write_text(json.dumps(left))

        files = {test.partition("::")[0] for one in drawn for test in judge.tests(*one)}
        return pytest_in(tree, files, _Forks(work, tree)), []

    forked(tree, inside, 86400.0)
    judge.results[:] = [Result(**one) for one in json.loads(RESULTS.read_text())]
    return [drawn[number] for number in json.loads(others.read_text())]


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
