"""One store of each kind that replicas can share, and keys for sealing."""

from collections.abc import AsyncIterator

import pytest

from gateway.crypto.key_ring import Key, KeyRing, Sealer
from gateway.domain.ports import SystemRandom
from gateway.store.protocol import Store
from tests.fixtures.clock import FakeClock
from tests.fixtures.open_stores import opened


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def shared(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Yields a store that several objects of a test use like replicas."""
    async with opened(address, clock) as made:
        yield made


@pytest.fixture
def ring() -> KeyRing:
    """Returns two keys, made for this test."""
    random = SystemRandom()
    return KeyRing(tuple(Key(random.token_bytes(4).hex(), random.token_bytes(32)) for _ in range(2)))


@pytest.fixture
def sealer(ring: KeyRing) -> Sealer:
    """Returns a sealer of records."""
    return Sealer(ring, "records", SystemRandom())
