"""Traces single requests through the gateway: their calls, and the functions and files that they run through.

    python -m tools.trace_request --requests password,verify --files --calls requirement.decide pending_proof_of

The tool runs the demo and signs in a user whose code the gateway sends by e-mail (`tools/demo_login.py`). It counts the
calls of Python functions whose file is in `gateway/` but not in `gateway/demo/` (`tools/calls.py` has the rules).

The tool runs two logins and reports the second one: the first one fills the gateway's caches. With `--cold` it runs and
reports one login.
"""

import argparse
import asyncio
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.observe import logs
from tools.calls import Trace
from tools.demo_login import LOGIN, REQUESTS, Request, running_demo, trace

DEFAULT_CALLS = ("requirement.decide",)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The contents of the report: requests, functions to count, and lists."""

    requests: Sequence[Request] = REQUESTS
    calls: Sequence[str] = DEFAULT_CALLS
    files: bool = False
    functions: bool = False


def report(traces: Mapping[str, Trace], wanted: Wanted) -> Iterator[str]:
    """Returns the lines of the report."""
    chosen = [traces[request.name] for request in wanted.requests]
    named: list[Sequence[str | int]] = [
        (f"calls of {name}", *(one.times(name) for one in chosen)) for name in wanted.calls
    ]
    yield from aligned(
        [(one.name, one.method, one.path, traces[one.name].status, one.about) for one in wanted.requests]
    )
    yield ""
    yield from aligned(
        [
            ("", *(request.name for request in wanted.requests)),
            ("calls", *(len(one.calls) for one in chosen)),
            ("distinct functions", *(len(one.functions) for one in chosen)),
            ("distinct files", *(len(one.files) for one in chosen)),
            ("moves between files", *(one.moves for one in chosen)),
            ("returns to a file", *(one.returns for one in chosen)),
            ("admin requests", *(one.admin for one in chosen)),
            *named,
        ]
    )
    yield ""
    yield f"admin requests per e-mail login: {sum(traces[request.name].admin for request in LOGIN)}"
    for request, one in zip(wanted.requests, chosen, strict=True):
        if wanted.files:
            yield from ("", f"{request.name}: files, in the order of the first visit")
            yield from aligned([(count, file) for file, count in one.files.items()])
        if wanted.functions:
            yield from ("", f"{request.name}: functions, by the number of calls")
            yield from aligned([(count, function) for function, count in one.functions.most_common()])


def aligned(rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    """Returns rows as lines with aligned columns. Columns with numbers are aligned on the right."""
    columns = list(zip(*rows, strict=True))
    widths = [max(len(_text(cell)) for cell in column) for column in columns]
    right = [any(isinstance(cell, int) for cell in column) for column in columns]
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(_text(cell).rjust(wide) if at else _text(cell).ljust(wide) for cell, wide, at in cells).rstrip()


def _text(cell: str | int) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell


def requests_named(text: str) -> tuple[Request, ...]:
    """Returns the requests that a list such as `password,verify` names."""
    by_name = {request.name: request for request in REQUESTS}
    names = text.split(",")
    if unknown := [name for name in names if name not in by_name]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(by_name)}")
    return tuple(by_name[name] for name in names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line, traces the requests and prints the report."""
    parser = argparse.ArgumentParser(prog="trace_request", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--requests",
        type=requests_named,
        default=REQUESTS,
        metavar="NAME,…",
        help=f"requests to report, from {', '.join(request.name for request in REQUESTS)}; default all",
    )
    parser.add_argument(
        "--calls",
        nargs="+",
        default=DEFAULT_CALLS,
        metavar="NAME",
        help=f"functions whose calls to count, as module.function; default {DEFAULT_CALLS[0]}",
    )
    parser.add_argument("--files", action="store_true", help="list the files, in the order of the first visit")
    parser.add_argument("--functions", action="store_true", help="list the functions, by the number of calls")
    parser.add_argument("--cold", action="store_true", help="report the first login of the gateway's process")
    options = parser.parse_args(arguments)
    logs.configure("info", io.StringIO())
    with running_demo() as demo:
        traces = asyncio.run(trace(demo, cold=options.cold))
    for line in report(traces, Wanted(options.requests, options.calls, options.files, options.functions)):
        print(line)


if __name__ == "__main__":
    main()
