"""The benchmark's arithmetic and page, and the one test that looks at CPU time. No other test times anything."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest

from tests.fixtures.missing import missing

if sys.platform != "linux":
    pytest.skip("the benchmark reads what Linux tells of processes", allow_module_level=True)

from bench import page
from bench.designs import Design
from bench.load import Sample
from bench.processes import Running
from bench.report import ratios, table
from bench.works import WORKS, Results

MOST = 4.5
"""About twice the ratio that `make bench` measures."""


def results(**costs: tuple[float, ...]) -> Results:
    """Results of one work: the microseconds of CPU of a request, of each design in each round."""
    running = Running(())
    designs = [Design(name, f"**{name}** & more", 1, running) for name in costs]
    samples = {name: [Sample(1000, cpu / 1000, 0, 1) for cpu in found] for name, found in costs.items()}
    return Results("2k", WORKS["2k"], 32, designs, samples)


def test_a_ratio_is_taken_inside_a_round() -> None:
    assert ratios(results(nginx=(10, 40), gateway=(20, 40)), "gateway") == pytest.approx([2.0, 1.0])


def test_a_table_has_median_least_and_most_of_the_ratios() -> None:
    found = table(results(nginx=(10, 10, 10), gateway=(30, 20, 25)))
    assert found.rows[1][:3] == ["**gateway** & more", "25.0", "2.50 (2.00 to 3.00)"]


def test_a_table_without_nginx_has_no_ratio() -> None:
    assert table(results(gateway=(30, 20))).rows[0][2] == "–"


def test_the_page_keeps_its_text_around_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "DOCS", tmp_path)
    monkeypatch.setattr(page, "PICTURE", tmp_path / "picture.svg")
    page.PAGE.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write([], [results(nginx=(10,), gateway=(20,))], rounds=1, seconds=2)
    text = page.PAGE.read_text()
    assert (text.startswith("before\n"), text.endswith("\nafter\n"), "old" in text) == (True, True, False)


def test_the_picture_shows_each_ratio() -> None:
    root = ElementTree.fromstring(page.picture([results(nginx=(10,), gateway=(20,), naive=(55,))]))
    assert {"2.00", "5.50"} <= {cast(str, one.text) for one in root.iter() if one.tag.endswith("text")}


@pytest.mark.slow
def test_a_request_uses_no_gross_multiple_of_the_cpu_of_nginx() -> None:
    for program in ("nginx", "wrk", "setpriv", "taskset"):
        if not (shutil.which(program) or shutil.which(program, path="/usr/sbin")):
            missing(program, "install it (Debian: nginx-light wrk util-linux)")
    words = f"--work 2k --connections 32 --rounds 3 --seconds 1 --designs nginx,gateway --most {MOST:g}"
    done = subprocess.run(
        [sys.executable, "-m", "bench.compare", *words.split()],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
