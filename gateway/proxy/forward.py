"""Sends one request to an app and its answer back.

Both directions stream at once; bodies are never collected, changed or decompressed, and each side waits for the other.
A failure before the answer's head was sent is a `Problem`. After it the connection is cut, so that no client takes a
part for the whole. A request is sent twice only where a kept connection was dead, and the request has a method that
may be repeated and a body of which little was read.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from gateway.domain.problem import Problem
from gateway.domain.tasks import end
from gateway.domain.tenant import Route
from gateway.proxy.downstream import Downstream, DownstreamResponse
from gateway.proxy.headers import HeaderFields, UpstreamRequest, field_lines, is_event_stream
from gateway.proxy.session_stream import OpenStreams, SessionStream
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
from gateway.web.request_check import Checked, listed

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Idempotent methods (RFC 9110 9.2.2)."""
_SENT_AGAIN = 16_384
"""Bytes of a body that may be sent again."""
_LARGE = 16 * 2**20
"""Bytes of a body that an app has taken, after which a signed-in user's is read in larger parts."""
_CONTINUE = 1.0
"""Seconds until an app gets a body for which it has not asked (`Expect: 100-continue`); curl waits as long."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer was sent; `why` is for the log."""

    problem: Problem
    why: str

    @classmethod
    def of(cls, error: AppError) -> "Failed":
        """The failure of an exchange that ended in `error`."""
        return cls(Problem.APP_TOO_SLOW if isinstance(error, TooSlow) else Problem.APP_UNAVAILABLE, str(error))


class TooLarge(AppError):
    """The body is larger than the route takes."""


Rewrite = Callable[[int, Iterable[tuple[str, str]]], HeaderFields]
"""Makes the fields for the browser of the status and the fields of the app's answer."""


class Forwarder:
    """Sends requests to apps."""

    def __init__(self, pool: UpstreamPool, streams: OpenStreams) -> None:
        self._pool = pool
        self._streams = streams

    async def forward(
        self,
        client: Downstream,
        checked: Checked,
        head: UpstreamRequest,
        route: Route,
        *,
        stream: SessionStream | None,
        rewrite: Rewrite,
    ) -> DownstreamResponse | Failed:
        """One exchange. `stream` cuts it off at the end of its session; None: it has none."""
        if route.max_body is not None and (checked.length or 0) > route.max_body:
            return Failed(Problem.REQUEST_TOO_LARGE, "declared body")
        app = self._pool.at(UpstreamOrigin.of(route))
        exchange = _Exchange(client, checked, head, route, rewrite, streams=self._streams, stream=stream)
        client.watch(exchange.client_lost)
        try:
            with stream.cut_at_end(exchange.cut) if stream else nullcontext():
                if (wire := app.take_idle()) is not None:
                    outcome = await exchange.run(wire)
                    app.give_back(wire)
                    if outcome is not None:
                        return outcome
                wire = await app.connect(route.timeouts.connect)
                try:
                    outcome = await exchange.run(wire)
                finally:
                    app.give_back(wire)
                return outcome or Failed(Problem.APP_UNAVAILABLE, "connection lost")
        except AppError as error:
            return Failed.of(error)
        finally:
            client.unwatch()


def framing(checked: Checked) -> HeaderFields:
    """The framing of the body for the app: as declared, made anew."""
    if checked.chunked:
        return (("Transfer-Encoding", "chunked"),)
    if checked.length is not None:
        return (("Content-Length", str(checked.length)),)
    return (("Content-Length", "0"),) if checked.method in _WITH_BODY else ()


def head_bytes(head: UpstreamRequest, fields: HeaderFields) -> bytes:
    """A request head on the wire."""
    first = f"{head.method} {head.target} HTTP/1.1\r\n".encode("latin-1")
    return first + field_lines((*head.fields, *fields)) + b"\r\n"


