"""Tests that every task of `serve` ends when it is cancelled, wherever it waits."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli.serve import serve
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.settings import key_ring
from tests.fixtures.config_folder import ConfigFolder
from tests.fixtures.ports import free_port

LIMIT = 30.0
"""Seconds after which a test fails because its task has not ended."""
TURNS = (*range(0, 60, 3), *range(60, 260, 40))
"""Turns of the loop after which a start is cancelled; it takes about 150."""


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def folder(tmp_path: Path, address: str) -> ConfigFolder:
    """Returns settings whose Keycloak address has no server."""
    found = ConfigFolder(tmp_path / "config")
    found.path.mkdir()
    # Any port: asyncio leaks a listening socket when it is cancelled while it makes a server.
    found.gateway.update(listen="127.0.0.1:0", operations="127.0.0.1:0", keys={"file": "ring.key"})
    found.keycloak["auth-server-url"] = f"http://127.0.0.1:{free_port()}/auth/"
    if address:
        found.gateway["store"] = {"url": address, "timeout": 10}
    return found


def keeps_running(_code: int) -> None:
    """Keeps the test process running when the shutdown time of `serve` is over."""


async def test_all_tasks_of_serve_end_wherever_serve_is_cancelled(folder: ConfigFolder) -> None:
    ring = key_ring.create(folder.path / "ring.key", SystemClock(), SystemRandom())
    loaded = folder.load()
    [own] = asyncio.all_tasks()
    for turns in TURNS:
        said: list[str] = []
        serving = asyncio.create_task(
            serve(folder.path / "gateway.yaml", loaded, ring, say=said.append, leave=keeps_running)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait([serving], timeout=LIMIT)
        assert serving.cancelled(), (turns, said)
        assert asyncio.all_tasks() == {own}, (turns, said)


async def test_each_task_of_serve_ends_when_it_is_cancelled_alone(folder: ConfigFolder) -> None:
    ring = key_ring.create(folder.path / "ring.key", SystemClock(), SystemRandom())
    started = asyncio.Event()
    serving = asyncio.create_task(
        serve(folder.path / "gateway.yaml", folder.load(), ring, say=lambda _: started.set(), leave=keeps_running)
    )
    async with asyncio.timeout(LIMIT):
        await started.wait()
    others = asyncio.all_tasks() - {serving, asyncio.current_task()}
    for task in others:
        task.cancel()
    _, left = await asyncio.wait(others, timeout=LIMIT)
    serving.cancel()
    await asyncio.wait([serving], timeout=LIMIT)
    assert left == set()
