"""Passes WebSockets on to apps.

The app gets the handshake first. Only after it has answered 101 with the right `Sec-WebSocket-Accept` does the browser
get its 101. From then on bytes are spliced in both directions, so that frames, subprotocols, compression and close
codes stay as they are. Any other answer is an ordinary one, except 2xx to a handshake, which is an error. The number of
WebSockets of one session is limited. Both sides get a close frame between two of their own, 1001 when this process ends
and 4401 when the session ends; from then on nothing of either passes to the other.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections import Counter, deque
from contextlib import suppress
from functools import partial
from typing import Any, cast

from aiohttp import web

from gateway.domain.ports import Random, SystemRandom
from gateway.domain.problem import Problem
from gateway.domain.tenant import Route
from gateway.proxy.downstream import Downstream, DownstreamResponse
from gateway.proxy.forward import Failed, Rewrite, head_bytes, pass_body
from gateway.proxy.headers import UpstreamRequest
from gateway.proxy.session_stream import OpenStreams, SessionStream
from gateway.proxy.upstream_connection import (
    AppError,
    BadResponse,
    ClientGone,
    TooSlow,
    UpstreamConnection,
    UpstreamResponse,
)
from gateway.proxy.upstream_pool import UpstreamOrigin, UpstreamPool
from gateway.proxy.websocket_frames import GOING_AWAY, SESSION_ENDED, WebSocketFrames, close_frame
from gateway.web.request_check import Checked, listed

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
PER_SESSION = 20
"""WebSockets of one session at a time, on this replica."""
GOODBYE = 1.0
"""Seconds a browser has to answer that this is the end."""
HALF_CLOSED = 10.0
"""Seconds an app has to end its side after the browser has ended its own."""
_HIGH_WATER = 16_384
"""Bytes from the browser held here before it has to wait; one more read is possible."""


class WebSockets:
    """Passes WebSockets on to apps."""

    def __init__(
        self, pool: UpstreamPool, streams: OpenStreams, *, per_session: int = PER_SESSION, random: Random | None = None
    ) -> None:
        self._pool = pool
        self._streams = streams
        self._per_session = per_session
        self._random = random or SystemRandom()
        self._open: Counter[str] = Counter()

    async def splice(
        self,
        request: web.Request,
        checked: Checked,
        head: UpstreamRequest,
        route: Route,
        *,
        stream: SessionStream,
        rewrite: Rewrite,
    ) -> DownstreamResponse | Failed:
        """One WebSocket from handshake to end; `stream` cuts it at the end of its session."""
        session_id = stream.session.id
        if self._open[session_id] >= self._per_session:
            return Failed(Problem.TOO_MANY_STREAMS, f"{self._per_session} WebSockets of one session")
        client, limits = Downstream(request), route.timeouts
        wire: UpstreamConnection | None = None
        ending: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        spliced = False

        def lost() -> None:
            if wire is not None:
                wire.abort(ClientGone("client gone"))

        def close(status: bytes) -> None:
            if not spliced:
                lost()
                client.give_up()
            elif not ending.done():
                ending.set_result(status)

        # Before anything is waited for: no end of the session is missed.
        with stream.cut_at_end(partial(close, SESSION_ENDED)):
            client.watch(lost)
            self._open[session_id] += 1
            try:
                wire = await self._pool.at(UpstreamOrigin.of(route)).connect(limits.connect)
                if client.gone:
                    raise ClientGone("client gone")
                wire.begin(head.method, upgrade=True)
                await wire.write(head_bytes(head, _UPGRADE))
                answer = await wire.answer(limits.first_byte, to=" to a handshake")
                fields = rewrite(answer.status, answer.fields)
                if wire.switched:
                    _check_switch(answer, checked)
                    await client.head(101, "Switching Protocols", (*fields, *_UPGRADE), switch=True)
                    client.unwatch()
                    client.takes_from(wire)
                    spliced = True
                    with self._streams.under_way(partial(close, GOING_AWAY)):
                        return await self._both_ways(
                            request, client, wire, stream=stream, patience=limits.first_byte, ending=ending
                        )
                if answer.status < 300:
                    return Failed(Problem.APP_UNAVAILABLE, f"{answer.status} to a WebSocket handshake")
                await client.head(
                    answer.status, answer.reason, fields, length=answer.length, empty=answer.empty, last=True
                )
                whole = await pass_body(wire, client, limits.between_bytes)
                return await client.finish() if whole else client.give_up()
            except ClientGone:
                return client.give_up()
            except AppError as error:
                return Failed.of(error)
            finally:
                self._open[session_id] -= 1
                if not self._open[session_id]:
                    del self._open[session_id]
                client.unwatch()
                if wire is not None:
                    wire.close()

    async def _both_ways(
        self,
        request: web.Request,
        client: Downstream,
        wire: UpstreamConnection,
        *,
        stream: SessionStream,
        patience: float,
        ending: asyncio.Future[bytes],
    ) -> DownstreamResponse:
        inbox = _Inbox(request)
        # aiohttp hands every further byte of this connection to the parser set here; its own WebSocket uses the same.
        request.protocol.set_parser(cast(Any, inbox))

        upward, downward = WebSocketFrames(), WebSocketFrames()

        async def to_app() -> None:
            while data := await inbox.read():
                if ending.done():
                    return inbox.put_back(data)
                stream.seen()
                upward.feed(data)
                await wire.write(data, within=patience)  # else a browser that leaves meanwhile is never noticed
            if wire.end_writing():
                await asyncio.sleep(HALF_CLOSED)

        async def to_browser() -> None:
            while (data := await wire.read()) and not ending.done():
                stream.seen()
                downward.feed(data)
                await client.body(data)

        ways: list[asyncio.Future[Any]] = [asyncio.create_task(to_app()), asyncio.create_task(to_browser())]
        try:
            await asyncio.wait([*ways, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            ended = await asyncio.gather(*ways, return_exceptions=True)
        broken = any(isinstance(error, TooSlow) for error in ended)  # a goodbye would wait for the app as well
        if not broken and ending.done() and not downward.closing:
            broken = not (downward.between and await self._say_goodbye(client, wire, inbox, upward, ending.result()))
        if broken:
            wire.abort()
            return client.give_up()
        wire.close()  # not at once: the browser's close frame may still be on its way
        return await client.finish()

    async def _say_goodbye(
        self, client: Downstream, wire: UpstreamConnection, inbox: "_Inbox", upward: WebSocketFrames, status: bytes
    ) -> bool:
        """Send `status` to both sides, then wait for the browser's own close frame, so that it sees a clean end.

        Returns whether the frame arrived.
        """
        with suppress(AppError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                if upward.between and not upward.closing:
                    await wire.write(close_frame(status, self._random.token_bytes(4)))
                await client.body(close_frame(status))
                while not upward.closing and (data := await inbox.read()):
                    upward.feed(data)
        return upward.closing


class _Inbox:
    """The bytes of the browser, as an aiohttp payload parser; the browser waits while too many are held."""

    def __init__(self, request: web.Request) -> None:
        self._protocol = request.protocol
        self._held: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._held.append(data)
        self._size += len(data)
        if self._size >= _HIGH_WATER and not self._paused:
            self._paused = True
            self._protocol.pause_reading()
        self._wake()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._wake()

    def set_exception(self, exc: BaseException, cause: BaseException | None = None) -> None:
        self.feed_eof()

    async def read(self) -> bytes:
        """Take all held bytes; b"" when the browser is gone."""
        while not self._held and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._protocol.resume_reading(resume_parser=False)
        return data

    def put_back(self, data: bytes) -> None:
        """Put back bytes that were read and not used."""
        self._held.appendleft(data)
        self._size += len(data)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _check_switch(answer: UpstreamResponse, checked: Checked) -> None:
    """RFC 6455 4.1: that the app answers this handshake; what it chose of the offers the browser judges itself."""
    key = checked.header("sec-websocket-key") or ""
    wanted = b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    if listed(answer.all("upgrade")) != {"websocket"} or answer.all("sec-websocket-accept") != (wanted,):
        raise BadResponse("a switch of protocols that answers another handshake")