class _Exchange:
    """One request and its answer, on one connection or, after a dead kept one, a second."""

    def __init__(
        self,
        client: Downstream,
        checked: Checked,
        head: UpstreamRequest,
        route: Route,
        rewrite: Rewrite,
        *,
        streams: OpenStreams,
        stream: SessionStream | None,
    ) -> None:
        self._streams = streams
        self._stream = stream
        self._client = client
        self._checked = checked
        self._head = head
        self._route = route
        self._rewrite = rewrite
        self._wire: UpstreamConnection | None = None
        self._has_body = checked.chunked or bool(checked.length)
        self._repeatable = head.method in REPEATABLE
        self._taken: list[bytes] = []
        """The parts of the body that were read, as long as the request may be sent again."""

    def client_lost(self) -> None:
        """Abort the exchange, because the browser is gone."""
        if self._wire is not None:
            self._wire.abort(ClientGone("client gone"))

    def cut(self) -> None:
        """Pass nothing more in either direction, because the session has ended."""
        self.client_lost()
        self._client.give_up()

    async def run(self, wire: UpstreamConnection) -> DownstreamResponse | Failed | None:
        """Run the exchange on `wire`; None: it was lost without an answer, and the request may be sent again."""
        self._wire = wire
        try:
            if self._client.gone:
                raise ClientGone("client gone")
            wire.begin(self._head.method)
            pump = None
            try:
                expect = self._has_body and self._client.waits_to_be_asked
                fields = (*framing(self._checked), *((("Expect", "100-continue"),) if expect else ()))
                await wire.write(head_bytes(self._head, fields))
                if self._has_body and (not expect or await wire.asks_for_body(_CONTINUE)):
                    self._client.go_on()
                    pump = asyncio.create_task(self._pump(wire))
                answer = await self._await_answer(wire, pump)
                if not is_event_stream(answer.all("content-type")):
                    return await self._relay(wire, answer, pump, self._route.timeouts.between_bytes)
                denied = self._stream.cut_when_denied(self.cut) if self._stream else nullcontext()
                with self._streams.under_way(self.cut), denied:
                    # No time limit between events; `Downstream.watch` notices a browser that left.
                    return await self._relay(wire, answer, pump, None)
            finally:
                if pump is not None:
                    with suppress(AppError):
                        await end(pump)
        except ClientGone:
            wire.abort()
            return self._client.give_up()
        except TooLarge:
            wire.abort()
            return Failed(Problem.REQUEST_TOO_LARGE, "streamed body")
        except NoConnection:
            wire.abort()
            if not wire.heard and self._repeatable:
                return None
            raise
        except BaseException:
            wire.abort()
            raise

    async def _pump(self, wire: UpstreamConnection) -> None:
        """Send the request's body to the app, with our framing."""
        sent = 0
        again = iter(tuple(self._taken))
        while data := next(again, b"") or await self._read_body():
            sent += len(data)
            if self._route.max_body is not None and sent > self._route.max_body:
                raise TooLarge("body")
            part = b"%x\r\n%b\r\n" % (len(data), data) if self._checked.chunked else data
            await wire.write(part, within=self._route.timeouts.first_byte)
            if self._stream is not None and sent >= _LARGE:
                self._client.uploads()
            await asyncio.sleep(0)  # an answer that is here already is read before the next write can fail
        if self._checked.chunked:
            await wire.write(b"0\r\n\r\n", within=self._route.timeouts.first_byte)
        elif sent != self._checked.length:
            raise ClientGone("body cut off")

    async def _read_body(self) -> bytes:
        data = await self._client.read()
        if self._repeatable:
            self._taken.append(data)
            if sum(map(len, self._taken)) > _SENT_AGAIN:
                self._repeatable = False
                self._taken.clear()
        return data

    async def _await_answer(self, wire: UpstreamConnection, pump: "asyncio.Task[None] | None") -> UpstreamResponse:
        """Wait for the head of the answer. The time allowed begins when the body has been sent."""
        if pump is not None:
            early = asyncio.create_task(wire.answer())
            try:
                await asyncio.wait({pump, early}, return_when=asyncio.FIRST_COMPLETED)
                if early.done():
                    return early.result()
                _raise_unless_app_lost(pump)
            finally:
                with suppress(AppError):
                    await end(early)
        return await wire.answer(self._route.timeouts.first_byte)

    async def _relay(
        self,
        wire: UpstreamConnection,
        answer: UpstreamResponse,
        pump: "asyncio.Task[None] | None",
        between: float | None,
    ) -> DownstreamResponse:
        client = self._client
        client.takes_from(wire)
        unsent = self._has_body and pump is None
        refused = pump is not None and not pump.done() and "close" in listed(answer.all("connection"))
        if pump is not None:
            pump.add_done_callback(lambda ended: _tell_app(wire, ended))
        fields = self._rewrite(answer.status, answer.fields)
        await client.head(
            answer.status,
            answer.reason,
            fields,
            length=answer.length,
            empty=answer.empty,
            # aiohttp's parser holds back what follows an upgrade, and of a body that no app takes nothing may follow
            last=unsent or refused or self._checked.header("upgrade") is not None,
            two_way=self._stream is not None and pump is not None and not pump.done(),
        )
        if not await pass_body(wire, client, between):
            return client.give_up()
        response = await client.finish()
        if unsent:
            wire.abort()
        elif pump is not None:  # the app answered before the end of the request, and may read on
            try:
                await pump
            except AppError as error:  # the browser has its answer already
                wire.abort()
                if not isinstance(error, NoConnection):  # an app that is gone may have left the rest on purpose
                    response.force_close()
        return response


async def pass_body(wire: UpstreamConnection, client: Downstream, between: float | None) -> bool:
    """Pass on the body of an answer, with `between` seconds for each part. False when the app did not end it."""
    try:
        while True:
            async with asyncio.timeout(between):
                data = await wire.read()
            if not data:
                return True
            sending = client.body(data)
            del data  # `body` may have made another of it
            await sending
    except (BadResponse, NoConnection, TimeoutError):
        wire.abort()
        return False


def _raise_unless_app_lost(pump: "asyncio.Task[None]") -> None:
    """An app may answer a body that it did not take; every other failure of the body ends the exchange."""
    error = pump.exception()
    if error is not None and not isinstance(error, NoConnection):
        raise error


def _tell_app(wire: UpstreamConnection, pump: "asyncio.Task[None]") -> None:
    """Cut off an app that waits for the rest of a body that will not arrive."""
    if not pump.cancelled() and pump.exception() is not None and not isinstance(pump.exception(), NoConnection):
        wire.abort(ClientGone("body cut off"))
