"""Sends changed requests without a session to a gateway in a process of its own.

    python -m tests.attacks.random_requests REQUESTS [SEED]

The requests are those of the corpus, and valid ones of the gateway's own pages, each changed at random: fields,
paths, encodings, framing, methods, cookies. The gateway must answer none with a 5xx, send no byte to an app, log no
exception, keep its memory bounded, and live. A finding is printed with its seed and its bytes.
"""

import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.attacks.corpus import HOST
from tests.attacks.test_broken_requests import broken
from tests.fixtures import process
from tests.fixtures.installation import Replica, folder, replicas
from tests.fixtures.mail import MailServer
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import status_of
from tests.fixtures.run import Run
from tests.fixtures.stand_in_keycloak import running
from tests.fixtures.upstream import RawUpstream

AT_ONCE = 16
BATCH = 1000
GROWTH = 64 * 1024
"""KiB that the gateway's memory may grow by after the first tenth of the requests."""
EXCEPTION = re.compile(r"Traceback|\"exception\"|unhandled", re.IGNORECASE)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G\xcbT")
PATHS = (
    *("/", "/agent-manager/x", "/agent-manager/ws", "/unified-admin/?a=b", "/-/login", "/-/login/verify", "/-/logout"),
    *("/-/account", "/-/account/backup-codes", "/-/assets/style.css", "/-/language", "/-/session", "/auth/realms/x"),
    *("/-/login?return=%2Funified-admin%2F", "/-/login?return=//evil.example", "/-/status", "/-/health"),
)
ESCAPES = (
    "%2f",
    "%2e%2e",
    "%252e",
    "%00",
    "%c0%af",
    "%ff",
    "%5c",
    "%",
    "%zz",
    "..",
    "//",
    ";x=y",
    "\\",
    "\xe9",
    "?",
    "#",
)
COOKIES = (
    "gateway-session",
    "gateway-login",
    "gateway-browser",
    "gateway-trust",
    "gateway-language",
    "token",
    "__Host-x",
)
VALUES = ("", "x", "A" * 22 + "." + "A" * 43, "en", '"', "%", "\xff", "a" * 5000, "eyJhbGciOiJub25lIn0.e30.", "\x00")
FIELDS = (
    *("Accept: application/json", "Accept: text/html", "Accept-Language: ar", "Origin: null", "Range: bytes=0-"),
    *("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Content-Type: application/x-www-form-urlencoded"),
    *("Content-Type: multipart/form-data; boundary=x", "Content-Encoding: gzip", "X-Forwarded-For: 1.2.3.4, ::1"),
    *("X-Request-ID: \x7f", "If-None-Match: *", "Expect: 100-continue", "Connection: close, X-Auth-User-Id", "TE: x"),
    *("Service-Worker: script", "Purpose: prefetch", "Authorization: Basic !", "Upgrade-Insecure-Requests: 1"),
)
BODIES = ("", "username=anna&password=x", "code=123456&action=", "action=resend&round=1&login=x", "a=%ff&a=%00&" * 40)


def own(random: Random) -> bytes:
    """Returns a request of one of the gateway's or an app's pages with odd parts."""
    path = random.choice(PATHS)
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        at = random.randrange(len(path) + 1)
        path = path[:at] + random.choice(ESCAPES) + path[at:]
    fields = [HOST.strip(), *random.sample(FIELDS, random.randrange(5))]
    for _ in range(random.randrange(3)):
        fields.append(f"Cookie: {random.choice(COOKIES)}={random.choice(VALUES)}")
    method, body = random.choice(("GET", "POST", random.choice(METHODS))), random.choice(BODIES)
    match random.randrange(4):
        case 0:
            fields.append("Transfer-Encoding: chunked")
            half = random.randrange(len(body) + 1)
            body = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (body[:half], body[half:]) if part) + "0\r\n\r\n"
        case _:
            fields.append(f"Content-Length: {len(body) + random.choice((*(0,) * 8, 1, -1))}")
    random.shuffle(fields)
    raw = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{one}\r\n" for one in fields) + f"\r\n{body}"
    return raw.encode("latin-1")


def request(seed: int) -> bytes:
    """Returns the request of a seed."""
    random = Random(seed)
    return own(random) if random.random() < 0.7 else broken(random, "")


