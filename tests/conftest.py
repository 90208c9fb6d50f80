"""Fixtures of every test: real servers (`tests/fixtures`), time and random numbers (`tests/fixtures/clock.py`)."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.run import Run

pytest_plugins = [
    "tests.feature_coverage_plugin",
    "tests.fixtures.missing",
    "tests.fixtures.keycloak",
    "tests.fixtures.redis",
    "tests.fixtures.valkey",
    "tests.fixtures.mail",
    "tests.fixtures.browser",
    "tests.fixtures.upstream",
]
# The same examples in every run, and no limit on the time of one: the machine is shared, a failure must mean something.
settings.register_profile("gateway", derandomize=True, deadline=None, print_blob=True)
# `make test-random`: new examples in every run; failed ones are kept and tried first by the next run.
settings.register_profile(
    "random",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("EXAMPLES") or 1000),
    database=DirectoryBasedExampleDatabase(Path(__file__).parents[1] / ".hypothesis" / "examples"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "gateway")
HOSTILE = (
    "tests/attacks/",
    "tests/proxy/test_headers.py",
    "tests/proxy/test_request_framing.py",
    "tests/proxy/test_routing.py",
    "tests/web/test_request_check.py",
    "tests/web/test_return_to.py",
)
"""What `make attacks` runs."""
_RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    """Begins the run in its owning process; xdist's workers find the run by an environment variable."""
    if not hasattr(config, "workerinput"):
        config.stash[_RUN] = Run.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the processes that the run started, by process id."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.end()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks property tests and attacks, and groups tests that need a heavy dependency.

    With xdist, tests of one group run in one worker: one browser at a time, files in order. This hook is used because
    xdist has already read the groups in `pytest_collection_modifyitems`.
    """
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker(pytest.mark.property)
    if item.nodeid.startswith(HOSTILE):
        item.add_marker(pytest.mark.attacks)
    if item.get_closest_marker("browser") or item.get_closest_marker("keycloak"):
        item.add_marker(pytest.mark.xdist_group("heavy"))


@pytest.fixture
def clock() -> FakeClock:
    """Returns a clock that only the test advances."""
    return FakeClock()


@pytest.fixture
def random() -> SeededRandom:
    """Returns repeatable random numbers."""
    return SeededRandom()
