"""What happens on every replica when a session ends or changes?

One notice. Each replica drops its copy; when the session ended, it closes the live streams (WebSockets) registered
under the session's id. This replica does so at once, without waiting to hear itself.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable

import structlog

from gateway.domain import errors
from gateway.sessions.cache import SessionCache
from gateway.sessions.session_key import SessionKey
from gateway.store.replica_events import EventFields, ReplicaEvents

REMEMBERED = 10_000
"""How many ended ids a replica remembers, for a stream that is registered just after the end."""
_ENDED, _CHANGED = "session-ended", "session-changed"
_log = structlog.get_logger(__name__)


class Revocation:
    """One replica's live streams, and its part in telling."""

    def __init__(self, replica_events: ReplicaEvents, copies: SessionCache) -> None:
        self._replica_events = replica_events
        self._copies = copies
        self._streams: dict[str, dict[int, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._ended: OrderedDict[str, None] = OrderedDict()
        replica_events.on(_ENDED, self._heard_ended)
        replica_events.on(_CHANGED, self._heard_changed)

    def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
        """Call `close` once when the session ends; at once if it just did. Returns how to forget the stream."""
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

    @property
    def live(self) -> tuple[str, ...]:
        """Ids of the sessions that have a live stream here."""
        return tuple(self._streams)

    async def ended(self, place: SessionKey, session_id: str) -> None:
        """Tell every replica that the session is over (its record is gone already)."""
        self.end_here(place, session_id)
        await self._tell(_ENDED, place, session_id)

    async def changed(self, place: SessionKey, session_id: str) -> None:
        """Tell every replica that the session's record was written anew."""
        self._copies.drop(place)
        await self._tell(_CHANGED, place, session_id)

    def end_here(self, place: SessionKey, session_id: str) -> None:
        """Drop the copy and close the streams of a session that is over, on this replica alone."""
        self._copies.drop(place)
        self.close_streams(session_id)

    def close_streams(self, session_id: str) -> None:
        """Close what is live here under `session_id`."""
        self._ended[session_id] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        for close in self._streams.pop(session_id, {}).values():
            try:
                close()
            except Exception as error:  # one stream's fault must not keep the others open
                _log.error("stream_not_closed", why=type(error).__name__)

    async def _tell(self, kind: str, place: SessionKey, session_id: str) -> None:
        try:
            await self._replica_events.tell(
                kind, tenant=place.tenant, tag=place.tag, digest=place.digest, id=session_id
            )
        except errors.Unreachable:
            # The record is written or gone, which is what counts; a replica that cannot hear uses no copies.
            _log.warning("session_event_not_sent", notice=kind)

    def _heard_ended(self, fields: EventFields) -> None:
        if place := _place(fields):
            self.end_here(place, fields.get("id", ""))

    def _heard_changed(self, fields: EventFields) -> None:
        if place := _place(fields):
            self._copies.drop(place)


def _place(fields: EventFields) -> SessionKey | None:
    try:
        return SessionKey(fields["tenant"], fields["tag"], fields["digest"])
    except KeyError:
        return None
