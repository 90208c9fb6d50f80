"""Tests of `efcx-gateway serve` with real dependencies: store, Keycloak, apps."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession

from gateway.cli.serve import Watcher
from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.domain.channel import TlsSettings
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.operations import key_ring_check
from gateway.operations.realm_checks import RealmChecks
from gateway.operations.status import SettingsState
from gateway.services import open_services
from gateway.settings import key_ring
from gateway.store.redis import RedisStore
from tests.cli.test_serve import LIMIT, Process, first_line, serving
from tests.fixtures import installation
from tests.fixtures.clock import FakeClock
from tests.fixtures.config_folder import ConfigFolder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import app_that, read_head


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """Returns settings whose Keycloak address has no server."""
    found = ConfigFolder(tmp_path / "config")
    found.gateway.update(listen=f"127.0.0.1:{free_port()}", operations=f"127.0.0.1:{free_port()}")
    found.keycloak["auth-server-url"] = f"http://127.0.0.1:{free_port()}/auth/"
    return found


def with_redis(folder: ConfigFolder, url: str) -> KeyRing:
    """Writes these settings with a Redis and a key ring."""
    folder.gateway.update(store={"url": url, "timeout": 5}, keys={"file": "ring.key"})
    folder.path.mkdir(parents=True, exist_ok=True)
    return key_ring.create(folder.path / "ring.key", SystemClock(), SystemRandom())


async def learn(url: str, path: Path) -> KeyRing:
    """Records another key ring in the store."""
    other = key_ring.create(path / "other.key", SystemClock(), SystemRandom())
    store = RedisStore(url=url, prefix="efcx:", timeout=10.0, tls=TlsSettings())
    await key_ring_check.check(store, other)
    await store.close()
    return other


async def ready(process: Process) -> tuple[int, Any]:
    """Returns the answer of the readiness endpoint."""
    async with ClientSession() as probe, probe.get(f"{process.operations}/health/ready") as answer:
        return answer.status, await answer.json()


async def until(state: Callable[[], Awaitable[bool]]) -> None:
    """Asks until the answer is as wanted."""
    async with asyncio.timeout(LIMIT):
        while not await state():
            pass


@asynccontextmanager
async def forwarding(port: int, url: str) -> AsyncIterator[None]:
    """Yields a port that forwards to a Redis, as if it had just started."""
    to = int(url.rpartition(":")[2].partition("/")[0])
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", to)
        for one in (pump(reader, up_writer), pump(up_reader, writer)):
            tasks.add(asyncio.create_task(one))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.row("GW-20")
@pytest.mark.slow
async def test_readiness_names_only_the_store_that_is_down(folder: ConfigFolder) -> None:
    port = free_port()
    with_redis(folder, f"redis://127.0.0.1:{port}")
    async with serving(folder) as process:
        await first_line(process)
        status, said = await ready(process)
        assert (status, said) == (503, {"status": "not ready", "failing": ["store", "keycloak"]})
        assert str(port) not in json.dumps(said)


@pytest.mark.row("GW-20")
@pytest.mark.slow
@pytest.mark.redis
async def test_readiness_reports_that_the_store_is_up_again(folder: ConfigFolder, redis_url: str) -> None:
    port = free_port()
    with_redis(folder, f"redis://127.0.0.1:{port}")
    async with serving(folder) as process:
        await first_line(process)
        assert "store" in (await ready(process))[1]["failing"]
        async with forwarding(port, redis_url):

            async def up() -> bool:
                return bool((await ready(process))[1]["failing"] == ["keycloak"])

            await until(up)


@pytest.mark.slow
@pytest.mark.redis
async def test_a_store_with_another_key_ring_is_refused_at_the_start_in_one_line(
    folder: ConfigFolder, redis_url: str
) -> None:
    own = with_redis(folder, redis_url)
    other = await learn(redis_url, folder.path)
    async with serving(folder) as process:
        code, out, said = await process.ended()
    last = said.splitlines()[-1]
    assert (code, out) == (1, "")
    assert last.startswith(f"efcx-gateway: key ring {own.fingerprint}: is not the store's key ring")
    assert other.fingerprint in last
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.redis
async def test_a_store_with_another_key_ring_that_was_down_at_the_start_ends_the_process_later(
    folder: ConfigFolder, redis_url: str
) -> None:
    port = free_port()
    own = with_redis(folder, f"redis://127.0.0.1:{port}")
    other = await learn(redis_url, folder.path)
    async with serving(folder) as process:
        assert "listens on" in await first_line(process)
        async with forwarding(port, redis_url):
            code, _, said = await process.ended()
    last = said.splitlines()[-1]
    assert code == 1
    assert own.fingerprint in last
    assert other.fingerprint in last
    assert "Traceback" not in said


@pytest.mark.row("GW-20")
@pytest.mark.slow
async def test_on_sigterm_a_running_request_is_finished_after_the_port_has_closed(folder: ConfigFolder) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")
        await reader.read()

    async with app_that(late) as app:
        folder.own.update(routes=[{"path": "/app", "to": app.url}], public_paths=["/app/logo"])
        async with serving(folder) as process, ClientSession() as browser:
            await first_line(process)
            host = {"Host": "one.example.com"}
            running = asyncio.create_task(browser.get(f"{process.public}/app/logo", headers=host))
            await asked.wait()
            process.process.send_signal(signal.SIGTERM)

            async def closed() -> bool:
                try:
                    async with ClientSession() as another, another.get(f"{process.public}/app/", headers=host):
                        return False
                except ClientConnectionError:
                    return True

            await until(closed)
            go.set()
            answer = await running
            assert (answer.status, await answer.text()) == (200, "whole")
            assert (await process.ended())[0] == 0


@pytest.mark.row("GW-20")
@pytest.mark.slow
@pytest.mark.keycloak
async def test_serve_starts_and_logs_what_the_realm_lacks_and_how_to_set_it(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer
) -> None:
    settings = installation.folder(tmp_path, keycloak=keycloak, mail=mail_server, app="http://127.0.0.1:1")
    settings.tenant["tenantSettings"]["keyCloak"]["realm"] = keycloak.bare_realm
    folder = ConfigFolder(tmp_path / "config")
    folder.gateway, folder.tenants = settings.gateway, {"expertflow.json": settings.tenant}
    async with serving(folder) as process:
        await first_line(process)
        assert process.process.stderr
        async with asyncio.timeout(LIMIT):
            line = b""
            while b"realm_not_ready" not in line:
                line = await process.process.stderr.readline()
        assert b"the attribute efcx2fa is not declared" in line
        assert b"Realm settings, User profile" in line
        async with ClientSession() as browser, browser.get(f"{process.public}/-/login") as page:
            assert page.status == 200
        assert await ready(process) == (503, {"status": "not ready", "failing": ["keycloak"]})


async def test_a_reload_closes_connections_that_no_tenant_uses_any_longer(
    folder: ConfigFolder, clock: FakeClock
) -> None:
    first = folder.load().configuration
    folder.keycloak["auth-server-url"] = f"http://127.0.0.1:{free_port()}/auth/"
    second = folder.load().configuration
    assert first
    assert second
    async with open_services(
        lambda: first, KeyRing((Key("00000000", bytes(KEY_BYTES), 0.0),)), clock=clock
    ) as services:
        checks = RealmChecks(services.token_endpoint, services.users, services.profiles, lambda: second)
        watcher = Watcher(services, checks, SettingsState(0.0, first.gateway))
        old, new = (of.tenants[0].keycloak for of in (first, second))
        async with services.keycloak_clients.asking(old, "a test") as of_old:
            given = of_old.grants
        async with services.keycloak_clients.asking(new, "a test") as of_new:
            kept = of_new.grants
        watcher.changed(first, second)
        await services.tasks.close(LIMIT)
        assert not given.is_closed  # a login that pinned the old settings may still be under way
        watcher.changed(second, second)
        await services.tasks.close(LIMIT)
        assert (given.is_closed, kept.is_closed) == (True, False)
