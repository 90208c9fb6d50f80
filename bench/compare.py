"""Compares the gateway with nginx and its peers: CPU of the processes under test, in interleaved rounds.

    python -m bench.compare --write                                     everything, and writes docs/performance.md
    python -m bench.compare --work 2k --connections 32 --rounds 3 --seconds 2 --designs nginx,gateway

The design under test has one core, everything else the other. See `docs/performance.md`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import structlog

from bench import life, page
from bench.designs import Design
from bench.installation import Installation, installation
from bench.kinds import KINDS
from bench.processes import pin
from bench.report import Table, ratios, table
from bench.works import WORKS, Results, run

LIFE = ("start", "login", "memory")
"""What is measured on processes of its own, before the rounds."""


def one_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Parses a list of these words."""

    def words(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
        return found

    return words


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.compare", description=(__doc__ or "").partition("\n")[0])
    for name, known in (("--work", [*LIFE, *WORKS]), ("--designs", [*KINDS])):
        about = f"default all: {', '.join(known)}"
        parser.add_argument(name, type=one_of(known), default=known, metavar="NAME,…", help=about)
    parser.add_argument("--connections", type=int, help="instead of those of the work")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=int, default=2, help="of each design in each round; default 2")
    parser.add_argument("--most", type=float, metavar="RATIO", help="exit with 1 if a gateway's ratio to nginx is more")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its picture")
    return parser.parse_args(arguments)


def tell(found: Table) -> Table:
    """Print a table."""
    print(f"\n{found.markdown()}", flush=True)
    return found


async def measure(options: argparse.Namespace, folder: Path) -> tuple[list[Table], list[Results]]:
    """Run the works, each on designs that are started once."""
    tables: list[Table] = []
    results: list[Results] = []
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(installation(folder))
        names = [name for name in options.designs if not KINDS[name].missing()]
        for name in set(options.designs) - set(names):
            print(f"without {name}: {KINDS[name].missing()}")
        for name in options.work:
            if name in LIFE:
                print(f"measures {name}", flush=True)
                tables.append(tell(await alone(name, around, names)))
        works = [name for name in options.work if name in WORKS]
        designs: list[Design] = []
        for name in names:
            if not any(WORKS[work].endpoint is KINDS[name].endpoint for work in works):
                continue
            print(f"starts {name}", flush=True)
            designs.append(await stack.enter_async_context(KINDS[name].start(around, KINDS[name].title)))
        for name in works:
            for connections in [options.connections] if options.connections else WORKS[name].connections:
                found = await run(name, connections, designs, around, rounds=options.rounds, seconds=options.seconds)
                tell(table(found))
                results.append(found)
        if len(works) > 1:
            tables.append(tell(life.after(designs)))
    return tables, results


async def alone(name: str, around: Installation, designs: Sequence[str]) -> Table:
    """Measure one of `LIFE`."""
    if name == "memory":
        return await life.memory(around, designs)
    return await (life.start if name == "start" else life.login)(around)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; the exit code."""
    import uvloop

    options, begun = options_of(arguments), time.monotonic()
    pin()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="efcx-gateway-bench-") as folder:
        tables, results = uvloop.run(measure(options, Path(folder)))
    print(f"{time.monotonic() - begun:.0f} s")
    if options.write:
        page.write(tables, results, rounds=options.rounds, seconds=options.seconds)
    gateways = [ratios(found, name) for found in results for name in found.samples if "gateway" in name]
    return int(bool(options.most) and any(found and median(found) > options.most for found in gateways))


if __name__ == "__main__":
    sys.exit(main())
