"""One HTTP/1.1 connection to an app: writes requests, parses responses, and finds where each response ends.

llhttp (by httptools) parses. Each response is framed by its own head and by nothing else. A response that does not
parse, was not asked for, or is cut off makes the connection unusable and raises `BadResponse`: an app can break its own
response, never the next one. Reading stops while the reader is behind; writing waits while the app is.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from gateway.web.request_check import listed

MAX_HEAD = 131_072
MAX_FIELDS = 256
READ = 16_384
"""Bytes of one read, at most. For a client that takes nothing the gateway holds one piece of its answer, of two reads.
Larger reads cost less CPU for each megabyte, and more memory for each such client."""
LARGE_READ = 131_072
"""Bytes of one read, at most, of a large answer whose client has taken all of it so far."""
HIGH_WATER = 16_384
"""Bytes of an answer held here before the app has to wait, while its reader is only late. A reader that waits for its
own side calls `hold`, and then nothing more is read."""
WRITE_HIGH_WATER = 16_384
"""Bytes of a request's body that wait for the app before the client has to wait; one more write is possible."""

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TLS_ALERT = b"\x15\x03"
_SPEAKS_TLS = "TLS, not HTTP; for an app with TLS write https:// in `to` of the route"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class AppError(Exception):
    """An exchange with an app that failed; the text is for the log."""


class NoConnection(AppError):
    """No server listens there, or the connection was lost before a byte of an answer."""


class BadResponse(AppError):
    """An answer that is no HTTP, or is cut off."""


class TooSlow(AppError):
    """No bytes arrived in the time allowed."""


