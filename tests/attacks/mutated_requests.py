"""Feeds changed requests to the gateway's connections in memory, and judges every byte that an app gets.

    python -m tests.attacks.mutated_requests REQUESTS [SEED]

Each connection carries a few requests: plain ones of signed-in users, legal ones with bodies, those of the corpus, any
of them with bytes inserted, removed or changed. They are joined and cut at random places. An app may get a request only
if both readers of the framing and both readers of the path see the same one, and its session is its own.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from gateway.domain.tenant import Route
from tests.attacks.random_requests import own
from tests.attacks.reference_readers import Read, as_browser, as_server, by_grammar, by_h11
from tests.attacks.test_broken_requests import PIECES, behind, broken
from tests.attacks.test_requests import same_page
from tests.fixtures.fast_path import heads_taken
from tests.fixtures.in_memory import Arrived, MemoryPool, Wire
from tests.fixtures.proxy_server import HOST, VALUE, ProxyServer, gateway, session, tenant

AT_ONCE = 100
"""Connections of one batch."""
OTHER = f"{'u' * 22}.{'v' * 43}"
TOKENS = {VALUE.encode(): b"header.payload.signature", OTHER.encode(): b"header.payload.other"}
FORGED = (
    "",
    f"Cookie: __Host-Http-gateway-session={'A' * 22}.{'A' * 43}\r\n",
    f"Cookie: gateway-session={VALUE}; token=eyJhbGciOiJub25lIn0.e30.\r\n",
    f"Cookie: __Host-Http-gateway-session={VALUE[:-1]}t\r\n",
    "Authorization: Bearer header.payload.signature\r\nX-Auth-User-Id: u1\r\n",
)
PATHS = (
    *("/agent-manager/", "/agent-manager/a/b.json", "/agent-manager/a?x=y", "/unified-admin/list", "/unified-admin"),
    *("/agent-manager/a%20b", "/agent-manager/%61", "/agent-manager/a;b=c", "/agent-manager/a..b/.c", "/none"),
    *("/agent-manager/..", "/agent-manager/%2e%2e/unified-admin", "/agent-manager/..;/x", "/agent-manager//x"),
    *("/agent-manager/a%2fb", "/agent-manager/a%5cb", "/agent-manager/%252e%252e/x", "/-/../agent-manager/"),
)
LINES = ("Accept: */*", "Accept-Language: en", "User-Agent: x", "Referer: https://cc.example/", "X-A: b", "DNT: 1")
_HEAD = re.compile(
    rb"[A-Z]+ /[\x21\x22\x24-\x7e]* HTTP/1\.1\r\nHost: app\.internal"
    rb"(?:\r\n[!#$%&'*+^`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*)+"
)
_SESSION = b"__Host-Http-gateway-session"


def answer(fields: dict[bytes, bytes], method: bytes) -> bytes:
    """Returns an app's answer, which names the client: of a known length, in chunks, or the last of its connection."""
    client = fields[b"x-forwarded-for"]
    kind, body = client[-1] % 4, b"" if method == b"HEAD" else client
    if kind == 1:
        chunks = b"" if method == b"HEAD" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    closing = b"Connection: close\r\n" if kind == 2 else b""
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (closing, len(client), body)


def plain(random: Random, auth: str) -> bytes:
    """Returns a legal request, often one that the fast path takes."""
    method = random.choice(("GET", "GET", "GET", "HEAD", "DELETE", "POST", "PUT"))
    fields = [f"Host: {HOST}", *random.sample(LINES, random.randrange(4))]
    body = ""
    if method[0] == "P":
        body = "x" * random.choice((0, 1, 5, 40)) + random.choice(("", "GET /agent-manager/in HTTP/1.1\r\n\r\n"))
        if random.random() < 0.5:
            fields.append(f"Content-Length: {len(body)}")
        else:
            fields.append("Transfer-Encoding: chunked")
            body = (f"{len(body):x}\r\n{body}\r\n" if body else "") + "0\r\n\r\n"
    lines = "".join(f"{one}\r\n" for one in fields)
    path = random.choice(PATHS[:5] if random.random() < 0.7 else PATHS)
    return f"{method} {path} HTTP/1.1\r\n{lines}{auth}\r\n{body}".encode()


