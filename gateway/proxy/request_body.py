"""The body of a request on its way to an app: its framing, and what of it may be sent again.

The parts are passed as they arrive. A chunked body is read by llhttp (by httptools) and gets new chunks, without
extensions and trailers. Where its end is, `request_framing` has said before; if llhttp disagrees, the body is bad.
"""

import re

import httptools

MOST_KEPT = 16_384
"""Bytes of a body that may be sent again."""
LARGE = 2**20
"""Bytes after which a body is read in larger parts."""
_LENGTH = re.compile(rb"\r\ncontent-length:[^\r]*", re.IGNORECASE)


class BadBody(Exception):
    """A chunked body that can be read in two ways, or in none."""


class RequestBody:
    """One body of `length` bytes; None: it is chunked."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.complete = length == 0
        """Whether the last byte was taken."""
        self.first = b""
        """The bytes that arrived with the head, as they arrived."""
        self.sent = False
        """Whether a connection to an app has got the head and `first`."""
        self._taken = 0
        self._kept: list[bytes] | None = []
        self._decoder = _Decoder() if length is None else None

    @property
    def large(self) -> bool:
        """Whether so much was taken that more will follow."""
        return self._taken >= LARGE

    @property
    def framing(self) -> bytes:
        """The field line for the app."""
        return b"Transfer-Encoding: chunked\r\n" if self.length is None else b"Content-Length: %d\r\n" % self.length

    @property
    def may_be_repeated(self) -> bool:
        """Whether `begin` may be called again."""
        return self._kept is not None

    def begin(self) -> list[bytes]:
        """What an app gets after the head, on the first connection or on another one."""
        parts, self.sent = self._kept or [], True
        self._keep([])
        return parts

    def take_first(self, data: bytes, *, last: bool) -> None:
        """Take the bytes that arrived with the head. Raises `BadBody`."""
        self.first = data
        self._kept = self._read(data, last=last)

    def take(self, data: bytes, *, last: bool) -> list[bytes]:
        """Take the next bytes as they arrived; returns what the app gets. `last`: the body ends with them.

        :raises BadBody: the bytes are no chunks, or end elsewhere.
        """
        parts = self._read(data, last=last)
        self._keep(parts)
        return parts

    def head_of_rest(self, head: bytes) -> bytes:
        """The head of this request as if its body began after the bytes that were taken."""
        if self.length is None:
            return head + (b"0\r\n\r\n" if self.complete else b"")
        return _LENGTH.sub(b"\r\nContent-Length: %d" % (self.length - self._taken), head, count=1)

    def _read(self, data: bytes, *, last: bool) -> list[bytes]:
        self._taken += len(data)
        self.complete = last
        return [data] if self._decoder is None else self._decoder.chunks(data, last=last)

    def _keep(self, parts: list[bytes]) -> None:
        if self._taken > MOST_KEPT:
            self._kept = None
        if self._kept is not None:
            self._kept += parts


class _Decoder:
    """Reads chunks and makes new ones."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._done = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunks(self, data: bytes, *, last: bool) -> list[bytes]:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BadBody from error
        if self._done != last:
            raise BadBody
        parts, self._parts = self._parts, []
        if size := sum(map(len, parts)):
            parts = [b"%x\r\n" % size, *parts, b"\r\n"]
        return [*parts, b"0\r\n\r\n"] if last else parts

    # ---- httptools

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        if self._done:
            raise BadBody
        self._done = True
