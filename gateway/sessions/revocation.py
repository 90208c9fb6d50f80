"""Informs every replica when a session ends or changes.

On the event, each replica drops its copy of the session. If the session ended, it also closes the live streams
(WebSockets) registered under the session's id. The sending replica does this at once, without waiting for the event.
An event that the store did not take is sent again: the other replicas may hear everything else and trust their copies.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

import structlog

from gateway.domain import errors
from gateway.domain.tasks import BackgroundTasks
from gateway.sessions.cache import SessionCache
from gateway.sessions.session_key import SessionKey
from gateway.store.replica_events import EventFields, ReplicaEvents

REMEMBERED = 10_000
"""Number of ended ids that a replica remembers, for a stream that is registered just after the end."""
PAUSES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Seconds before each further attempt to send an event."""
_ENDED, _CHANGED = "session-ended", "session-changed"
_log = structlog.get_logger(__name__)


class Revocation:
    """Sends and handles the session events of one replica, and closes its live streams."""

    def __init__(self, replica_events: ReplicaEvents, copies: SessionCache, tasks: BackgroundTasks) -> None:
        self._replica_events = replica_events
        self._tasks = tasks
        self._copies = copies
        self._streams: dict[str, dict[int, Callable[[], None]]] = {}
        self._listeners: dict[int, tuple[Callable[[str], None], Callable[[], Iterable[str]]]] = {}
        self._numbers = itertools.count()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._changed_handlers: list[Callable[[str], None]] = []
        replica_events.on(_ENDED, self._heard_ended)
        replica_events.on(_CHANGED, self._heard_changed)

    def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
        """Call `close` once when the session ends; at once if it just ended. Returns a function to unregister."""
        if session_id in self._ended:
            close()
            return lambda: None
        number = next(self._numbers)
        self._streams.setdefault(session_id, {})[number] = close

        def forget() -> None:
            streams = self._streams.get(session_id, {})
            streams.pop(number, None)
            if not streams:
                self._streams.pop(session_id, None)

        return forget

    def on_end(self, ended: Callable[[str], None], live: Callable[[], Iterable[str]]) -> Callable[[], None]:
        """Call `ended` with the id of each session whose streams close here; returns a function to unregister.

        One id may be reported more than once. `live` returns the ids of the sessions that the listener serves now:
        the gateway looks at them again after it may have missed an event.
        """
        number = next(self._numbers)
        self._listeners[number] = ended, live

        def forget() -> None:
            self._listeners.pop(number, None)

        return forget

    def on_change(self, handler: Callable[[str], None]) -> None:
        """Call `handler` with the id of each session whose record was changed, here or on another replica."""
        self._changed_handlers.append(handler)

    @property
    def live(self) -> tuple[str, ...]:
        """Ids of the sessions with a live stream on this replica."""
        return tuple({*self._streams, *(one for _, live in self._listeners.values() for one in live())})

    def has_ended(self, session_id: str) -> bool:
        """Whether the streams of the session were closed here a short time ago: a record read before is out of date."""
        return session_id in self._ended

    async def ended(self, place: SessionKey, session_id: str) -> None:
        """Inform every replica that the session has ended; its record must be removed first."""
        self.end_here(place, session_id)
        await self._tell(_ENDED, place, session_id)

    async def changed(self, place: SessionKey, session_id: str) -> None:
        """Inform every replica that the session's record was changed."""
        self._changed_here(place, session_id)
        await self._tell(_CHANGED, place, session_id)

    def end_here(self, place: SessionKey, session_id: str) -> None:
        """Drop the copy and close the streams of an ended session, on this replica only."""
        self._copies.drop(place)
        self.close_streams(session_id)

    def close_streams(self, session_id: str) -> None:
        """Close the streams of `session_id` on this replica."""
        self._ended[session_id] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        closing: list[Callable[[], None]] = list(self._streams.pop(session_id, {}).values())
        closing += [partial(ended, session_id) for ended, _ in self._listeners.values()]
        for close in closing:
            try:
                close()
            except Exception as error:  # an error of one stream must not keep the others open
                _log.error("stream_not_closed", why=type(error).__name__)

    async def _tell(self, kind: str, place: SessionKey, session_id: str) -> None:
        fields = {"tenant": place.tenant, "tag": place.tag, "digest": place.digest, "id": session_id}
        try:
            await self._replica_events.tell(kind, **fields)
        except errors.Unreachable:  # the record is already changed or removed
            _log.warning("session_event_not_sent", notice=kind)
            self._tasks.start(self._tell_again(kind, fields), "session event")

    async def _tell_again(self, kind: str, fields: EventFields) -> None:
        for pause in PAUSES:
            await asyncio.sleep(pause)
            with suppress(errors.Unreachable):
                return await self._replica_events.tell(kind, **fields)

    def _heard_ended(self, fields: EventFields) -> None:
        if place := _place(fields):
            self.end_here(place, fields.get("id", ""))

    def _heard_changed(self, fields: EventFields) -> None:
        if place := _place(fields):
            self._changed_here(place, fields.get("id", ""))

    def _changed_here(self, place: SessionKey, session_id: str) -> None:
        self._copies.drop(place)
        for handler in self._changed_handlers:
            handler(session_id)


def _place(fields: EventFields) -> SessionKey | None:
    try:
        return SessionKey(fields["tenant"], fields["tag"], fields["digest"])
    except KeyError:
        return None
