"""Compares the gateway with nginx and its peers: CPU of the processes under test, in interleaved rounds.

    python -m bench.compare                                             everything, and writes docs/performance.md
    python -m bench.compare --work 2k --connections 32 --rounds 3 --seconds 2 --designs nginx,gateway

The design under test has one core, everything else the other. See `bench/README.md`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import structlog

from bench.designs import KINDS, Design
from bench.installation import installation
from bench.processes import pin
from bench.report import ratios, table
from bench.works import WORKS, run


def listed(known: Sequence[str]) -> "type[str]":
    """The type of an option that is a list of these words."""

    def words(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
        return found

    return words  # type: ignore[return-value]


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.compare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=listed(list(WORKS)), metavar="NAME,…", help=f"from {', '.join(WORKS)}")
    parser.add_argument("--designs", type=listed(list(KINDS)), metavar="NAME,…", help=f"from {', '.join(KINDS)}")
    parser.add_argument("--connections", type=int, help="instead of those of the work")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=int, default=2, help="of each design in each round; default 2")
    parser.add_argument(
        "--most", type=float, metavar="RATIO", help="exit with 1 if a gateway uses more than RATIO times nginx's CPU"
    )
    return parser.parse_args(arguments)


async def measure(options: argparse.Namespace, folder: Path) -> bool:
    """Start the designs, run the works and print the tables; whether all ratios are below `--most`."""
    below, begun = True, time.monotonic()
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(installation(folder))
        designs: list[Design] = []
        for name in options.designs or KINDS:
            kind = KINDS[name]
            if missing := kind.missing():
                print(f"without {name}: {missing}")
                continue
            print(f"starts {name}", flush=True)
            designs.append(await stack.enter_async_context(kind.start(around, kind.title)))
        for name in options.work or WORKS:
            for connections in [options.connections] if options.connections else WORKS[name].connections:
                results = await run(name, connections, designs, around, rounds=options.rounds, seconds=options.seconds)
                print(f"\n{table(results).markdown()}", flush=True)
                for design in results.designs:
                    if options.most and "gateway" in design.name:
                        below = below and median(ratios(results, design.name)) <= options.most
    print(f"{time.monotonic() - begun:.0f} s")
    return below


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; the exit code."""
    import uvloop

    options = options_of(arguments)
    pin()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="efcx-gateway-bench-") as folder:
        return 0 if uvloop.run(measure(options, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
