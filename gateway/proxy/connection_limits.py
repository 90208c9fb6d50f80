"""Limits what one connection of a client may hold and how long it may take, in each of its states.

aiohttp's server limits only idle connections. The other limits are here: for the head of a request, for its body, for
bytes that a client sends ahead while it is answered, and for the time in which it takes its answer (the table is in
`docs/operations.md`). Requests that do not parse are answered here too, and the answer repeats none of their bytes.
Only public parts of aiohttp are used: `Runner` is an `AppRunner` whose protocol is wrapped in one of ours, which passes
the bytes on request by request (`request_framing`) and changes none.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, cast

import structlog
from aiohttp import http_exceptions, web

from gateway.observe.seldom import Seldom
from gateway.proxy.connections_per_address import ConnectionCounts, Network
from gateway.proxy.downstream import DownstreamResponse
from gateway.proxy.fast_path import FastConnection, FastPath
from gateway.proxy.forward import Failed
from gateway.proxy.raw_responses import NOT_PARSED, TOO_LARGE, TOO_MANY, TOO_SLOW
from gateway.proxy.request_body import BadBody, RequestBody
from gateway.proxy.request_framing import IN_BODY, FramingState, RequestFraming
from gateway.proxy.splice import ClientConnection

__all__ = [
    "FAST_PATH",
    "READ",
    "ConnectionCounts",
    "ConnectionLimits",
    "Network",
    "Runner",
    "Switched",
    "failed_on_fast_path",
    "switch",
]

FAST_PATH = web.AppKey("fast_path", FastPath)
"""Set by an application whose plain requests need not pass through it."""

Switched = tuple[ClientConnection, asyncio.Transport, bytes]
"""A connection after a switch of protocols, its transport for the next one, and the bytes after the request."""

_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

READ = 16 * 1024
"""Bytes of one read, at most."""
READ_OF_UPLOAD = 128 * 1024
"""Bytes of one read of a body that a signed-in user sends to an app; small reads would double its cost."""
_UNSENT = 64 * 1024
_LEAST_WAIT = 0.05
"""Seconds between two looks at one body, at least."""
_LOOK = 0.05
"""Seconds between two looks at the connections that are left."""
_REST = 1.0
"""Seconds without a request after which a connection closes when the process ends, or a quarter of the time if less."""
_YEAR = 365 * 86_400.0
_LINGER = 10.0
"""Seconds for a client to stop sending a body that its app refused; aiohttp waits as long."""
_LAST_WAIT = 0.1
"""Seconds for handlers whose connections were cut, before they are cancelled."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection, in seconds and bytes; `per_address` and `connections` (of all clients together) count
    connections, `body_rate` bytes a second.

    `head_bytes`: of one head. `head`: from the first byte of a request to the end of its head. `body_grace` + received
    bytes / `body_rate`: from there to the end of the body; the time does not pass while the app takes no more, nor
    while it answers a signed-in user already. `ahead`:
    bytes held behind a request that is being answered, at which reading pauses; one more read is possible (`READ`).
    `answer_bytes`: of an answer that wait for the client before the app waits too; one more write is possible.
    `least_taken`: bytes of its answer that a client takes in `stall` seconds, or it is cut.
    """

    head: float = 10.0
    head_bytes: int = 48 * 1024
    body_grace: float = 10.0
    body_rate: float = 1024.0
    ahead: int = 16 * 1024
    answer_bytes: int = 8 * 1024
    stall: float = 30.0
    least_taken: int = 4096
    per_address: int = 1000
    connections: int = 10_000


class Runner(web.AppRunner):
    """An `AppRunner` that enforces `limits`, and whose end loses no byte of a request under way.

    Connections from `trusted` networks (read for each one) are not counted: a proxy has those of all its clients.
    `shutdown_timeout`: seconds that `cleanup` gives to requests under way.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        trusted: Callable[[], Sequence[Network]] = tuple,
        limits: ConnectionLimits | None = None,
        handle_signals: bool = False,
        shutdown_timeout: float = 30.0,
        **options: Any,
    ) -> None:
        # aiohttp waits twice, and drops bytes that arrive meanwhile: it gets the connections left after `end`.
        super().__init__(app, handle_signals=handle_signals, shutdown_timeout=_LAST_WAIT, **options)
        self._patience = shutdown_timeout
        # aiohttp does not see the requests of the fast path: `_Connections` closes idle connections instead.
        self._options = {**options, "keepalive_timeout": _YEAR}
        self._limits = limits or ConnectionLimits()
        self._addresses = ConnectionCounts(self._limits.per_address, trusted)
        self._connections = _Connections(self._limits.connections, options.get("keepalive_timeout", 75.0))
        self._ending = False
        self._buffer = memoryview(bytearray(READ_OF_UPLOAD))

    async def setup(self) -> None:
        """As `AppRunner`'s."""
        await super().setup()
        server = super().server
        if server is not None:
            server.request_handler = self._watching(server.request_handler)

    async def end(self, within: float) -> int:
        """Close the ports and end every connection within that many seconds; returns the number that were cut.

        A connection closes after its next answer, or when it has had no request for a second: one that was just
        answered may have its next request on the way. Until an answer the body of its request still arrives. A handler
        whose browser left has the same time: only aiohttp's server still knows it. The application's `on_shutdown` ends
        streams, which have no end of their own.
        """
        server = super().server
        if server is None:
            return 0
        for site in tuple(self.sites):
            await site.stop()
        await asyncio.sleep(0)  # requests that arrived before that begin
        self._ending = True
        await self.shutdown()
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        rest = min(_REST, within / 4)
        closing: set[asyncio.Task[None]] = set()
        while (server.connections or self._connections.switched) and (left := until - loop.time()) > 0:
            for protocol, connection in tuple(self._connections.known.items()):
                if connection.end(rest):
                    closing.add(asyncio.create_task(protocol.shutdown(left)))
            await asyncio.sleep(min(_LOOK, left))
        if cut := len(server.connections) + len(self._connections.switched):
            _log.warning("connections_cut_at_shutdown", connections=cut)
        for connection in (*self._connections.known.values(), *self._connections.switched):
            connection.cut()
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        return cut

    async def cleanup(self) -> None:
        """As `AppRunner`'s, after `end`."""
        await self.end(self._patience)
        self._connections.stop()
        await super().cleanup()

    @property
    def server(self) -> web.Server | None:
        """The factory by which a site makes the protocols of its connections."""
        server = super().server
        if server is None:
            return None
        protocol = partial(_Requests, server, loop=asyncio.get_running_loop(), **self._options)
        connection = partial(
            _Connection,
            protocol,
            self._limits,
            self._addresses,
            self._connections,
            self._buffer,
            self.app.get(FAST_PATH),
        )
        return cast(web.Server, connection)

    def _watching(self, handle: _Handle) -> _Handle:
        async def watch(request: web.BaseRequest) -> web.StreamResponse:
            connection = self._connections.known.get(request.protocol)
            if connection is None:
                return await handle(request)
            connection.begun(request)
            try:
                response = await handle(request)
                if self._ending:
                    response.force_close()
                return response
            except ConnectionError:
                if request.transport is not None and not request.transport.is_closing():
                    raise
                return web.Response(status=499)  # no client gets it: aiohttp would log an error with a traceback
            finally:
                connection.ended()

        return watch


