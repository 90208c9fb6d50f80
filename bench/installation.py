"""Everything around the designs under test: nginx with its files, the app, Redis, an identity provider, a mailbox.

The identity provider and the mailbox are those of the demo; they run in this process. The gateway is the program
`efcx-gateway serve` with a configuration folder of its own.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiohttp import web

from bench.processes import MEASURED, OTHERS, Running, listens, started
from gateway.crypto.key_ring import KeyRing
from gateway.demo import identity_provider
from gateway.demo.configuration import Options, configure, gateway_file, tenant_file
from gateway.demo.dependencies import Dependencies, dependencies, register
from gateway.demo.identity_provider import Realm
from gateway.demo.tenants import DemoTenant
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.services import open_services
from gateway.settings import key_ring
from tests.fixtures.ports import free_port
from tools.demo_login import ADDRESS

KIB, MIB, GIB = 2**10, 2**20, 2**30
FILES = {"1m": MIB, "100m": 100 * MIB, "1g": GIB}
JSON = '{"text": "%s"}' % ("x" * (2 * KIB - 12))
LIFE = 86_400
"""Seconds for which the tokens are valid: no run contains a renewal."""
LIMITS = {"sends_per_user": 100_000, "sends_per_address": 100_000}
"""The gateway's limits that one user who signs in again and again would reach."""

NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log error;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  sendfile on;
  tcp_nopush on;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $connection_of_upgrade {{ default upgrade; '' ''; }}
{content}
}}
"""
UPSTREAM = """
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    root {folder}/files;
    open_file_cache max=100;
    location / {{ rewrite ^ /2k.json break; }}
    location /files/ {{ alias {folder}/files/; }}
  }}
"""


def nginx_program() -> str:
    """The path of nginx, which may be outside of a user's search path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or "nginx"


@asynccontextmanager
async def nginx(folder: Path, port: int, content: str, *, core: int) -> AsyncIterator[Running]:
    """Run one worker of nginx. `content` is its configuration below `http`, which listens on `port`."""
    folder.mkdir(exist_ok=True)
    file, user = folder / "nginx.conf", "" if os.geteuid() else "user root;"  # else it could not read our folder
    file.write_text(NGINX.format(user=user, folder=folder, content=content))
    command = (nginx_program(), "-e", str(folder / "error.log"), "-c", str(file))
    async with started(command, folder / "log", listens(port), core=core) as running:
        yield running


@dataclass
class Installation:
    """What runs around the designs."""

    folder: Path
    files: int
    """Port of nginx with the files."""
    app: int
    """Port of the app that takes uploads and WebSockets."""
    around: Dependencies
    ring: KeyRing
    stack: AsyncExitStack
    redis_port: int = 0
    redis: Running | None = None

    @property
    def tenant(self) -> DemoTenant:
        """The demo's tenant whose codes come by e-mail."""
        return self.around.tenants[0]

    async def store(self) -> str:
        """The address of Redis, which is started at its first use."""
        if self.redis is None:
            self.redis_port = free_port()
            command = ("redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "")
            log = self.folder / "redis.log"
            self.redis = await self.stack.enter_async_context(started(command, log, listens(self.redis_port)))
        return f"redis://127.0.0.1:{self.redis_port}/0"

    def gateway_files(self, name: str, port: int, changes: Mapping[str, Any]) -> Path:
        """Write the configuration of a gateway; returns its `gateway.yaml`."""
        options = Options(port=port, upstream=f"http://127.0.0.1:{self.files}")
        folder = self.folder / name
        (folder / "tenants").mkdir(parents=True, exist_ok=True)
        data = gateway_file(options, self.around) | {"keys": {"file": str(self.folder / "ring.key")}}
        data["operations"] = f"127.0.0.1:{free_port()}"
        data = data | {"limits": LIMITS, "log_level": "warning"} | dict(changes)
        (folder / "gateway.yaml").write_text(json.dumps(data))
        file = tenant_file(options, self.around, self.tenant)
        routes = file["gateway"]["routes"]
        routes += [{"path": path, "to": f"http://127.0.0.1:{self.app}"} for path in ("/upload", "/ws")]
        (folder / "tenants" / f"{self.tenant.id}.json").write_text(json.dumps(file))
        return folder / "gateway.yaml"

    @asynccontextmanager
    async def gateway(self, name: str, port: int, changes: Mapping[str, Any]) -> AsyncIterator[Running]:
        """Run `efcx-gateway serve` on the core of the design under test, from the moment that it listens."""
        file = self.gateway_files(name, port, changes)
        log = self.folder / f"{name}.log"
        command = (sys.executable, "-m", "gateway", "serve", "--config", str(file))
        async with started(
            command, log, lambda: b"efcx-gateway listens" in log.read_bytes(), core=MEASURED, poll=0.005
        ) as running:
            yield running

    async def mailed_code(self, before: int) -> str:
        """The code of the mail that arrives after `before` mails."""
        async with asyncio.timeout(10):
            while self.mails() <= before:
                await asyncio.sleep(0.001)
        return next(mail.code for mail in self.around.inbox.mails if mail.to == ADDRESS)

    def mails(self) -> int:
        """The number of mails so far."""
        return self.around.inbox.mails[0].number if self.around.inbox.mails else 0


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[Installation]:
    """Start what every design needs. The user of `bench.sessions` has enrolled an e-mail address."""
    clock, files, app = SystemClock(), free_port(), free_port()
    content = folder / "upstream" / "files"
    content.mkdir(parents=True)
    (content / "2k.json").write_text(JSON)
    for name, size in FILES.items():
        with (content / name).open("wb") as file:
            file.truncate(size)
    async with AsyncExitStack() as stack:
        upstream = UPSTREAM.format(folder=content.parent, port=files)
        await stack.enter_async_context(nginx(content.parent, files, upstream, core=OTHERS))
        command = (sys.executable, "-m", "bench.app", str(app))
        await stack.enter_async_context(started(command, folder / "app.log", listens(app)))
        with patch.object(identity_provider, "build", lasting(identity_provider.build)):
            around = await stack.enter_async_context(dependencies(clock))
        ring = key_ring.create(folder / "ring.key", clock, SystemRandom())
        configuration = configure(Options(port=free_port()), around)
        async with open_services(lambda: configuration, ring) as services:
            tenant = configuration.tenant(around.tenants[0].id)
            assert tenant
            await register(tenant, around, services.enrolments)
        yield Installation(folder, files, app, around, ring, stack)


def lasting(build: Callable[[Iterable[Realm]], web.Application]) -> Callable[[Iterable[Realm]], web.Application]:
    """`identity_provider.build` for realms whose tokens outlive the run."""

    def built(realms: Iterable[Realm]) -> web.Application:
        kept = list(realms)
        for realm in kept:
            realm.access_life = realm.idle_life = realm.longest_life = LIFE
        return build(kept)

    return built
