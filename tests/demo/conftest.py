"""Fixtures of the demo's tests."""

from collections.abc import AsyncIterator

import pytest

from gateway.demo.neighbours import Neighbours, neighbours
from gateway.domain.ports import SystemClock


@pytest.fixture
async def around() -> AsyncIterator[Neighbours]:
    """The demo's neighbours, running."""
    async with neighbours(SystemClock()) as running:
        yield running
