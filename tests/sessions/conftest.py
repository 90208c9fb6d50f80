"""Two replicas of the gateway's sessions over one store."""

from collections.abc import AsyncIterator

import pytest

from gateway.domain.channel import TlsSettings
from gateway.store.interface import Store
from gateway.store.memory import MemoryStore
from gateway.store.redis import RedisStore
from tests.clock import FakeClock
from tests.sessions.scene import Scene


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Where a store of each kind is; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def shared(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """A store that both replicas use."""
    made: Store = MemoryStore(clock)
    if address:
        made = RedisStore(url=address, prefix="test:", timeout=10.0, tls=TlsSettings())
    yield made
    await made.close()


@pytest.fixture
async def scene(shared: Store, clock: FakeClock) -> AsyncIterator[Scene]:
    """Both replicas, listening."""
    made = Scene(shared, clock)
    async with made.running():
        yield made
