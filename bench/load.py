"""Sends requests, bodies and WebSocket messages to a design, and counts what it costs."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bench.app import END, frame
from bench.designs import Design
from bench.installation import Installation
from bench.processes import OTHERS, Running
from bench.sessions import ManySessions

SCRIPT = Path(__file__).with_name("requests.lua")
PIECE = 2**18
SAME = "/app/items/1000000000/details?page=1000000000&sort=name"
DIFFERENT = SAME.replace("1000000000", "{n}")


@dataclass(frozen=True)
class Sample:
    """What one design used in one round. Times in seconds of CPU, `p50` and `p99` in milliseconds."""

    units: float
    cpu: float
    redis: float
    seconds: float
    p50: float = 0.0
    p99: float = 0.0
    failed: int = 0

    @property
    def cost(self) -> float:
        """Seconds of CPU for one unit."""
        return self.cpu / self.units


@dataclass
class Clock:
    """CPU of a design and of Redis, and time, since it was made."""

    design: Design
    redis: Running | None

    def __post_init__(self) -> None:
        self._begun = self._now()

    def _now(self) -> tuple[float, float, float]:
        return self.design.running.cpu(), self.redis.cpu() if self.redis else 0.0, time.perf_counter()

    def sample(self, units: float, *, p50: float = 0.0, p99: float = 0.0, failed: int = 0) -> Sample:
        """What has been used since."""
        cpu, redis, seconds = (now - begun for now, begun in zip(self._now(), self._begun, strict=True))
        return Sample(units, cpu, redis, seconds, p50, p99, failed)


def head(design: Design, target: str, *lines: str, method: str = "GET", cookies: str = "") -> str:
    """A request of a script in a browser, the same for every design."""
    base = f"http://{design.host}"
    fields = (
        f"{method} {target} HTTP/1.1",
        f"Host: {design.host}",
        'sec-ch-ua: "Chromium";v="142", "Not=A?Brand";v="24"',
        "sec-ch-ua-mobile: ?0",
        'sec-ch-ua-platform: "Linux"',
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
        "Accept: application/json",
        "Accept-Language: en-GB,en;q=0.9",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Dest: empty",
        f"Referer: {base}{target}",
        f"X-Request-ID: 7f3c9a52-0d41-4e8b-9b6f-{'{n}' if '{n}' in target else '1000000000'}",
        f"Cookie: {cookies or design.cookies}",
        *lines,
    )
    return "\r\n".join(fields) + "\r\n\r\n"


async def requests(
    design: Design,
    around: Installation,
    *,
    connections: int,
    seconds: int,
    target: str = SAME,
    size: int = 2048,
    sessions: ManySessions | None = None,
    lines: Sequence[str] = (),
) -> Sample:
    """Send GET requests with wrk; each answer has `size` bytes. With `sessions`, each request has the next one's."""
    file = around.folder / f"head-{design.name}"
    file.write_text(head(design, target, *lines, cookies=sessions.cookies if sessions else ""), newline="")
    given = [str(file), *([str(sessions.file)] if sessions else ())]
    options = ("-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT))
    clock = Clock(design, around.redis)
    process = await asyncio.create_subprocess_exec(
        *("taskset", "-c", str(OTHERS), "wrk", *options, f"http://127.0.0.1:{design.port}", "--", *given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await process.communicate())[0].decode()
    found = re.search(r"^RESULT (.*)$", told, re.MULTILINE)
    if not found:
        raise RuntimeError(told)
    count, received, _, failed, p50, p99 = map(int, found[1].split())
    if not count or received / count < size:
        raise RuntimeError(f"{design.name}: {count} answers of {received / max(count, 1):.0f} bytes on average\n{told}")
    return clock.sample(count, p50=p50 / 1000, p99=p99 / 1000, failed=failed)


def connection(design: Design, source: str = "127.0.0.1") -> socket.socket:
    """A connection to the design."""
    return socket.create_connection(("127.0.0.1", design.port), 60, (source, 0))


def answer(opened: socket.socket) -> bytes:
    """The head of an answer, with what came with it."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = opened.recv(65_536)
        if not part:
            raise RuntimeError(f"closed after {found!r}")
        found += part
    return found


def upload(design: Design, size: int, *, chunked: bool) -> None:
    """Send one body and wait for the answer."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    first = head(design, "/upload/1", f"Origin: http://{design.host}", length, method="POST")
    piece = bytes(PIECE)
    if chunked:
        piece = b"%x\r\n%b\r\n" % (PIECE, piece)
    with connection(design) as opened:
        opened.sendall(first.encode())
        for _ in range(size // PIECE):
            opened.sendall(piece)
        if chunked:
            opened.sendall(END)
        if not (told := answer(opened)).startswith(b"HTTP/1.1 204"):
            raise RuntimeError(f"{design.name}: {told[:200]!r}")


def download(design: Design, name: str, size: int) -> None:
    """Receive one file."""
    buffer = bytearray(PIECE)
    with connection(design) as opened:
        opened.sendall(head(design, f"/files/{name}").encode())
        first = answer(opened)
        if not first.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{design.name}: {first[:200]!r}")
        left = size - len(first.partition(b"\r\n\r\n")[2])
        while left > 0 and (count := opened.recv_into(buffer)):
            left -= count
        if left:
            raise RuntimeError(f"{design.name}: {left} bytes are missing")


async def transfers(design: Design, around: Installation, transfer: Callable[[], None], gib: float) -> Sample:
    """One transfer after the other; the unit is a GiB."""
    clock = Clock(design, around.redis)
    await asyncio.to_thread(transfer)
    return clock.sample(gib)


class Echoes(asyncio.Protocol):
    """One WebSocket that sends a message as soon as the last one came back."""

    def __init__(self, first: bytes, size: int) -> None:
        self._first = first
        self._message = frame(size, masked=True)
        self._wanted = len(frame(size))
        self._received = b""
        self._count = 0
        self._open = False
        self.count = 0
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._first)

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self._received += data
            if b"\r\n\r\n" in self._received:
                self._open = self._received.startswith(b"HTTP/1.1 101")
                if self._open:
                    self.transport.write(self._message)
                else:
                    self.transport.close()
            return
        self._count += len(data)
        if self._count >= self._wanted:
            self._count -= self._wanted
            self.count += 1
            self.transport.write(self._message)

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True

    @property
    def fault(self) -> str:
        """What is wrong; "" if nothing is."""
        told = self._received.decode("latin-1").partition("\r\n")[0]
        return "" if self.count and not self.closed else f"a WebSocket was not opened, or was closed: {told}"


def handshake(design: Design, size: int, cookies: str = "") -> bytes:
    """The request that opens a WebSocket."""
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return head(design, f"/ws/{size}", f"Origin: http://{design.host}", *lines, key, cookies=cookies).encode()


async def messages(design: Design, around: Installation, *, size: int, connections: int, seconds: int) -> Sample:
    """Send WebSocket messages to and fro; the unit is one message with its answer."""
    loop = asyncio.get_running_loop()
    first = handshake(design, size)
    opened = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(lambda: Echoes(first, size), "127.0.0.1", design.port)
        opened.append(protocol)
    try:
        async with asyncio.timeout(10):
            while not all(one.count or one.closed for one in opened):
                await asyncio.sleep(0.01)
        clock, before = Clock(design, around.redis), sum(one.count for one in opened)
        await asyncio.sleep(seconds)
        sample = clock.sample(sum(one.count for one in opened) - before)
        if faults := [one.fault for one in opened if one.fault]:
            raise RuntimeError(f"{design.name}: {faults[0]}")
    finally:
        for one in opened:
            one.transport.abort()
    return sample
