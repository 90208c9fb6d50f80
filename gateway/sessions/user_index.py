"""Which sessions has a user, and where does the session with this id stand?

Two records beside each session: its place under its public id, and the list of places under the user. They are written
before the session and forgotten after it, so no living session is missing; an entry without a session means nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.crypto.sealing import Sealer
from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.sessions.session_key import SessionKey
from gateway.store.protocol import Store
from gateway.store.records import Changed, Records

MOST = 200
"""Sessions of one user at a time; the oldest makes room."""
TRIES = 20


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One session of a user. `before` is where it stood before it was reissued, and may still stand."""

    id: str
    place: SessionKey
    user_id: str
    ends_at: float
    before: SessionKey | None = None

    @property
    def places(self) -> tuple[SessionKey, ...]:
        """Every place where the session may stand."""
        return (self.place, self.before) if self.before else (self.place,)


@dataclass(frozen=True, slots=True)
class IndexEntries:
    """The sessions of one user, oldest first."""

    entries: tuple[IndexEntry, ...]


class UserIndex:
    """Entries by session id and by user."""

    def __init__(self, *, store: Store, sealer: Sealer, clock: Clock) -> None:
        self._clock = clock
        self._by_id = Records(store=store, sealer=sealer, clock=clock, name="session-place", of=IndexEntry)
        self._by_user = Records(store=store, sealer=sealer, clock=clock, name="sessions-of", of=IndexEntries)

    async def find(self, session_id: str) -> IndexEntry | None:
        """Where the session stands, of whichever tenant: compare `place.tenant`."""
        return await self._by_id.read("", session_id)

    async def of_user(self, tenant_id: str, user_id: str) -> tuple[IndexEntry, ...]:
        """Every session the user may have, oldest first; some may be over."""
        found = await self._by_user.read(tenant_id, user_id)
        return found.entries if found else ()

    async def note(self, entry: IndexEntry) -> tuple[IndexEntry, ...]:
        """Note a session that is about to be, or to move; returns the oldest ones, which are too many now."""
        await self._by_id.write("", entry.id, entry, entry.ends_at)
        now = self._clock.now()
        dropped: tuple[IndexEntry, ...] = ()

        def with_it(old: IndexEntries) -> Changed[IndexEntries]:
            nonlocal dropped
            kept = tuple(entry if e.id == entry.id else e for e in old.entries if e.ends_at > now)
            every = kept if entry in kept else (*kept, entry)
            dropped = every[:-MOST]
            return Changed(IndexEntries(every[-MOST:]), max(e.ends_at for e in every))

        tenant_id = entry.place.tenant
        for _ in range(TRIES):
            if await self._by_user.change(tenant_id, entry.user_id, with_it):
                return dropped
            if await self._by_user.add(tenant_id, entry.user_id, IndexEntries((entry,)), entry.ends_at):
                return ()
        raise errors.Conflict("record sessions-of", "changed by others too often")

    async def forget(self, entry: IndexEntry) -> None:
        """Forget a session that is over."""
        await self._by_id.remove("", entry.id)
        await self._by_user.change(entry.place.tenant, entry.user_id, _without(entry.id))


def _without(session_id: str) -> Callable[[IndexEntries], IndexEntries]:
    def without(old: IndexEntries) -> IndexEntries:
        if all(entry.id != session_id for entry in old.entries):
            return old
        return IndexEntries(tuple(entry for entry in old.entries if entry.id != session_id))

    return without
