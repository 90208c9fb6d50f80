"""Tests of the operations listener."""

import secrets
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from redis.asyncio import Redis

from gateway.domain.channel import TlsSettings
from gateway.domain.errors import Unreachable
from gateway.domain.secret import Secret
from gateway.observe.metrics import CONTENT_TYPE, Metrics
from gateway.operations import listener
from gateway.operations.readiness import Readiness
from gateway.store.memory import MemoryStore
from gateway.store.redis import RedisStore
from tests.fixtures.clock import FakeClock

Client = Callable[..., Awaitable[TestClient[web.Request, web.Application]]]


@pytest.mark.row("GW-20")
async def test_readiness_writes_to_the_store_and_reads_back(aiohttp_client: Client, clock: FakeClock) -> None:
    client = await aiohttp_client(listener.build(Readiness({"store": MemoryStore(clock).check})))
    answer = await client.get("/health/ready")
    assert (answer.status, await answer.json()) == (200, {"status": "ready"})


@pytest.mark.row("GW-20")
async def test_the_not_ready_answer_names_the_dependency_without_address_or_reason(aiohttp_client: Client) -> None:
    async def down() -> tuple[str, ...]:
        raise Unreachable("redis://secret-host:6379", "connection refused")

    client = await aiohttp_client(listener.build(Readiness({"store": down})))
    answer = await client.get("/health/ready")
    assert (answer.status, await answer.json()) == (503, {"status": "not ready", "failing": ["store"]})
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.row("GW-20")
@pytest.mark.parametrize(
    ("shown", "reported"),
    [("Bearer {}", True), ("bearer {}", False), ("{}", False), ("Bearer {}x", False), ("Bearer ", False), ("", False)],
)
async def test_the_reason_is_returned_with_the_operations_token(
    aiohttp_client: Client, shown: str, reported: bool
) -> None:
    async def down() -> tuple[str, ...]:
        raise Unreachable("redis://secret-host:6379", "connection refused")

    token = secrets.token_urlsafe()
    client = await aiohttp_client(listener.build(Readiness({"store": down}), token=lambda: Secret(token)))
    answer = await client.get("/health/ready", headers={"Authorization": shown.format(token)})
    reasons = {"reasons": {"store": "redis://secret-host:6379: connection refused"}} if reported else {}
    assert await answer.json() == {"status": "not ready", "failing": ["store"], **reasons}


@pytest.mark.row("GW-20")
@pytest.mark.parametrize("shown", ["Bearer ", "Bearer", ""])
async def test_without_an_operations_token_the_reason_is_never_returned(aiohttp_client: Client, shown: str) -> None:
    async def down() -> tuple[str, ...]:
        raise Unreachable("store")

    client = await aiohttp_client(listener.build(Readiness({"store": down})))
    answer = await client.get("/health/ready", headers={"Authorization": shown})
    assert "reasons" not in await answer.json()


@pytest.mark.row("GW-20")
async def test_liveness_reports_only_that_the_process_runs(aiohttp_client: Client) -> None:
    async def down() -> tuple[str, ...]:
        raise Unreachable("store")

    readiness = Readiness({"store": down})
    client = await aiohttp_client(listener.build(readiness))
    readiness.drain()
    answer = await client.get("/health/live")
    assert (answer.status, await answer.json()) == (200, {"status": "live"})


@pytest.mark.row("GW-20")
async def test_a_draining_process_answers_503(aiohttp_client: Client) -> None:
    readiness = Readiness({})
    client = await aiohttp_client(listener.build(readiness))
    readiness.drain()
    answer = await client.get("/health/ready")
    assert (answer.status, await answer.json()) == (503, {"status": "draining"})


async def test_metrics_are_in_the_prometheus_text_format(aiohttp_client: Client) -> None:
    client = await aiohttp_client(listener.build(Readiness({}), Metrics().text, CONTENT_TYPE))
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert "# TYPE efcx_gateway_logins_total counter" in await answer.text()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/nothing"])
async def test_no_answer_names_the_server_software(aiohttp_client: Client, path: str) -> None:
    client = await aiohttp_client(listener.build(Readiness({}), Metrics().text, CONTENT_TYPE))
    assert "Server" not in (await client.get(path)).headers


@pytest.mark.parametrize("path", ["/", "/-/login", "/metrics", "/health"])
async def test_all_other_paths_are_not_found(aiohttp_client: Client, path: str) -> None:
    client = await aiohttp_client(listener.build(Readiness({})))
    assert (await client.get(path)).status == 404


@pytest.mark.row("GW-20")
@pytest.mark.redis
async def test_a_store_that_accepts_no_writes_is_not_ready(aiohttp_client: Client, redis_url: str) -> None:
    store = RedisStore(url=redis_url, prefix="test:", timeout=10.0, tls=TlsSettings())
    client = await aiohttp_client(listener.build(Readiness({"store": store.check})))
    async with Redis.from_url(redis_url) as redis:
        await redis.config_set("maxmemory", "1")
        try:
            assert await redis.ping()
            answer = await client.get("/health/ready")
            assert (answer.status, await answer.json()) == (503, {"status": "not ready", "failing": ["store"]})
        finally:
            await redis.config_set("maxmemory", "0")
    assert (await client.get("/health/ready")).status == 200
    await store.close()
