"""Who is signed in in this browser, and until when?

A session is one sealed record under the digest of its cookie's secret. It ends when it was unused too long, at its
absolute limit, at Keycloak's own no, or when somebody ends it; then its record is gone first and every replica is told.
All limits are judged by the injected clock on every request, also on a local copy. A copy can only say yes: whatever
else is to be said, the store is asked. Unknown, malformed, or of another tenant is None; a store or Keycloak that does
not answer is `errors.Unreachable`, never "signed out".
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from gateway.crypto.sealing import Sealer
from gateway.domain import errors
from gateway.domain.configuration import Configuration
from gateway.domain.ports import Clock, Lock
from gateway.domain.session import Satisfied, Session, Tokens
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.token_endpoint import SessionEnded, TokenEndpoint
from gateway.observe.audit import Audit, AuditEvent
from gateway.sessions.cache import SessionCache, SessionRecord
from gateway.sessions.pending_sign_outs import PendingSignOuts
from gateway.sessions.refresh import TokenRefresh, due
from gateway.sessions.reissued_ids import ReissuedIds
from gateway.sessions.revocation import Revocation
from gateway.sessions.session_key import SessionKey, of_cookie, public_id
from gateway.sessions.user_index import IndexEntry, UserIndex
from gateway.store.protocol import Store
from gateway.store.records import Records
from gateway.store.replica_events import ReplicaEvents

USE_NOTED_EVERY = 60.0
"""Seconds between two writes of `used_at`; a tenth of the idle limit where that is shorter."""
RECHECK_PAUSE = 0.5
"""Seconds until live streams are looked at again when the store did not answer; doubled each time."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a finished login gives a session; see `domain.session.Session`."""

    user: User
    tokens: Tokens
    password_at: float
    satisfied: Satisfied
    rule: str = ""
    proved_at: float | None = None
    routes: tuple[str, ...] | None = None


