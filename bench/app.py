"""The app behind every design, besides nginx with its files: takes uploads and answers WebSocket messages.

    python -m bench.app PORT

`POST /upload/…` reads a whole body and answers 204. `GET /ws/SIZE` opens a WebSocket; for each message of SIZE bytes it
sends one of the same size. It counts bytes and parses no frame, so that it costs little beside the design under test.
"""

import asyncio
import base64
import hashlib
import re
import sys
from typing import cast

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DONE = b"HTTP/1.1 204 No Content\r\n\r\n"
END = b"0\r\n\r\n"
"""The last bytes of a chunked body; the load generator's bodies contain them nowhere else."""


def frame(size: int, *, masked: bool = False) -> bytes:
    """A binary message of `size` zero bytes. A client masks its messages; with a mask of zeros that changes nothing."""
    length = bytes((size,)) if size < 126 else bytes((126,)) + size.to_bytes(2, "big")
    if masked:
        length = bytes((length[0] | 0x80,)) + length[1:] + bytes(4)
    return b"\x82" + length + bytes(size)


class App(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._head = b""
        self._left: int | None = 0
        """Bytes of the body to come; None for a chunked body."""
        self._tail = b""
        self._size = 0
        self._frame = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._frame:
            self._message(len(data))
        elif self._left is None or self._left:
            self._body(data)
        else:
            self._begin(data)

    def _begin(self, data: bytes) -> None:
        head, end, body = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head = head
            return
        self._head = b""
        lower = head.lower()
        if found := re.match(rb"GET /ws/(\d+)", head):
            key = re.search(rb"sec-websocket-key: *(\S+)", head, re.IGNORECASE)
            accept = base64.b64encode(hashlib.sha1((key[1] if key else b"") + GUID).digest())  # noqa: S324 - RFC 6455
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
            )
            self._frame, self._wanted = frame(int(found[1])), len(frame(int(found[1]), masked=True))
            return
        length = re.search(rb"\r\ncontent-length: *(\d+)", lower)
        self._left = int(length[1]) if length else None if b"\r\ntransfer-encoding:" in lower else 0
        self._tail = b""
        if self._left == 0:
            self._transport.write(DONE)
        elif body:
            self._body(body)

    def _body(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
        else:
            self._tail = (self._tail + data)[-len(END) :] if len(data) < len(END) else data[-len(END) :]
            if self._tail == END:
                self._left = 0
        if self._left == 0:
            self._transport.write(DONE)

    def _message(self, count: int) -> None:
        self._size += count
        while self._size >= self._wanted:
            self._size -= self._wanted
            self._transport.write(self._frame)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(App, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
