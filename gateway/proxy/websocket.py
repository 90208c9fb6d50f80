"""Passes WebSockets on to apps.

The app gets the handshake first. Only after it has answered 101 with the right `Sec-WebSocket-Accept` does the browser
get its 101. From then on bytes are spliced in both directions, so that frames, subprotocols, compression and close
codes stay as they are. Any other answer is an ordinary one, except 2xx to a handshake, which is an error. The number of
WebSockets of one session is limited. Both sides get a close frame between two of their own, 1001 when this process ends
and 1008 when the session ends; from then on nothing of either passes to the other.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections import Counter, deque
from contextlib import suppress
from typing import Any, cast

from aiohttp import web

from gateway.domain.ports import Random, SystemRandom
from gateway.domain.problem import Problem
from gateway.domain.tenant import Route
from gateway.proxy.downstream import Downstream, DownstreamResponse
from gateway.proxy.forward import Failed, Rewrite, head_bytes
from gateway.proxy.headers import UpstreamRequest
from gateway.proxy.session_stream import SessionStream
from gateway.proxy.upstream_connection import (
    AppError,
    BadResponse,
    ClientGone,
    NoConnection,
    TooSlow,
    UpstreamConnection,
    UpstreamResponse,
)
from gateway.proxy.upstream_pool import UpstreamOrigin, UpstreamPool
from gateway.proxy.websocket_frames import GOING_AWAY, POLICY_VIOLATION, WebSocketFrames, close_frame
from gateway.web.request_check import Checked, listed

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
PER_SESSION = 20
"""WebSockets of one session at a time, on this replica."""
GOODBYE = 1.0
"""Seconds a browser has to answer that this is the end."""
_HIGH_WATER = 16_384
"""Bytes from the browser held here before it has to wait; one more read is possible."""


class WebSockets:
    """Passes WebSockets on to apps."""

    def __init__(self, pool: UpstreamPool, *, per_session: int = PER_SESSION, random: Random | None = None) -> None:
        self._pool = pool
        self._per_session = per_session
        self._random = random or SystemRandom()
        self._open: Counter[str] = Counter()
        self._live: set[asyncio.Future[bytes]] = set()
        self._ended = False

    def end(self) -> None:
        """Close every WebSocket, now and from now on, because this process ends."""
        self._ended = True
        for ending in tuple(self._live):
            if not ending.done():
                ending.set_result(GOING_AWAY)

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
        self._open[session_id] += 1
        try:
            return await self._splice(request, checked, head, route, stream=stream, rewrite=rewrite)
        finally:
            self._open[session_id] -= 1
            if not self._open[session_id]:
                del self._open[session_id]

    async def _splice(
        self,
        request: web.Request,
        checked: Checked,
        head: UpstreamRequest,
        route: Route,
        *,
        stream: SessionStream,
        rewrite: Rewrite,
    ) -> DownstreamResponse | Failed:
        client = Downstream(request)
        wire: UpstreamConnection | None = None
        ending: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        spliced = False

        def lost() -> None:
            if wire is not None:
                wire.abort(ClientGone("client gone"))

        def cut() -> None:
            if not spliced:
                lost()
                client.give_up()
            elif not ending.done():
                ending.set_result(POLICY_VIOLATION)

        with stream.cut_at_end(cut):  # before anything is waited for: no end of the session is missed
            client.watch(lost)
            try:
                wire = await self._pool.connect(UpstreamOrigin.of(route), route.timeouts.connect)
                if client.gone:
                    raise ClientGone("client gone")
                answer = await _handshake(wire, head, route.timeouts.first_byte)
                if wire.switched:
                    _check_switch(answer, checked)
                    await client.head(101, "Switching Protocols", (*rewrite(answer.fields), *_UPGRADE), switch=True)
                    client.unwatch()
                    client.takes_from(wire)
                    spliced = True
                    patience = route.timeouts.first_byte
                    return await self._both_ways(request, client, wire, stream=stream, patience=patience, ending=ending)
                if answer.status < 300:
                    return Failed(Problem.APP_UNAVAILABLE, f"{answer.status} to a WebSocket handshake")
                return await _ordinary(client, wire, answer, rewrite, route.timeouts.between_bytes)
            except ClientGone:
                lost()
                return client.give_up()
            except AppError as error:
                lost()
                return Failed.of(error)
            finally:
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

        async def to_browser() -> None:
            while (data := await wire.read()) and not ending.done():
                stream.seen()
                downward.feed(data)
                await client.raw(data)

        ways: list[asyncio.Future[Any]] = [asyncio.create_task(to_app()), asyncio.create_task(to_browser())]
        self._live.add(ending)
        if self._ended and not ending.done():
            ending.set_result(GOING_AWAY)
        try:
            await asyncio.wait([*ways, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._live.discard(ending)
            for way in ways:
                way.cancel()
            ended = await asyncio.gather(*ways, return_exceptions=True)
        if any(isinstance(error, TooSlow) for error in ended):  # closing would wait for the app as well
            wire.abort()
            return client.give_up()
        clean = True
        if ending.done() and not downward.closing:
            clean = downward.between and await self._say_goodbye(client, wire, inbox, upward, ending.result())
        if not clean:
            wire.abort()
            return client.give_up()
        wire.close()  # not at once: the browser's close frame may still be on its way
        return client.hang_up()

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
                await client.raw(close_frame(status))
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


async def _handshake(wire: UpstreamConnection, head: UpstreamRequest, seconds: float) -> UpstreamResponse:
    wire.begin(head.method, upgrade=True)
    await wire.write(head_bytes(head, _UPGRADE))
    try:
        async with asyncio.timeout(seconds):
            return await wire.answer()
    except TimeoutError as error:
        raise TooSlow(f"no answer to a handshake in {seconds:g} s") from error


def _check_switch(answer: UpstreamResponse, checked: Checked) -> None:
    """RFC 6455 4.1: that the app answers this handshake; what it chose of the offers the browser judges itself."""
    key = checked.header("sec-websocket-key") or ""
    wanted = b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    if listed(answer.all("upgrade")) != {"websocket"} or answer.all("sec-websocket-accept") != (wanted,):
        raise BadResponse("a switch of protocols that answers another handshake")


async def _ordinary(
    client: Downstream, wire: UpstreamConnection, answer: UpstreamResponse, rewrite: Rewrite, between: float | None
) -> DownstreamResponse:
    await client.head(
        answer.status, answer.reason, rewrite(answer.fields), length=answer.length, empty=answer.empty, last=True
    )
    try:
        while True:
            async with asyncio.timeout(between):
                data = await wire.read()
            if not data:
                return await client.finish()
            await client.body(data)
    except (BadResponse, NoConnection, TimeoutError):
        return client.give_up()
