"""What the designs are asked to do, in interleaved rounds: each round runs every design once, one after the other."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench.designs import Design
from bench.installation import FILES, GIB, MIB, Installation
from bench.load import DIFFERENT, SAME, Sample, download, messages, requests, transfers, upload
from bench.sessions import FIRST, RECENT

Measure = Callable[[Design, Installation, int, int], Awaitable[Sample]]
"""A design, the installation, the number of connections, and seconds."""
WARM_UP = 1
"""Seconds before the first round."""
BODIES = 3
"""Transfers of a large body in one round."""


@dataclass(frozen=True)
class Unit:
    """The unit of the cost of a work: its name, and the number of them in a second."""

    name: str
    scale: float


MICROSECONDS = Unit("µs", 1e6)
PER_GIB = Unit("s/GiB", 1)


@dataclass(frozen=True)
class Work:
    """One kind of work. With `sessions`, the first gateway with Redis gets that many; nginx gets the same requests."""

    title: str
    unit: Unit
    measure: Measure
    connections: tuple[int, ...] = (32,)
    sessions: int = 0
    used: float = RECENT
    base: str = "nginx"
    """The design by whose cost the others are divided."""
    endpoint: bool = False


@dataclass
class Results:
    """The samples of one work with one number of connections, by design; index by round."""

    name: str
    work: Work
    connections: int
    designs: Sequence[Design]
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The work and the number of connections."""
        title = f"{self.work.title}, {self.connections} connection{'s' if self.connections > 1 else ''}"
        return title[0].upper() + title[1:]


async def _same(design: Design, around: Installation, connections: int, seconds: int) -> Sample:
    return await requests(design, around, connections=connections, seconds=seconds)


async def _different(design: Design, around: Installation, connections: int, seconds: int) -> Sample:
    return await requests(design, around, connections=connections, seconds=seconds, target=DIFFERENT)


async def _sessions(design: Design, around: Installation, connections: int, seconds: int) -> Sample:
    return await requests(design, around, connections=connections, seconds=seconds, sessions=design.sessions)


async def _files(design: Design, around: Installation, connections: int, seconds: int) -> Sample:
    count = await requests(
        design, around, connections=connections, seconds=seconds, target="/files/1m", size=FILES["1m"]
    )
    return Sample(count.units * MIB / GIB, count.cpu, count.redis, count.seconds, count.p50, count.p99, count.failed)


async def _large(
    transfer: Callable[[Design], None], design: Design, around: Installation, _connections: int, _seconds: int
) -> Sample:
    def all_of_them() -> None:
        for _ in range(BODIES):
            transfer(design)

    return await transfers(design, around, all_of_them, BODIES * FILES["100m"] / GIB)


async def _messages(size: int, design: Design, around: Installation, connections: int, seconds: int) -> Sample:
    return await messages(design, around, size=size, connections=connections, seconds=seconds)


async def _questions(about: str, design: Design, around: Installation, connections: int, seconds: int) -> Sample:
    asked = (f"X-Original-URI: {about}", "X-Original-Method: GET")
    return await requests(
        design, around, connections=connections, seconds=seconds, target="/-/auth", size=0, lines=asked
    )


WORKS: dict[str, Work] = {
    "2k": Work("2 KiB JSON", MICROSECONDS, _same, (1, 32, 256)),
    "different": Work(
        "2 KiB JSON, each request another path, query, Referer and X-Request-ID", MICROSECONDS, _different
    ),
    "10000": Work("2 KiB JSON, each request another of 10,000 sessions", MICROSECONDS, _sessions, sessions=10_000),
    "sessions": Work("2 KiB JSON, each request another of 100,000 sessions", MICROSECONDS, _sessions, sessions=100_000),
    "first-use": Work(
        "2 KiB JSON, each request another of 100,000 sessions, its first one within a minute",
        MICROSECONDS,
        _sessions,
        sessions=100_000,
        used=FIRST,
    ),
    "1m": Work("downloads of 1 MiB", PER_GIB, _files, (8,)),
    "100m": Work(
        "downloads of 100 MiB",
        PER_GIB,
        partial(_large, lambda design: download(design, "100m", FILES["100m"])),
        (1,),
    ),
    "upload": Work(
        "uploads of 100 MiB, fixed length",
        PER_GIB,
        partial(_large, lambda design: upload(design, FILES["100m"], chunked=False)),
        (1,),
    ),
    "chunked": Work(
        "uploads of 100 MiB, chunked",
        PER_GIB,
        partial(_large, lambda design: upload(design, FILES["100m"], chunked=True)),
        (1,),
    ),
    "ws125": Work("WebSocket, 125 bytes to and fro", MICROSECONDS, partial(_messages, 125), (16,)),
    "ws16k": Work("WebSocket, 16 KiB to and fro", MICROSECONDS, partial(_messages, 16_384), (8,)),
    "auth": Work(
        "forward-auth, the endpoint alone", MICROSECONDS, partial(_questions, SAME), base="naive-auth", endpoint=True
    ),
    "auth-different": Work(
        "forward-auth, the endpoint alone, each question about another path and query",
        MICROSECONDS,
        partial(_questions, DIFFERENT),
        base="naive-auth",
        endpoint=True,
    ),
}


async def run(
    name: str, connections: int, designs: Sequence[Design], around: Installation, *, rounds: int, seconds: int
) -> Results:
    """Run one work in interleaved rounds."""
    work = WORKS[name]
    designs = [design for design in designs if design.endpoint is work.endpoint]
    if work.sessions:
        designs = await _with_sessions(work, designs)
    results = Results(name, work, connections, designs, {design.name: [] for design in designs})
    for design in designs:
        await work.measure(design, around, connections, WARM_UP)
    for _ in range(rounds):
        for design in designs:
            results.samples[design.name].append(await work.measure(design, around, connections, seconds))
    return results


async def _with_sessions(work: Work, designs: Sequence[Design]) -> Sequence[Design]:
    gateway = next((design for design in designs if design.name != "nginx" and design.sessions), None)
    if gateway is None or gateway.sessions is None:
        return ()
    await gateway.sessions.write(work.sessions, work.used)
    others = (replace(design, sessions=gateway.sessions) for design in designs if design.name == "nginx")
    return (*others, gateway)