class Sessions:
    """The sessions of every tenant. Each that opens or ends is audited once; its session at Keycloak ends with it."""

    def __init__(
        self,
        *,
        store: Store,
        sealer: Sealer,
        clock: Clock,
        lock: Lock,
        replica_events: ReplicaEvents,
        token_endpoint: TokenEndpoint,
        logout_retries: LogoutRetries,
        configuration: Callable[[], Configuration],
        audit: Audit,
        tasks: BackgroundTasks,
    ) -> None:
        self._clock = clock
        self._logout_retries = logout_retries
        self._configuration = configuration
        self._audit = audit
        self._tasks = tasks
        self._records = Records(store=store, sealer=sealer, clock=clock, name="session", of=SessionRecord)
        self._index = UserIndex(store=store, sealer=sealer, clock=clock)
        self._ids = ReissuedIds()
        self._copies = SessionCache(alive=lambda: replica_events.alive, clock=clock)
        self._revocation = Revocation(replica_events, self._copies)
        self._refresh = TokenRefresh(
            records=self._records,
            lock=lock,
            clock=clock,
            token_endpoint=token_endpoint,
            revocation=self._revocation,
            tasks=tasks,
        )
        self._leaving = PendingSignOuts(tasks)
        replica_events.on_gap(self._after_gap)

    async def open(self, tenant: Tenant, new: NewSession, *, tag: str, secret: str) -> tuple[Session, str]:
        """Make the session of `tag` and `secret` (see `place`), and its cookie's value.

        Called again with the same secret it gives the same session again, and tells nobody.
        """
        value = f"{tag}.{secret}"
        place = of_cookie(tenant.id, value)
        if place is None:
            raise ValueError("a tag has 16 bytes and a secret 32, in URL-safe base64")
        if (there := await self._records.read(tenant.id, place.key)) is not None:
            return there.session, value
        session = self._made(tenant, new, place)
        too_many = await self._index.note(IndexEntry(session.id, place, session.user_id, session.ends_at))
        if not await self._records.add(
            tenant.id, place.key, SessionRecord(session, session.created_at), session.ends_at
        ):
            there = await self._records.read(tenant.id, place.key)
            if there is None:
                raise errors.Conflict("session", "ended while it was opened")
            return there.session, value
        self._report(AuditEvent.SESSION_OPENED, session, satisfied=session.satisfied.value, rule=session.rule)
        for entry in too_many:
            await self._end(entry, "too-many")
        return session, value

    async def current(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """The session of a browser, its tokens valid.

        :raises errors.Unreachable: the store, or Keycloak when the token has ended, does not answer.
        :raises errors.Refused: the token has ended and Keycloak refuses the gateway itself.
        """
        place = of_cookie(tenant.id, cookie_value)
        if place is None or place in self._leaving:
            return None
        copy, now = self._copies.get(place), self._clock.now()
        if copy and not _over(tenant, copy.session, now) and not due(copy, now) and not _unnoted(tenant, copy, now):
            return copy.session
        return await self._asked(tenant, place)

    async def used(self, session: Session) -> None:
        """A live stream of `session` goes on: that is use. If the session is over, its streams close here."""
        tenant, entry = self._configuration().tenant(session.tenant), await self._index.find(session.id)
        stands = (
            tenant is not None
            and entry is not None
            and entry.place.tenant == tenant.id
            and await self._asked(tenant, entry.place) is not None
        )
        if not stands:
            self._revocation.close_streams(session.id)

    async def reissue(
        self, tenant: Tenant, session_id: str, change: Callable[[Session], Session], *, tag: str, secret: str
    ) -> Session | None:
        """Change what a session proved or may open, under a new cookie; the old cookie opens nothing any more.

        A session that may do more than before belongs to the browser that gave the proof, not to every holder of the
        old cookie (OWASP ASVS 7.2.4). Its id, its user and its end stay, so its live streams go on. `change` must be
        pure. Called again with the same secret, by any replica, it gives the same session again, and finishes what a
        call before began.

        :returns: the session; None when it ended, or when a call with another secret was faster.
        :raises errors.Unreachable: the store did not answer, or the session's tokens are still being renewed.
        """
        place = of_cookie(tenant.id, f"{tag}.{secret}")
        if place is None:
            raise ValueError("a tag has 16 bytes and a secret 32, in URL-safe base64")
        entry = await self._entry(tenant, session_id)
        if entry and entry.place != place:
            async with self._refresh.held(tenant, entry.place):
                kept = await self._records.read(tenant.id, entry.place.key)
                if kept:
                    return await self._moved(tenant, replace(entry, place=place, before=entry.place), kept, change)
            entry = await self._entry(tenant, session_id)  # it ended, or moved while the lock was waited for
        if entry is None or entry.place != place or entry.before is None:
            return None
        async with self._refresh.held(tenant, entry.before):  # the call that moves it is over, or ended half-way
            there = await self._records.read(tenant.id, place.key)
            if there and await self._records.remove(tenant.id, entry.before.key):
                await self._revocation.changed(entry.before, session_id)
        return there.session if there else None

    async def _moved(
        self, tenant: Tenant, entry: IndexEntry, kept: SessionRecord, change: Callable[[Session], Session]
    ) -> Session | None:
        """The session as it stands at its new place alone. The caller holds the lock of the old one, `entry.before`.

        The index names both places before the old one goes, so whatever ends the session meanwhile ends it at both.
        """
        old, before = kept.session, entry.before
        new = replace(change(old), id=old.id, tenant=old.tenant, user_id=old.user_id, ends_at=old.ends_at)
        moved = SessionRecord(replace(new, created_at=old.created_at), kept.renewed_at)
        await self._records.write(tenant.id, entry.place.key, moved, old.ends_at)
        await self._index.note(entry)
        if before and not await self._records.remove(tenant.id, before.key):  # it was ended meanwhile
            await self._records.remove(tenant.id, entry.place.key)
            await self._index.forget(entry)
            return None
        if before:
            await self._revocation.changed(before, old.id)
        self._ids.note(entry.place, old.id)
        return moved.session

    async def end(self, tenant: Tenant, session_id: str, *, reason: str = "logout") -> Session | None:
        """End one session everywhere; the session as it was, None when there was none."""
        entry = await self._entry(tenant, session_id)
        return await self._end(entry, reason) if entry else None

    async def leave(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """The user of this browser signs out: end his session; the session as it was, None when there was none.

        Keycloak is not asked for anything. When the store does not answer (`errors.Unreachable`), the session is over
        for this replica at once, and everywhere as soon as the store takes it.
        """
        place, known = of_cookie(tenant.id, cookie_value), None
        if place is None:
            return None

        async def end() -> Session | None:
            nonlocal known
            before, found = known, await self._records.read(tenant.id, place.key)
            known = found or before
            return await self._end(_entry(known.session, place), "logout", before) if known else None

        try:
            return await end()
        except errors.Unreachable:
            self._leaving.begin(place, end, tenant.session.absolute)
            self._revocation.end_here(place, self._ids.of(place))
            raise

    async def end_all(
        self, tenant: Tenant, user_id: str, except_id: str | None = None, *, reason: str = "logout"
    ) -> tuple[Session, ...]:
        """End every session of a user, but the one with `except_id`; those that were ended."""
        entries = await self._index.of_user(tenant.id, user_id)
        ended = [await self._end(entry, reason) for entry in entries if entry.id != except_id]
        return tuple(session for session in ended if session)

    async def of_user(self, tenant: Tenant, user_id: str) -> tuple[Session, ...]:
        """The sessions of a user that stand now, oldest first."""
        now = self._clock.now()
        kept = [await self._records.read(tenant.id, e.place.key) for e in await self._index.of_user(tenant.id, user_id)]
        return tuple(k.session for k in kept if k and not _over(tenant, k.session, now))

    def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
        """See `Revocation.register`."""
        return self._revocation.register(session_id, close)

    async def recheck(self) -> None:
        """Close the live streams of this replica whose session is over: a notice may have been missed."""
        for session_id in self._revocation.live:
            entry = await self._index.find(session_id)
            if entry is None or await self._records.read(entry.place.tenant, entry.place.key) is None:
                self._revocation.close_streams(session_id)

    async def _asked(self, tenant: Tenant, place: SessionKey) -> Session | None:
        """What the store says; renewed, and its use noted, where that is due."""
        mark = self._copies.mark()
        kept = await self._records.read(tenant.id, place.key)
        if kept is None or kept.session.tenant != tenant.id:
            return None
        self._ids.note(place, kept.session.id)
        if reason := _over(tenant, kept.session, self._clock.now()):
            await self._end(_entry(kept.session, place), reason)
            return None
        if due(kept, self._clock.now()):
            answer = await self._refresh.renewed(tenant, place, kept)
            if isinstance(answer, SessionEnded):
                await self._end(_entry(kept.session, place), "keycloak")
                return None
            if answer is None:
                return None
            kept = answer
        if _unnoted(tenant, kept, self._clock.now()):
            noted = await self._noted(tenant, place, kept)
            if noted is None:
                return None
            kept = noted
        self._copies.put(place, kept, mark)
        return kept.session

    async def _noted(self, tenant: Tenant, place: SessionKey, kept: SessionRecord) -> SessionRecord | None:
        now = self._clock.now()

        def used(old: SessionRecord) -> SessionRecord:
            return replace(old, session=replace(old.session, used_at=now)) if _unnoted(tenant, old, now) else old

        try:
            return await self._records.change(tenant.id, place.key, used)
        except (errors.Unreachable, errors.Conflict) as error:
            # The session was just read and stands; only its idle time is not lengthened.
            _log.warning("session_use_not_stored", why=error.what)
            return kept

    async def _entry(self, tenant: Tenant, session_id: str) -> IndexEntry | None:
        entry = await self._index.find(session_id)
        return entry if entry and entry.place.tenant == tenant.id else None

    async def _end(self, entry: IndexEntry, reason: str, before: SessionRecord | None = None) -> Session | None:
        """The records go first: from then on no cookie opens anything with them.

        A session that is being reissued ends at each place where the index says that it may stand. `before` is what
        stood when an earlier try had no answer: it may have come to pass, and was not told.
        """
        kept, stood, places = before, before is not None, list(entry.places)
        for place in places:  # grows while the session moves
            found = await self._records.read(place.tenant, place.key)
            if await self._records.remove(place.tenant, place.key):
                kept, stood = found or kept, True
            try:
                noted = await self._index.find(entry.id)
            except errors.Unreachable:
                if not stood:
                    raise
                continue  # it is over, and that must be told
            places += [p for p in (noted.places if noted else ()) if p not in places]
        if kept is None or not stood:
            self._revocation.end_here(entry.place, entry.id)
            return None
        for place in places:
            await self._revocation.ended(place, entry.id)
        with suppress(errors.Unreachable, errors.Conflict):  # what is left of it ends by itself
            await self._index.forget(entry)
        self._report(AuditEvent.SESSION_ENDED, kept.session, reason=reason)
        tenant = self._configuration().tenant(kept.session.tenant)
        if tenant and reason != "keycloak":
            self._logout_retries.begin(tenant, kept.session.tokens)
        return kept.session

    def _report(self, event: AuditEvent, session: Session, **details: str) -> None:
        self._audit.write(
            event,
            tenant=session.tenant,
            user_id=session.user_id,
            username=session.username,
            session=session.id,
            **details,
        )

    def _made(self, tenant: Tenant, new: NewSession, place: SessionKey) -> Session:
        now = self._clock.now()
        return Session(
            id=public_id(place),
            tenant=tenant.id,
            user_id=new.user.id,
            username=new.user.username,
            display_name=new.user.display_name,
            roles=new.user.roles,
            tokens=new.tokens,
            created_at=now,
            used_at=now,
            ends_at=now + tenant.session.absolute,
            password_at=new.password_at,
            satisfied=new.satisfied,
            rule=new.rule,
            proved_at=new.proved_at,
            routes=new.routes,
            email=new.user.email,
        )

    def _after_gap(self) -> None:
        self._copies.clear()
        self._tasks.start(self._recheck_quietly(), "recheck of streams")

    async def _recheck_quietly(self) -> None:
        """Until the store has answered: a stream that nothing passes through reports no use, and would stay open."""
        pause = RECHECK_PAUSE
        while True:
            try:
                return await self.recheck()
            except errors.GatewayError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 60 * RECHECK_PAUSE)


def _entry(session: Session, place: SessionKey) -> IndexEntry:
    return IndexEntry(session.id, place, session.user_id, session.ends_at)


def _over(tenant: Tenant, session: Session, now: float) -> str:
    """Why the session is over; "" when it is not."""
    if now >= session.ends_at:
        return "absolute"
    return "idle" if now - session.used_at >= tenant.session.idle else ""


def _unnoted(tenant: Tenant, kept: SessionRecord, now: float) -> bool:
    return now - kept.session.used_at >= min(USE_NOTED_EVERY, tenant.session.idle / 10)
