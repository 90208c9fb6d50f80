"""What passes is the same as without the gateway: each body, and all fields but those of a documented list."""

import asyncio
import gzip
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h11
import pytest

from tests.fixtures.ports import free_port
from tests.fixtures.proxy_server import HOST, gateway, tenant

CASES = 250
DOC = Path(__file__).parents[2] / "docs" / "proxy.md"
Fields = list[tuple[bytes, bytes]]
NOISE = random.Random(12).randbytes(100_000)
BODIES = (b"", b"x", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", bytes(range(256)), gzip.compress(NOISE[:5000]), NOISE)
METHODS = ("GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATUSES = (200, 200, 200, 201, 202, 203, 204, 206, 300, 302, 304, 400, 401, 404, 409, 418, 422, 429, 500, 501, 503)
ASKED: Fields = [
    (b"Accept", b"text/html;q=0.9, */*;q=0.1"),
    (b"accept-language", b"ar, ur;q=0.8"),
    (b"Accept-Encoding", b"gzip, br, zstd"),
    (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
    (b"Range", b"bytes=0-1, 5-"),
    (b"If-Range", b'"a"'),
    (b"If-None-Match", b'W/"a", "b"'),
    (b"If-Modified-Since", b"Sat, 28 Nov 2026 07:00:00 GMT"),
    (b"Cache-Control", b"no-cache"),
    (b"X-Long", b"v" * 8000),
    (b"X-Twice", b"one"),
    (b"X-Twice", b"two, three"),
    (b"X-Empty", b""),
    (b"Referer", b"https://cc.example/agent-manager/?a=b"),
    (b"Cookie", b'a=b; c="d e"; theme=\xc3\xa9'),
    (b"Forwarded", b"for=1.2.3.4"),
    (b"X-Forwarded-Proto", b"http"),
    (b"Authorization", b"Bearer own"),
    (b"TE", b"trailers"),
]
GIVEN: Fields = [
    (b"Content-Type", b"application/json; charset=utf-8"),
    (b"Content-Type", b"text/event-stream"),
    (b"Content-Encoding", b"gzip"),
    (b"Content-Language", b"ur"),
    (b"Content-Range", b"bytes 0-1/2"),
    (b"Content-Disposition", b"attachment; filename*=UTF-8''a%20b"),
    (b"Content-Security-Policy", b"default-src 'self'"),
    (b"ETag", b'W/"a"'),
    (b"Date", b"Sat, 28 Nov 2026 07:00:00 GMT"),
    (b"Last-Modified", b"Sat, 28 Nov 2026 07:00:00 GMT"),
    (b"Expires", b"0"),
    (b"Age", b"5"),
    (b"Location", b"http://APP/agent-manager/next?a=b#c"),
    (b"Content-Location", b"/agent-manager/b"),
    (b"Retry-After", b"120"),
    (b"WWW-Authenticate", b'Basic realm="app"'),
    (b"Link", b"</agent-manager/a.css>; rel=preload"),
    (b"Vary", b"Accept"),
    (b"vary", b"Accept-Encoding"),
    (b"X-Long", b"v" * 8000),
    (b"X-Latin", b"caf\xe9"),
    (b"X-Empty", b""),
    (b"Set-Cookie", b"a=b; Path=/; HttpOnly"),
    (b"Set-Cookie", b'c="d e"; SameSite=Lax'),
    (b"Set-Cookie", b"e=; Max-Age=0"),
    (b"Cache-Control", b"private, max-age=5"),
    (b"Cache-Control", b"public, max-age=5"),
    (b"Server", b"app/1"),
    (b"X-Powered-By", b"app"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Surrogate-Control", b"max-age=5"),
    (b"Alt-Svc", b'h3=":443"'),
]


@dataclass
class Case:
    """A request, and the answer of the app; `framing` of the answer is "length", "chunked", "trailers" or "close"."""

    method: str
    fields: Fields
    body: bytes
    chunked: bool
    status: int
    given: Fields
    answer: bytes
    framing: str

    @property
    def empty(self) -> bool:
        """Returns whether the answer has no body whatever its fields say."""
        return self.method == "HEAD" or self.status in (204, 304)


@dataclass
class Message:
    """One request as an app gets it, or one answer as a client gets it."""

    start: tuple[object, ...]
    fields: Fields
    body: bytes


def drawn(random_: random.Random) -> Case:
    """Returns a random case."""
    method, status = random_.choice(METHODS), random_.choice(STATUSES)
    fields = [
        (b"Host", HOST.encode()),
        (b"Sec-Fetch-Site", b"same-origin"),
        *random_.sample(ASKED, random_.randrange(7)),
    ]
    framing = random_.choice(("length", "length", "chunked", "trailers", "close"))
    if status in (204, 304):
        framing = "length"
    return Case(
        method,
        fields,
        random_.choice(BODIES) if method in ("POST", "PUT", "PATCH", "DELETE") else b"",
        random_.random() < 0.5,
        status,
        random_.sample(GIVEN, random_.randrange(7)),
        b"" if status in (204, 304) else random_.choice(BODIES),
        framing,
    )


@dataclass
class App:
    """Answers by `case`, and keeps the requests that arrive."""

    port: int
    case: Case | None = None
    seen: list[Message] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**17)
        try:
            while (request := await _read(connection, reader)) is not None:
                self.seen.append(request)
                assert self.case
                writer.write(_answer(self.case).replace(b"//APP/", b"//127.0.0.1:%d/" % self.port))
                await writer.drain()
                if self.case.framing == "close":
                    break
                connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**17)
        except ConnectionError:
            pass
        finally:
            writer.close()


def _answer(case: Case) -> bytes:
    framing: Fields = [(b"Content-Length", b"%d" % len(case.answer))]
    body = case.answer
    if case.framing == "close":
        framing = [(b"Connection", b"close")]
    elif case.framing != "length":
        framing = [(b"Transfer-Encoding", b"chunked")]
        parts = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
        trailer = b"X-Sum: 1\r\n" if case.framing == "trailers" else b""
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"
    if case.status == 204:
        framing = []
    lines = b"".join(b"%b: %b\r\n" % pair for pair in (*case.given, *framing))
    return b"HTTP/1.1 %d Some Reason\r\n%b\r\n%b" % (case.status, lines, b"" if case.empty else body)


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Message | None:
    """Returns the next request or final answer."""
    found, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(2**16))
        elif isinstance(event, h11.Request):
            found = Message((event.method, event.target), event.headers.raw_items(), b"")
        elif isinstance(event, h11.Response):
            found = Message((event.status_code, event.reason), event.headers.raw_items(), b"")
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and found:
            found.body = body
            return found
        elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return None


async def asked(case: Case, port: int, more: Fields) -> Message:
    """Sends the request of a case, with more fields, and returns its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**17)
    fields = [*case.fields, *more]
    if case.body:
        framing = (b"Transfer-Encoding", b"chunked") if case.chunked else (b"Content-Length", b"%d" % len(case.body))
        fields.append(framing)
    request = h11.Request(method=case.method, target="/agent-manager/a%20b?c=d", headers=fields)
    for event in (request, *((h11.Data(data=case.body),) if case.body else ()), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    try:
        async with asyncio.timeout(10):
            found = await _read(connection, reader)
        assert found, case
        return found
    finally:
        writer.transport.abort()


@asynccontextmanager
async def app() -> AsyncIterator[App]:
    """Yields a running app."""
    found = App(free_port())
    server = await asyncio.start_server(found.serve, "127.0.0.1", found.port)
    try:
        yield found
    finally:
        server.close()


def differing(one: Fields, other: Fields) -> set[str]:
    """Returns the names, in lower case, of fields that are not the same in both; their order within a name counts."""
    names = {name.lower() for name, _ in (*one, *other)}
    return {
        name.decode()
        for name in names
        if [pair for pair in one if pair[0].lower() == name] != [pair for pair in other if pair[0].lower() == name]
    }


def documented(column: int) -> set[str]:
    """Returns the fields of the list in the documentation that differ in requests (1) or in responses (2)."""
    section = DOC.read_text().partition("## What differs from a direct connection\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    return {name.lower() for row in rows if row[column] != "–" for name in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.row("GW-01")
@pytest.mark.parametrize("fast", [True, False], ids=["fast path", "usual way"])
async def test_bodies_are_the_same_and_only_documented_fields_differ(fast: bool) -> None:
    random_, in_requests, in_answers = random.Random(5), Counter[str](), Counter[str]()
    async with app() as behind, gateway(tenant(f"http://127.0.0.1:{behind.port}"), fast=fast) as server:
        for _ in range(CASES):
            behind.case = case = drawn(random_)
            behind.seen.clear()
            direct = await asked(case, behind.port, [])
            through = await asked(case, server.port, [(b"Cookie", server.cookie.encode())])
            assert len(behind.seen) == 2, case
            (sent, arrived) = behind.seen
            assert (arrived.start, arrived.body) == (sent.start, sent.body), case
            assert (through.start, through.body) == (direct.start, direct.body), case
            assert through.body == (b"" if case.empty else case.answer)
            in_requests.update(differing(sent.fields, arrived.fields))
            in_answers.update(differing(direct.fields, through.fields))
    assert set(in_requests) == documented(1)
    assert set(in_answers) == documented(2)