class ClientGone(AppError):
    """No client waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """Status line and fields of an answer; text is Latin-1.

    `length` None and not `empty`: the framing marks the end. `empty`: no body can follow (HEAD, 204, 304).
    """

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    length: int | None
    empty: bool

    def all(self, name: str) -> tuple[str, ...]:
        """The values of every field named `name` (lower case)."""
        return tuple(value for key, value in self.fields if key.lower() == name)


def unread(transport: asyncio.Transport) -> Iterator[bytes]:
    """The bytes that arrived before a write failed; call it in `connection_lost`, when the socket is not closed yet.

    What arrived by TLS cannot be read any more.
    """
    if transport.get_extra_info("ssl_object") is not None:
        return
    with suppress(OSError):
        while data := os.read(transport.get_extra_info("socket").fileno(), READ):
            yield data


class AnswerReader(Protocol):
    """Takes an answer as it arrives, without a task that waits for it."""

    def received(self, data: bytes) -> None:
        """Take bytes of the answer; only until `UpstreamConnection.parse` is called."""

    def progressed(self) -> None:
        """Take what `answered`, `taken`, `complete` and `error` say now."""

    def app_takes(self) -> None:
        """The app takes more of the request's body; see `UpstreamConnection.takes_more`."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """One connection, one exchange after the other: `begin`, `write`…, `answer`, `read`… until b"".

    Or `begin_for` a reader, `send`, and the reader is called.
    """

    def __init__(self, buffer: memoryview) -> None:
        """`buffer`: `LARGE_READ` bytes for reads; all connections of one event loop may share it."""
        self._buffer, self._large_buffer = buffer[:READ], buffer
        self.reads_much = False
        """Whether the next reads may be large ones; set by the reader of an answer, until the next one."""
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._reader: AnswerReader | None = None
        self._reads_itself = False
        self._writer: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._error: AppError | None = None
        self._unusable = False
        self._closed = False
        self._answer: UpstreamResponse | None = None
        self.begin("")

    # ---- one exchange

    def begin(self, method: str, *, upgrade: bool = False) -> None:
        """Get ready for the answer to a request with `method`; call it before the first byte is written."""
        self._parser = httptools.HttpResponseParser(self)
        self._upgrade_asked = upgrade
        self._reset(method)

    def begin_for(self, reader: AnswerReader, method: str) -> None:
        """Get ready for an answer that `reader` takes; call it before `send`."""
        self._reader = reader
        self._reads_itself = True
        self._method = method
        self._answer = None
        self.reads_much = False
        self.heard = self._complete = self._keep_alive = False  # `parse` resets the rest, where it is needed

    def send(self, *parts: bytes) -> bool:
        """Send `parts` and wait for nothing; False when the connection is lost."""
        transport = self._transport
        if transport is None or self._closed or transport.is_closing():
            return False
        for part in parts:
            transport.write(part)
        return True

    @property
    def takes_more(self) -> bool:
        """Whether the app has taken most of what was sent."""
        return self._writer is None

    def parse(self, data: bytes) -> None:
        """The reader cannot read this answer, whose first bytes are `data`: from here on the parser does."""
        self._reads_itself = False
        self.begin(self._method)
        self._parse(data)

    def taken(self) -> bytes:
        """Take the part of the body that is here, b"" when there is none."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        return data

    @property
    def answered(self) -> UpstreamResponse | None:
        """The head of the answer, if it is here."""
        return self._answer

    @property
    def error(self) -> AppError | None:
        """Why the exchange failed, if it did."""
        return self._error

    def end_for_reader(self, *, keep_alive: bool) -> None:
        """The reader has the whole answer. `keep_alive`: another exchange may follow."""
        self._complete, self._keep_alive, self._reads_itself = True, keep_alive, False

    def leave(self) -> None:
        """The reader is called no more."""
        self._reader = None
        self._reads_itself = False

    def _reset(self, method: str) -> None:
        self._method = method
        self.reads_much = False
        self._fields: list[tuple[str, str]] = []
        self._reason = b""
        self._answer = None
        self._head_bytes = 0
        self.heard = False
        """Whether any byte of an answer has arrived."""
        self._in_body = False
        self._interim = False
        self._continue = False
        self._until_close = False
        self._keep_alive = False
        self._complete = False
        self.switched = False
        """Whether the app has switched protocols as asked: `read` and `write` now carry its stream."""

    async def write(self, data: bytes, within: float | None = None) -> None:
        """Send `data`; waits while the app does not read, for `within` seconds. Raises `NoConnection`, `TooSlow`."""
        if self._transport is None or self._closed or self._transport.is_closing():
            raise self._error or NoConnection("connection lost")
        self._transport.write(data)
        if self._writer is not None:
            try:
                async with asyncio.timeout(within):
                    await asyncio.shield(self._writer)
            except TimeoutError as error:
                raise TooSlow(f"the app has taken nothing for {within:g} s") from error
            if self._closed:
                raise self._error or NoConnection("connection lost")

    async def asks_for_body(self, within: float) -> bool:
        """Wait until the app asks for the body (`100 Continue`). False: the app has answered without the body.

        An app that does neither in `within` seconds gets the body (RFC 9110 10.1.1).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not (self._continue or self._answer or self._error):
                    await self._wait()
        return self._answer is None

    async def answer(self, within: float | None = None, *, to: str = "") -> UpstreamResponse:
        """Wait for the head of the answer, without interim ones (1xx), for `within` seconds.

        Raises `NoConnection`, `BadResponse`, `TooSlow`.
        """
        try:
            async with asyncio.timeout(within):
                while self._answer is None:
                    if self._error:
                        raise self._error
                    await self._wait()
        except TimeoutError as error:
            raise TooSlow(f"no answer{to} in {within:g} s") from error
        return self._answer

    async def read(self) -> bytes:
        """Read some of the body, or after a switch of protocols of the stream; b"" at its end. Raises `BadResponse`."""
        while not self._chunks:
            if self._error:
                raise self._error
            if self._complete:
                return b""
            await self._wait()
        data = b"".join(self._chunks)  # a single one is not copied
        self._chunks.clear()
        self._held = 0
        self.release()
        return data

    def switch(self) -> tuple[asyncio.Transport, bytes]:
        """After a switch of protocols: the transport, for another protocol, and the bytes that have arrived since."""
        assert self._transport is not None  # noqa: S101 - for the type checker
        self.release()
        return self._transport, self.taken()

    def hold(self) -> None:
        """Read no more until `release`, or until the part that is here has been taken."""
        if not self._paused and self._transport is not None and not self._closed and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None and not self._closed and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    @property
    def complete(self) -> bool:
        """Whether the whole answer has been read."""
        return self._complete and not self._chunks and self._error is None

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: the connection is open, and no bytes arrived unasked."""
        return self._keep_alive and not self._unusable and self._complete and not self._chunks and self._error is None

    def close(self) -> None:
        """Close after everything written has been sent."""
        self._unusable = True
        if self._transport is not None:
            self._transport.close()

    def abort(self, error: AppError | None = None) -> None:
        """Close at once; a reader or writer that waits gets `error`."""
        if self._error is None and not self.complete:  # a whole answer that was not read is cut off, too
            self._error = error or NoConnection("closed")
        self._unusable = True
        self._chunks.clear()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._reader is not None:
            self._reader.progressed()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, why: str) -> None:
        if self._complete:  # the answer is whole; the bytes after it do not concern its reader
            self._unusable = True
        elif self._error is None:
            self._error = BadResponse(why)
        if self._transport is not None:
            self._transport.abort()

    def _hold(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held += len(data)
        if self._held >= HIGH_WATER:
            self.hold()

    # ---- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._large_buffer if self.reads_much else self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._take(bytes(self._large_buffer[:nbytes]))

    def _take(self, data: bytes) -> None:
        if self._reads_itself and self._reader is not None:
            self.heard = True
            self._reader.received(data)
            return
        if self.switched:
            self._hold(data)
        elif not self._method or self._complete:
            self._unusable = True  # no request was sent
            if self._transport is not None:
                self._transport.close()
        else:
            self._parse(data)
        self._wake()

    def _parse(self, data: bytes) -> None:
        self.heard = True
        if self._answer is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.switched:
                self._fail("a switch of protocols that no request asked for")
            elif rest := data[upgrade.args[0] :]:
                self._hold(rest)
        except httptools.HttpParserError as error:
            is_tls = self._answer is None and data.startswith(_TLS_ALERT)
            self._fail(_SPEAKS_TLS if is_tls else f"no HTTP: {error.__context__ or error}")
        else:
            if self._answer is None and self._head_bytes > MAX_HEAD:
                self._fail("a head without end")

    def eof_received(self) -> bool:
        self._ended("cut off")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = self._unusable = True
        if exc is not None and self._method and not self._complete:
            self._read_rest()
        if exc is not None and self._until_close and not self._complete and self._error is None:
            self._error = BadResponse("connection lost")  # a broken connection is no end of an answer
        self._ended("connection lost")
        self.resume_writing()

    def _read_rest(self) -> None:
        """Read an answer that arrived before a write failed: an app may refuse a body and close."""
        assert self._transport is not None  # noqa: S101 - for the type checker
        for data in unread(self._transport):
            self._take(data)
            if self._error is not None or self._complete or self._held >= MAX_HEAD:
                return

    def _ended(self, why: str) -> None:
        if self.switched or (self._answer is not None and self._until_close):
            self._complete = True
        elif not self._complete and self._error is None:
            self._error = BadResponse(why) if self.heard else NoConnection(why)
        self._unusable = True
        self._wake()

    def pause_writing(self) -> None:
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._writer = None
        if self._reader is not None:
            self._reader.app_takes()

    # ---- httptools

    def on_message_begin(self) -> None:
        if self._complete:
            self._unusable = True
        self._fields = []
        self._reason = b""

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if not self._in_body and not self._complete:  # trailers are dropped
            self._fields.append((name.decode("latin-1"), (value or b"").decode("latin-1").strip(" \t")))
            if len(self._fields) > MAX_FIELDS:
                raise BadResponse("too many fields")

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status == 101:
            if not self._upgrade_asked or not self._parser.should_upgrade():
                raise BadResponse("101 without an upgrade")
            self._check_fields()
            self._answer = UpstreamResponse(101, "Switching Protocols", tuple(self._fields), None, False)
            self.switched = True
            return
        self._interim = 100 <= status < 200
        if self._interim:
            self._continue = self._continue or status == 100
            return
        self._answer = self._read_head(status)
        self._in_body = True
        if self._answer.empty:
            self._complete = True

    def on_body(self, data: bytes) -> None:
        if self._complete:
            self._unusable = True
        else:
            self._hold(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self.switched:  # after a switch the connection's end is the end
            self._complete = True

    def _read_head(self, status: int) -> UpstreamResponse:
        if not 200 <= status <= 599:
            raise BadResponse("a status that is none")
        self._check_fields()
        values: dict[str, list[str]] = {}
        for name, value in self._fields:
            values.setdefault(name.lower(), []).append(value)
        coding, lengths = values.get("transfer-encoding"), values.get("content-length")
        if coding is not None and ([v.lower() for v in coding] != ["chunked"] or lengths is not None):
            raise BadResponse("framing that can be read in two ways")
        if lengths is not None and (len(lengths) != 1 or not lengths[0].isdecimal() or len(lengths[0]) > 18):
            raise BadResponse("a length that is none")
        length = int(lengths[0]) if lengths else None
        empty = self._method == "HEAD" or status in (204, 304)
        self._until_close = not empty and length is None and coding is None
        connection = listed(values.get("connection", ()))
        modern = self._parser.get_http_version() == "1.1"
        self._keep_alive = not self._until_close and (
            "close" not in connection if modern else "keep-alive" in connection
        )
        reason = self._reason.decode("latin-1")
        return UpstreamResponse(status, reason if _VALUE.fullmatch(reason) else "", tuple(self._fields), length, empty)

    def _check_fields(self) -> None:
        for name, value in self._fields:
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise BadResponse("a field that is none")
