"""A server judges the frames of a browser alike with and without the gateway between them.

The cases are those of the Autobahn|Testsuite, of which each topic has the odd ones; `autobahn.py` runs
the suite itself.
"""

import asyncio
import socket
from contextlib import suppress

import pytest

from tests.fixtures.proxy_server import gateway, status_of, tenant
from tests.fixtures.upstream import EchoUpstream
from tests.proxy.test_websocket import handshake

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
BYTE_BY_BYTE = 64
"""Bytes of a case that is also sent byte by byte, at most."""


def sent(opcode: int, payload: bytes = b"", *, last: bool = True, reserved: int = 0) -> bytes:
    """Returns a frame of a browser."""
    size = len(payload)
    length = (
        bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    )
    mask = b"\x12\x34\x56\x78"
    masked = (int.from_bytes(payload) ^ int.from_bytes((mask * (size // 4 + 1))[:size])).to_bytes(size)
    return bytes((last << 7 | reserved << 4 | opcode, length[0] | 0x80)) + length[1:] + mask + masked


def part(payload: bytes, opcode: int = 0, *, last: bool = False) -> bytes:
    """Returns a part of a message."""
    return sent(opcode, payload, last=last)


def closing(code: int, reason: bytes = b"") -> bytes:
    """Returns a close frame."""
    return sent(CLOSE, code.to_bytes(2) + reason)


TOPICS: dict[str, list[bytes]] = {
    "messages": [
        *(sent(TEXT, b"*" * size) for size in (0, 1, 125, 126, 127, 128, 65535, 65536)),
        *(sent(BINARY, b"\xfe" * size) for size in (0, 1, 125, 126, 127, 128, 65535, 65536)),
        sent(TEXT, b"one") + sent(BINARY, b"two") + sent(TEXT, b"three"),
    ],
    "pings": [
        sent(PING),
        sent(PING, b"payload"),
        sent(PING, bytes(range(125))),
        sent(PING, b"x" * 126),
        sent(PONG, b"unasked"),
        sent(PONG, b"unasked") + sent(PING, b"asked"),
        b"".join(sent(PING, b"%d" % number) for number in range(10)),
    ],
    "reserved bits": [
        *(sent(TEXT, b"text", reserved=bits) for bits in range(1, 8)),
        sent(TEXT, b"before") + sent(TEXT, b"odd", reserved=4) + sent(PING),
        sent(PING, b"odd", reserved=5),
        sent(CLOSE, b"", reserved=6),
    ],
    "reserved opcodes": [
        *(sent(opcode, b"odd") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        sent(TEXT, b"before") + sent(5) + sent(PING),
    ],
    "fragments": [
        part(b"first", TEXT) + part(b"second", last=True),
        part(b"", TEXT) + part(b"") + part(b"", last=True),
        part(b"first", BINARY) + sent(PING, b"between") + part(b"second", last=True),
        part(b"no first", last=True) + sent(TEXT, b"after"),
        part(b"no first") + sent(TEXT, b"after"),
        part(b"first", TEXT) + sent(TEXT, b"another"),
        part(b"half a ping", PING) + part(b"the other half", last=True),
        part(b"half a pong", PONG) + part(b"the other half", last=True),
        part(b"first", TEXT) + closing(1000),
    ],
    "UTF-8": [
        sent(TEXT, "κόσμε \u06f1 \U0001f511".encode()),
        part("κόσμε".encode()[:5], TEXT) + part("κόσμε".encode()[5:], last=True),
        sent(TEXT, "κόσμε".encode()[:-1]),
        sent(TEXT, b"\xce\xba\xed\xa0\x80edited"),
        part(b"\xce\xba\xed\xa0", TEXT) + part(b"\x80edited", last=True),
        sent(TEXT, b"\xf4\x90\x80\x80"),
        sent(TEXT, b"\xc0\xaf"),
        sent(TEXT, b"\xff"),
        sent(TEXT, b"\x00\x7f\xef\xbf\xbf"),
    ],
    "closes": [
        sent(CLOSE),
        sent(CLOSE, b"x"),
        closing(1000, b"reason"),
        closing(1000, b"r" * 123),
        closing(1000, b"r" * 124),
        closing(1000, b"\xce\xba\xed\xa0\x80"),
        closing(1000) + sent(TEXT, b"after the end") + sent(PING),
        closing(1000) + closing(1001),
        *(closing(code) for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4401, 4999)),
        *(closing(code) for code in (0, 999, 1004, 1005, 1006, 1012, 1016, 1100, 2000, 2999, 5000, 65535)),
    ],
}


async def conversation(port: int, head: bytes, pieces: list[bytes]) -> bytes:
    """Returns all bytes that a server sends to a browser with these frames, which closes in the end.

    A server that closes first may reset the connection; what it sent before is still read. No thread is used: in a
    busy process each piece would wait for the interpreter's lock.
    """
    loop, received = asyncio.get_running_loop(), b""
    with socket.socket() as wire, suppress(ConnectionError):
        wire.setblocking(False)
        await loop.sock_connect(wire, ("127.0.0.1", port))
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_sendall(wire, head)
        while not received.endswith(b"\r\n\r\n"):
            received += await loop.sock_recv(wire, 1)
        assert status_of(received) == 101
        received = b""
        with suppress(ConnectionError):
            for piece in (*pieces, closing(1000)):
                await loop.sock_sendall(wire, piece)
                await asyncio.sleep(0)  # the server reads this piece alone
        while data := await loop.sock_recv(wire, 65536):
            received += data
    return received


@pytest.mark.both_loops
@pytest.mark.row("GW-02")
@pytest.mark.parametrize("topic", TOPICS)
async def test_a_server_judges_frames_alike_with_and_without_the_gateway(
    topic: str, echo_upstream: EchoUpstream
) -> None:
    cases = [[frames] for frames in TOPICS[topic]]
    cases += [[bytes((one,)) for one in frames] for [frames] in cases if len(frames) <= BYTE_BY_BYTE]
    async with gateway(tenant(echo_upstream.url)) as server:
        head = handshake(server)
        for pieces in cases:
            async with asyncio.timeout(20):
                directly = await conversation(echo_upstream.port, head, pieces)
                through = await conversation(server.port, head, pieces)
            assert through == directly, b"".join(pieces)[:80]
