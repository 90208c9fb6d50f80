"""Two replicas of the gateway's sessions over one store."""

from collections.abc import AsyncIterator

import pytest

from gateway.store.protocol import Store
from tests.fixtures.clock import FakeClock
from tests.fixtures.open_stores import opened
from tests.fixtures.session_harness import SessionHarness


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def shared(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Yields a store that both replicas use."""
    async with opened(address, clock) as made:
        yield made


@pytest.fixture
async def harness(shared: Store, clock: FakeClock) -> AsyncIterator[SessionHarness]:
    """Yields both replicas, listening."""
    made = SessionHarness(shared, clock)
    async with made.running():
        yield made
