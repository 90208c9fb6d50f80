"""Tests of `efcx-gateway serve`."""

import asyncio
import errno
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from gateway import __version__
from gateway.cli.serve import LoopErrors, check_aiohttp
from gateway.domain.errors import Misconfigured
from tests.fixtures.config_folder import SHIPPED, ConfigFolder
from tests.fixtures.ports import free_port

LIMIT = 60.0
"""Seconds after which a test fails because its process has not ended."""


@dataclass
class Process:
    """A `serve` process."""

    process: asyncio.subprocess.Process
    public: str
    operations: str

    async def ended(self) -> tuple[int, str, str]:
        """Waits for the end and returns exit code and output."""
        async with asyncio.timeout(LIMIT):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    found = ConfigFolder(tmp_path / "config")
    found.gateway.update(listen=f"127.0.0.1:{free_port()}", operations=f"127.0.0.1:{free_port()}")
    # No server listens there: the realm is down, everything else works.
    found.keycloak["auth-server-url"] = f"http://127.0.0.1:{free_port()}/auth/"
    return found


@asynccontextmanager
async def serving(
    folder: ConfigFolder, *, files: tuple[int, int] | None = None, **environment: str
) -> AsyncIterator[Process]:
    """Runs the gateway; `files` are its soft and its hard limit of open files."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "--config", str(folder.write()),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=SHIPPED.parent,
        env={**os.environ, **environment},
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_NOFILE, files) if files else None,
    )  # fmt: skip
    try:
        yield Process(process, f"http://{folder.gateway['listen']}", f"http://{folder.gateway['operations']}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def first_line(process: Process) -> str:
    assert process.process.stdout
    async with asyncio.timeout(LIMIT):
        return (await process.process.stdout.readline()).decode()


@pytest.mark.row("GW-20")
@pytest.mark.slow
async def test_serve_prints_its_address_answers_and_drains_on_sigterm(folder: ConfigFolder) -> None:
    async with serving(folder) as process, ClientSession() as browser:
        assert await first_line(process) == (
            f"efcx-gateway listens on {process.public}, operations on {process.operations}\n"
        )
        async with browser.get(
            f"{process.public}/app/", headers={"Host": "one.example.com"}, allow_redirects=False
        ) as answer:
            assert answer.status == 303
        async with browser.get(f"{process.operations}/health/live") as answer:
            assert answer.status == 200
        async with browser.get(f"{process.operations}/health/ready") as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "not ready", "failing": ["keycloak"]})
        process.process.send_signal(signal.SIGTERM)
        code, _, said = await process.ended()
    assert code == 0
    assert "Traceback" not in said
    assert "key ring created" in said
    assert (folder.path / "ring.key").is_file()


@pytest.mark.slow
async def test_the_log_has_the_version_at_the_start_and_a_line_for_stopping_and_its_end(folder: ConfigFolder) -> None:
    async with serving(folder) as process:
        await first_line(process)
        process.process.send_signal(signal.SIGTERM)
        _, _, said = await process.ended()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] in ("started", "stopping", "stopped")]
    assert [line["event"] for line in told] == ["started", "stopping", "stopped"]
    assert told[0]["version"] == __version__


@pytest.mark.attack("F28")
@pytest.mark.row("NX-07")
@pytest.mark.attack("F9")
@pytest.mark.slow
async def test_serve_is_an_otp_manager_on_a_listener_of_its_own(folder: ConfigFolder) -> None:
    listen, secret = f"127.0.0.1:{free_port()}", "0123456789abcdef" * 2
    folder.gateway["otp_manager_server"] = {"listen": listen, "secret": secret, "clients": ["127.0.0.1"]}
    async with serving(folder) as process, ClientSession() as efcx:
        await first_line(process)
        async with efcx.post(f"http://{listen}/{secret}/otp/generate", json={}, headers={"tenantid": "none"}) as answer:
            assert (answer.status, await answer.json()) == (400, {"message": "TENANT_NOT_FOUND"})
        for base in (process.public, process.operations):
            async with efcx.post(f"{base}/{secret}/otp/generate", json={}, headers={"tenantid": "one"}) as answer:
                assert answer.status in (404, 421)


@pytest.mark.slow
async def test_serve_has_no_demo_page(folder: ConfigFolder) -> None:
    async with serving(folder) as process, ClientSession() as browser:
        await first_line(process)
        for path in ("/-/demo", "/-/demo/users.json", "/-/demo/inbox.json", "/auth/realms/one"):
            async with browser.get(f"{process.public}{path}", headers={"Host": "one.example.com"}) as answer:
                assert answer.status == 404, path


@pytest.mark.slow
async def test_sighup_reopens_a_renamed_audit_file_and_does_not_end_the_process(folder: ConfigFolder) -> None:
    folder.gateway["audit_file"] = "audit.log"
    file = folder.path / "audit.log"
    async with serving(folder) as process, ClientSession() as browser:
        await first_line(process)
        file.rename(folder.path / "audit.log.1")
        process.process.send_signal(signal.SIGHUP)
        async with browser.get(f"{process.operations}/health/live") as answer:
            assert answer.status == 200
        process.process.send_signal(signal.SIGTERM)
        code, _, said = await process.ended()
    assert code == 0
    assert "audit_file_reopened" in said
    assert file.exists()


@pytest.mark.slow
async def test_more_connections_than_open_files_allow_are_replaced_and_logged_once(folder: ConfigFolder) -> None:
    async with serving(folder, files=(200, 300)) as process, AsyncExitStack() as stack:
        await first_line(process)
        host, port = process.public.removeprefix("http://").split(":")
        for number in range(100):
            client = (f"127.0.0.{number % 4 + 2}", 0)
            _, writer = await asyncio.open_connection(host, int(port), local_addr=client)
            stack.callback(writer.close)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /app/ HTTP/1.1\r\nHost: one.example.com\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 303")
        writer.close()
        process.process.send_signal(signal.SIGTERM)
        _, _, said = await process.ended()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [line["connections"] for line in lines if line["event"] == "started"] == [75]
    assert [line["most"] for line in lines if line["event"] == "connections_full"] == [75]
    assert not [line for line in lines if line["event"] == "open_files_exhausted"]


def test_a_shortage_of_open_files_is_logged_once() -> None:
    loop, errors = asyncio.new_event_loop(), LoopErrors()
    with capture_logs() as lines:
        for _ in range(3):
            errors.handle(loop, {"exception": OSError(errno.EMFILE, "Too many open files"), "message": "accept"})
    loop.close()
    assert [line["event"] for line in lines] == ["open_files_exhausted"]


@pytest.mark.row("GW-20")
@pytest.mark.slow
async def test_on_sigterm_readiness_reports_draining_before_the_port_closes(folder: ConfigFolder) -> None:
    async with serving(folder) as process, ClientSession() as probe:
        await first_line(process)
        process.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            status = ""
            while status != "draining":
                async with probe.get(f"{process.operations}/health/ready") as answer:
                    status = (await answer.json())["status"]
            async with probe.get(
                f"{process.public}/app/", headers={"Host": "one.example.com"}, allow_redirects=False
            ) as answer:
                assert answer.status == 303
        assert (await process.ended())[0] == 0


@pytest.mark.slow
async def test_invalid_settings_are_all_printed_and_the_gateway_does_not_start(folder: ConfigFolder) -> None:
    folder.two_factor.update(otpExpiry=0, channelType="WHATSAPP")
    async with serving(folder) as process:
        code, _, said = await process.ended()
    assert code == 1
    assert "otpExpiry: must be at least 1" in said
    assert "channelType: 'WHATSAPP' is not known" in said
    assert said.splitlines()[-1].startswith("efcx-gateway: not started")
    assert not (folder.path / "ring.key").exists()


@pytest.mark.slow
async def test_serve_with_redis_and_without_a_key_ring_refuses_to_start(folder: ConfigFolder) -> None:
    folder.gateway.update(store={"url": f"redis://127.0.0.1:{free_port()}"}, keys={"file": "ring.key"})
    async with serving(folder) as process:
        code, _, said = await process.ended()
    assert code == 1
    assert "is not there. If users are enrolled, put their key ring there" in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.row("GW-14")
@pytest.mark.slow
async def test_changed_settings_are_audited_with_their_weakenings(folder: ConfigFolder) -> None:
    folder.gateway["audit_file"] = "audit.log"
    async with serving(folder) as process:
        await first_line(process)
        folder.two_factor["otpMaxAttempts"] = 50
        folder.write()
        assert process.process.stderr
        async with asyncio.timeout(LIMIT):
            while b"configuration_weakened" not in await process.process.stderr.readline():
                pass
        process.process.send_signal(signal.SIGTERM)
        assert (await process.ended())[0] == 0
    events = [json.loads(line) for line in (folder.path / "audit.log").read_text().splitlines()]
    assert [event["event"] for event in events] == [
        "configuration_loaded",
        "configuration_loaded",
        "configuration_weakened",
    ]
    assert events[-1]["changes"] == "one: otpMaxAttempts 5 → 50"


@pytest.mark.slow
async def test_serve_refuses_to_start_with_the_pure_python_parser(folder: ConfigFolder) -> None:
    async with serving(folder, AIOHTTP_NO_EXTENSIONS="1") as process:
        code, _, said = await process.ended()
    assert code == 1
    assert "compiled parser" in said


@pytest.mark.parametrize("version", ["3.14.4", "3.9.0", "2.99.99"])
def test_serve_refuses_an_old_aiohttp(version: str) -> None:
    with pytest.raises(Misconfigured, match=r"3\.14\.5 or newer"):
        check_aiohttp(version)


@pytest.mark.parametrize("version", ["3.14.5", "3.15.0", "4.0.0"])
def test_serve_accepts_a_newer_aiohttp(version: str) -> None:
    check_aiohttp(version)
