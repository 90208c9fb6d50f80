"""Tests of readiness."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.domain.errors import Misconfigured, Unreachable
from gateway.operations.readiness import Readiness


async def fine() -> tuple[str, ...]:
    return ()


async def down() -> tuple[str, ...]:
    raise Unreachable("Keycloak at https://keycloak.example.com", "connection refused")


async def broken() -> tuple[str, ...]:
    raise RuntimeError("anything")


async def silent() -> tuple[str, ...]:
    await asyncio.Event().wait()
    return ()


@pytest.mark.row("GW-20")
async def test_the_gateway_is_ready_when_every_check_passes() -> None:
    assert (await Readiness({"store": fine, "keycloak": fine}).verdict()).ready


@pytest.mark.row("GW-20")
@pytest.mark.parametrize("check", [down, broken, silent])
async def test_a_failed_check_is_named(check: object) -> None:
    readiness = Readiness({"store": fine, "keycloak": check}, limit=0.01)  # type: ignore[dict-item]
    assert (await readiness.verdict()).failing == ("keycloak",)


@pytest.mark.row("GW-20")
async def test_all_failed_checks_are_named() -> None:
    assert (await Readiness({"a": down, "b": fine, "c": broken}).verdict()).failing == ("a", "c")


@pytest.mark.row("GW-20")
async def test_a_draining_process_is_not_ready_and_runs_no_check() -> None:
    asked: list[str] = []

    async def ask() -> tuple[str, ...]:
        asked.append("store")
        return ()

    readiness = Readiness({"store": ask})
    readiness.drain()
    verdict = await readiness.verdict()
    assert (verdict.ready, verdict.draining, asked) == (False, True, [])


async def test_parallel_probes_run_each_check_once() -> None:
    asked: list[str] = []

    async def ask() -> tuple[str, ...]:
        asked.append("store")
        await asyncio.sleep(0)
        return ()

    readiness = Readiness({"store": ask})
    verdicts = await asyncio.gather(*(readiness.verdict() for _ in range(50)))
    assert all(v.ready for v in verdicts)
    assert len(asked) == 1


async def test_each_later_probe_runs_the_checks_again() -> None:
    states = iter([Misconfigured("x"), None])

    async def ask() -> tuple[str, ...]:
        if state := next(states):
            raise state
        return ()

    readiness = Readiness({"store": ask})
    assert not (await readiness.verdict()).ready
    assert (await readiness.verdict()).ready


async def test_a_reason_is_logged_once_until_it_changes() -> None:
    states: list[Exception | None] = [Misconfigured("x"), Misconfigured("x"), Unreachable("y"), None, None]

    async def ask() -> tuple[str, ...]:
        if state := states.pop(0):
            raise state
        return ()

    readiness = Readiness({"store": ask})
    structlog.reset_defaults()
    with capture_logs() as log:
        for _ in range(5):
            await readiness.verdict()
    assert [(line["event"], line.get("why")) for line in log] == [
        ("not_ready", "x"),
        ("not_ready", "y"),
        ("ready_again", None),
    ]


async def test_a_danger_of_a_dependency_that_works_is_a_warning() -> None:
    async def risky() -> tuple[str, ...]:
        return ("drops locks",)

    verdict = await Readiness({"store": risky, "keycloak": fine}).verdict()
    assert (verdict.ready, verdict.warnings) == (True, {"store": ["drops locks"]})


async def test_a_reason_is_redacted_and_bounded() -> None:
    async def chatty() -> tuple[str, ...]:
        raise Unreachable("store", "redis://gateway:hush-hush@redis.example.com " + 3000 * "x")

    reason = (await Readiness({"store": chatty}).verdict()).reasons["store"]
    assert "hush-hush" not in reason
    assert len(reason) < 2100
