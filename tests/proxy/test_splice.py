"""Tests of the splice of two connections that need no gateway around it."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

import pytest

from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Route
from gateway.proxy.session_stream import OpenStreams, SessionStream
from gateway.proxy.splice import READ, Splice
from gateway.proxy.websocket_frames import close_frame
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


def splice(
    browser: asyncio.Transport, app: asyncio.Transport, held: ExitStack, sessions: KnownSessions | None = None
) -> Splice:
    """Returns the splice of two connections."""
    known = cast(Sessions, sessions or KnownSessions())
    return Splice(
        Connection(),
        browser,
        app,
        stream=SessionStream(known, session(), FakeClock(), BackgroundTasks(), Route("", "")),
        streams=OpenStreams(),
        buffer=memoryview(bytearray(READ)),
        patience=5,
        random=SeededRandom(),
        held=held,
    )


async def test_last_words_of_an_app_that_takes_no_more_reach_the_browser() -> None:
    (browser, of_browser), (app, of_app) = await connected(), await connected()
    app.sendall(b"last words")
    app.close()
    splice(of_browser, of_app, ExitStack()).begin(b"a write that fails", b"")
    reader, writer = await asyncio.open_unix_connection(sock=browser)
    assert await asyncio.wait_for(reader.read(), 5) == b"last words"
    writer.close()


@pytest.mark.attack("A11")
async def test_a_session_that_ended_just_before_the_splice_began_is_not_registered() -> None:
    (browser, of_browser), (app, of_app) = await connected(), await connected()

    class Ended(KnownSessions):
        def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
            close()
            return lambda: left.append(session_id)

    left: list[str] = []
    splice(of_browser, of_app, ExitStack(), Ended()).begin(b"", close_frame(b"\x03\xe8"))
    assert left == ["s1"]
    reader, writer = await asyncio.open_unix_connection(sock=browser)
    assert await asyncio.wait_for(reader.read(), 5) == close_frame(b"\x03\xe8")
    writer.close()
    app.close()
