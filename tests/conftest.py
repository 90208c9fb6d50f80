"""What every test can ask for: real servers (``tests/dependencies``), time and random (``tests/clock.py``)."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.clock import FakeClock, SeededRandom
from tests.dependencies.run import Run

pytest_plugins = [
    "tests.feature_coverage_plugin",
    "tests.dependencies.keycloak",
    "tests.dependencies.redis",
    "tests.dependencies.valkey",
    "tests.dependencies.mail",
    "tests.dependencies.browser",
    "tests.dependencies.upstream",
]
# The same examples in every run, and no limit on the time of one: the machine is shared, a failure must mean something.
settings.register_profile("gateway", derandomize=True, deadline=None, print_blob=True)
# `make test-random`: others in every run, and those that failed are kept and tried first by the next run.
settings.register_profile(
    "random",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("EXAMPLES") or 1000),
    database=DirectoryBasedExampleDatabase(Path(__file__).parents[1] / ".hypothesis" / "examples"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "gateway")
_RUN = pytest.StashKey[Run]()


def pytest_configure(config: pytest.Config) -> None:
    """The owning process of the run begins it; xdist's workers find it by the environment."""
    if not hasattr(config, "workerinput"):
        config.stash[_RUN] = Run.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what was started, by process id."""
    run = config.stash.get(_RUN, None)
    if run is not None:
        run.end()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Property tests get their mark; with xdist, tests that need the heavy parts share one worker: one browser at a
    time, files in order.

    Here, not in ``pytest_collection_modifyitems``: by then xdist has already looked at the groups.
    """
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker(pytest.mark.property)
    if item.get_closest_marker("browser") or item.get_closest_marker("keycloak"):
        item.add_marker(pytest.mark.xdist_group("heavy"))


@pytest.fixture
def clock() -> FakeClock:
    """Time that moves only when told."""
    return FakeClock()


@pytest.fixture
def random() -> SeededRandom:
    """Chance that repeats itself."""
    return SeededRandom()