def changed(random: Random, raw: bytes) -> bytes:
    """Returns a request with bytes inserted, removed or changed at one or two places."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                data[at:at] = random.choice(PIECES)
            case 1:
                del data[at : at + random.randint(1, 6)]
            case 2:
                data[at : at + 1] = bytes((random.randrange(256),))
            case _:
                data[at:at] = data[at : at + random.randint(1, 40)]
    return bytes(data)


def requests(random: Random, auths: Sequence[str]) -> Iterator[bytes]:
    """Yields the requests of a connection. Most before the last are legal: after another one the connection ends."""
    count = random.choice((1, 2, 3, 5))
    for number in range(count):
        kind, auth = random.random() * (1 if number == count - 1 else 1.7), random.choice(auths)
        if kind < 0.5:
            yield changed(random, plain(random, auth))
        elif kind < 0.7:
            yield broken(random, auth)
        else:
            yield own(random) if kind < 0.75 else plain(random, auth)


@dataclass
class Client:
    """A client connection. `user` is the value of its session cookie, b"" without a session."""

    number: int
    user: bytes
    sent: bytes
    got: bytearray = field(default_factory=bytearray)
    arrived: list[Read] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Returns an address that no other client has."""
        return f"10.{self.number >> 16 & 255}.{self.number >> 8 & 255}.{self.number & 255}"

    def faults(self) -> list[str]:
        """Returns what is wrong with the requests that arrived from this connection."""
        found = []
        left = list(zip(by_grammar(self.sent), by_h11(self.sent), strict=False)) if self.arrived else []
        for arrived in self.arrived:
            why = [_fault(self.user, arrived, known) for known in left]
            if "" in why:
                del left[why.index("")]
            else:
                found.append(f"{arrived} is none of the requests of this connection: {why}")
        for other in re.findall(rb"10\.\d+\.\d+\.\d+", self.got):
            if other.decode() != self.address:
                found.append(f"got an answer of {other!r}")
        allowed = {502} if b"websocket" in self.sent.lower() else set()  # the app switches to nothing
        if statuses := {status for status in self.statuses() if status >= 500} - allowed:
            found.append(f"statuses {statuses}")
        return [f"client {self.number}: {why}\n{self.sent!r}\n{bytes(self.got)[:400]!r}" for why in found]

    def statuses(self) -> list[int]:
        """Returns the statuses of its answers."""
        return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3})", self.got)]


def _fault(user: bytes, arrived: Read, known: tuple[Read, Read]) -> str:
    """Returns why this is not the request that both readers know; "" if it is, and may arrive."""
    one, other = known
    same = (one.method, one.target) == (other.method, other.target)
    if arrived.whole:  # else the connection to the app has ended, and no app takes a part for the whole
        same = same and (one.body, one.whole) == (other.body, other.whole)
    if not same or one.method != arrived.method:
        return f"not read alike: {one}, {other}"
    if not all(read.body == arrived.body if arrived.whole else read.body.startswith(arrived.body) for read in known):
        return f"has not the body of {one}"
    path, mark, query = one.target.partition(b"?")
    if not _decoded(as_browser(path)) == as_server(path) == _decoded(path):
        return f"{path!r} is read in several ways"
    if arrived.target != _at_app(path) + mark + query:
        return f"{arrived.target!r} is not {one.target!r}"
    given = [pair.strip(b" \t").partition(b"=") for line in one.values(b"cookie") for pair in line.split(b";")]
    own_cookies = [value.strip(b" \t") for name, mark, value in given if mark and name.strip(b" \t") == _SESSION]
    if own_cookies != [user] or arrived.values(b"authorization") != [b"Bearer " + TOKENS[user]]:
        return f"has not the session of {one}"
    if any(value in b"".join(arrived.values(b"cookie")) for value in TOKENS):
        return "holds a session cookie"
    return ""


def _decoded(path: bytes) -> bytes:
    before = None
    while path != before:
        before, path = path, re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes((int(m[1], 16),)), path)
    return path


def _at_app(path: bytes) -> bytes:
    if not path.startswith(b"/unified-admin"):
        return path
    return b"/" + path.removeprefix(b"/unified-admin").removeprefix(b"/")


