"""The real Keycloak of a test run: fixture `keycloak`, started once for all processes of the run.

A Keycloak that `make keycloak` keeps running is used instead, which saves the start in daily work; not with `CI=true`.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.dependencies import keycloak_build, process
from tests.dependencies.keycloak_admin import KeycloakAdmin
from tests.dependencies.keycloak_build import Template, Unavailable
from tests.dependencies.missing import missing
from tests.dependencies.realm import BARE_REALM, REALM
from tests.dependencies.run import Run
from tests.ports import free_port

READY_WITHIN = 100.0  # seconds; usually 5 to 10


@dataclass(frozen=True)
class Keycloak:
    """A running Keycloak with the realms of `realm.py`."""

    port: int
    clients: Mapping[str, str] = field(repr=False)  # client id → secret; the same in both realms
    passwords: Mapping[str, str] = field(repr=False)  # user name → password
    admin: KeycloakAdmin = field(repr=False)
    realm: str = REALM
    bare_realm: str = BARE_REALM  # the attribute of the second factor is not declared there

    @property
    def base_url(self) -> str:
        """Returns `auth-server-url`, with its trailing slash."""
        return f"http://127.0.0.1:{self.port}/auth/"

    def issuer(self, realm_name: str = REALM) -> str:
        """Returns the `iss` of this realm's tokens for requests by `base_url`."""
        return f"{self.base_url}realms/{realm_name}"

    def url(self, endpoint: str, realm_name: str = REALM) -> str:
        """Returns an OpenID Connect endpoint of the realm, for example `token`, `certs`, `logout`, `auth`."""
        return f"{self.issuer(realm_name)}/protocol/openid-connect/{endpoint}"

    def grant(
        self, username: str, password: str, *, client: str = "gateway-login", realm_name: str = REALM
    ) -> httpx2.Response:
        """Makes one password grant and returns the answer unchanged."""
        form = {
            "grant_type": "password",
            "client_id": client,
            "client_secret": self.clients[client],
            "username": username,
            "password": password,
            "scope": "openid",
        }
        with httpx2.Client(trust_env=False, timeout=30) as http:
            return http.post(self.url("token", realm_name), data=form)


@pytest.fixture(scope="session")
def keycloak(pytestconfig: pytest.Config) -> Iterator[Keycloak]:
    """Yields the real Keycloak. Make users for a test with `keycloak.admin.create_user()`."""

    def tell(line: str) -> None:
        manager = pytestconfig.pluginmanager.getplugin("capturemanager")
        with manager.global_and_fixture_disabled() if manager else contextlib.nullcontext():
            print(f"\n{line}", file=sys.stderr, flush=True)

    try:
        template = keycloak_build.prepare(tell)
    except Unavailable as why:
        missing(f"Keycloak ({why})", keycloak_build.HOW_TO_GET_IT)
    running = _kept(template) or Run.current().once("keycloak", lambda: _start(template, Run.current(), tell))
    base = f"http://127.0.0.1:{running['port']}/auth/"
    with KeycloakAdmin(base, template.administrator, template.administrator_password) as admin:
        yield Keycloak(running["port"], template.clients, template.passwords, admin)


def _start(template: Template, run: Run, tell: keycloak_build.Tell) -> dict[str, Any]:
    database = run.folder / "keycloak"
    shutil.copytree(template.database, database)
    log = run.folder / "keycloak.log"
    port, management = free_port(), free_port()
    keeper = keycloak_build.launch(template, database, port, management, log, owner=run.owner)
    process.wait_ready(
        lambda: keycloak_build.is_ready(port, management),
        keeper,
        log,
        seconds=READY_WITHIN,
        tell=lambda gone: tell(f"waiting for Keycloak … {gone:.0f} s"),
    )
    return {"port": port, "management": management, "keeper": keeper, "database": str(template.database)}


def _kept_file() -> Path:
    return keycloak_build.cache() / "running.json"


def _kept(template: Template) -> dict[str, Any] | None:
    """Returns the Keycloak that `make keycloak` keeps, if it runs and has the wanted realms."""
    if os.environ.get("CI") == "true" or not _kept_file().exists():
        return None
    found: dict[str, Any] = json.loads(_kept_file().read_text())
    fits = found["database"] == str(template.database) and process.alive(int(found["keeper"]))
    return found if fits and keycloak_build.is_ready(found["port"], found["management"]) else None


def _keep_running() -> None:
    """Starts one, records it for later test runs, and waits for Ctrl-C."""

    def tell(line: str) -> None:
        print(line, flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    template = keycloak_build.prepare(tell)
    run = Run(Path(tempfile.mkdtemp(prefix="efcx-gateway-keycloak-")), os.getpid())
    started = run.once("keycloak", lambda: _start(template, run, tell))
    _kept_file().write_text(json.dumps(started))
    tell(f"Keycloak runs at http://127.0.0.1:{started['port']}/auth/; test runs use it until you press Ctrl-C")
    try:
        while process.alive(started["keeper"]):
            select.select([], [], [], 1)
    except KeyboardInterrupt:
        pass
    finally:
        _kept_file().unlink(missing_ok=True)
        run.end()


if __name__ == "__main__":
    _keep_running()
