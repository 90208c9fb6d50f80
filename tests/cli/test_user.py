"""Tests of `efcx-gateway user …`, on a real Redis or a serving gateway, and the stand-in identity provider."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.crypto.key_ring import Signer
from gateway.domain.channel import TlsSettings
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.operations import key_ring_check
from gateway.second_factor.factors.admin_code import PURPOSE, RECORD, AdminCode
from gateway.services import open_services
from gateway.settings import key_ring
from gateway.store.redis import RedisStore
from tests.cli.test_serve import first_line, serving
from tests.fixtures.config_folder import ConfigFolder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.ports import free_port
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.stand_in_keycloak import running as stand_in_running

LIFE = 1800.0  # 30 minutes

CLOCK, RANDOM = SystemClock(), SystemRandom()
TOKEN = "made up for this test"
SHOWN = re.compile(r"\d{4} \d{4} \d{4}")


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    """Yields the identity provider."""
    with stand_in_running() as server:
        yield server


@dataclass
class OperatorConsole:
    """A gateway's folder with Redis and a key ring, and the command line of its operator."""

    folder: ConfigFolder
    user: User
    provider: StandIn

    def run(self, *words: str, act: str = "code") -> subprocess.CompletedProcess[str]:
        """Runs `efcx-gateway user code …`, or another act, on the folder; it can read no entry."""
        return self.command("user", act, *words)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the folder; it can read no entry."""
        command = [sys.executable, "-m", "gateway", *words, "--config", str(self.folder.write())]
        none = subprocess.DEVNULL
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=none)

    def enrol(self) -> None:
        """Enrols an address for the user, as a login does."""
        asyncio.run(self._enrol())

    async def _enrol(self) -> None:
        loaded = self.folder.load().configuration
        assert loaded
        async with open_services(lambda: loaded, key_ring.read(self.folder.path / "ring.key")) as services:
            email = Enrolment(FactorKind.EMAIL, "user@example.com")
            assert await services.enrolments.add(loaded.tenants[0], self.user.id, EnrolmentSet(), email)

    def audited(self, event: str) -> list[dict[str, Any]]:
        """Returns the audit events of one kind."""
        lines = map(json.loads, (self.folder.path / "audit.log").read_text().splitlines())
        return [line for line in lines if line["event"] == event]

    def make(self, *words: str) -> dict[str, Any]:
        """Makes a code for the user and returns the output as data."""
        done = self.run(self.user.username, "--tenant", "one", "--json", *words)
        assert done.returncode == 0, done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    def kept(self) -> AdminCode | None:
        """Returns the code record that the gateway reads from its store."""
        return asyncio.run(self._kept())

    async def _kept(self) -> AdminCode | None:
        loaded = self.folder.load().configuration
        assert loaded
        ring = key_ring.read(self.folder.path / "ring.key")
        async with open_services(lambda: loaded, ring) as services:
            return await services.records(RECORD, AdminCode).read("one", self.user.id)

    def digest(self, code: str) -> str:
        """Returns the stored digest of `code`."""
        ring = key_ring.read(self.folder.path / "ring.key")
        return Signer(ring, PURPOSE).sign(code, PURPOSE, "one", self.user.id)


@pytest.fixture
def console(tmp_path: Path, provider: StandIn, redis_url: str) -> OperatorConsole:
    """CloudCX, where administrators' codes are on."""
    folder = ConfigFolder(tmp_path / "config")
    folder.path.mkdir()
    key_ring.create(folder.path / "ring.key", CLOCK, RANDOM)
    folder.gateway |= {"store": {"url": redis_url}, "keys": {"file": "ring.key"}, "audit_file": "audit.log"}
    folder.two_factor.clear()
    folder.two_factor.update(is2FAEnabled=True, preset="cloudcx")
    server = provider.server
    folder.keycloak.update({"realm": server.realm, "auth-server-url": server.base_url})
    folder.own["keycloak"] = {
        "client_id": "gateway-login",
        "client_secret": server.clients["gateway-login"],
        "service_account": {"client_id": "gateway-admin", "client_secret": server.clients["gateway-admin"]},
    }
    return OperatorConsole(folder, server.admin.create_user(), provider)


