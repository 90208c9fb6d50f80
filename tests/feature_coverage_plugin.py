"""Records the rows of the feature list that each test shows, and its verdict, in `build/rows.json` for `make rows`.

The file holds the last verdict of every test that was run here: `{test id: {"ids": […], "verdict": "passed", …}}`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.run import locked

RESULTS = Path("build") / "rows.json"
MARKERS = ("row", "attack")
_SEEN = pytest.StashKey[dict[str, dict[str, Any]]]()
_WORSE = {"passed": 0, "skipped": 1, "failed": 2}


def ids_of(item: pytest.Item) -> list[str]:
    """Returns the rows and attacks that this test shows, in the order written."""
    return [str(one) for name in MARKERS for marker in item.iter_markers(name) for one in marker.args]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--rows-to FILE`: write the tests of each row as JSON after the collection."""
    parser.addoption("--rows-to", metavar="FILE", help="write {row: [test ids]} of the collected tests to FILE")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Writes the file of `--rows-to`."""
    if target := session.config.getoption("--rows-to"):
        shown: dict[str, list[str]] = {}
        for item in session.items:
            for one in ids_of(item):
                shown.setdefault(one, []).append(item.nodeid)
        Path(target).write_text(json.dumps(shown))


def pytest_configure(config: pytest.Config) -> None:
    """Begins with an empty record."""
    config.stash[_SEEN] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attaches the ids to the reports, which workers send to the owning process."""
    for item in items:
        if found := ids_of(item):
            item.user_properties.append(("shows", found))


def without_group(test: str) -> str:
    """Returns the test id as collected: xdist appends `@group`; an `@` inside of `[…]` belongs to a parameter."""
    return test.rpartition("@")[0] if test.rfind("@") > test.rfind("]") else test


class _Plugin:
    def __init__(self, config: pytest.Config) -> None:
        self._seen = config.stash[_SEEN]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        ids = dict(report.user_properties).get("shows")
        if not ids:
            return
        test = without_group(report.nodeid)
        was = self._seen.setdefault(test, {"ids": ids, "verdict": "passed"})
        was["verdict"] = max(was["verdict"], report.outcome, key=lambda one: _WORSE[one])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Registers the writer in the owning process only."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Plugin(session.config), "rows-results")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the verdicts of this run over those of earlier ones."""
    seen = session.config.stash[_SEEN]
    if hasattr(session.config, "workerinput") or not seen:
        return
    file = session.config.rootpath / RESULTS
    file.parent.mkdir(exist_ok=True)
    with locked(file.with_suffix(".lock")):
        known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        known.update(seen)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(known, indent=1, sort_keys=True))
        os.replace(new, file)
