"""Sends an app's response to the browser.

The head is written as it is, so that lists of cookies, bytes above ASCII and missing types survive. aiohttp's writer
sends the body with its back-pressure. Only public parts of aiohttp are used. `DownstreamResponse` tells aiohttp that
the response has been sent.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

from aiohttp import ClientPayloadError, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter

from gateway.proxy.upstream_connection import ClientGone, UpstreamConnection
from gateway.web import continue_100

STALL = 60.0
"""Seconds that a client may take for the next part of its body. `client_connection` cuts one that takes nothing."""
WATCH = 1.0
"""Seconds between two looks whether the client is still there; aiohttp lets a handler know only when it writes."""


class DownstreamResponse(web.StreamResponse):
    """An answer that `Downstream` has already sent."""

    def __init__(self, *, status: int, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._alive = keep_alive

    def force_close(self) -> None:
        """The connection ends after this answer, whatever its head said."""
        self._alive = False

    @property
    def prepared(self) -> bool:
        return True

    @property
    def keep_alive(self) -> bool:
        return self._alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Downstream:
    """The browser's side of one exchange."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._chunked = False
        self._keep_alive = False
        self._watch: asyncio.TimerHandle | None = None
        self._status = 0
        self._source: UpstreamConnection | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection is lost."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def watch(self, lost: Callable[[], None]) -> None:
        """Call `lost` once, within `WATCH` seconds of the connection's end; until `unwatch`."""
        self._watch = asyncio.get_running_loop().call_later(WATCH, self._look, lost)

    def _look(self, lost: Callable[[], None]) -> None:
        if self.gone:
            lost()
        else:
            self.watch(lost)

    def unwatch(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def takes_from(self, source: UpstreamConnection) -> None:
        """While the browser takes nothing, `source` reads nothing: one of the two holds bytes, not both."""
        self._source = source

    @property
    def waits_to_be_asked(self) -> bool:
        """Whether the client sends its body only after `go_on` (`Expect: 100-continue`)."""
        return continue_100.is_awaited(self._request)

    def uploads(self) -> None:
        """A signed-in user's body is on its way to an app: it may be read in large parts."""
        if hasattr(self._request.protocol, "uploads"):  # of `request_protocol`
            self._request.protocol.uploads = True

    def go_on(self) -> None:
        """Ask for the body of a client that waits to be asked."""
        continue_100.ask(self._request)

    async def read(self) -> bytes:
        """Read some of the request's body as it is, never decompressed; b"" at its end. Raises `ClientGone`."""
        try:
            async with asyncio.timeout(STALL):
                return await self._request.content.readany()
        except (OSError, TimeoutError, ClientPayloadError, web.RequestPayloadError) as error:
            raise ClientGone(f"request body: {type(error).__name__}") from error

    async def head(
        self,
        status: int,
        reason: str,
        fields: Iterable[tuple[str, str]],
        *,
        length: int | None = None,
        empty: bool = False,
        last: bool = False,
        switch: bool = False,
        two_way: bool = False,
    ) -> None:
        """Send the head of an answer and choose its framing.

        `last`: the connection ends after it. `switch`: no HTTP follows. `two_way`: until its end the client may take
        `STALL` for each part of its body, however long that takes in all.
        """
        self._two_way(two_way)
        modern = (self._request.version.major, self._request.version.minor) == (1, 1)
        self._chunked = modern and not (switch or empty or length is not None)
        ending = getattr(self._request.protocol, "ending", False)  # set by `client_connection` when the process ends
        self._keep_alive = modern and not (last or switch or ending) and bool(self._request.keep_alive)
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
        if self._chunked:
            lines.append("Transfer-Encoding: chunked")
        elif length is not None and status != 204:
            lines.append(f"Content-Length: {length}")
        if not self._keep_alive and not switch:
            lines.append("Connection: close")
        self._status = status
        await self._write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def body(self, data: bytes) -> None:
        """Send some of the body, or of a switched protocol. Raises `ClientGone`."""
        part = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        del data  # else there are two copies while the client takes nothing
        await self._write(part)

    async def finish(self) -> DownstreamResponse:
        """End the body; the response to return from the handler."""
        self._two_way(False)
        if self._chunked:
            await self._write(b"0\r\n\r\n")
        return DownstreamResponse(status=self._status, keep_alive=self._keep_alive)

    def give_up(self) -> DownstreamResponse:
        """Cut the connection, so that a part is never taken for the whole."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()
        return DownstreamResponse(status=self._status or 499, keep_alive=False)

    def _two_way(self, is_two_way: bool) -> None:
        if hasattr(self._request.protocol, "two_way"):  # of `request_protocol`
            self._request.protocol.two_way = is_two_way

    async def _write(self, data: bytes) -> None:
        try:
            await cast(StreamWriter, self._request.writer).write(data, drain=False)
            if self._request.protocol.writing_paused:
                await self._drain()
        except OSError as error:
            raise ClientGone(type(error).__name__) from error

    async def _drain(self) -> None:
        if self._source is None:
            await self._request.writer.drain()
            return
        self._source.hold()
        try:
            await self._request.writer.drain()
        finally:
            self._source.release()
