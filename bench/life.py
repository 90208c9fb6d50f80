"""What one process costs besides its requests: its start, whole logins, and memory."""

import asyncio
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from statistics import mean, median
from typing import Any

import aiohttp

from bench.designs import Design, filled
from bench.installation import FILES, KIB, MIB, Installation
from bench.kinds import KINDS
from bench.load import Clock, answer, connection, download, handshake, requests, upload
from bench.report import Table, number, spread
from bench.sessions import Browser, signed_in
from tests.fixtures.ports import free_port

STARTS, LOGINS, WARM = 5, 40, 5
"""Starts of each store; measured logins, and logins before them."""
SETTLE = 3.0
"""Seconds until a started gateway has imported in the background what no request has to wait for."""
IDLE = 2.0
"""Seconds over which the CPU of an idle gateway is measured."""
REST = 0.03
"""Seconds after a login in which the gateway finishes what the browser does not wait for."""
SOCKETS, OF_ONE_SESSION, OF_ONE_ADDRESS = 1_000, 20, 250


async def start(around: Installation) -> Table:
    """Start the gateway several times."""
    rows = []
    for store in ("memory", "Redis"):
        found = []
        for turn in range(STARTS):
            name, operations = f"start-{store}-{turn}", free_port()
            changes: dict[str, Any] = {"operations": f"127.0.0.1:{operations}"}
            if store == "Redis":
                changes["store"] = {"url": await around.store(), "prefix": f"{name}:"}
            begun = time.perf_counter()
            async with around.gateway(name, free_port(), changes) as running:
                listening = running.cpu()
                await _ready(operations)
                ready, seconds, size = running.cpu(), time.perf_counter() - begun, running.rss() / MIB
                await asyncio.sleep(SETTLE)
                before = running.cpu()
                await asyncio.sleep(IDLE)
                found.append((listening, ready, seconds, size, (running.cpu() - before) / IDLE * 1000))
        cpu, *others = zip(*found, strict=True)
        rows.append([store, spread(cpu), *(number(median(values)) for values in others)])
    columns = ["store", "CPU s until it listens", "CPU s until ready", "s until ready", "MiB then", "ms/s when idle"]
    return Table("Start of the gateway", columns, rows, f"Medians of {STARTS} starts.")


async def _ready(port: int) -> None:
    async with aiohttp.ClientSession() as client, asyncio.timeout(60):
        while True:
            async with client.get(f"http://127.0.0.1:{port}/health/ready") as found:
                if found.status == 200:
                    return
            await asyncio.sleep(0.01)


async def login(around: Installation) -> Table:
    """Sign in again and again, each time in a new browser."""
    rows = []
    async with AsyncExitStack() as stack:
        for name in ("gateway", "gateway-redis"):
            kind = KINDS[name]
            if kind.missing():
                continue
            design = await stack.enter_async_context(kind.start(around, kind.title))
            base = f"http://{design.host}"
            await asyncio.sleep(SETTLE)
            for _ in range(WARM):
                await signed_in(base, around)
            clock = Clock(design, around.redis)
            await asyncio.sleep(IDLE)
            idle = clock.sample(IDLE)
            found = []
            for _ in range(LOGINS):
                async with Browser(base, around) as browser:
                    clock = Clock(design, around.redis)
                    await browser.sign_in()
                    await asyncio.sleep(REST)
                    found.append(clock.sample(1))
            own = [1000 * (sample.cpu - sample.seconds * idle.cost) for sample in found]
            redis = [1000 * (sample.redis - sample.seconds * idle.redis / IDLE) for sample in found]
            wall = median(sample.seconds - REST for sample in found) * 1000
            row = [design.title, f"{median(own):.1f}", f"{mean(own):.1f}", f"{min(own):.1f} to {max(own):.1f}"]
            rows.append([*row, f"{median(redis):.1f}" if design.sessions else "–", f"{wall:.0f}"])
    note = (
        f"{LOGINS} logins, each in a new browser: the app's page, the password, the code from the e-mail, the app's"
        " page. The CPU of an idle gateway is taken off."
    )
    columns = ["store", "CPU ms, median", "mean", "least to most", "Redis ms", "ms until the app's page"]
    return Table("A whole login", columns, rows, note)


async def memory(around: Installation, names: Sequence[str]) -> Table:
    """Memory of each design, freshly started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192) if hard > 0 else 8_192, hard))
    rows = []
    for name, kind in ((name, KINDS[name]) for name in names if not KINDS[name].endpoint):
        async with kind.start(around, kind.title) as design:
            await requests(design, around, connections=32, seconds=2)
            running = design.running
            row = [design.title, number(running.rss() / MIB)]
            cookies = [design.cookies]
            if "gateway" in name:
                cookies = [
                    filled(await signed_in(f"http://{design.host}", around)) for _ in range(SOCKETS // OF_ONE_SESSION)
                ]
            for transfer in (
                partial(download, design, "1g", FILES["1g"]),
                partial(upload, design, FILES["1g"], chunked=False),
            ):
                running.forget_peak()
                before = running.rss()
                await asyncio.to_thread(transfer)
                row.append(number((running.peak() - before) / MIB))
            before = running.rss()
            opened = await asyncio.to_thread(_sockets, design, cookies)
            await asyncio.sleep(2)
            row.append(number((running.rss() - before) / SOCKETS / KIB))
            for one in opened:
                one.close()
            rows.append(row)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    columns = [
        "design",
        "MiB after two seconds of requests",
        "MiB more for a download of 1 GiB",
        "for an upload",
        "KiB for an idle WebSocket",
    ]
    return Table("Memory", columns, rows, f"Resident memory of all processes. {SOCKETS:,} WebSockets were open.")


def after(designs: Sequence[Design]) -> Table:
    """Memory of designs that have run for a while."""
    rows = [[design.title, number(design.running.rss() / MIB)] for design in designs]
    return Table("Memory after all works", ["design", "MiB"], rows)


def _sockets(design: Design, cookies: Sequence[str]) -> list[socket.socket]:
    """Open WebSockets that send nothing."""
    opened = []
    for turn in range(SOCKETS):
        one = connection(design, f"127.0.0.{2 + turn // OF_ONE_ADDRESS}")
        one.sendall(handshake(design, 125, cookies[turn % len(cookies)]))
        if not (told := answer(one)).startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"{design.name}: {told[:200]!r}")
        opened.append(one)
    return opened