class _Requests(web.RequestHandler):
    """aiohttp's protocol, with two changes.

    aiohttp's answer to a request that does not parse names the server's program, and repeats a line of the request to
    the sender and in the log, where it may be a cookie or a password. And the connection may leave aiohttp for another
    protocol (`switch`). `two_way` is set while a signed-in user's body and its answer are both under
    way. `uploads`: such a body is on its way to an app. `at_rest`: no request is under way here. `failed`: why the fast
    path gave up the request that begins.
    """

    __slots__ = ("at_rest", "ending", "failed", "switch", "two_way", "uploads")

    switch: Callable[[], Switched | None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ending = False
        self.two_way = False
        self.uploads = False
        self.at_rest = True
        self.failed: Failed | None = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As `RequestHandler`'s."""
        finished = await super().finish_response(request, resp, start_time)
        self.at_rest = bool(resp.keep_alive) and request.content.is_eof()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in our own words; aiohttp answers for a handler that failed (500)."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        large = isinstance(exc, http_exceptions.LineTooLong) or message == "Too many headers received"
        _log.info("request_not_parsed", client=request.remote, why=type(exc).__name__)
        if self.transport is not None:
            self.transport.write(TOO_LARGE if large else NOT_PARSED)
        return DownstreamResponse(status=431 if large else 400, keep_alive=False)


def failed_on_fast_path(request: web.BaseRequest) -> Failed | None:
    """Why the fast path could not get the app's answer to `request`; None if it did not try."""
    failed: Failed | None = getattr(request.protocol, "failed", None)
    return failed


def switch(request: web.Request) -> Switched | None:
    """Take the connection of `request` away from aiohttp, after its answer was sent; None: the client is gone.

    The connection still counts, and limits how long its client takes nothing: the next protocol calls it.
    """
    return cast(_Requests, request.protocol).switch()


def _limit_unsent(transport: asyncio.Transport) -> None:
    """Let the system hold `_UNSENT` bytes that it has not sent yet.

    Without this limit it takes megabytes for a client that reads nothing before the app has to wait.
    """
    if sys.platform == "linux" and (connection := transport.get_extra_info("socket")) is not None:
        with suppress(OSError):  # a Unix socket has no such limit
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


class _Connections:
    """The connections of one server, at most `most`. A new one takes the place of the one that was idle longest.

    `idle` are those without a request under way, in the order in which their last one ended, or they were made, each
    with that time. After `idle_seconds` they are closed.
    """

    def __init__(self, most: int, idle_seconds: float) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._told = Seldom(period=60)
        self.known: dict[web.RequestHandler, _Connection] = {}
        self.switched: set[_Connection] = set()
        self.idle: dict[_Connection, float] = {}

    def make_room(self) -> bool:
        """Whether one more connection may be made; closes an idle one if there are too many."""
        if len(self.known) + len(self.switched) < self._most:
            return True
        if self._told.allows():
            _log.warning("connections_full", most=self._most, hint="raise the limit of open files (LimitNOFILE)")
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        oldest.close_idle()
        return True

    def rests(self, connection: "_Connection") -> None:
        """This connection has no request under way from now on."""
        self.idle.pop(connection, None)
        self.idle[connection] = monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._close_old)

    def stop(self) -> None:
        """Close no more idle connections."""
        if self._timer is not None:
            self._timer.cancel()

    def _close_old(self) -> None:
        self._timer = None
        while self.idle:
            connection, since = next(iter(self.idle.items()))
            left = since + self._idle_seconds - monotonic()
            if left > 0:
                self._timer = asyncio.get_running_loop().call_later(left, self._close_old)
                return
            if connection.receives_head:
                self.rests(connection)
            else:
                connection.close_idle()