@dataclass
class Closed:
    """A gateway, and what was found. `taken` counts the requests that the fast path took."""

    server: ProxyServer
    pool: MemoryPool
    clients: dict[bytes, Client] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    requests: int = 0
    arrived: int = 0
    taken: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def client(self, seed: int) -> tuple[Client, list[bytes]]:
        """Returns the client of a seed, and the pieces in which its bytes arrive."""
        random = Random(seed)
        user = random.choice((b"", b"", VALUE.encode(), VALUE.encode(), OTHER.encode()))
        cookie = f"{_SESSION.decode()}={user.decode()}"
        auths = FORGED if not user else (*(same_page(cookie),) * 3, f"Cookie: a=b; {cookie}\r\n")
        every = list(requests(random, auths))
        self.requests += len(every)
        sent = b"".join(every)
        cuts = sorted(random.randrange(len(sent) + 1) for _ in range(random.choice((0, 0, 1, 2, 4))))
        pieces = [sent[a:b] for a, b in zip((0, *cuts), (*cuts, len(sent)), strict=True) if a < b]
        return Client(seed, user, sent), pieces

    async def run(self, seeds: range) -> None:
        """Feeds the clients of these seeds at once, and judges what arrived."""
        factory = self.server.runner.server
        assert factory
        running: list[tuple[Wire, list[bytes]]] = []
        clients = []
        for seed in seeds:
            client, pieces = self.client(seed)
            clients.append(client)
            self.clients[client.address.encode()] = client
            running.append((Wire(cast(Any, factory()), client.address, client.got.extend), pieces))
        order = Random(seeds.start)
        while any(pieces for _, pieces in running):
            for wire, pieces in running:
                if pieces and order.random() < 0.7:
                    wire.feed(pieces.pop(0))
            await asyncio.sleep(0)
        await self._rest()
        for wire, _ in running:
            wire.abort()
        await self._rest()
        self._judge()
        for client in clients:
            self.findings += client.faults()
            self.statuses.update(client.statuses())
            self.arrived += len(client.arrived)
        self.clients.clear()

    async def _rest(self) -> None:
        """Waits until no more bytes move."""
        before, still = -1, 0
        while still < 25:
            await asyncio.sleep(0)
            now = sum(len(one.received) for one in self.pool.arrived) + sum(len(c.got) for c in self.clients.values())
            still = still + 1 if now == before else 0
            before = now

    def _judge(self) -> None:
        """Gives each client the requests that arrived from it; drops the connections that have ended."""
        for one in self.pool.arrived:
            self._judge_connection(one)
        self.pool.arrived = [one for one in self.pool.arrived if one.wire and not one.wire.closed]

    def _judge_connection(self, one: Arrived) -> None:
        rest = bytes(one.received[one.judged :])
        one.judged = len(one.received)
        while rest:
            head, end, rest = rest.partition(b"\r\n\r\n")
            if not end or not _HEAD.fullmatch(head):
                self.findings.append(f"no head of the gateway: {head!r}")
                return
            lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
            method, target, _ = head.partition(b"\r\n")[0].split(b" ")
            body, rest, whole = _body(head.lower(), rest)
            read = Read(method, target, tuple((name, value) for name, value in lines), body, whole)
            if not whole and one.wire and not one.wire.closed:
                self.findings.append(f"a connection stays open after a part of a request: {read}")
            client = self.clients.get(b"".join(read.values(b"x-forwarded-for")))
            if client is None:
                self.findings.append(f"of no client: {read}")
            else:
                client.arrived.append(read)


def _body(head: bytes, rest: bytes) -> tuple[bytes, bytes, bool]:
    """Returns the body of a request of the gateway, the bytes after it, and whether the body is whole."""
    if b"\r\ntransfer-encoding: chunked" in head:
        [read] = by_grammar(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)[:1]
        return read.body, behind(head, rest), read.whole
    length = re.search(rb"\r\ncontent-length: ([0-9]+)", head)
    size = int(length[1]) if length else 0
    return rest[:size], rest[size:], len(rest) >= size


async def closed(count: int, seed: int, *, fast: bool) -> Closed:
    """Feeds at least that number of requests, by the fast path where it takes them or never by it."""
    pool = MemoryPool(answer)
    app = "http://app.internal"
    routes = (Route("/unified-admin", app, strip_prefix=True), Route("/agent-manager", app))
    async with gateway(tenant(routes=routes), fast=fast, pool=pool) as server:
        tokens = replace(session().tokens, access=TOKENS[OTHER.encode()].decode())
        server.sessions.known[OTHER] = session(id="s2", user_id="u2", username="other", tokens=tokens)
        one = Closed(server, pool)
        with _counting_taken(one):
            while one.requests < count and len(one.findings) < 20:
                with capture_logs() as logged:
                    await one.run(range(seed, seed + AT_ONCE))
                seed += AT_ONCE
                one.findings += [str(line) for line in logged if line["log_level"] in ("error", "critical")]
    return one


@contextmanager
def _counting_taken(one: Closed) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        heads = heads_taken(patch)
        yield
    one.taken += len(heads)


def main() -> int:
    """Feeds, and prints what was found."""
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**7
    findings = []
    for fast in (True, False):
        begun = time.process_time()
        one = asyncio.run(closed(count // 2, seed, fast=fast))
        findings += one.findings
        each = (time.process_time() - begun) / one.requests * 1e6
        print(
            f"seed {seed}: {one.requests} requests, {one.taken} by the fast path, {one.arrived} arrived, {each:.0f} µs"
        )
        print(f"statuses {dict(sorted(one.statuses.items()))}", flush=True)
    for finding in findings:
        print(f"\n{finding}")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
