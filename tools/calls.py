"""Records which functions of a folder one thread calls, and summarises them.

- A call is the first entry of a Python function. A coroutine or generator that resumes is not a new call.
- Lambdas and generator expressions count as functions. List, set and dict comprehensions do not count, because they
  have no frame in Python 3.12 and newer. Module bodies, class bodies and generated methods (the `__init__` of a
  dataclass) do not count.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_OPTIMIZED
from itertools import pairwise
from opcode import opmap
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function: the function's file, and its name with its module."""

    file: str
    function: str


@dataclass(frozen=True)
class Trace:
    """The calls of one request in order, the status of its answer, and the admin requests that it caused."""

    calls: Sequence[Call]
    status: int = 0
    admin: int = 0

    @cached_property
    def files(self) -> Counter[str]:
        """The number of calls in each file, in the order of the first visit."""
        return Counter(call.file for call in self.calls)

    @cached_property
    def functions(self) -> Counter[str]:
        """The number of calls of each function, in the order of the first call."""
        return Counter(call.function for call in self.calls)

    @property
    def moves(self) -> int:
        """The number of calls in another file than the call before."""
        return sum(before.file != after.file for before, after in pairwise(self.calls))

    @property
    def returns(self) -> int:
        """The number of moves to a file that the request has left before. Every other move leads to a new file."""
        return self.moves - max(len(self.files) - 1, 0)

    def times(self, name: str) -> int:
        """Counts the calls of functions whose full name is `name` or ends with it, as `requirement.decide`."""
        wanted = f".{name.removeprefix('gateway.')}"
        return sum(count for function, count in self.functions.items() if f".{function}".endswith(wanted))


class Recorder:
    """Records the calls of this thread in files under `folder`, except those under `without` and those of `tasks`."""

    def __init__(
        self, folder: Path, *, without: Path | None = None, tasks: Collection[asyncio.Task[Any]] = frozenset()
    ) -> None:
        self.calls: list[Call] = []
        self._folder = folder
        self._without = without
        self._tasks = tasks
        self._known: dict[CodeType, Call | None] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Records while the block runs."""
        before = sys.getprofile()
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _event(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in self._known:
            self._known[code] = self._call(code)
        call = self._known[code]
        if call is not None and not _resumes(frame) and _task() not in self._tasks:
            self.calls.append(call)

    def _call(self, code: CodeType) -> Call | None:
        """Returns the record of a call of `code`, or None if its calls do not count."""
        path = Path(code.co_filename)
        if not path.is_relative_to(self._folder) or (self._without and path.is_relative_to(self._without)):
            return None
        if not code.co_flags & CO_OPTIMIZED or code.co_name in _COMPREHENSIONS:
            return None
        file = path.relative_to(self._folder)
        module = [part for part in file.with_suffix("").parts if part != "__init__"]
        return Call(str(file), ".".join((*module, code.co_qualname)))


_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
_RESUMABLE = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
_RESUME = opmap["RESUME"]
_PLACE = 3
"""The bits in the argument of RESUME that are 0 at the start of a function and not 0 after a yield or an await."""


def _resumes(frame: FrameType) -> bool:
    """Whether a "call" event is another entry of a coroutine or generator, also by an exception thrown into it."""
    if not frame.f_code.co_flags & _RESUMABLE:
        return False
    operation, argument = frame.f_code.co_code[frame.f_lasti : frame.f_lasti + 2]
    return operation != _RESUME or argument & _PLACE != 0


def _task() -> asyncio.Task[Any] | None:
    """Returns the task that runs now, or None in a callback or without an event loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