@dataclass
class Attack:
    """A gateway under attack, and what was found."""

    replica: Replica
    upstream: RawUpstream
    statuses: Counter[int] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    async def send(self, seed: int) -> None:
        """Sends the request of a seed, from an address of its own among 127.0.0.0/8, and judges the answer."""
        raw, answer = request(seed), b""
        address = f"127.{seed % 200 + 1}.{seed // 200 % 200}.{seed // 40_000 % 200 + 1}"
        with suppress(ConnectionError, TimeoutError):
            port = int(self.replica.base.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            try:
                writer.write(raw)
                async with asyncio.timeout(0.3):
                    answer = await reader.read(65536)
            finally:
                writer.transport.abort()
        status = status_of(answer)
        self.statuses[status] += 1
        if status >= 500:
            self.findings.append(f"seed {seed}: {status}\n{raw[:2000]!r}\n{answer[:300]!r}")

    async def run(self, seeds: range) -> None:
        """Sends the requests of these seeds, `AT_ONCE` at a time."""
        left = iter(seeds)

        async def work() -> None:
            for seed in left:
                await self.send(seed)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())
        if self.upstream.connections:
            self.findings.append(f"seeds {seeds}: an app received {self.upstream.received[:2000]!r}")
            self.upstream.connections.clear()

    def memory(self) -> int:
        """Returns the gateway's memory in KiB; 0 if it has ended."""
        with suppress(FileNotFoundError, IndexError):
            child = Path(f"/proc/{self.replica.keeper}/task/{self.replica.keeper}/children").read_text().split()[0]
            return int(re.findall(r"VmRSS:\s+([0-9]+)", Path(f"/proc/{child}/status").read_text())[0])
        return 0

    def logged(self) -> list[str]:
        """Returns the lines of the log that report an exception."""
        return [line for line in self.replica.log.read_text(errors="replace").splitlines() if EXCEPTION.search(line)]


@contextmanager
def attacked(path: Path) -> Iterator[tuple[Replica, RawUpstream]]:
    """Runs the gateway in front of an app that records every byte."""
    upstream = RawUpstream(free_port())
    with running() as keycloak:
        settings = folder(path, keycloak=keycloak.server, mail=MailServer(free_port()), app=upstream.url)
        settings.tenant["tenantSettings"]["fqdn"] = "cc.example"
        settings.tenant["gateway"]["public_url"] = "http://cc.example:8080"
        with replicas(settings) as (replica,):
            yield replica, upstream


async def attack(replica: Replica, upstream: RawUpstream, seed: int, count: int) -> Attack:
    """Sends that number of requests and judges the gateway at the end."""
    one = Attack(replica, upstream)
    await upstream.start()
    begun, early, told = time.monotonic(), 0, 0
    for first in range(seed, seed + count, BATCH):
        await one.run(range(first, min(first + BATCH, seed + count)))
        done = first + BATCH - seed
        early = early or (one.memory() if done >= count // 10 else 0)
        if (minutes := int(time.monotonic() - begun) // 60) > told:
            told = minutes
            print(f"{done} requests, {done / (time.monotonic() - begun):.0f} a second, {one.memory()} KiB", flush=True)
    await upstream.stop()
    last = one.memory()
    if not last or not process.alive(replica.keeper):
        one.findings.append(f"the gateway has ended\n{process.tail(replica.log)}")
    elif last > early + GROWTH:
        one.findings.append(f"memory grew from {early} to {last} KiB")
    one.findings.extend(one.logged()[:20])
    return one


def main() -> int:
    """Attacks, and prints what was found."""
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    run = Run.begin()
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder_, attacked(Path(folder_)) as (replica, upstream):
            one: Any = asyncio.run(attack(replica, upstream, seed, count))
    finally:
        run.end()
    for finding in one.findings:
        print(f"\n{finding}")
    rate = count / (time.monotonic() - begun)
    print(f"\nseeds {seed} to {seed + count - 1}: {len(one.findings)} findings, {rate:.0f} requests a second")
    print(f"statuses (0: closed without an answer) {dict(sorted(one.statuses.items()))}")
    return bool(one.findings)


if __name__ == "__main__":
    sys.exit(main())
