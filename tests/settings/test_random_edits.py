"""Random edits of the settings, valid and invalid, while requests run.

No request fails, no configuration mixes two states of the files, and none has a bad edit. `make test-random` makes a
thousand of them, from another seed.
"""

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from gateway.app import build
from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.domain.configuration import Configuration
from gateway.domain.tasks import running
from gateway.services import open_services
from gateway.settings.live import Live
from gateway.settings.load import load
from tests.fixtures.config_folder import ConfigFolder

EDITS, SEED = int(os.environ.get("EXAMPLES") or 60), int(os.environ.get("SEED") or 1)
SOON = 30.0
"""Seconds after which the test fails; `test_live` shows the limit of one second."""


@dataclass
class Mount:
    """Settings as Kubernetes mounts them: links to a folder, which is swapped as a whole.

    In the state with number n every file has n. Numbers of invalid states are never in force.
    """

    path: Path
    chosen: random.Random
    numbers: list[int] = field(default_factory=list)

    def state(self, number: int, *, fault: Any = None) -> None:
        """Writes a state beside the mounted one, then swaps the link."""
        folder = ConfigFolder(self.path / f"state{number}")
        folder.gateway["limits"] = {"sends_per_user": number}
        for one in (folder.one, folder.another("two")):
            one["tenantSettings"]["twoFAConfigs"]["otpExpiry"] = number
        if fault is not None:
            fault(folder)
        folder.write()
        new = self.path / "new"
        new.symlink_to(folder.path.name)
        new.replace(self.path / "current")
        if fault is None:
            self.numbers.append(number)

    def spoil(self) -> None:
        """Cuts a file of the mounted state short, in place."""
        file = self.chosen.choice(sorted((self.path / "current").rglob("*.*")))
        file.write_bytes(file.read_bytes()[: self.chosen.randrange(1, 60)])

    def edit(self, number: int) -> bool:
        """Makes one random edit; returns whether to wait until it is in force."""
        match self.chosen.randrange(6):
            case 0:
                self.state(number)
                return self.chosen.random() < 0.5
            case 1 | 2:
                self.state(number)
            case 3:
                self.state(number, fault=lambda folder: folder.two_factor.pop("is2FAEnabled"))
            case 4:
                self.state(number, fault=lambda folder: folder.tenants.update({"two.json": "{"}))
            case _:
                self.spoil()
        return False


def number_of(configuration: Configuration) -> int:
    """Returns the number that every file of the state has."""
    expiries = [tenant.policy.otp_expiry for tenant in configuration.tenants]
    [number] = {configuration.gateway.limits.sends_per_user, *expiries}
    assert len(expiries) == 2
    return number


async def in_force(live: Live, number: int) -> None:
    """Waits until the state with this number is in force."""
    async with asyncio.timeout(SOON):
        while number_of(live.current()) != number:  # noqa: ASYNC110 - no reader of a configuration is told
            await asyncio.sleep(0.02)


@pytest.mark.row("GW-14")
@pytest.mark.attack("F10")
@pytest.mark.property
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_request_fails_and_no_bad_edit_is_ever_in_force(tmp_path: Path) -> None:
    mount = Mount(tmp_path, random.Random(SEED))
    mount.state(100)
    file, seen, done = tmp_path / "current" / "gateway.yaml", set[int](), asyncio.Event()
    live = Live(file, load(file, environment={}))

    def current() -> Configuration:
        seen.add(number_of(live.current()))
        return live.current()

    async def requests(base: str, http: ClientSession) -> int:
        count = 0
        while not done.is_set():
            path, status = ("/-/login", 200) if count % 20 == 0 else ("/app/page", 303)
            headers = {"Host": f"{mount.chosen.choice(('one', 'two'))}.example.com", "Accept": "text/html"}
            async with http.get(f"{base}{path}", headers=headers, allow_redirects=False) as answer:
                assert answer.status == status, await answer.text()
            count += 1
            await asyncio.sleep(0.002)
        return count

    async with open_services(current, KeyRing((Key("00000000", bytes(KEY_BYTES)),))) as services:
        server = TestServer(build(services))
        await server.start_server()
        stop = asyncio.Event()
        try:
            async with running(live.watch(stop)), ClientSession() as http:
                asking = asyncio.create_task(requests(str(server.make_url("")).rstrip("/"), http))
                for number in range(101, 101 + EDITS):
                    if mount.edit(number):
                        await in_force(live, number)
                    await asyncio.sleep(0.02)
                mount.state(101 + EDITS)
                await in_force(live, 101 + EDITS)
                done.set()
                assert await asking > EDITS
                stop.set()
        finally:
            await server.close()
    assert {100, 101 + EDITS} <= seen <= set(mount.numbers)
