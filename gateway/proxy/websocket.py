"""Passes WebSockets on to apps.

The app gets the handshake first. Only after it has answered 101 with the right `Sec-WebSocket-Accept` does the browser
get its 101. From then on bytes are spliced in both directions (`splice`), so that frames, subprotocols, compression and
close codes stay as they are. Any other answer is an ordinary one, except 2xx to a handshake, which is an error. The
number of WebSockets of one session is limited.
"""

import hashlib
from base64 import b64encode
from collections import Counter
from contextlib import ExitStack

from aiohttp import web

from gateway.domain.ports import Random, SystemRandom
from gateway.domain.problem import Problem
from gateway.domain.tenant import Route
from gateway.proxy.downstream import Downstream, DownstreamResponse
from gateway.proxy.forward import Failed, Rewrite, head_bytes, pass_body
from gateway.proxy.headers import UpstreamRequest
from gateway.proxy.request_protocol import switch
from gateway.proxy.session_stream import OpenStreams, SessionStream
from gateway.proxy.splice import READ, Splice
from gateway.proxy.upstream_connection import (
    AppError,
    BadResponse,
    ClientGone,
    UpstreamConnection,
    UpstreamResponse,
)
from gateway.proxy.upstream_pool import UpstreamOrigin, UpstreamPool
from gateway.web.request_check import Checked, listed

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
PER_SESSION = 20
"""WebSockets of one session at a time, on this replica."""


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
        self._buffer = memoryview(bytearray(READ))

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
        """One WebSocket; returns when the handshake is over. `stream` ends the WebSocket with its session."""
        session_id = stream.session.id
        if self._open[session_id] >= self._per_session:
            return Failed(Problem.TOO_MANY_STREAMS, f"{self._per_session} WebSockets of one session")
        client, limits = Downstream(request), route.timeouts
        wire: UpstreamConnection | None = None

        def lost() -> None:
            if wire is not None:
                wire.abort(ClientGone("client gone"))

        def cut() -> None:
            lost()
            client.give_up()

        self._open[session_id] += 1
        # Before anything is waited for: no end of the session is missed.
        with ExitStack() as held, stream.cut_at_end(cut):
            held.callback(self._left, session_id)
            client.watch(lost)
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
                    self._begin(request, wire, stream, limits.first_byte, held)
                    wire = None
                    return await client.finish()
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
                client.unwatch()
                if wire is not None:
                    wire.close()

    def _begin(
        self, request: web.Request, wire: UpstreamConnection, stream: SessionStream, patience: float, held: ExitStack
    ) -> None:
        """Pass bytes in both directions from now on, until either side ends; then close what `held` has now."""
        switched = switch(request)
        if switched is None:
            raise ClientGone("client gone")
        connection, browser, from_browser = switched
        app, from_app = wire.switch()
        splice = Splice(
            connection,
            browser,
            app,
            stream=stream,
            streams=self._streams,
            buffer=self._buffer,
            patience=patience,
            random=self._random,
            held=held.pop_all(),
        )
        splice.begin(from_browser, from_app)

    def _left(self, session_id: str) -> None:
        self._open[session_id] -= 1
        if not self._open[session_id]:
            del self._open[session_id]


def _check_switch(answer: UpstreamResponse, checked: Checked) -> None:
    """RFC 6455 4.1: that the app answers this handshake; what it chose of the offers the browser judges itself."""
    key = checked.header("sec-websocket-key") or ""
    wanted = b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    if listed(answer.all("upgrade")) != {"websocket"} or answer.all("sec-websocket-accept") != (wanted,):
        raise BadResponse("a switch of protocols that answers another handshake")
