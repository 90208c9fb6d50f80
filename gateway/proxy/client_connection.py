"""One connection of a client: enforces the limits of its states, and passes its requests on, one at a time.

A request that the fast path takes never reaches aiohttp's protocol, which gets the bytes of all others, request by
request (`request_framing`) and unchanged. Requests that do not parse are answered here too, and the answer repeats none
of their bytes.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import cast

import structlog
from aiohttp import web

from gateway.observe.seldom import Seldom
from gateway.proxy.connection_limits import READ, ConnectionLimits
from gateway.proxy.connections_per_address import ConnectionCounts
from gateway.proxy.fast_path import FastConnection, FastPath
from gateway.proxy.forward import Failed
from gateway.proxy.raw_responses import TOO_LARGE, TOO_MANY, TOO_SLOW
from gateway.proxy.request_body import BadBody, RequestBody
from gateway.proxy.request_framing import IN_BODY, FramingState, RequestFraming
from gateway.proxy.request_protocol import Requests, Switched

_UNSENT = 64 * 1024
_LEAST_WAIT = 0.05
"""Seconds between two looks at one body, at least."""
_LINGER = 10.0
"""Seconds for a client to stop sending a body that its app refused; aiohttp waits as long."""

_log = structlog.get_logger(__name__)


def _limit_unsent(transport: asyncio.Transport) -> None:
    """Let the system hold `_UNSENT` bytes that it has not sent yet.

    Without this limit it takes megabytes for a client that reads nothing before the app has to wait.
    """
    if sys.platform == "linux" and (connection := transport.get_extra_info("socket")) is not None:
        with suppress(OSError):  # a Unix socket has no such limit
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


class Connections:
    """The connections of one server, at most `most`. A new one takes the place of the one that was idle longest.

    `idle` are those without a request under way, in the order in which their last one ended, or they were made, each
    with that time. After `idle_seconds` they are closed.
    """

    def __init__(self, most: int, idle_seconds: float) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._told = Seldom(period=60)
        self.known: dict[web.RequestHandler, Connection] = {}
        self.switched: set[Connection] = set()
        self.idle: dict[Connection, float] = {}

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

    def rests(self, connection: "Connection") -> None:
        """This connection has no request under way from now on."""
        if connection in self.idle:
            del self.idle[connection]
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


class Connection(asyncio.BufferedProtocol):
    """aiohttp's protocol with limits around it.

    One request is under way at a time: aiohttp gets the next head when the answer before it has been written. Bytes
    that arrive meanwhile wait here, and reading pauses when there are `ahead` of them. aiohttp pauses and resumes
    reading for bodies on the same transport; it may undo a pause of ours, which costs one more read.
    """

    def __init__(  # noqa: PLR0917 - the parts of one `Runner`
        self,
        protocol: Callable[[], Requests],
        limits: ConnectionLimits,
        addresses: ConnectionCounts,
        connections: Connections,
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
        self._inner: Requests | None = None
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
        data = bytes(self._buffer_of_upload[:nbytes])
        self._received += nbytes
        inner = self._inner
        if inner is None or self._passes_alone(inner, data):
            return
        if self._inbound.state is FramingState.THROUGH:
            inner.data_received(data)
        elif self._lingers is not None:
            return
        elif not self._holds_body and (part := self._inbound.pass_body(data)) is not None:
            self._pass_body(inner, part)
            self._pass_on()
        else:
            self._inbound.add(data)
            self._pass_on()

    def _passes_alone(self, inner: Requests, data: bytes) -> bool:
        """Whether these bytes are one request that the fast path takes as it is, as most are."""
        if self._busy or self._writing_paused or self._closing or self._lingers is not None:
            return False
        if not self._inbound.may_be_alone(data) or not self._takes_fast_path(inner, data, None):
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

    def _pass_body(self, inner: Requests, part: bytes) -> None:
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

    def _takes_fast_path(self, inner: Requests, head: bytes, body: RequestBody | None) -> bool:
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
        if self._body_look is not None:
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
