"""Writes the results into `docs/performance.md`, and a picture of the ratios beside the other pictures."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.installation import nginx_program
from bench.report import Table, ratios, table
from bench.works import Results

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "images" / "performance.svg"
BASE = "nginx"
BEGIN, END = "<!-- made by make bench -->", "<!-- end -->"
ROW, GAP, LEFT, WIDTH = 16, 26, 12, 720
"""Height of a bar with its space, space before a group, left margin, and width of the picture, in pixels."""
LONGEST = 20
"""The ratio of the longest bar; a higher one has the same length."""
COLOURS = (
    ("#2f5bd7", "#8aa6ff"),
    ("#0f766e", "#4fd1c5"),
    ("#6d28d9", "#c4a6ff"),
    ("#6b7280", "#9ca3af"),
    ("#b45309", "#f0b35a"),
    ("#be185d", "#f59ac0"),
    ("#4d7c0f", "#a3d55d"),
)
"""Of each design, on a light and on a dark page."""


def write(tables: Sequence[Table], results: Sequence[Results], *, rounds: int, seconds: int) -> None:
    """Replace the part of the page between its marks, and the picture."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [f"{facts(rounds, seconds)}\n"]
    if compared := [one for one in results if one.work.base == BASE]:
        PICTURE.write_text(picture(compared), encoding="utf-8")
        parts.append(f"![CPU of each design divided by that of nginx]({PICTURE.relative_to(DOCS)})\n")
        parts.append(summary(compared).markdown())
    parts += [one.markdown() for one in (*map(table, results), *tables)]
    made = "\n".join(parts)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{after}", encoding="utf-8")


def summary(results: Sequence[Results]) -> Table:
    """The ratio of each design in each work."""
    designs = {design.name: design.title for one in results for design in one.designs if design.name != BASE}
    rows = [[one.title, *(ratio(one, name) for name in designs)] for one in results]
    note = "Medians of the ratios in each round. Less than 1 is less CPU than nginx."
    return Table("CPU time divided by that of nginx", ["work", *designs.values()], rows, note)


def ratio(one: Results, name: str) -> str:
    """The median ratio of a design."""
    return f"{median(found):.2f}" if name in one.samples and (found := ratios(one, name)) else "–"


def facts(rounds: int, seconds: int) -> str:
    """One paragraph: when, where, with which versions."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    python = ".".join(platform.python_version_tuple())
    parts = [f"{name} {version(name)}" for name in ("aiohttp", "uvloop", "httptools", "redis")]
    for program, pattern in ((nginx_program(), r"nginx/(\S+)"), ("redis-server", r"v=(\S+)")):
        found = re.search(pattern, _told(program, "-v"))
        parts += [f"{Path(program).name} {found[1]}"] if found else []
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y} with version {version('efcx-gateway')}, "
        f"{rounds} rounds of {seconds} s each. "
        f"{os.cpu_count()} cores ({cpu[1].strip() if cpu else platform.machine()}), Linux {platform.release()}, "
        f"load {os.getloadavg()[2]:.1f}, Python {python}, {', '.join(parts)}. "
        f"A loop of ten million turns takes this Python {_loop():.2f} s."
    )


def _loop() -> float:
    """Seconds of CPU for a loop, by which the times of two machines can be compared."""
    begun = time.process_time()
    for _ in range(10_000_000):
        pass
    return time.process_time() - begun


def _told(*command: str) -> str:
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    except OSError:
        return ""
    return found.stdout + found.stderr


def picture(results: Sequence[Results]) -> str:
    """Bars of the ratios, in groups by work, readable on a light and on a dark page."""
    names = {design.name: _plain(design.title) for one in results for design in one.designs if design.name != BASE}
    colour = {name: f"c{number % len(COLOURS)}" for number, name in enumerate(names)}
    scale = (WIDTH - LEFT - 60) / LONGEST
    lines: list[str] = []
    y = 24.0
    for name, title in names.items():
        lines.append(f'<rect class="{colour[name]}" x="{LEFT}" y="{y - 9:.0f}" width="10" height="10"/>')
        lines.append(f'<text x="{LEFT + 18}" y="{y:.0f}">{escape(title)}</text>')
        y += ROW
    for one in results:
        y += GAP
        lines.append(f'<text class="work" x="{LEFT}" y="{y - 6:.0f}">{escape(one.title)}</text>')
        top = y
        for name in names:
            if name in one.samples and (found := ratios(one, name)):
                wide = min(median(found), LONGEST) * scale
                lines.append(
                    f'<rect class="{colour[name]}" x="{LEFT}" y="{y:.0f}" width="{wide:.1f}" height="{ROW - 4}"/>'
                )
                lines.append(f'<text x="{LEFT + wide + 6:.1f}" y="{y + ROW - 6:.0f}">{median(found):.2f}</text>')
                y += ROW
        lines.append(f'<path class="one" d="M{LEFT + scale:.1f} {top - 2:.0f}V{y - 2:.0f}"/>')
    return "\n".join((*_opening(y + 16), *lines, "</svg>", ""))


def _opening(height: float) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="CPU time of each design divided by that of nginx">'
    )
    light = "".join(f".c{n}{{fill:{one[0]}}}" for n, one in enumerate(COLOURS))
    dark = "".join(f".c{n}{{fill:{one[1]}}}" for n, one in enumerate(COLOURS))
    yield (
        "<style>text{font:12px system-ui,sans-serif;fill:#171b24}.work{font-weight:600}"
        ".one{stroke:#171b24;stroke-dasharray:3 3}"
        f"{light}@media(prefers-color-scheme:dark){{text{{fill:#eaeefb}}.one{{stroke:#eaeefb}}{dark}}}</style>"
    )


def _plain(title: str) -> str:
    return title.replace("*", "")
