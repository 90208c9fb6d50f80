"""A real redis-server: fixture `redis_url`, empty at the start of each test; one server for each test process."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.dependencies import process
from tests.dependencies.missing import missing
from tests.dependencies.run import Run
from tests.ports import free_port


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yields the port of a redis-server without persistence."""
    program = shutil.which("redis-server")
    if not program:
        missing("redis-server", "install it (Debian: redis-server)")
    with server(program, tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
async def redis_url(redis_server: int) -> str:
    """Yields `redis://…` of an empty database."""
    url = f"redis://127.0.0.1:{redis_server}/0"
    await empty(url)
    return url


@contextlib.contextmanager
def server(program: str, folder: Path, *options: str) -> Iterator[int]:
    """Runs `program` (redis-server or valkey-server) on a free port, without persistence, and ends it at the end."""
    port, log = free_port(), folder / "log"
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    keeper = process.start([*command, "--dir", str(folder), *options], log, owner=Run.current().owner)
    try:
        process.wait_ready(lambda: _answers(port), keeper, log, seconds=20, tell=lambda _gone: None)
        yield port
    finally:
        process.stop(keeper)


async def empty(url: str) -> None:
    """Deletes everything that the server holds."""
    async with Redis.from_url(url) as client:
        await client.flushall()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
        probe.sendall(b"PING\r\n")
        return probe.recv(16).startswith(b"+PONG")
    return False