class _Connection(asyncio.BufferedProtocol):
    """aiohttp's protocol with limits around it.

    One request is under way at a time: aiohttp gets the next head when the answer before it has been written. Bytes
    that arrive meanwhile wait here, and reading pauses when there are `ahead` of them. aiohttp pauses and resumes
    reading for bodies on the same transport; it may undo a pause of ours, which costs one more read.
    """

    def __init__(  # noqa: PLR0917 - the parts of one `Runner`
        self,
        protocol: Callable[[], _Requests],
        limits: ConnectionLimits,
        addresses: ConnectionCounts,
        connections: _Connections,
        buffer: memoryview,
        fast_path: FastPath | None,
    ) -> None:
        self._protocol = protocol
        self._fast_path = fast_path
        self._fast: FastConnection | None = None
        self._limits = limits
        self._addresses = addresses
        self._connections = connections
        self._buffer, self._buffer_of_upload = buffer[:READ], buffer
        self._loop = asyncio.get_running_loop()
        self._client = ""
        self._inner: _Requests | None = None
        self._transport: asyncio.Transport | None = None
        self._inbound = RequestFraming(limits.head_bytes)
        self._busy = False
        self._closing = False
        self._lingers: asyncio.TimerHandle | None = None
        self._rest: RequestBody | None = None
        """The body of which a part had gone to an app before aiohttp got the request."""
        self._held_back = False
        self._writing_paused = False
        self._head_since: float | None = None
        self._head_look: asyncio.TimerHandle | None = None
        self._body_look: asyncio.TimerHandle | None = None
        self._body_since = 0.0
        self._received = 0
        self._stall_look: asyncio.TimerHandle | None = None

    # ---- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        client = self._addresses.enter(transport.get_extra_info("peername"))
        if client is not None and not self._connections.make_room():
            self._addresses.leave(client)
            client = None
        if client is None:
            self._transport.write(TOO_MANY)
            self._transport.close()
            return
        self._client = client
        self._transport.set_write_buffer_limits(high=self._limits.answer_bytes)
        _limit_unsent(self._transport)
        self._inner = self._protocol()
        self._inner.switch = self._switch
        self._connections.known[self._inner] = self
        self._connections.rests(self)
        self._inner.connection_made(transport)
        if self._fast_path is not None:
            peer = transport.get_extra_info("peername")
            self._fast = FastConnection(
                self._fast_path,
                self._transport,
                str(peer[0]) if isinstance(peer, tuple | list) else None,
                answered=self._answered_fast,
                hand_over=self._hand_over,
                wants_body=self._pass_on,
            )

    def get_buffer(self, sizehint: int) -> memoryview:
        # one for all connections: its bytes are copied before the next one reads
        if self._inbound.state not in IN_BODY or self._holds_body:
            return self._buffer
        uploads = (self._inner is not None and self._inner.uploads) or (self._fast is not None and self._fast.uploads)
        return self._buffer_of_upload if uploads else self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._inner is None:
            return
        data = bytes(self._buffer_of_upload[:nbytes])
        self._received += nbytes
        if self._inbound.state is FramingState.THROUGH:
            self._inner.data_received(data)
        elif self._lingers is not None:
            return
        elif not self._holds_body and (part := self._inbound.pass_body(data)) is not None:
            self._pass_body(self._inner, part)
            self._pass_on()
        elif not self._passes_alone(data):
            self._inbound.add(data)
            self._pass_on()

    def _passes_alone(self, data: bytes) -> bool:
        """Whether these bytes are one request that the fast path takes as it is, as most are."""
        inner = self._inner
        if inner is None or self._busy or self._writing_paused or self._closing or not self._inbound.is_alone(data):
            return False
        if not self._takes_fast_path(inner, data, None):
            return False
        self._busy = True
        self._inbound.passed_alone()
        self._connections.idle.pop(self, None)
        return True

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._inner is not None:
            self._inner.pause_writing()
            if self._fast is not None:
                self._fast.pause()
        self._watch_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._stall_look is not None:
            self._stall_look.cancel()
            self._stall_look = None
        if self._inner is not None:
            self._inner.resume_writing()
            if self._fast is not None:
                self._fast.resume()
            self._loop.call_soon(self._after_answer)

    def connection_lost(self, exc: Exception | None) -> None:
        for look in (self._head_look, self._body_look, self._stall_look, self._lingers):
            if look is not None:
                look.cancel()
        self._addresses.leave(self._client)
        self._client = ""
        self._connections.idle.pop(self, None)
        self._connections.switched.discard(self)
        if self._fast is not None:
            self._fast.client_lost()
            self._fast = None
        if self._inner is not None:
            self._connections.known.pop(self._inner, None)
            self._inner.connection_lost(exc)
            self._inner = None

    # ---- one request after the other

    def _pass_on(self) -> None:
        """Give aiohttp the bytes that it may have now; hold the rest, and stop reading when that is much."""
        inner, inbound, transport = self._inner, self._inbound, self._transport
        if inner is None or transport is None or transport.is_closing():
            return
        while not transport.is_closing():
            if inbound.state is FramingState.WHOLE:
                if self._busy or self._writing_paused:
                    break
                inbound.go_on()
            began = inbound.state is FramingState.HEAD
            if began and inbound.held and self._head_since is None:
                self._begin_head()
            if self._holds_body or not (part := inbound.take()):
                break
            if not began:
                self._pass_body(inner, part)
                continue
            self._head_since, self._busy, self._rest = None, True, None
            self._connections.idle.pop(self, None)
            body, first = self._body_of_head()
            if inbound.state is FramingState.THROUGH or not self._takes_fast_path(inner, part, body):
                self._resume()
                inner.data_received(part + first)
        if inbound.too_large:
            self._refuse_head(TOO_LARGE, "large_head_cut")
        elif (inbound.state is FramingState.WHOLE or self._holds_body) and inbound.held >= self._limits.ahead:
            self._held_back = True
            transport.pause_reading()
        else:
            self._resume()

    def _body_of_head(self) -> tuple[RequestBody | None, bytes]:
        """The body of the head that was taken, as far as it is here; None: there is none, or it does not parse."""
        inbound = self._inbound
        if inbound.head_alone or inbound.state is FramingState.THROUGH:
            return None, b""
        body, first = RequestBody(inbound.length), b""
        if inbound.state in IN_BODY and inbound.held:
            first = inbound.take()
            try:
                body.take_first(first, last=inbound.state is FramingState.WHOLE)
            except BadBody:
                return None, first
        return body, first

    @property
    def _holds_body(self) -> bool:
        """Whether the app of the fast path takes nothing more of the body for now."""
        return self._fast is not None and self._fast.sends_body and not self._fast.takes_body

    def _pass_body(self, inner: _Requests, part: bytes) -> None:
        """Give a part of a body to the fast path, or to aiohttp."""
        last = self._inbound.state is FramingState.WHOLE
        if self._fast is not None and self._fast.sends_body:
            self._fast.send_body(part, last=last)
            return
        self._resume()
        if self._rest is None:
            if part:
                inner.data_received(part)
            return
        try:
            parts = self._rest.take(part, last=last)
        except BadBody:
            self.cut()
        else:
            inner.data_received(b"".join(parts))

    def _takes_fast_path(self, inner: _Requests, head: bytes, body: RequestBody | None) -> bool:
        """Whether the fast path takes this request; then aiohttp sees nothing of it."""
        if self._fast is None or not inner.at_rest or not self._fast.take(head, body):
            return False
        inner.keep_alive(True)
        if self._fast.sends_body:
            self._watch_body(lambda: self._inbound.state in IN_BODY)
        return True

    def _answered_fast(self, ends: bool) -> None:
        """The fast path has sent an answer."""
        self._busy = False
        self._watch_no_body()
        transport = self._transport
        if ends and transport is not None:
            if self._inbound.state in IN_BODY:  # a reset would take the answer from a client that still sends
                if transport.can_write_eof():
                    transport.write_eof()
                self._resume()
                self._lingers = self._loop.call_later(_LINGER, transport.abort)
            else:
                transport.close()
        self._after_answer()

    def _hand_over(self, head: bytes, body: RequestBody | None, failed: Failed | None) -> None:
        """The application answers a request that the fast path took; a part of `body` may have gone to the app."""
        if self._inner is not None:
            self._watch_no_body()
            self._inner.failed = failed
            self._rest = body if body is not None and body.sent and not body.complete else None
            self._inner.data_received(head)
            self._pass_on()

    def _resume(self) -> None:
        if self._held_back and self._transport is not None and not self._transport.is_closing():
            self._held_back = False
            self._transport.resume_reading()

    def _switch(self) -> Switched | None:
        inner, inbound, transport = self._inner, self._inbound, self._transport
        if inner is None or transport is None or transport.is_closing() or inbound.state is not FramingState.WHOLE:
            return None
        self._connections.known.pop(inner, None)
        self._connections.switched.add(self)
        self._inner = self._fast = None
        inner.transport = None  # else aiohttp closes it
        inner.connection_lost(None)
        inbound.open()
        sent_ahead = inbound.take()
        self._resume()
        return self, transport, sent_ahead

    def _begin_head(self) -> None:
        self._head_since, self._received = self._loop.time(), self._inbound.held
        if self._head_look is None:  # one timer for many requests: one for each would cost more than they do
            self._head_look = self._loop.call_later(self._limits.head, self._look_at_head)

    def _after_answer(self) -> None:
        """An answer has been written, as far as it can be: the held bytes are next."""
        transport = self._transport
        if transport is None or self._inner is None:
            return
        if self._stall_look is None and transport.get_write_buffer_size():
            self._watch_writing()
        if not self._busy and not transport.get_write_buffer_size():
            self._connections.rests(self)
        if self._inbound.held:
            self._pass_on()

    # ---- the request under way

    @property
    def receives_head(self) -> bool:
        """Whether a part of a head has arrived."""
        return self._head_since is not None

    def begun(self, request: web.BaseRequest) -> None:
        """A whole head has arrived."""
        self._busy = True
        if self._inner is not None:
            self._inner.at_rest = False
        if not request.content.is_eof():
            self._watch_body(lambda: not request.content.is_eof())

    def ended(self) -> None:
        """The handler is done; aiohttp writes its answer, and reads the rest of the body for ten seconds."""
        self._busy = False
        if self._inner is not None:
            self._inner.failed, self._inner.uploads = None, False
        self._watch_no_body()
        self._loop.call_soon(self._after_answer)

    # ---- the end of the process

    def end(self, rest: float) -> bool:
        """Take one more request at most; True if there was none for `rest` seconds: then `shutdown` closes at once."""
        if self._inner is None or self._closing:
            return False
        self._inner.ending = True
        if self._fast is not None:
            self._fast.ending = True
        in_body = self._inbound.state in IN_BODY
        since = self._connections.idle.get(self)
        resting = since is not None and monotonic() - since < rest
        self._closing = not (self._busy or in_body or resting or self._head_since is not None)
        if self._closing:
            self._inner.close()  # aiohttp ignores bytes that arrive from now on
        return self._closing

    def cut(self) -> None:
        """End the connection whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def close_idle(self) -> None:
        """Close a connection without a request, in favour of another one."""
        self._connections.idle.pop(self, None)
        if self._inner is not None and self._transport is not None:
            self._connections.known.pop(self._inner, None)
            self._transport.close()

    # ---- deadlines

    def _look_at_head(self) -> None:
        self._head_look = None
        if self._head_since is None:
            return
        left = self._head_since + self._limits.head - self._loop.time()
        if left > 0:
            self._head_look = self._loop.call_later(left, self._look_at_head)
        else:
            self._refuse_head(TOO_SLOW, "slow_head_cut")

    def _refuse_head(self, answer: bytes, event: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            _log.info(event, client=self._client)
            self._transport.write(answer)
            self._transport.close()

    def _watch_body(self, arrives: Callable[[], bool]) -> None:
        """Limit the time of a body, as long as it `arrives`."""
        self._watch_no_body()
        self._body_since = self._loop.time()  # bytes that arrived with the head count
        self._body_look = self._loop.call_later(self._limits.body_grace, self._look_at_body, arrives)

    def _watch_no_body(self) -> None:
        if self._body_look is not None:
            self._body_look.cancel()
            self._body_look = None

    def _look_at_body(self, arrives: Callable[[], bool]) -> None:
        self._body_look = None
        transport = self._transport
        if not arrives() or transport is None or transport.is_closing():
            return
        now, limits = self._loop.time(), self._limits
        answering = (self._inner is not None and self._inner.two_way) or (
            self._fast is not None and self._fast.sends_body and self._fast.answers
        )
        if answering or not transport.is_reading():  # the app talks, or is slow: the client's time begins anew
            self._body_since, self._received = now, 0
        left = self._body_since + limits.body_grace + self._received / limits.body_rate - now
        if left > 0:
            self._body_look = self._loop.call_later(max(left, _LEAST_WAIT), self._look_at_body, arrives)
        else:
            _log.info("slow_body_cut", client=self._client, received=self._received)
            transport.abort()

    def _watch_writing(self) -> None:
        """Cut a client that takes less than `least_taken` bytes in `stall` seconds while more waits for it."""
        transport = self._transport
        if transport is None:
            return
        if self._stall_look is not None:
            self._stall_look.cancel()
        waiting = transport.get_write_buffer_size()

        def look() -> None:
            self._stall_look = None
            still = transport.get_write_buffer_size()
            if still and waiting - still >= self._limits.least_taken:
                self._watch_writing()
            elif still:
                _log.info("stalled_client_cut", client=self._client, waiting=still)
                transport.abort()

        self._stall_look = self._loop.call_later(self._limits.stall, look)
