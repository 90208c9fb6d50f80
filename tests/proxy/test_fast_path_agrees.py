"""Both ways through the gateway agree: the fast path and aiohttp's application decide, send and answer alike."""

import asyncio
import logging
import os
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog

from gateway.domain.tenant import Tenant
from tests.fixtures.fast_path import heads_taken, pages_as_names
from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import HOST, TOKEN, VALUE, ProxyServer, gateway, session, tenant

REQUESTS = int(os.environ.get("REQUESTS", "20000"))
"""Of all seeds together; a fifth of them are those of the quick tests."""
OTHER = f"{'u' * 22}.{'v' * 43}"
"""The session cookie of a second user."""
ORIGIN = "https://friend.example"
BODY = b"x" * 40
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b'HTTP/1.1 200 OK\r\nServer: app\r\nETag: "a"\r\nDate: Sat, 28 Nov 2026 07:00:00 GMT\r\nContent-Length: 40\r\n\r\n'
    + BODY,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 40\r\n\r\n',
    b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=5\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /unified-admin/next\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/next\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Domain=example.org\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: gateway-session=evil\r\nLink: </x>; rel=a\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=9\r\nSurrogate-Control: a\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Access-Control-Expose-Headers: X\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200\r\nX-Odd.Name_: \xe9\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-Powered-By: a\r\nX-Request-ID: app\r\n\r\n",
    b"HTTP/1.1 500 Oops\r\nRetry-After: 5\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\nb\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n Folded: a\r\nContent-Length: 0\r\n\r\n",
    b"no HTTP at all\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n",
)
CUT = (17, 29)
"""The answers whose end is the end of their connection, beside those with `Connection: close`."""
PATHS = (
    "/agent-manager/api/list",
    "/agent-manager/api/item.json",
    "/agent-manager/",
    "/agent-manager",
    "/unified-admin/",
    "/unified-admin/a/b.c/",
    "/unified-admin/public",
    "/odd/a%2fb",
    "/odd//b",
    "/",
    "/-/login",
    "/-",
    "/none/x",
    "/agent-manager/a%20b",
    "/agent-manager/%61",
    "/agent-manager/..%2fadmin",
    "/agent-manager/../x",
    "/agent-manager/a;b",
    "/agent-manager/agent/login",
    "/agent-manager/Agent/Login/",
    "/agent-manager/realms/x/protocol/openid-connect/token",
    "/agent-manager/admins/agents",
    "/agent-manager/.hidden/a..b",
    "/agent-manager/\\x",
    "/agent-manager/x#y",
    "/Agent-Manager/x",
    "/agent-managerx",
    "//agent-manager/x",
    "/agent-manager/" + "long/" * 80,
    "/agent-manager/é",
)
QUERIES = ("", "", "?", "?a=b", "?a=%zz", "?a=b c", '?a="b"', "?next=//evil", "?a#b", "?" + "q" * 300)
LINES = (
    "Accept: application/json",
    "Accept: text/html",
    "User-Agent: Mozilla/5.0",
    "Accept-Language:en",
    "Referer: https://cc.example/x",
    "X-Custom:   spaced   ",
    "X-Empty:",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: same-site",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: none",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: document",
    f"Origin: https://{HOST}",
    f"Origin: {ORIGIN}",
    "Origin: https://evil.example",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: X-Custom",
    "Connection: keep-alive, X-Custom",
    "Keep-Alive: timeout=5",
    "X-Request-ID: 0123456789abcdef",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-For: nonsense",
    "X-Forwarded-Host: evil.example",
    "X-Auth-Username: root",
    "X_Auth_Username: root",
    "Authorization: Bearer abc",
    'If-None-Match: "a"',
    "Range: bytes=0-1",
    "Service-Worker: script",
    "Access-Control-Request-Method: POST",
    "Upgrade: h2c",
    "TE: trailers",
    "Content-Length: 0",
    "Content-Type: text/plain",
    "Transfer-Encoding: chunked, gzip",
    "Forwarded: for=1.2.3.4",
    "Via: 1.1 x",
    "X-Real-IP: 1.2.3.4",
    "Bad Name: x",
    "Bad: \x01",
    "Space : x",
    " folded",
    "Cookie: a=b",
    "Close: 1",
    "X-É: y",
    "X-V: é",
    "X-Requested-With: XMLHttpRequest",
    "user-agent: other",
    "ETag: a",
    "etag: b",
)
METHODS = (*("GET",) * 8, "HEAD", "DELETE", "POST", "PUT", "PATCH", "OPTIONS", "POST", "TRACE", "get")
BODIES = (
    ("Content-Length: 5", "hello"),
    ("Content-Length: 0", ""),
    ("Content-Length: 40000", "x" * 40_000),
    ("content-length:  7 ", "a b c d"),
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked", "3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Trailer: t\r\n\r\n"),
    ("Transfer-Encoding: chunked", "9C40\r\n" + "y" * 40_000 + "\r\n0\r\n\r\n"),
    ("Transfer-Encoding: Chunked", "1\r\na\r\n0\r\n\r\n"),
    ("X-None: 1", ""),
)
"""Field lines that say where a body ends, and the body."""
COOKIES = (
    VALUE,
    VALUE,
    VALUE,
    OTHER,
    OTHER,
    "x" * 22 + "." + "y" * 43,
    "nonsense",
    "",
)
_OWN_WORDS = re.compile(rb"\b[2-9A-HJ-NP-Z]{8}\b|nonce[^ >]*|\b[0-9a-f]{18}\b|Date: [^\r]*")


