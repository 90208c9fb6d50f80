"""How does a WebSocket pass?

The handshake goes to the app first; only after the app has answered 101 with the right `Sec-WebSocket-Accept` does the
browser get its 101. From then on bytes are spliced both ways, so that frames, subprotocols, compression and close codes
pass untouched. Any other answer is an ordinary one, except 2xx to a handshake, which nobody sane gives.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.domain.tenant import Route
from gateway.proxy.client import Client, Relayed
from gateway.proxy.forward import Failed, Rewrite, head_bytes
from gateway.proxy.headers import Request
from gateway.proxy.pool import Origin, Pool
from gateway.proxy.request_check import Checked, listed
from gateway.proxy.wire import Answer, AppError, BadAnswer, ClientGone, NoConnection, TooSlow, Wire

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
ACTIVITY = 60.0
"""Seconds between two reports that a WebSocket is alive."""
_HIGH_WATER = 262_144


class WebSockets:
    """Passes WebSockets on to apps."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def splice(
        self,
        request: web.Request,
        checked: Checked,
        head: Request,
        route: Route,
        *,
        rewrite: Rewrite,
        closing: Callable[[Callable[[], None]], Callable[[], None]],
        on_activity: Callable[[], None],
    ) -> Relayed | Failed:
        """One WebSocket from handshake to end. `closing` is given what cuts it and gives back what forgets that."""
        client = Client(request)
        wire: Wire | None = None

        def lost() -> None:
            if wire is not None:
                wire.abort(ClientGone("client gone"))

        def cut() -> None:
            lost()
            client.give_up()

        forget = closing(cut)  # before anything is waited for: no end of the session is missed
        client.watch(lost)
        try:
            wire = await self._pool.connect(Origin.of(route), route.timeouts.connect)
            if client.gone:
                raise ClientGone("client gone")
            answer = await _handshake(wire, head, route.timeouts.first_byte)
            if wire.switched:
                _check_switch(answer, checked)
                await client.head(101, "Switching Protocols", (*rewrite(answer.fields), *_UPGRADE), switch=True)
                client.unwatch()
                return await self._both_ways(request, client, wire, on_activity)
            if answer.status < 300:
                return Failed(Problem.APP_UNAVAILABLE, f"{answer.status} to a WebSocket handshake")
            return await _ordinary(client, wire, answer, rewrite, route.timeouts.between_bytes)
        except ClientGone:
            lost()
            return client.give_up()
        except AppError as error:
            lost()
            return _failed(error)
        finally:
            client.unwatch()
            forget()
            if wire is not None:
                wire.close()

    async def _both_ways(
        self, request: web.Request, client: Client, wire: Wire, on_activity: Callable[[], None]
    ) -> Relayed:
        alive = _Alive(self._clock, on_activity)
        inbox = _Inbox(request)
        # aiohttp hands every further byte of this connection to the parser set here; its own WebSocket uses the same.
        request.protocol.set_parser(cast(Any, inbox))

        async def to_app() -> None:
            while data := await inbox.read():
                alive.seen()
                await wire.write(data)

        async def to_browser() -> None:
            while data := await wire.read():
                alive.seen()
                await client.raw(data)

        ways = [asyncio.create_task(to_app()), asyncio.create_task(to_browser())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        wire.close()  # not at once: the browser's close frame may still be on its way
        return client.hang_up()


class _Alive:
    """Reports use at most once in `ACTIVITY` seconds."""

    def __init__(self, clock: Clock, report: Callable[[], None]) -> None:
        self._clock = clock
        self._report = report
        self._last = clock.now()

    def seen(self) -> None:
        """Bytes have passed."""
        now = self._clock.now()
        if now - self._last >= ACTIVITY:
            self._last = now
            self._report()


class _Inbox:
    """What the browser sends, in the shape of an aiohttp payload parser; the browser waits while too much is held."""

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
        """Everything held; b"" when the browser is gone."""
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

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _handshake(wire: Wire, head: Request, seconds: float) -> Answer:
    wire.begin(head.method, upgrade=True)
    await wire.write(head_bytes(head, _UPGRADE))
    try:
        async with asyncio.timeout(seconds):
            return await wire.answer()
    except TimeoutError as error:
        raise TooSlow(f"no answer to a handshake in {seconds:g} s") from error


def _check_switch(answer: Answer, checked: Checked) -> None:
    """RFC 6455 4.1: everything a browser would check, before it is told."""
    key = checked.header("sec-websocket-key") or ""
    wanted = b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    if listed(answer.all("upgrade")) != {"websocket"} or answer.all("sec-websocket-accept") != (wanted,):
        raise BadAnswer("a switch of protocols that answers another handshake")


async def _ordinary(client: Client, wire: Wire, answer: Answer, rewrite: Rewrite, between: float | None) -> Relayed:
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
    except (BadAnswer, NoConnection, TimeoutError):
        return client.give_up()


def _failed(error: AppError) -> Failed:
    slow = isinstance(error, TooSlow)
    return Failed(Problem.APP_TOO_SLOW if slow else Problem.APP_UNAVAILABLE, str(error))
