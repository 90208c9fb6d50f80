"""Fixtures of the demo's tests."""

from collections.abc import AsyncIterator

import pytest

from gateway.demo.dependencies import Dependencies, dependencies
from gateway.domain.ports import SystemClock


@pytest.fixture
async def running_dependencies() -> AsyncIterator[Dependencies]:
    """Yields the demo's running dependencies."""
    async with dependencies(SystemClock()) as running:
        yield running
