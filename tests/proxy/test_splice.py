"""Tests of the splice of two connections that need no gateway around it."""

import asyncio
import socket
from contextlib import ExitStack
from typing import cast

import pytest

from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Route
from gateway.proxy.session_stream import OpenStreams, SessionStream
from gateway.proxy.splice import READ, Splice
from gateway.sessions.sessions import Sessions
from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.proxy_server import KnownSessions, session

pytestmark = [pytest.mark.both_loops, pytest.mark.row("GW-02")]


class Connection:
    """A client's connection whose limits are somewhere else."""

    def pause_writing(self) -> None:
        """Has the interface of `ClientConnection`."""

    def resume_writing(self) -> None:
        """Has the interface of `ClientConnection`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Has the interface of `ClientConnection`."""


async def connected() -> tuple[socket.socket, asyncio.Transport]:
    """Returns a socket, and the transport of its other end."""
    one, other = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_unix_connection(asyncio.Protocol, sock=other)
    return one, transport


async def test_last_words_of_an_app_that_takes_no_more_reach_the_browser() -> None:
    (browser, of_browser), (app, of_app) = await connected(), await connected()
    app.sendall(b"last words")
    app.close()
    splice = Splice(
        Connection(),
        of_browser,
        of_app,
        stream=SessionStream(cast(Sessions, KnownSessions()), session(), FakeClock(), BackgroundTasks(), Route("", "")),
        streams=OpenStreams(),
        buffer=memoryview(bytearray(READ)),
        patience=5,
        random=SeededRandom(),
        held=ExitStack(),
    )
    splice.begin(b"a write that fails", b"")
    reader, writer = await asyncio.open_unix_connection(sock=browser)
    assert await asyncio.wait_for(reader.read(), 5) == b"last words"
    writer.close()
