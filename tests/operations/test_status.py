"""Tests of the answer for the operator's `status` command, and what the command prints of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.cli.status import lines, run
from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.errors import Misconfigured
from gateway.domain.secret import Secret
from gateway.operations import status
from gateway.operations.readiness import Readiness
from gateway.operations.status import SettingsState
from gateway.services import open_services
from tests.fixtures.config_folder import ConfigFolder
from tests.fixtures.ports import free_port
from tests.fixtures.sample_tenants import TENANT

pytestmark = pytest.mark.row("GW-17")
TOKEN = "made up for this test"
SETTINGS = GatewaySettings(
    Address("", 0), Address("", 0), StoreSettings(Secret("memory://")), operations_token=Secret(TOKEN)
)


@dataclass
class Port:
    """The operations port, and what a test may change behind it."""

    client: TestClient[web.Request, web.Application]
    state: SettingsState
    settings: GatewaySettings = SETTINGS
    failing: str = ""

    def configuration(self) -> Configuration:
        """The configuration in force."""
        return Configuration(self.settings, (TENANT,), {}, "0123456789abcdef")

    async def check(self) -> Sequence[str]:
        """The check of the one dependency."""
        if self.failing:
            raise Misconfigured("store", self.failing)
        return ()

    async def status(self, token: str = TOKEN) -> tuple[int, Any]:
        """Asks; returns status and body."""
        answer = await self.client.get("/status", headers={"Authorization": f"Bearer {token}"})
        return answer.status, await answer.json() if answer.status == 200 else None

    async def screen(self) -> str:
        """What the command prints, without colours."""
        from click import unstyle

        return "\n".join(f"{label} {unstyle(text)}" for label, text in lines((await self.status())[1]))


@pytest.fixture
async def port(
    aiohttp_client: Callable[..., Awaitable[TestClient[web.Request, web.Application]]],
) -> AsyncIterator[Port]:
    """Yields the port of a gateway in memory."""
    made: list[Port] = []

    def configuration() -> Configuration:
        return made[0].configuration() if made else Configuration(SETTINGS, (TENANT,), {}, "0123456789abcdef")

    async def check() -> Sequence[str]:
        return await made[0].check()

    async with open_services(configuration, KeyRing((Key("00000000", bytes(KEY_BYTES)),))) as services:
        state, app = SettingsState(services.clock.now(), SETTINGS), web.Application()
        app.add_routes(status.routes(services, Readiness({"store": check}), state))
        made.append(Port(await aiohttp_client(app), state))
        yield made[0]


@pytest.mark.attack("F32")
@pytest.mark.parametrize("token", ["", "another"])
async def test_the_state_needs_the_operations_token(port: Port, token: str) -> None:
    assert await port.status(token) == (403, None)


@pytest.mark.attack("F32")
async def test_without_an_operations_token_no_request_gets_the_state(port: Port) -> None:
    port.settings = replace(SETTINGS, operations_token=Secret(""))
    assert await port.status("") == (403, None)


async def test_the_screen_has_version_state_settings_store_key_ring_and_tenants(port: Port) -> None:
    screen = await port.screen()
    assert "state ready" in screen
    assert f"tenants {TENANT.id}  {TENANT.public_url}" in screen
    assert "store in this process (memory)" in screen
    assert "0123456789ab" in screen


async def test_a_failing_dependency_is_named_with_its_reason(port: Port) -> None:
    port.failing = "refuses connections"
    screen = await port.screen()
    assert "state not ready" in screen
    assert "store: store: refuses connections" in screen


async def test_settings_that_were_rejected_are_shown_as_not_in_force(port: Port) -> None:
    port.state.rejected = ("gateway.yaml:3: listen: is wrong",)
    assert "not in force: gateway.yaml:3: listen: is wrong" in await port.screen()


async def test_a_change_that_needs_a_restart_is_shown_until_it_is_taken_back(port: Port) -> None:
    port.settings = replace(SETTINGS, audit_file="/var/log/audit.log")
    assert "need a restart: audit_file" in await port.screen()
    port.settings = SETTINGS
    assert "need a restart" not in await port.screen()


@pytest.mark.row("GW-17")
def test_the_command_asks_the_gateway_also_while_the_file_of_a_tenant_has_errors(tmp_path: Path) -> None:
    folder = ConfigFolder(tmp_path)
    folder.gateway.update(operations_token=TOKEN, operations=f"127.0.0.1:{free_port()}")
    folder.two_factor["otpLength"] = 99
    with pytest.raises(Misconfigured, match="no gateway answers"):
        run(folder.write(), as_json=True)


@pytest.mark.row("GW-17")
def test_with_an_error_in_its_own_settings_the_command_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ConfigFolder(tmp_path)
    folder.gateway["log_level"] = "loud"
    with pytest.raises(typer.Exit) as ended:
        run(folder.write(), as_json=True)
    assert (ended.value.exit_code, "log_level" in capsys.readouterr().err) == (2, True)
