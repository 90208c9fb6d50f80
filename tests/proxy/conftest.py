"""Chooses the event loops of the proxy's tests."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own, and for tests marked `both_loops` also uvloop's, on which `serve` runs.

    The mark is for facts that depend on how a transport pauses, resumes and closes. Tests of very many requests have
    the mark `uvloop`: they run on that loop only, where a request costs less.
    """
    own: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("uvloop"):
        return {"uvloop": uvloop.new_event_loop}
    return own | {"uvloop": uvloop.new_event_loop} if item.get_closest_marker("both_loops") else own
