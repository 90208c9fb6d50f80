"""Forward-auth: nginx that asks the gateway about each request, and the endpoint that it asks, alone."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.designs import POOLS, Design, filled
from bench.installation import Installation, nginx
from bench.processes import MEASURED, listens, started
from bench.sessions import signed_in
from tests.fixtures.ports import free_port

DEPLOY = Path(__file__).parents[1] / "deploy" / "nginx"
SETTINGS = {"forward_auth": "nginx", "trusted_proxies": ["127.0.0.1"]}


@asynccontextmanager
async def asking_nginx(around: Installation, title: str) -> AsyncIterator[Design]:
    """nginx with the configuration of `deploy/nginx`, and the gateway with Redis that it asks."""
    port, asked, name = free_port(), free_port(), "nginx-gateway"
    store = {"url": await around.store(), "prefix": f"{name}:", "timeout": 10}
    changes = {**SETTINGS, "listen": f"127.0.0.1:{asked}", "store": store}
    folder = around.folder / "nginx-asking"
    content = POOLS.format(files=around.files, app=around.app) + configuration(folder, port, asked)
    async with (
        around.gateway(name, port, changes) as own,
        nginx(folder, port, content, core=MEASURED) as running,
    ):
        cookies = filled(await signed_in(f"http://localhost:{port}", around))
        yield Design(name, title, port, running + own, cookies)


def configuration(folder: Path, port: int, asked: int) -> str:
    """The shipped configuration, without TLS, with these ports, and with the locations of the benchmark."""
    text = (DEPLOY / "efcx-gateway.conf").read_text(encoding="utf-8")
    for pattern, new in (
        (r"listen 443 .*;", f"listen 127.0.0.1:{port} backlog=1024;"),
        (r" *ssl_certificate.*\n", ""),
        (r"server_name .*;", "server_name localhost;"),
        (r"server 127\.0\.0\.1:8080;", f"server 127.0.0.1:{asked}; keepalive_requests 1000000000;"),
        (r"keepalive 16;", "keepalive 256;"),
        (r"proxy_cache_path \S+", f"proxy_cache_path {folder}/auth"),
        (r"include gateway-", f"include {DEPLOY}/gateway-"),
        (r"location / \{", "location /-/ {"),
        (r"location /unified-admin \{", "location / {"),
        (r"http://127\.0\.0\.1:3000", "http://files"),
        (r"location /agent-manager \{", "location ~ ^/(ws|upload)/ {"),
        (r"http://127\.0\.0\.1:3001", "http://app"),
    ):
        text, count = re.subn(pattern, new, text)
        assert count, f"deploy/nginx has no {pattern}"
    return text


@asynccontextmanager
async def endpoint(around: Installation, title: str) -> AsyncIterator[Design]:
    """The gateway with Redis, which is asked directly."""
    port, name = free_port(), "gateway-auth"
    changes = {**SETTINGS, "store": {"url": await around.store(), "prefix": f"{name}:", "timeout": 10}}
    async with around.gateway(name, port, changes) as running:
        cookies = filled(await signed_in(f"http://localhost:{port}", around))
        yield Design(name, title, port, running, cookies, endpoint=True)


@asynccontextmanager
async def naive_endpoint(around: Installation, title: str) -> AsyncIterator[Design]:
    """`bench.naive_auth`."""
    port, session = free_port(), "x" * 66
    command = (sys.executable, "-m", "bench.naive_auth", str(port), await around.store(), session, "x" * 900)
    async with started(command, around.folder / "naive-auth.log", listens(port), core=MEASURED) as running:
        cookies = filled(f"gateway-session={session}")
        yield Design("naive-auth", title, port, running, cookies, endpoint=True)