@pytest.mark.row("CC-15")
def test_the_code_is_printed_once_in_groups_and_its_rules_on_the_error_stream(console: OperatorConsole) -> None:
    done = console.run(console.user.username, "--tenant", "one")
    assert done.returncode == 0, done.stderr
    name, code = done.stdout.strip().split(": ")
    assert (name, bool(SHOWN.fullmatch(code))) == (console.user.username, True)
    assert "valid for 30 minutes and one use; replaces any earlier code" in done.stderr
    assert code not in done.stderr
    assert code.replace(" ", "") not in done.stderr


@pytest.mark.row("CC-15")
def test_the_gateway_keeps_a_digest_of_the_newest_code_only(console: OperatorConsole) -> None:
    older, newer = console.make()["code"], console.make()["code"]
    kept = console.kept()
    assert kept
    assert kept.digest == console.digest(newer)
    assert kept.digest != console.digest(older)
    assert LIFE == 1800


@pytest.mark.row("CC-15", "GW-18")
def test_the_audit_event_names_operator_and_user_and_not_the_code(console: OperatorConsole) -> None:
    code = console.make("--by", "Sara of the service desk")["code"]
    kept = console.kept()
    assert kept
    assert kept.issuer == "Sara of the service desk"
    audit = (console.folder.path / "audit.log").read_text()
    (line,) = console.audited("admin_code_issued")
    assert (line["username"], line["by"]) == (console.user.username, "command line: Sara of the service desk")
    assert code not in audit


