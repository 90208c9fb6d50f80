"""The commands of `docs/quick-start.md`, run as a reader types them, up to a session."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from aiohttp import ClientSession

from tests.fixtures import keycloak_build
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.person import Person
from tests.fixtures.ports import free_port
from tests.test_docs import ROOT, fences

PAGE = ROOT / "docs" / "quick-start.md"
PASSWORD = "KC_CLI_PASSWORD"  # kcadm.sh reads it instead of asking

pytestmark = [pytest.mark.keycloak, pytest.mark.slow]


@pytest.fixture
def trial(tmp_path: Path, keycloak: Keycloak) -> Iterator[Path]:
    """Yields the folder that the page copies, with free ports and the address of the test's Keycloak."""
    folder = tmp_path / "efcx-trial"
    shutil.copytree(ROOT / "docs" / "quick-start", folder)
    ports = {port: str(free_port()) for port in ("8000", "9090", "9000")}
    for file in (folder / "gateway.yaml", folder / "tenants" / "trial.yaml"):
        text = file.read_text().replace("http://localhost:8080/", keycloak.base_url)
        for written, free in ports.items():
            text = text.replace(f":{written}", f":{free}")
        file.write_text(text)
    yield folder
    keycloak.admin.request("DELETE", "", "trial")


def environment_after(commands: list[str], folder: Path, keycloak: Keycloak) -> dict[str, str]:
    """Runs these commands in one shell beside `folder`, and returns the variables that they exported."""
    template = keycloak_build.prepare(print)
    beside = folder.parent / "checkout"
    beside.mkdir()
    typed = "\n".join([*commands, "env -0"]).replace("http://localhost:8080", keycloak.base_url)
    shell = subprocess.run(
        ["bash", "-e"],
        input=typed.replace("--user admin", f"--user {template.administrator}"),
        cwd=beside,
        env={
            **os.environ,
            "HOME": str(folder.parent),
            "PATH": f"{template.distribution / 'bin'}:{template.java.parent}:{os.environ['PATH']}",
            "KC_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # starts in half the time
            PASSWORD: template.administrator_password,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    return dict(line.split("=", 1) for line in shell.stdout.split("\0") if "=" in line)


async def test_a_reader_of_the_quick_start_signs_in_with_an_authenticator_app(trial: Path, keycloak: Keycloak) -> None:
    typed = [line[2:] for block in fences(PAGE, "console") for line in block.splitlines()]
    commands = [line for line in typed if "kcadm.sh" in line or line.startswith("export ")]
    variables = environment_after(commands, trial, keycloak)
    serve = [sys.executable, "-m", "gateway", "serve", "--config", str(trial / "gateway.yaml")]
    app = [sys.executable, "-m", "http.server", port_of(trial), "--bind", "127.0.0.1", "--directory", str(trial)]
    environment = {**variables, "PYTHONPATH": str(ROOT)}
    processes = [
        await asyncio.create_subprocess_exec(
            *command, cwd=trial, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        for command in (serve, app)
    ]
    try:
        assert processes[0].stdout
        started = (await processes[0].stdout.readline()).decode().split()
        public, operations = (word.rstrip(",") for word in started if word.startswith("http://"))
        async with ClientSession() as http, http.get(f"{operations}/health/ready") as ready:
            assert await ready.json() == {"status": "ready"}
        local = public.replace("127.0.0.1", "localhost")
        async with Person(local, target="/") as anna:
            scanned = await anna.password("anna", variables[PASSWORD])
            code = pyotp.TOTP(scanned.body["secret"]).now()
            assert (await anna.do("register", code=code)).step == "done"
            assert "trial.yaml" in await anna.page("/tenants/")
    finally:
        for process in processes:
            process.terminate()
            await process.wait()


def port_of(trial: Path) -> str:
    """Returns the port of the trial's app."""
    text = (trial / "tenants" / "trial.yaml").read_text()
    return text.partition('to: "http://127.0.0.1:')[2].partition('"')[0]
