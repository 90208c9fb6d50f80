"""Chooses the event loops of the proxy's tests."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own, and for tests marked `both_loops` also uvloop's, on which `serve` runs.

    The mark is for facts that depend on how a transport pauses, resumes and closes.
    """
    own = {"asyncio": asyncio.new_event_loop}
    return own | {"uvloop": uvloop.new_event_loop} if item.get_closest_marker("both_loops") else own
