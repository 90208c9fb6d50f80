"""Measures what 2,668 hostile connections cost the gateway: memory of each, and the p99 latency of other users.

    python -m bench.hostile_connections

Three processes on loopback: the demo's gateway on uvloop, the hostile clients, and this one, which is the app behind
the gateway, the other users and the clock. Five rounds, each one quiet and one under attack. It ends by itself in about
two minutes. What it printed when it was written is in `bench/README.md`.
"""

import asyncio
import io
import os
import random
import re
import resource
import selectors
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ROUNDS = 5
EACH = 667
"""Connections of each kind."""
REQUESTS = 1_000
USERS = 4
SETTLE = 4.0
"""Seconds in which the hostile clients send all they can before anything is measured."""
LONGEST = 60.0
"""Seconds after which the hostile clients end, whatever happens to this process."""
SMALL = b"x" * 2_048
FILES = 8_192
USER = "anna"


# ---- the gateway


def serve(port: int, upstream: str) -> None:
    """Run the demo in front of `upstream` until SIGTERM."""
    import uvloop

    from gateway.demo.start import Options, run
    from gateway.observe import logs

    logs.configure("error", io.StringIO())
    uvloop.run(run(Options(port=port, upstream=upstream)))


def memory(pid: int) -> int:
    """Resident bytes of a process, without what it shares with files."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Anonymous:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


# ---- the app


release = asyncio.Event()
"""Ends the requests that hang, between two rounds."""


async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`/hang` never answers, `/endless` never ends, everything else is 2 KiB."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET /hang"):
                await release.wait()
            elif head.startswith(b"GET /endless"):
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                    await writer.drain()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(SMALL), SMALL))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


# ---- the hostile clients


_pauses = random.Random(1)  # noqa: S311 - no secret


@dataclass
class Hostile:
    """One connection: what it sends at once, what it sends about `every` second, and whether it ever reads."""

    first: bytes
    drip: bytes
    source: str
    reads: bool = True
    every: float = 1.0
    end: socket.socket | None = None
    left: bytes = b""
    next: float = 0.0
    cut: int = field(default=0)

    def open(self, port: int) -> None:
        """Connect (again)."""
        self.end = socket.socket()
        self.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        self.end.bind((self.source, 0))
        self.end.connect(("127.0.0.1", port))
        self.end.setblocking(False)
        self.left = self.first

    def act(self, now: float) -> bool:
        """Send what can be sent; False when the connection has ended."""
        if self.end is None or now < self.next:
            return self.end is not None
        try:
            if self.reads and not self.end.recv(65_536):
                return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            while self.left:
                self.left = self.left[self.end.send(self.left) :]
            self.left, self.next = self.drip, now + self.every * _pauses.uniform(0.5, 1.5)
        except BlockingIOError:
            self.next = now + self.every
        except OSError:
            return False
        return True


def kinds(port: int, cookie: str) -> list[Hostile]:
    """`EACH` of each kind, each kind from an address of its own."""
    host = f"Host: localhost:{port}\r\n"
    signed = f"{host}Cookie: {cookie}\r\n"
    pipelined = f"GET /hang HTTP/1.1\r\n{signed}\r\nGET / HTTP/1.1\r\n{host}".encode()
    head = f"GET / HTTP/1.1\r\n{host}".encode() + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 480) for n in range(90))
    form = f"{host}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 20000\r\n\r\n"
    body = f"POST /-/login HTTP/1.1\r\n{form}"
    reader = f"GET /endless HTTP/1.1\r\n{signed}\r\n".encode()
    more = (b"X-More: " + b"x" * 50_000 + b"\r\n") * 20
    return [
        one
        for _ in range(EACH)
        for one in (
            Hostile(pipelined, more, "127.0.0.2", every=0.2),
            Hostile(head, b"x", "127.0.0.3"),
            Hostile(body.encode() + b"a" * 19_900, b"a", "127.0.0.4"),
            Hostile(reader, b"", "127.0.0.5", reads=False),
        )
    ]


def attack(port: int, cookie: str) -> None:
    """Keep all hostile connections open until this process is ended, at most `LONGEST` seconds."""
    os.nice(5)  # in the measurement they share the processors with the gateway, elsewhere they do not
    clients = kinds(port, cookie)
    for client in clients:
        client.open(port)
    print("open", flush=True)
    until, waiter = time.monotonic() + LONGEST, selectors.DefaultSelector()
    while (now := time.monotonic()) < until:
        for client in clients:
            if not client.act(now):
                if client.end is not None:
                    client.end.close()
                client.open(port)
        waiter.select(0.02)


# ---- the other users


async def sign_in(session: aiohttp.ClientSession, base: str) -> None:
    """Sign in one user of the demo by JSON, registering on the way."""
    own = {"Accept": "application/json", "Origin": base}
    async with session.get(f"{base}/-/login", params={"to": "/"}, headers=own) as response:
        step = await response.json()
    given = {"username": USER, "password": f"{USER}-demo"}
    for _ in range(5):
        named = {name: step[name] for name in ("csrf", "login", "round", "form")}
        form = {**named, "purpose": "sign-in", "to": "/", **given}
        async with session.post(f"{base}/-/login/{step['step']}", data=form, headers=own) as response:
            step = await response.json()
        if step["step"] == "done":
            return
        given = {"address": f"{USER}@example.com"} if step["step"] == "register" else {}
        if step["step"] == "verify":
            async with session.get(f"{base}/-/demo/inbox.json") as response:
                mails = await response.json()
            found = re.search(r"^\s*(\d{6})\s*$", mails[0]["text"], re.MULTILINE)
            given = {"code": found[1] if found else ""}
    raise RuntimeError(f"not signed in: {step}")


async def latencies(session: aiohttp.ClientSession, base: str) -> list[float]:
    """Seconds of each of `REQUESTS` requests of `USERS` users, each on a kept connection."""
    found: list[float] = []
    failed: list[int] = []

    async def user() -> None:
        for _ in range(REQUESTS // USERS):
            begun = time.perf_counter()
            async with session.get(f"{base}/small") as response:
                if len(await response.read()) != len(SMALL):
                    failed.append(response.status)
            found.append(time.perf_counter() - begun)
            await asyncio.sleep(0.002)

    await asyncio.gather(*(user() for _ in range(USERS)))
    if failed:
        print(f"  {len(failed)} of {REQUESTS} requests of users failed: {sorted(set(failed))}", flush=True)
    return sorted(found)


def p99(values: list[float]) -> float:
    """Milliseconds that 99 of 100 stay below."""
    return values[int(len(values) * 0.99)] * 1000


# ---- the measurement


@asynccontextmanager
async def process(*arguments: str, ready: Callable[[str], bool]) -> AsyncIterator[asyncio.subprocess.Process]:
    """This script in a process of its own, from the line that says it is ready on."""
    command = (sys.executable, "-m", "bench.hostile_connections", *arguments)
    started = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert started.stdout is not None
        async with asyncio.timeout(60):
            while not ready((line := await started.stdout.readline()).decode()):
                if not line:
                    raise RuntimeError(f"{arguments[0]} ended")
        drain = asyncio.create_task(started.stdout.read())
        yield started
        drain.cancel()
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def measure() -> None:
    """Start everything, go through the rounds and print."""
    server = await asyncio.start_server(app, "127.0.0.1", 0, backlog=1024, limit=2**17)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    port = free_port()
    base = f"http://localhost:{port}"
    async with (
        process("serve", str(port), upstream, ready=lambda line: base in line) as gateway,
        aiohttp.ClientSession() as session,
    ):
        await sign_in(session, base)
        cookie = "; ".join(f"{one.key}={one.value}" for one in session.cookie_jar)
        for _ in range(3):
            await latencies(session, base)  # warm
        before = memory(gateway.pid)
        each, quiet, under = [], [], []
        for number in range(1, ROUNDS + 1):
            quiet.append(p99(await latencies(session, base)))
            async with process("attack", str(port), cookie, ready=lambda line: line == "open\n"):
                await asyncio.sleep(SETTLE)
                grown = [memory(gateway.pid)]
                under.append(p99(await latencies(session, base)))
                grown.append(memory(gateway.pid))
            each.append((max(grown) - before) / (4 * EACH) / 1024)
            print(
                f"round {number}: {each[-1]:6.1f} KiB a connection, "
                f"p99 {quiet[-1]:6.2f} ms quiet, {under[-1]:6.2f} ms under attack",
                flush=True,
            )
            release.set()  # the gateway cannot see that a client has gone that it does not read from
            await asyncio.sleep(2)
            release.clear()
        ratio = statistics.median(under) / statistics.median(quiet)
        print(f"median: {statistics.median(each):6.1f} KiB a connection (most {max(each):.1f})")
        print(
            f"median p99: {statistics.median(quiet):.2f} ms quiet, {statistics.median(under):.2f} ms under attack, "
            f"ratio {ratio:.2f}"
        )
    server.close()


def main() -> None:
    """Be one of the three processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    match sys.argv[1:]:
        case ["serve", port, upstream]:
            serve(int(port), upstream)
        case ["attack", port, cookie]:
            attack(int(port), cookie)
        case _:
            asyncio.run(measure())


if __name__ == "__main__":
    main()