def test_a_user_is_found_by_the_mail_address_too(console: OperatorConsole) -> None:
    assert console.user.email
    done = console.run(console.user.email, "--tenant", "one", "--json")
    assert json.loads(done.stdout)["username"] == console.user.username


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the last line of the error stream; the command must have printed nothing else."""
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr.strip().splitlines()[-1]


def test_an_unknown_user_gets_no_code(console: OperatorConsole) -> None:
    assert refused(console.run("nobody", "--tenant", "one")).startswith("efcx-gateway: no user nobody in realm ")


def test_for_an_unknown_tenant_the_command_lists_the_known_ones(console: OperatorConsole) -> None:
    said = refused(console.run(console.user.username, "--tenant", "two"))
    assert said == "efcx-gateway: no tenant two; configured tenants: one"


def test_where_administrators_codes_are_off_the_command_makes_none(console: OperatorConsole) -> None:
    console.folder.two_factor["adminCodes"] = False
    said = refused(console.run(console.user.username, "--tenant", "one"))
    assert said == "efcx-gateway: one accepts no administrator's codes (twoFAConfigs.adminCodes)"
    assert console.kept() is None


@pytest.mark.row("GW-27")
@pytest.mark.parametrize("registration", ["guarded", "admin_code"])
def test_an_administrators_code_is_made_where_enrolments_need_one_although_codes_are_off(
    console: OperatorConsole, registration: str
) -> None:
    console.folder.two_factor.update(adminCodes=False, registration=registration)
    assert console.make()["minutes"] == 30


def test_with_memory_the_command_needs_the_operations_token_and_a_serving_gateway(console: OperatorConsole) -> None:
    del console.folder.gateway["store"]
    assert "operations_token: is not set" in refused(console.run(console.user.username, "--tenant", "one"))
    console.folder.gateway.update(operations_token=TOKEN, operations=f"127.0.0.1:{free_port()}")
    assert "no gateway answers" in refused(console.run(console.user.username, "--tenant", "one"))


@pytest.mark.slow
async def test_with_memory_the_serving_gateway_carries_out_the_commands(console: OperatorConsole) -> None:
    del console.folder.gateway["store"]
    console.folder.gateway.update(
        operations_token=TOKEN, operations=f"127.0.0.1:{free_port()}", listen=f"127.0.0.1:{free_port()}"
    )
    name = (console.user.username, "--tenant", "one", "--by", "Sara")
    async with serving(console.folder) as process:
        await first_line(process)
        made = await asyncio.to_thread(console.run, *name)
        assert (made.returncode, bool(SHOWN.search(made.stdout))) == (0, True), made.stderr
        free = await asyncio.to_thread(console.run, *name, act="unlock")
        assert (free.returncode, free.stdout) == (
            0,
            f"{console.user.username} is not locked now; every count begins at 0\n",
        )
        done = await asyncio.to_thread(console.run, *name, "--yes", "--json", act="reset")
        assert (done.returncode, json.loads(done.stdout)["sessions"]) == (0, 0), done.stderr
        unknown = await asyncio.to_thread(console.run, "nobody", "--tenant", "one")
        assert refused(unknown).startswith("efcx-gateway: no user nobody in realm ")
        told = await asyncio.to_thread(console.command, "explain", *name[:3], "--path", "/app", "--json")
        assert json.loads(told.stdout)["route"] == "/app", told.stderr
        state = await asyncio.to_thread(console.command, "status", "--json")
        assert [one["id"] for one in json.loads(state.stdout)["tenants"]] == ["one"], state.stderr
        hidden = await asyncio.to_thread(console.run, "one", act="import")
        assert (hidden.returncode, "the realm hides the attribute is2FARegistered" in hidden.stderr) == (2, True)
    events = ("admin_code_issued", "user_unlocked", "enrolments_reset")
    assert [console.audited(event)[0]["by"] for event in events] == ["command line: Sara"] * 3


def test_removed_enrolments_are_shown_and_restored_only_after_a_confirmation(console: OperatorConsole) -> None:
    console.enrol()
    admin = console.provider.server.admin
    admin.set_attribute(console.user.id, [])
    name = (console.user.username, "--tenant", "one")
    asked = console.run(*name, act="restore")
    assert (asked.returncode, asked.stdout.strip()) == (1, "")
    assert "Keycloak has none, although the gateway wrote some" in asked.stderr
    assert "store: version 1: email u***@e***.com; 0 backup codes" in asked.stderr
    assert admin.attribute(console.user.id) == []
    done = console.run(*name, "--yes", "--json", act="restore")
    assert (done.returncode, json.loads(done.stdout)["factors"]) == (0, ["email"]), done.stderr
    again = console.run(*name, act="restore")
    assert (again.returncode, "the gateway accepts them" in again.stderr) == (0, True)
    assert [line["finding"] for line in console.audited("enrolments_restored")] == ["missing"]


def test_a_reset_without_a_confirmation_changes_nothing(console: OperatorConsole) -> None:
    console.enrol()
    before = console.provider.server.admin.attribute(console.user.id)
    done = console.run(console.user.username, "--tenant", "one", act="reset")
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert console.provider.server.admin.attribute(console.user.id) == before


async def test_with_another_key_ring_than_the_stores_the_command_changes_nothing(
    console: OperatorConsole, redis_url: str
) -> None:
    store = RedisStore(url=redis_url, prefix="efcx:", timeout=10.0, tls=TlsSettings())
    await key_ring_check.check(store, key_ring.read(console.folder.path / "ring.key"))
    await store.close()
    key_ring.add(console.folder.path / "ring.key", CLOCK, RANDOM)
    done = await asyncio.to_thread(console.run, console.user.username, "--tenant", "one", "--yes", act="reset")
    assert "it has 1 more; put that key ring back" in refused(done)


def test_invalid_settings_are_reported_and_no_code_is_made(console: OperatorConsole) -> None:
    console.folder.two_factor["otpLength"] = 99
    assert "otpLength" in refused(console.run(console.user.username, "--tenant", "one"))
