"""Sends commands to Redis over one connection that all calls share.

The commands of one turn of the event loop are sent in one write, and the server answers in order (pipelining). A call
whose caller was cancelled keeps its place in that order, so no call receives the answer of another one. If the
connection is lost, an answer is late, or the server sends an answer that nothing asked for, every waiting call fails
and the next one connects again. Nothing is retried here: a command that failed may have taken effect.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hiredis import PushNotification, Reader, pack_command
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.domain.tasks import end

_INCOMPLETE = object()
Answered = Callable[[Any], None]
"""Takes an answer of the server, or an error."""


class RedisPipeline:
    """Calls over one connection, which is opened for the first call and after each loss.

    :param connection: makes a connection of redis-py, not yet connected.
    :param timeout: time limit for each answer, in seconds.
    """

    def __init__(self, connection: Callable[[], AbstractConnection], timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._closed = False

    async def call(self, *command: str | bytes | int) -> Any:
        """The answer to a command; raises an error of redis-py."""
        link = self._link
        if link is None or not link.usable:
            link = await self._opened()
        return await link.call(command)

    def ask(self, answered: "Answered", *command: str | bytes | int) -> None:
        """Call `answered` with the answer to a command, or with the error; never within this call."""
        link = self._link
        if link is not None and link.usable:
            link.ask(command, answered)
            return
        opening = asyncio.ensure_future(self.call(*command))  # the connection that it waits for keeps it
        opening.add_done_callback(
            lambda done: answered(
                RedisConnectionError("closed") if done.cancelled() else done.exception() or done.result()
            )
        )

    def renew(self) -> None:
        """Let the next call connect again; the calls that wait now still receive their answers."""
        if self._link:
            self._link.retire()

    async def close(self) -> None:
        """Close the connection; every waiting call fails."""
        self._closed = True
        if self._opening:
            with suppress(RedisError, OSError):
                await end(self._opening)
        if self._link:
            self._link.fail(RedisConnectionError("closed"))
            await asyncio.wait([self._link.lost], timeout=self._timeout)

    async def _opened(self) -> "_Link":
        """Connects once for all calls that wait for it, and independently of their cancellation."""
        if self._closed:
            raise RedisConnectionError("closed")
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="connection to Redis")
            self._opening.add_done_callback(self._forget)
        return await asyncio.shield(self._opening)

    def _forget(self, opening: "asyncio.Task[_Link]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # retrieved, also when no call waits for it any more

    async def _open(self) -> "_Link":
        connection = self._connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # untyped in redis-py
            if await connection.can_read():
                raise RedisConnectionError("the connection is not ready for a command")
        except asyncio.CancelledError:
            await connection.disconnect(nowait=True)
            raise RedisConnectionError("closed") from None  # only `close` cancels; its callers were not cancelled
        except Exception:
            await connection.disconnect(nowait=True)
            raise
        self._link = _Link(connection, self._timeout)
        return self._link


class _Link(asyncio.Protocol):
    """Takes over the socket of a connection after redis-py has authenticated and selected the database."""

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        writer = connection._writer
        if writer is None:
            raise RedisConnectionError("closed")
        connection._writer = connection._reader = None
        self._writer = writer  # its transport would be closed with it
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._waiting: deque[tuple[Answered, float]] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.usable = True
        self.lost = self._loop.create_future()
        writer.transport.set_protocol(self)

    def call(self, command: tuple[str | bytes | int, ...]) -> "asyncio.Future[object]":
        """The answer to `command`, to be awaited."""
        answer: asyncio.Future[object] = self._loop.create_future()

        def answered(found: object) -> None:
            if answer.done():  # its caller was cancelled
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        self.ask(command, answered)
        return answer

    def ask(self, command: tuple[str | bytes | int, ...], answered: Answered) -> None:
        """Call `answered` with the answer to `command`, or with an error."""
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(pack_command(command))  # type: ignore[arg-type]  # a tuple of any length
        until = self._loop.time() + self._timeout
        self._waiting.append((answered, until))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._check_time)

    def retire(self) -> None:
        """Close the connection after the answers that are still due."""
        self.usable = False
        if not self._waiting:
            self._writer.transport.close()

    def fail(self, error: RedisError) -> None:
        """Close the connection, and let every waiting call fail with an error like `error`."""
        self.usable = False
        self._writer.transport.abort()
        self._unsent.clear()
        if self._timer:
            self._timer.cancel()
        while self._waiting:
            own = type(error)(*error.args)  # each caller adds its traceback
            own.__cause__ = error.__cause__
            self._tell(own)

    def data_received(self, data: bytes) -> None:
        """Give the answers to their calls, in order."""
        try:
            self._reader.feed(data)
            while (found := self._reader.gets()) is not _INCOMPLETE:
                if isinstance(found, PushNotification):
                    continue
                if not self._waiting:
                    raise InvalidResponse("the server sent more than it was asked for")
                self._tell(found)
        except InvalidResponse as error:
            self.fail(error)
        if not self.usable and not self._waiting:
            self._writer.transport.close()

    def _tell(self, found: object) -> None:
        """Give an answer to the first call that waits; an error of its own must not fail the others."""
        answered, _ = self._waiting.popleft()
        try:
            answered(found)
        except Exception as error:
            self._loop.call_exception_handler({"message": "an answer of Redis was not taken", "exception": error})

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by the server or by `fail` and `retire`."""
        error = RedisConnectionError("Connection closed by server.")
        error.__cause__ = exc
        self.fail(error)
        self.lost.set_result(None)

    def _send(self) -> None:
        if self._unsent:
            self._writer.transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def _check_time(self) -> None:
        """One timer for all calls: the first one in the order is the first that is late."""
        self._timer = None
        if not self._waiting:
            return
        until = self._waiting[0][1]
        if until <= self._loop.time():
            self.fail(RedisTimeoutError("Timeout reading from server"))
        else:
            self._timer = self._loop.call_at(until, self._check_time)
