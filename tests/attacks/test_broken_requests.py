"""Tests with requests of the corpus, changed at random.

Only whole requests in the gateway's framing may reach the app, without a byte beside them.
"""

import asyncio
import re
from contextlib import suppress
from functools import cache
from random import Random

import pytest

from tests.attacks.corpus import CORPUS, WEBSOCKET
from tests.attacks.test_requests import same_page
from tests.fixtures.proxy_server import TOKEN, ProxyServer, gateway, status_of, tenant
from tests.fixtures.upstream import RawUpstream

ROUNDS = 400
PIECES = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"\0", b"\x0b", b"\x80", b"\xff", b"%", b"/", b"..", b"//"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Host: cc.example\r\n"),
    *(
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"Connection: keep-alive\r\n",
        b"Upgrade: websocket\r\n",
        b"chunked",
        b"HTTP/1.1",
    ),
    *(b"Expect: 100-continue\r\n", b"GET /agent-manager/smuggled HTTP/1.1\r\nHost: cc.example\r\n\r\n"),
]
HEAD = re.compile(
    rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[\x21\x22\x24-\x7e]* HTTP/1\.1\r\nHost: 127\.0\.0\.1:\d+"
    rb"(?:\r\n[!#$%&'*+^`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*)+"
)
BEARER_FIELD = b"\r\nauthorization: bearer " + TOKEN.encode()


@cache
def corpus(auth: str) -> tuple[list[bytes], list[bytes]]:
    """Returns all requests of the corpus with these fields, and the legal ones."""
    every = (*CORPUS, WEBSOCKET)
    return [odd.bytes(auth) for odd in every], [odd.bytes(auth) for odd in every if odd.may_pass]


def broken(random: Random, auth: str) -> bytes:
    """Returns a request of the corpus with bytes inserted, removed or changed, or with another request appended."""
    whole, legal = corpus(auth)
    raw = bytearray(random.choice(random.choice((legal, legal, whole))))
    for _ in range(random.randint(1, 2)):
        at = random.randrange(len(raw) + 1)
        match random.randrange(5):
            case 0 | 1:
                raw[at:at] = random.choice(PIECES)
            case 2:
                del raw[at : at + random.randint(1, 6)]
            case 3:
                raw[at : at + 1] = bytes((random.randrange(256),))
            case _:
                other = random.choice(whole)
                raw[at:] = other[random.randrange(len(other) + 1) :]
    return bytes(raw)


async def statuses(stage: ProxyServer, random: Random, auth: str) -> set[int]:
    """Sends `ROUNDS` of them, each on a separate connection, and returns the status codes."""
    seen = set()
    for _ in range(ROUNDS):
        reader, writer = await stage.connect()
        with suppress(ConnectionError, TimeoutError):
            writer.write(broken(random, auth))
            seen.add(status_of(await asyncio.wait_for(reader.read(65536), 0.2)))
        writer.transport.abort()
    return seen


def behind(head: bytes, rest: bytes) -> bytes:
    """Returns the bytes after the body of the request with this head; nothing if the body was cut."""
    fields = head.lower()
    if b"\r\nupgrade: websocket" in fields:
        return b""  # from here on the bytes are an upgraded stream
    if b"\r\ntransfer-encoding: chunked" in fields:
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+", size)
            rest = rest[int(size, 16) :]
            assert rest[:2] in (b"\r\n", b"\r", b"")
            rest = rest[2:]
            if size == b"0":
                break
        return rest
    length = re.search(rb"\r\ncontent-length: ([0-9]+)", fields)
    return rest[int(length[1]) :] if length else rest


def assert_whole_gateway_requests(received: bytes) -> int:
    """Asserts that every byte of a connection belongs to a request of the gateway; returns their number."""
    count = 0
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end
        assert HEAD.fullmatch(head), head
        fields = head.lower()
        assert fields.count(BEARER_FIELD) == fields.count(b"\r\nauthorization:") == 1
        assert fields.count(b"\r\ncontent-length:") + fields.count(b"\r\ntransfer-encoding:") <= 1
        received = behind(head, received)
        count += 1
    return count


@pytest.mark.slow
@pytest.mark.attack("D1")
@pytest.mark.parametrize("seed", range(3))
async def test_with_a_session_only_whole_requests_in_the_gateways_framing_reach_the_app(
    seed: int, raw_upstream: RawUpstream
) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        seen = await statuses(stage, Random(seed), same_page(stage.cookie))
    assert 500 not in seen
    arrived = sum(assert_whole_gateway_requests(bytes(one.received)) for one in raw_upstream.connections)
    assert arrived >= 5, "or nothing was shown"


@pytest.mark.attack("D1")
async def test_without_a_session_no_broken_request_reaches_the_app(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        seen = await statuses(stage, Random("nobody"), "")
    assert seen <= {0, *range(300, 500)}
    assert raw_upstream.connections == []
