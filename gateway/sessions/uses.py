"""Stores when sessions were used, in the background and in batches.

No request waits for it. A use that could not be stored is tried again until the session would have ended anyway, and
this replica counts it meanwhile. When the process ends, `BackgroundTasks` waits for the uses that are not stored yet.
If the process is killed, at most the last use is lost: the next request of an active user stores its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import structlog

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.sessions.cache import SessionRecord
from gateway.sessions.session_key import SessionKey
from gateway.store.records import Records

NOTED_EVERY = 60.0
"""Seconds between two writes of `used_at`, or a tenth of the idle limit if that is shorter."""
BATCH = 100
"""Uses that are stored at once."""
MOST = 100_000
"""Uses that one process keeps while the store does not take them, about 300 bytes each; the oldest are dropped."""
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0
"""Seconds until uses are stored again after a failure: at first, and at most."""
_log = structlog.get_logger(__name__)


def note_due_at(tenant: Tenant, kept: SessionRecord) -> float:
    """When a use of the session must be stored again."""
    return kept.session.used_at + min(NOTED_EVERY, tenant.session.idle / 10)


class SessionUses:
    """The uses that are not stored yet. `gone` is called with the place of a session that has ended meanwhile."""

    def __init__(
        self,
        *,
        records: Records[SessionRecord],
        clock: Clock,
        tasks: BackgroundTasks,
        gone: Callable[[SessionKey], None],
    ) -> None:
        self._records = records
        self._clock = clock
        self._tasks = tasks
        self._gone = gone
        self._unstored: dict[SessionKey, tuple[Tenant, float]] = {}
        self._storing: asyncio.Task[None] | None = None

    def unstored(self, place: SessionKey) -> float:
        """When the session was last used, if that is not stored yet; else 0."""
        noted = self._unstored.get(place) if self._unstored else None
        return noted[1] if noted else 0.0

    def note(self, tenant: Tenant, place: SessionKey, kept: SessionRecord) -> SessionRecord:
        """The record with a use now, which is stored in the background; the record itself if that is not due."""
        now = self._clock.now()
        if now < note_due_at(tenant, kept):
            return kept
        self._unstored.pop(place, None)
        self._unstored[place] = tenant, now
        while len(self._unstored) > MOST:
            self._unstored.pop(next(iter(self._unstored)))
        if self._storing is None or self._storing.done():
            self._storing = self._tasks.start(self._store_all(), "use of sessions")
        return used(kept, now)

    async def store(self, place: SessionKey) -> bool:
        """Store the use of one session now; whether there is none left to store."""
        noted = self._unstored.get(place)
        if noted is None:
            return True
        tenant, at = noted

        def change(old: SessionRecord) -> SessionRecord:
            return used(old, at) if at >= note_due_at(tenant, old) else old

        try:
            found = await self._records.change(place.tenant, place.key, change)
        except (errors.Unreachable, errors.Conflict) as error:
            if self._clock.now() < at + tenant.session.idle:
                _log.warning("session_use_not_stored", why=error.what)
                return False
            found = None
        if found is None:
            self._gone(place)
        if self._unstored.get(place) == noted:
            del self._unstored[place]
        return True

    async def _store_all(self) -> None:
        pause = FIRST_PAUSE
        while self._unstored:
            stored = await asyncio.gather(*(self.store(place) for place in list(islice(self._unstored, BATCH))))
            if all(stored):
                pause = FIRST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)


def used(kept: SessionRecord, at: float) -> SessionRecord:
    """The record of a session that was used at that time, or later."""
    return replace(kept, session=replace(kept.session, used_at=at)) if at > kept.session.used_at else kept
