"""Finds sessions by id and by user.

There are two records beside each session: its place under its public id, and the list of places under the user. They
are written before the session and removed after it, so no open session is missing. An entry without a session has no
effect.
"""

from dataclasses import dataclass

from gateway.crypto.key_ring import Sealer
from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.sessions.session_key import SessionKey
from gateway.store.protocol import Store
from gateway.store.records import Changed, Records

MOST = 200
"""Largest number of sessions of one user; a further one ends the oldest."""
TRIES = 20


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One session of a user. `before` is its place before it was reissued, where it may still be.

    `sign_in` is that of the session.
    """

    id: str
    place: SessionKey
    user_id: str
    ends_at: float
    before: SessionKey | None = None
    sign_in: str = ""

    @property
    def places(self) -> tuple[SessionKey, ...]:
        """Every place where the session may be."""
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
        """The entry of a session of any tenant; compare `place.tenant`."""
        return await self._by_id.read("", session_id)

    async def of_user(self, tenant_id: str, user_id: str) -> tuple[IndexEntry, ...]:
        """Every session that the user may have, oldest first; some may have ended."""
        found = await self._by_user.read(tenant_id, user_id)
        return found.entries if found else ()

    async def note(self, entry: IndexEntry) -> tuple[IndexEntry, ...]:
        """Add a session that is about to open or move; returns the oldest ones that exceed `MOST`."""
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
        """Remove a session that has ended."""
        await self._by_id.remove("", entry.id)

        def without(old: IndexEntries) -> IndexEntries:
            others = tuple(one for one in old.entries if one.id != entry.id)
            return old if others == old.entries else IndexEntries(others)

        await self._by_user.change(entry.place.tenant, entry.user_id, without)
