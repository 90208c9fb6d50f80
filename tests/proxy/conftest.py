"""The event loops of the proxy's tests."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

_BOTH = ("test_connections.py", "test_websocket.py")
"""Files whose tests depend on how a transport pauses, resumes and closes."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Returns asyncio's loop, and where transports matter also uvloop's, which `serve` uses."""
    own = {"asyncio": asyncio.new_event_loop}
    return own | {"uvloop": uvloop.new_event_loop} if item.path.name in _BOTH else own
