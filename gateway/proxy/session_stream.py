"""Ends streams with their session and with the process; bytes that pass count as use of the session."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

import structlog

from gateway.domain.errors import GatewayError
from gateway.domain.ports import Clock
from gateway.domain.session import Session
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import EVERYONE, Route
from gateway.sessions.sessions import Sessions

ACTIVITY = 60.0
"""Seconds between two reports that a stream is alive."""
_log = structlog.get_logger(__name__)


class OpenStreams:
    """The event streams and WebSockets under way, which have no end of their own."""

    def __init__(self) -> None:
        self._cuts: set[Callable[[], None]] = set()
        self._ended = False

    def end(self) -> None:
        """Cuts all, and each one that begins later, because this process ends. Browsers open them on another."""
        self._ended = True
        for cut in tuple(self._cuts):
            cut()

    def add(self, cut: Callable[[], None]) -> None:
        """One of them begins; `cut` ends it."""
        self._cuts.add(cut)
        if self._ended:
            cut()

    def discard(self, cut: Callable[[], None]) -> None:
        """The stream has ended."""
        self._cuts.discard(cut)

    @contextmanager
    def under_way(self, cut: Callable[[], None]) -> Iterator[None]:
        """One of them, which `cut` ends, while the context is open."""
        self.add(cut)
        try:
            yield
        finally:
            self.discard(cut)


def watch_admission(sessions: Sessions, session: Session, route: Route, cut: Callable[[], None]) -> Callable[[], None]:
    """Call `cut` when the user may no longer use the app of `route`; returns a function to stop that."""
    if route.allow is EVERYONE:
        return lambda: None
    return sessions.watch(session.id, lambda now: now.may_use(route), cut)


class SessionStream:
    """One request or WebSocket of a session."""

    def __init__(
        self, sessions: Sessions, session: Session, clock: Clock, tasks: BackgroundTasks, route: Route
    ) -> None:
        self.session = session
        self._route = route
        self._sessions = sessions
        self._tasks = tasks
        self._context = copy_context()  # a report has the request's id in the log, whichever side's bytes pass
        self.now = clock.now
        self.reports_at = clock.now() + ACTIVITY
        """From when on bytes that pass are to be reported by `seen`."""

    @contextmanager
    def cut_at_end(self, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` when the session ends, at its absolute end or before; not after the context."""
        left = max(0.0, self.session.ends_at - self.now())
        timer = asyncio.get_running_loop().call_later(left, cut)
        unregister = self._sessions.register(self.session.id, cut)
        try:
            yield
        finally:
            timer.cancel()
            unregister()

    @contextmanager
    def cut_when_denied(self, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` when the user loses the role or group by which the app admits them; not after the context."""
        unwatch = watch_admission(self._sessions, self.session, self._route, cut)
        try:
            yield
        finally:
            unwatch()

    def seen(self) -> None:
        """Bytes have passed at or after `reports_at`: report the use of the session, once in `ACTIVITY` seconds."""
        self.reports_at = self.now() + ACTIVITY
        self._context.run(self._tasks.start, self._report(), "use of a session")

    async def _report(self) -> None:
        try:
            await self._sessions.used(self.session)
        except GatewayError as error:  # the next report follows in a minute
            _log.warning("session_use_not_recorded", why=error.what)
