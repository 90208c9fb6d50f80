"""Passes the bytes of a WebSocket on, after browser and app have switched protocols.

Each of the two connections gets a small protocol, which writes what arrives to the other one. No task waits, and
nothing of the request stays in memory. One read of each way is held at most: while a side takes nothing, the other one
is not read. At the end of the session or of the process both sides get a close frame between two of their own; from
then on nothing of either passes to the other.
"""

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from gateway.domain.ports import Random
from gateway.proxy.session_stream import OpenStreams, SessionStream
from gateway.proxy.upstream_connection import unread
from gateway.proxy.websocket_frames import APP_DENIED, GOING_AWAY, SESSION_ENDED, WebSocketFrames, close_frame

READ = 32 * 1024
"""Bytes of one read, at most."""
GOODBYE = 1.0
"""Seconds a browser has to answer that this is the end."""
HALF_CLOSED = 10.0
"""Seconds an app has to end its side after the browser has ended its own."""


class ClientConnection(Protocol):
    """The connection of a client, which counts until its end; it limits the time in which the client takes bytes."""

    def pause_writing(self) -> None:
        """The client takes nothing more for now."""

    def resume_writing(self) -> None:
        """The client takes more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""


class Splice:
    """One WebSocket from the switch of protocols to its end."""

    __slots__ = ("_app", "_browser", "_held", "_random", "_streams", "_timer", "open", "stream")

    def __init__(
        self,
        connection: ClientConnection,
        browser: asyncio.Transport,
        app: asyncio.Transport,
        *,
        stream: SessionStream,
        streams: OpenStreams,
        buffer: memoryview,
        patience: float,
        random: Random,
        held: ExitStack,
    ) -> None:
        """`buffer`: `READ` bytes, which many may share. `patience`: seconds in which an app takes what was read.

        `held` is closed at the end.
        """
        self._random = random
        self._held = held
        self.stream = stream
        self._streams = streams
        self._timer: asyncio.TimerHandle | None = None
        self.open = True
        """Whether bytes pass."""
        self._browser = _Browser(self, browser, app, buffer, connection)
        self._app = _App(self, app, browser, buffer, patience)

    def begin(self, from_browser: bytes, from_app: bytes) -> None:
        """Pass bytes from now on, first those that arrived with the handshake."""
        browser, app = self._browser, self._app
        for side in (browser, app):
            if not side.transport.is_closing():
                side.transport.set_protocol(side)
                # A write that is not taken at once pauses the reads. By TLS 0 would pause them without a write.
                side.transport.set_write_buffer_limits(high=1, low=0)
        if from_app:
            app.passed(from_app)
        if app.transport.is_closing() or browser.transport.is_closing():
            self.finish()
            return
        if from_browser:
            browser.passed(from_browser)
        self._held.enter_context(self.stream.cut_at_end(partial(self.end, SESSION_ENDED)))
        self._held.enter_context(self.stream.cut_when_denied(partial(self.end, APP_DENIED)))
        self._held.enter_context(self._streams.under_way(partial(self.end, GOING_AWAY)))
        if not self.open:  # the session or the process ended just now
            self._held.close()

    def end(self, status: bytes) -> None:
        """Tell both sides that this is the end, then wait for the browser's own close frame: it sees a clean end."""
        up, down = self._browser.frames, self._app.frames
        if not self.open:
            return
        self.open = False
        if down.closing:
            self.finish()
        elif not down.between or self._timer is not None:  # no frame fits here, or the browser cannot answer
            self._cut()
        else:
            if up.between and not up.closing:
                self._app.transport.write(close_frame(status, self._random.token_bytes(4)))
            self._browser.transport.write(close_frame(status))
            self._later(GOODBYE)
            self.answered()

    def answered(self) -> None:
        """Bytes have arrived after the end: finish if they are the browser's close frame."""
        if self._browser.frames.closing:
            self.finish()

    def half_closed(self) -> bool:
        """The browser sends nothing more. Returns whether it may still get what the app sends."""
        app = self._app.transport
        if not self.open or app.is_closing() or not app.can_write_eof():
            return False
        app.write_eof()
        self._later(HALF_CLOSED)
        return True

    def lost(self, side: "_Side") -> None:
        """A connection has ended, and so does the other one; a browser that was told so may answer first."""
        if self.open or side is self._browser:
            self.finish()

    def finish(self) -> None:
        """Close both connections when they have taken what was sent."""
        self._leave()
        self._app.transport.close()  # not at once: the browser's close frame may still be on its way
        self._browser.transport.close()

    def _cut(self) -> None:
        self._leave()
        self._app.transport.abort()
        self._browser.transport.abort()

    def _leave(self) -> None:
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        self._held.close()

    def _later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._cut)


class _Side(asyncio.BufferedProtocol):
    """One of both connections. `frames` are those that have arrived here."""

    __slots__ = ("_buffer", "_other", "_splice", "_write", "frames", "transport")

    def __init__(
        self, splice: Splice, transport: asyncio.Transport, other: asyncio.Transport, buffer: memoryview
    ) -> None:
        self._splice = splice
        self._other = other
        self._write = other.write
        self._buffer = buffer
        self.transport = transport
        self.frames = WebSocketFrames()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.passed(self._buffer[:nbytes].tobytes())

    def passed(self, data: bytes) -> None:
        """Bytes have arrived; they pass, unless this is the end."""
        self.frames.feed(data)
        splice = self._splice
        if splice.open:
            stream = splice.stream
            if stream.now() >= stream.reports_at:
                stream.seen()
            self._write(data)
        else:
            splice.answered()

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._splice.open:  # a write failed; the last words here may be a close frame
            for data in unread(self.transport):
                self.passed(data)
                if self._other.get_write_buffer_size():
                    break
        self._splice.lost(self)


class _Browser(_Side):
    __slots__ = ("_connection",)

    def __init__(
        self,
        splice: Splice,
        transport: asyncio.Transport,
        other: asyncio.Transport,
        buffer: memoryview,
        connection: ClientConnection,
    ) -> None:
        super().__init__(splice, transport, other, buffer)
        self._connection = connection

    def eof_received(self) -> bool:
        return self._splice.half_closed()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.connection_lost(exc)


class _App(_Side):
    """An app that takes nothing is cut in the end, else a browser that leaves meanwhile is never noticed."""

    __slots__ = ("_look", "_patience")

    def __init__(
        self,
        splice: Splice,
        transport: asyncio.Transport,
        other: asyncio.Transport,
        buffer: memoryview,
        patience: float,
    ) -> None:
        super().__init__(splice, transport, other, buffer)
        self._patience = patience
        self._look: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look = asyncio.get_running_loop().call_later(self._patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_looking()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_looking()
        super().connection_lost(exc)

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
