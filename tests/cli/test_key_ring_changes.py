"""Tests of `serve` with a key ring that is not the one that sealed the enrolments in Keycloak."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.services import open_services
from gateway.settings import key_ring
from tests.cli.test_serve import first_line, serving
from tests.cli.test_serve_and_dependencies import forwarding
from tests.fixtures.config_folder import ConfigFolder
from tests.fixtures.ports import free_port
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.stand_in_keycloak import running as stand_in_running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    """Yields the identity provider."""
    with stand_in_running() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, provider: StandIn) -> ConfigFolder:
    """Returns the settings of a gateway with `memory://` and its own key ring, with which a user has enrolled."""
    found, server = ConfigFolder(tmp_path / "config"), provider.server
    found.path.mkdir()
    found.gateway.update(listen=f"127.0.0.1:{free_port()}", operations=f"127.0.0.1:{free_port()}")
    found.keycloak.update({"realm": server.realm, "auth-server-url": server.base_url})
    found.own["keycloak"] = {
        "client_id": "gateway-login",
        "client_secret": server.clients["gateway-login"],
        "service_account": {"client_id": "gateway-admin", "client_secret": server.clients["gateway-admin"]},
    }
    for old in provider.realms[server.realm].users:
        old.attributes.clear()
    asyncio.run(enrol(found, server.admin.create_user().id))
    return found


async def enrol(folder: ConfigFolder, user_id: str) -> None:
    """Stores an enrolment, sealed with the key ring beside the settings."""
    loaded = folder.load().configuration
    assert loaded
    ring = key_ring.create(folder.path / "ring.key", SystemClock(), SystemRandom())
    async with open_services(lambda: loaded, ring) as services:
        email = Enrolment(FactorKind.EMAIL, "user@example.com")
        assert await services.enrolments.add(loaded.tenants[0], user_id, EnrolmentSet(), email)


@pytest.mark.redis
async def test_from_memory_to_redis_a_new_key_ring_is_refused_and_the_existing_one_still_starts(
    folder: ConfigFolder, redis_url: str
) -> None:
    new = key_ring.create(folder.path / "new.key", SystemClock(), SystemRandom())
    old = key_ring.read(folder.path / "ring.key")
    folder.gateway.update(store={"url": redis_url, "timeout": 5}, keys={"file": "new.key"})
    async with serving(folder) as process:
        code, out, said = await process.ended()
    last = said.splitlines()[-1]
    assert (code, out) == (1, "")
    for wanted in (new.keys[0].id, f"sealed by {old.keys[0].id}", f"use {folder.path / 'ring.key'}"):
        assert wanted in last
    folder.gateway["keys"] = {"file": "ring.key"}
    async with serving(folder) as process:
        assert "listens on" in await first_line(process)


async def test_a_container_redeployed_without_its_key_ring_is_refused_once_keycloak_answers(
    folder: ConfigFolder, provider: StandIn, tmp_path: Path
) -> None:
    port = free_port()
    sealed_by = key_ring.read(folder.path / "ring.key").keys[0].id
    shutil.move(folder.path / "ring.key", tmp_path / "lost.key")
    folder.keycloak["auth-server-url"] = f"http://127.0.0.1:{port}/auth/"
    async with serving(folder) as process:
        assert "listens on" in await first_line(process)
        async with forwarding(port, f"http://127.0.0.1:{provider.server.port}"):
            code, _, said = await process.ended()
    assert code == 1
    assert f"sealed by {sealed_by}; put that key ring back" in said.splitlines()[-1]
    assert "Traceback" not in said
