"""Tests of the traces of single requests."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tools.calls import Recorder, Trace

ROOT = Path(__file__).parents[2]


def compiled(path: Path, source: str, **known: object) -> dict[str, Any]:
    """Returns the functions of a module at this path."""
    names: dict[str, Any] = {"asyncio": asyncio, **known}
    exec(compile(source, str(path), "exec"), names)
    return names


def names_of(recorder: Recorder) -> list[str]:
    return [call.function for call in recorder.calls]


async def test_a_resumed_coroutine_counts_once(tmp_path: Path) -> None:
    module = compiled(
        tmp_path / "one.py",
        "async def inner():\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\n"
        "async def outer():\n    await inner()\n    await inner()\n",
    )
    recorder = Recorder(tmp_path)
    with recorder.recording():
        await module["outer"]()
    assert names_of(recorder) == ["one.outer", "one.inner", "one.inner"]


async def test_a_coroutine_begun_before_the_trace_does_not_count(tmp_path: Path) -> None:
    module = compiled(tmp_path / "one.py", "async def begun():\n    await asyncio.sleep(0)\n")
    recorder = Recorder(tmp_path)
    task = asyncio.create_task(module["begun"]())
    await asyncio.sleep(0)
    with recorder.recording():
        await task
    assert names_of(recorder) == []


async def test_an_exception_thrown_into_a_coroutine_does_not_count_as_a_call(tmp_path: Path) -> None:
    module = compiled(tmp_path / "one.py", "async def waits():\n    await asyncio.Event().wait()\n")
    recorder = Recorder(tmp_path)
    with recorder.recording():
        task = asyncio.create_task(module["waits"]())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
    assert names_of(recorder) == ["one.waits"]


def test_a_generator_counts_once_and_a_comprehension_never(tmp_path: Path) -> None:
    module = compiled(
        tmp_path / "one.py",
        "def gives():\n    yield 1\n    yield 2\n"
        "def all_of_it():\n    [n for n in gives()]\n    sum(n for n in (1, 2))\n    (lambda: None)()\n"
        "    class Inside:\n        pass\n",
    )
    recorder = Recorder(tmp_path)
    with recorder.recording():
        module["all_of_it"]()
    inside = "one.all_of_it.<locals>."
    assert names_of(recorder) == ["one.all_of_it", "one.gives", f"{inside}<genexpr>", f"{inside}<lambda>"]


def test_files_outside_of_the_folder_do_not_count(tmp_path: Path) -> None:
    outside = compiled(tmp_path / "inner_too" / "away.py", "def away(): pass")["away"]
    excluded = compiled(tmp_path / "inner" / "demo" / "shown.py", "def shown(): pass")["shown"]
    source = "def run():\n    away()\n    shown()\n"
    run = compiled(tmp_path / "inner" / "__init__.py", source, away=outside, shown=excluded)["run"]
    recorder = Recorder(tmp_path / "inner", without=tmp_path / "inner" / "demo")
    with recorder.recording():
        run()
    assert names_of(recorder) == ["run"]


async def test_excluded_tasks_do_not_count(tmp_path: Path) -> None:
    beat: Callable[[], Awaitable[None]] = compiled(tmp_path / "one.py", "async def beat(): pass")["beat"]

    async def permanent() -> None:
        await asyncio.sleep(0)
        await beat()

    task = asyncio.create_task(permanent())
    recorder = Recorder(tmp_path, tasks={task})
    with recorder.recording():
        await task
        await beat()
    assert names_of(recorder) == ["one.beat"]


def test_moves_and_returns_are_counted_between_files(tmp_path: Path) -> None:
    other = compiled(tmp_path / "b.py", "def other(): pass")["other"]
    source = "def one(): pass\ndef run():\n    one()\n    other()\n    other()\n    one()\n"
    run = compiled(tmp_path / "a.py", source, other=other)["run"]
    recorder = Recorder(tmp_path)
    with recorder.recording():
        run()
    trace = Trace(recorder.calls)
    assert dict(trace.files) == {"a.py": 3, "b.py": 2}
    assert (trace.moves, trace.returns) == (2, 1)
    assert (trace.times("a.one"), trace.times("other"), trace.times("ther")) == (2, 2, 0)
    assert (Trace([]).moves, Trace([]).returns) == (0, 0)


@pytest.mark.slow
def test_the_report_contains_the_figures_of_a_whole_login() -> None:
    command = [sys.executable, "-m", "tools.trace_request", "--cold", "--requests", "password,cached"]
    calls = ["--calls", "requirement.decide", "gate.Gate.forward", "--files"]
    done = subprocess.run([*command, *calls], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = {name: row.split() for name, row in re.findall(r"(?m)^(\S.*?)  +([\d, ]+)$", done.stdout)}
    assert all(int(number.replace(",", "")) > 5 for name in ("calls", "distinct files") for number in figures[name])
    decided, in_proxy = (int(number) for number in figures["calls of requirement.decide"])
    assert decided > 0
    assert in_proxy == 0
    [per_login] = re.findall(r"^admin requests per e-mail login: (\d+)$", done.stdout, re.MULTILINE)
    assert int(per_login) >= int(figures["admin requests"][0]) > 0
    assert " login/flow.py\n" in done.stdout