def request(random_: random.Random) -> bytes:
    """Returns one request, mostly of a signed-in user."""
    plain = random_.random() < 0.5
    method = random_.choice(METHODS[:13] if plain else METHODS)
    path = random_.choice(PATHS[:6] if plain else PATHS)
    lines = random_.sample(LINES, random_.choice((0, 1, 1, 2, 3)))
    if plain:
        lines = random_.sample(LINES[:12] + LINES[13:15], random_.choice((1, 2, 4)))
    value, name = random_.choice(COOKIES[:5] if plain else COOKIES), "__Host-Http-gateway-session"
    cookie = [f"{name}={value}"] if value else []
    cookie += random_.sample(
        (f"token={TOKEN}", "token=old", "a=b", "__Host-gateway-x=1", f"{name}=twice", "=x", "é=1"), 1
    )
    host = HOST if plain else random_.choice((HOST,) * 20 + (HOST.upper(), f"{HOST}:443", "other.example", ""))
    framing, body = random_.choice(BODIES) if method in ("POST", "PUT", "PATCH") else ("X-None: 1", "")
    if plain and method in ("POST", "PUT", "PATCH") and "Sec-Fetch-Site: same-origin" not in lines:
        lines.append(f"Origin: https://{HOST}")
    fields = [
        f"Host: {host}",
        *lines,
        framing,
        f"X-Answer: {random_.randrange(len(ANSWERS))}",
        f"Cookie: {'; '.join(cookie)}",
    ]
    random_.shuffle(fields)
    version = "HTTP/1.1" if plain else random_.choice(("HTTP/1.1",) * 30 + ("HTTP/1.0", "HTTP/2.0"))
    head = "\r\n".join([f"{method} {path}{random_.choice(QUERIES)} {version}", *fields, "", ""])
    return (head + body).encode("latin-1")


@dataclass
class App:
    """Answers as each request asks, and keeps the heads and bodies that arrive."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    bodies: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await body_after(head, reader)
                self.bodies += body != b""
                lines = re.sub(rb"X-Request-ID: [0-9a-f]{18}\r\n", b"", head).split(b"\r\n")
                lines.sort(key=lambda line: line.startswith((b"Content-Length", b"Transfer-Encoding", b"X-Request-ID")))
                self.heads.append(b"\r\n".join((*lines, body)))
                found = re.search(rb"X-Answer: (\d+)", head)
                number = int(found[1]) if found else 0
                answer = ANSWERS[number]
                writer.write(answer.rpartition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith(b"HEAD") else answer)
                if number in CUT or b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@dataclass
class Client:
    """One client connection after the other."""

    server: ProxyServer
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def answer(self, raw: bytes) -> tuple[bytes, bytes]:
        """Sends a request; returns head and body of its answer, without what differs each time."""
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await self.server.connect()
        self.writer.write(raw)
        try:
            async with asyncio.timeout(5):
                head = await self.reader.readuntil(b"\r\n\r\n")
                body, ends = await self._body(head, raw.startswith(b"HEAD"))
        except TimeoutError as error:
            raise AssertionError(raw) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            head, body, ends = b"cut", getattr(error, "partial", b""), True
        if ends:
            self.writer.close()
            self.reader = self.writer = None
        return _OWN_WORDS.sub(b"", head), _OWN_WORDS.sub(b"", body)

    async def _body(self, head: bytes, is_head: bool) -> tuple[bytes, bool]:
        assert self.reader is not None
        lower, status = head.lower(), int(head[9:12])
        ends = b"\r\nconnection: close" in lower
        body = b""
        if not is_head and status not in (204, 304):
            if b"transfer-encoding: chunked" in lower:
                while not body.endswith(b"0\r\n\r\n"):
                    body += await self.reader.readuntil(b"\r\n")
            elif found := re.search(rb"content-length: (\d+)", lower):
                body = await self.reader.readexactly(int(found[1]))
            else:
                body = await self.reader.read()
        return body, ends


async def body_after(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """Returns the body of a request, without its chunks."""
    if b"\r\nTransfer-Encoding: chunked" in head:
        whole = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            whole += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return whole
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return await reader.readexactly(int(length[1])) if length else b""


@asynccontextmanager
async def app() -> AsyncIterator[App]:
    """Yields a running app."""
    found = App(free_port())
    server = await asyncio.start_server(found.serve, "127.0.0.1", found.port)
    try:
        yield found
    finally:
        server.close()


def of(port: int) -> Tenant:
    """Returns a tenant whose apps are at `port`."""
    return tenant(f"http://127.0.0.1:{port}", origins=(ORIGIN,), public_paths=frozenset({"/unified-admin/public"}))


@pytest.mark.attack("D1")
@pytest.mark.property
@pytest.mark.uvloop
@pytest.mark.parametrize(
    ("seed", "requests"),
    [
        *((seed, REQUESTS // 10) for seed in range(2)),
        *(pytest.param(seed, REQUESTS * 4 // 10, marks=pytest.mark.slow) for seed in range(2, 4)),
    ],
)
async def test_both_ways_decide_send_and_answer_alike(
    seed: int, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = heads_taken(monkeypatch)
    pages_as_names(monkeypatch)
    choices = random.Random(seed)
    async with app() as behind, gateway(of(behind.port)) as fast, gateway(of(behind.port), fast=False) as usual:
        for server in (fast, usual):
            server.sessions.known[OTHER] = session(id="s2", user_id="u2", username="other")
        one, other = Client(fast), Client(usual)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        for _ in range(requests):
            raw = request(choices)
            behind.heads.clear()
            by_fast, at_app = await one.answer(raw), tuple(behind.heads)
            behind.heads.clear()
            by_usual = await other.answer(raw)
            assert (by_fast, at_app) == (by_usual, tuple(behind.heads)), raw
        assert behind.bodies > requests // 100
    assert len(taken) > requests // 5
