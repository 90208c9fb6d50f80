"""The designs that the benchmark compares. Each is started on the core of the design under test."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench.installation import Installation, nginx
from bench.processes import MEASURED, Running, listens, started
from bench.sessions import ManySessions, signed_in
from tests.fixtures.ports import free_port

COOKIES = 1_300
"""Bytes of the `Cookie` field of every request, whatever of them the design itself needs."""
PLAIN = """
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_of_upgrade;
    location / {{ proxy_pass http://files; }}
    location /ws/ {{ proxy_pass http://app; proxy_read_timeout 600s; }}
    location /upload/ {{ proxy_pass http://app; }}
  }}
"""
POOLS = """
  upstream files {{ server 127.0.0.1:{files}; keepalive 256; keepalive_requests 1000000000; }}
  upstream app {{ server 127.0.0.1:{app}; keepalive 256; keepalive_requests 1000000000; }}
"""


@dataclass
class Design:
    """A running design. `cookies` are those that its user has after the sign-in, filled up to the common size."""

    name: str
    title: str
    port: int
    running: Running
    cookies: str = ""
    sessions: ManySessions | None = None
    endpoint: bool = False

    @property
    def host(self) -> str:
        """The value of the `Host` field."""
        return f"localhost:{self.port}"


Started = Callable[[Installation, str], AbstractAsyncContextManager[Design]]


@dataclass(frozen=True)
class Kind:
    """A design that can be started; `missing` names what it lacks on this machine."""

    title: str
    start: Started
    missing: Callable[[], str] = lambda: ""
    endpoint: bool = False
    """It only answers questions of other proxies: for the work `auth` alone."""


def filled(cookies: str) -> str:
    """These cookies and one of an app, together as large as those of every design."""
    return f"{cookies}; app=".removeprefix("; ").ljust(COOKIES, "x")


@asynccontextmanager
async def plain_nginx(around: Installation, title: str) -> AsyncIterator[Design]:
    """nginx as a reverse proxy, without a sign-in."""
    port = free_port()
    content = POOLS.format(files=around.files, app=around.app) + PLAIN.format(port=port)
    async with nginx(around.folder / "nginx", port, content, core=MEASURED) as running:
        yield Design("nginx", title, port, running, filled(""))


@asynccontextmanager
async def gateway(
    around: Installation, title: str, *, name: str, redis: bool = False, store: dict[str, Any] | None = None
) -> AsyncIterator[Design]:
    """The gateway with a signed-in user."""
    port, prefix = free_port(), f"{name}:"
    changes: dict[str, Any] = {}
    if redis:
        changes["store"] = {"url": await around.store(), "prefix": prefix, "timeout": 10, **(store or {})}
    async with around.gateway(name, port, changes) as running:
        cookies = filled(await signed_in(f"http://localhost:{port}", around))
        sessions = ManySessions(around, around.tenant.id, prefix, cookies) if redis else None
        yield Design(name, title, port, running, cookies, sessions)


@asynccontextmanager
async def naive(around: Installation, title: str) -> AsyncIterator[Design]:
    """`bench.naive_proxy`."""
    port = free_port()
    addresses = (f"http://127.0.0.1:{to}" for to in (around.files, around.app))
    command = (sys.executable, "-m", "bench.naive_proxy", str(port), *addresses)
    async with started(command, around.folder / "naive.log", listens(port), core=MEASURED) as running:
        yield Design("naive", title, port, running, filled(""))
