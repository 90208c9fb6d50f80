"""A whole gateway with its configuration folder, in this process or in separate processes."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from aiohttp import web

from gateway.app import build
from gateway.crypto.key_ring import KeyRing
from gateway.domain.configuration import Configuration
from gateway.domain.ports import Clock, SystemClock, SystemRandom
from gateway.observe.audit import Audit
from gateway.proxy.connection_limits import Runner
from gateway.proxy.handler import server_options
from gateway.services import Services, open_services
from gateway.settings import key_ring
from gateway.settings.load import load
from tests.dependencies import process
from tests.dependencies.keycloak import Keycloak
from tests.dependencies.mail import MailServer
from tests.dependencies.run import Run
from tests.ports import free_port

CHANNEL = "otp@example.com"


class MovedClock:
    """The machine's time plus the time that a test has added."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return SystemClock().now() + self._ahead

    def advance(self, seconds: float) -> None:
        """Adds that number of seconds."""
        self._ahead += seconds


@dataclass
class Folder:
    """A `config/`. Change `gateway` and `tenant` (plain JSON data), or add `further` tenants, then `write()`."""

    path: Path
    port: int
    gateway: dict[str, Any]
    tenant: dict[str, Any]
    further: list[dict[str, Any]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """`gateway.yaml`."""
        return self.path / "gateway.yaml"

    @property
    def base(self) -> str:
        """Returns the public address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def two_factor(self) -> dict[str, Any]:
        """Returns the tenant's `twoFAConfigs`."""
        found: dict[str, Any] = self.tenant["tenantSettings"]["twoFAConfigs"]
        return found

    def write(self) -> None:
        """Writes the files."""
        (self.path / "tenants").mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.gateway, indent=1))
        for tenant in (self.tenant, *self.further):
            (self.path / "tenants" / f"{tenant['tenantId']}.json").write_text(json.dumps(tenant, indent=1))

    def ring(self) -> KeyRing:
        """Returns the key ring; makes it if there is none."""
        file = self.path / "ring.key"
        return key_ring.read(file) if file.exists() else key_ring.create(file, SystemClock(), SystemRandom())

    def load(self) -> Configuration:
        """Writes, reads and checks the files."""
        self.write()
        loaded = load(self.file)
        assert loaded.configuration, "\n".join(map(str, loaded.diagnostics))
        return loaded.configuration


def folder(path: Path, *, keycloak: Keycloak, mail: MailServer, app: str, store: str = "memory://") -> Folder:
    """Returns a tenant on the real Keycloak that mails by `mail`, with both apps at `app`."""
    port = free_port()
    return Folder(
        path,
        port,
        {
            "listen": f"127.0.0.1:{port}",
            "operations": f"127.0.0.1:{free_port()}",
            "store": {"url": store, "timeout": 10},
            "keys": {"file": "ring.key"},
            "channels": [
                {
                    "serviceIdentifier": CHANNEL,
                    "type": "EMAIL",
                    "kind": "smtp",
                    "relays": [{"host": mail.host, "port": mail.port, "security": "none"}],
                }
            ],
        },
        {
            "tenantName": "expertflow",
            "tenantId": "expertflow",
            "status": "active",
            "tenantSettings": {
                "fqdn": "127.0.0.1",
                "keyCloak": {
                    "realm": keycloak.realm,
                    "auth-server-url": keycloak.base_url,
                    "CLIENT_ID": "cim",
                    "credentials": {"secret": keycloak.clients["cim"]},
                    "Otp_Manager_Url": "http://127.0.0.1:1/",
                },
                "twoFAConfigs": {
                    "is2FAEnabled": True,
                    "channelType": "EMAIL",
                    "channelServiceIdentifier": CHANNEL,
                    "otpExpiry": 120,
                    "otpMaxAttempts": 5,
                },
            },
            "gateway": {
                "public_url": f"http://127.0.0.1:{port}",
                "home": "/unified-admin/",
                "keycloak": {
                    "client_id": "gateway-login",
                    "client_secret": keycloak.clients["gateway-login"],
                    "service_account": {
                        "client_id": "gateway-admin",
                        "client_secret": keycloak.clients["gateway-admin"],
                    },
                },
                "routes": [
                    {"path": "/unified-admin", "to": app, "strip_prefix": True},
                    {"path": "/agent-manager", "to": app, "strip_prefix": True},
                ],
            },
        },
    )


class RecordedAudit:
    """The audit events of a gateway, and the gateway's services."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.services: Services | None = None

    def __call__(self, line: str) -> None:
        self.lines.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, Any]]:
        """Returns the audit events of one kind."""
        return [line for line in self.lines if line["event"] == event]


@asynccontextmanager
async def running(
    configuration: Configuration | Callable[[], Configuration], ring: KeyRing, *, clock: Clock | None = None
) -> AsyncIterator[RecordedAudit]:
    """Runs the gateway in this process, on one configuration or on the one in force; yields its audit."""
    reported = RecordedAudit()
    clock = clock or SystemClock()
    source = configuration if callable(configuration) else lambda: configuration
    async with open_services(source, ring, clock=clock, audit=Audit(clock, tell=reported)) as reported.services:
        runner = Runner(build(reported.services), shutdown_timeout=1, **server_options())
        await runner.setup()
        try:
            listen = source().gateway.listen
            await web.TCPSite(runner, listen.host, listen.port).start()
            yield reported
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class Replica:
    """One process of the gateway."""

    base: str
    keeper: int
    log: Path
    operations: int


@contextmanager
def replicas(of: Folder, count: int = 1) -> Iterator[list[Replica]]:
    """Runs that number of `efcx-gateway serve` processes with one configuration, key ring and store."""
    of.ring()
    started: list[Replica] = []
    try:
        for number in range(count):
            listen, operations = free_port(), free_port()
            own = of.path / f"replica{number}"
            data = {**of.gateway, "listen": f"127.0.0.1:{listen}", "operations": f"127.0.0.1:{operations}"}
            data["keys"] = {"file": str(of.path / "ring.key")}
            data["insecure_http"] = True
            settings = Folder(own, listen, data, of.tenant)
            settings.write()
            log = own / "log"
            command = [sys.executable, "-m", "gateway", "serve", "--config", str(settings.file)]
            keeper = process.start(command, log, owner=Run.current().owner, env=dict(os.environ))
            started.append(Replica(settings.base, keeper, log, operations))
        for replica in started:
            ready = partial(_ready, replica.operations)
            process.wait_ready(ready, replica.keeper, replica.log, seconds=60, tell=lambda _gone: None)
        yield started
    finally:
        for replica in started:
            process.stop(replica.keeper)


def _ready(port: int) -> bool:
    try:
        with httpx2.Client(trust_env=False, timeout=5) as http:
            return http.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    except httpx2.HTTPError:
        return False
