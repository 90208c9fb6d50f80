"""Opens, finds, changes and ends sessions.

A session is one sealed record under the digest of its cookie's secret. It ends at its idle or absolute limit, when
Keycloak rejects its refresh token, or when a user or administrator ends it. The gateway first removes the record and
then informs every replica. Every request checks the limits by the injected clock, also on a local copy. A local copy
only confirms a session; for any other result, the store is read. An unknown or malformed cookie value, or one of
another tenant, is None. If the store or Keycloak does not respond, the result is `errors.Unreachable`, never
"signed out".
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from gateway.crypto.key_ring import Sealer
from gateway.domain import errors
from gateway.domain.configuration import Configuration
from gateway.domain.ports import Clock, Lock
from gateway.domain.session import Satisfied, Session, Tokens
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.token_endpoint import SessionEnded, TokenEndpoint
from gateway.observe.audit import Audit, AuditEvent, utc_time
from gateway.sessions.cache import COPIES_COUNT, MOST, ReissuedIds, SessionCache, SessionRecord
from gateway.sessions.pending_sign_outs import PendingSignOuts
from gateway.sessions.refresh import TokenRefresh, due, due_at
from gateway.sessions.revocation import Revocation
from gateway.sessions.session_key import SessionKey, of_cookie, public_id
from gateway.sessions.user_index import IndexEntry, UserIndex
from gateway.sessions.uses import SessionUses, note_due_at, used
from gateway.sessions.watched_streams import WatchedStreams
from gateway.store.protocol import Store
from gateway.store.records import Records
from gateway.store.replica_events import ReplicaEvents

RECHECK_PAUSE = 0.5
"""Seconds until live streams are looked at again when the store did not answer; doubled each time."""
IDLE_NOTED = 43_200.0
"""Seconds for which the sign-in page may say that a session ended at its idle limit."""
_IDLE, _KEYCLOAK = "idle", "keycloak"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSession:
    """The data of a new session from its login; see `domain.session.Session`."""

    user: User
    tokens: Tokens
    password_at: float
    satisfied: Satisfied
    rule: str = ""
    proved_at: float | None = None
    routes: tuple[str, ...] | None = None
    assisted: bool = False


@dataclass(frozen=True, slots=True)
class EndedIdle:
    """The mark of a session that ended at its idle limit; it says nothing of its user."""


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
        copies_count: float = COPIES_COUNT,
    ) -> None:
        self._clock = clock
        self._logout_retries = logout_retries
        self._configuration = configuration
        self._audit = audit
        self._tasks = tasks
        self._records = Records(store=store, sealer=sealer, clock=clock, name="session", of=SessionRecord, most=MOST)
        self._ended = Records(store=store, sealer=sealer, clock=clock, name="session-idle", of=EndedIdle)
        self._index = UserIndex(store=store, sealer=sealer, clock=clock)
        self._ids = ReissuedIds()
        self._copies = SessionCache(replica_events=replica_events, clock=clock, seconds=copies_count)
        self._uses = SessionUses(records=self._records, clock=clock, tasks=tasks, gone=self._copies.drop)
        self._revocation = Revocation(replica_events, self._copies, tasks)
        self._watched = WatchedStreams()
        self._revocation.on_change(self._look)
        self._refresh = TokenRefresh(
            records=self._records,
            lock=lock,
            clock=clock,
            token_endpoint=token_endpoint,
            revocation=self._revocation,
            tasks=tasks,
            beside=self._of_sign_in,
        )
        self._leaving = PendingSignOuts(tasks)
        replica_events.on_gap(self._after_gap)

    async def open(
        self, tenant: Tenant, new: NewSession, *, tag: str, secret: str, **asked_by: str | None
    ) -> tuple[Session, str]:
        """Open the session of `tag` and `secret` (see `place`); returns it and its cookie's value.

        `asked_by` are facts of the request for the audit, such as the client's address and browser. A repeated call
        with the same secret returns the same session, without a further event.
        """
        value = f"{tag}.{secret}"
        place = _place(tenant, value)
        if place is None:
            raise ValueError("a tag has 16 bytes and a secret 32, in URL-safe base64")
        if (there := await self._records.read(tenant.id, place.key)) is not None:
            return there.session, value
        made = self._made(tenant, new, place)
        session = replace(made, browser=asked_by.get("browser") or "", client=asked_by.get("client") or "")
        return await self._opened(tenant, place, session, **asked_by), value

    async def open_beside(
        self, tenant: Tenant, pages: Session, *, tag: str, secret: str, **asked_by: str | None
    ) -> Session:
        """Open a session at a host of apps that belongs to the sign-in of `pages`, the one at the host of the pages.

        It has the same proofs, tokens and end, but no confirmation for administration.
        """
        place = _place(tenant, f"{tag}.{secret}")
        if place is None:
            raise ValueError("a tag has 16 bytes and a secret 32, in URL-safe base64")
        now = self._clock.now()
        session = replace(pages, id=public_id(place), created_at=now, used_at=now, confirmed_at=None)
        session = await self._opened(tenant, place, session, **asked_by)
        if await self.live(tenant, pages.id) is None:  # it ended meanwhile, and did not know of this one
            await self.end(tenant, session.id)
            raise errors.Conflict("session", "ended while it was opened")
        return session

    async def live(self, tenant: Tenant, session_id: str) -> Session | None:
        """The session with this id, if it is not over."""
        entry = await self._entry(tenant, session_id)
        kept = await self._records.read(tenant.id, entry.place.key) if entry else None
        return kept.session if kept and not _over(tenant, kept.session, self._clock.now()) else None

    async def _opened(self, tenant: Tenant, place: SessionKey, session: Session, **asked_by: str | None) -> Session:
        too_many = await self._index.note(_entry(session, place))
        if not await self._records.add(
            tenant.id, place.key, SessionRecord(session, session.created_at), session.ends_at
        ):
            there = await self._records.read(tenant.id, place.key)
            if there is None:
                raise errors.Conflict("session", "ended while it was opened")
            return there.session
        facts = {"satisfied": session.satisfied.value, "rule": session.rule, "until": utc_time(session.ends_at)}
        self._report(AuditEvent.SESSION_OPENED, session, **facts, **asked_by)
        for entry in too_many:
            await self._end(entry, "too-many")
        return session

    async def current(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """The session of a browser, with valid tokens, or None.

        :raises errors.Unreachable: the store does not respond; or the token has expired and Keycloak does not respond.
        :raises errors.Refused: the token has expired, and Keycloak rejects the gateway's client.
        """
        place = _place(tenant, cookie_value)
        if place is None or place in self._leaving:
            return None
        return self.held(tenant, place) or await self._asked(tenant, place)

    def held(self, tenant: Tenant, place: SessionKey) -> Session | None:
        """The session at `place` if its local copy is enough to serve a request now.

        None says nothing of the session: the caller awaits `current`.
        """
        copy = self._copies.get(place)
        return copy.session if copy and place.tenant == tenant.id else None

    def ask(self, tenant: Tenant, place: SessionKey, found: Callable[[Session | None], None]) -> None:
        """Call `found` with the session at `place`, later, if its record in the store is enough to serve a request.

        None says nothing of the session: the caller awaits `current`.
        """
        mark, used_at = self._copies.mark(), self._uses.unstored(place)

        def answered(kept: SessionRecord | None) -> None:
            if kept is None or kept.session.tenant != tenant.id:
                return found(None)
            kept, now = self._seen(place, kept, used_at), self._clock.now()
            if place in self._leaving or self._revocation.has_ended(kept.session.id):
                return found(None)
            until = _sure_until(tenant, kept)
            if now < until:
                self._copies.put(place, kept, mark, until=until)
                return found(kept.session)
            if _over(tenant, kept.session, now) or due(kept, now):
                return found(None)
            return found(self._served(tenant, place, kept, mark))

        self._records.ask(tenant.id, place.key, answered)

    async def ended_idle(self, tenant: Tenant, cookie_value: str) -> bool:
        """Whether the session of this cookie ended at its idle limit, for the sign-in page to say so."""
        place = _place(tenant, cookie_value)
        try:
            return place is not None and await self._ended.read(tenant.id, place.key) is not None
        except errors.Unreachable:
            return False

    async def used(self, session: Session) -> None:
        """A live stream of `session` goes on: that is use. If the session is over, its streams close here."""
        tenant = self._configuration().tenant(session.tenant)
        entry = await self._entry(tenant, session.id) if tenant else None
        now = await self._asked(tenant, entry.place) if tenant and entry else None
        if entry is None or now is None:
            self._revocation.close_streams(session.id)
        else:
            self._watched.judge(now)
            await self._uses.store(entry.place)

    async def reissue(
        self, tenant: Tenant, session_id: str, change: Callable[[Session], Session], *, tag: str, secret: str
    ) -> Session | None:
        """Change what a session has proved or may open, and issue a new cookie; the old cookie becomes invalid.

        A session with more rights belongs to the browser that gave the proof, not to every holder of the old cookie
        (OWASP ASVS 7.2.4). Its id, user and end stay the same, so its live streams stay open. `change` must be pure. A
        repeated call with the same secret, on any replica, returns the same session and completes an interrupted call.

        :returns: the session; None if it has ended, or if a call with another secret was first.
        :raises errors.Unreachable: the store did not respond, or the session's tokens are still being renewed.
        """
        place = _place(tenant, f"{tag}.{secret}")
        if place is None:
            raise ValueError("a tag has 16 bytes and a secret 32, in URL-safe base64")
        entry = await self._entry(tenant, session_id)
        if entry and entry.place != place:
            async with self._refresh.held(tenant, entry.place, entry.sign_in):
                kept = await self._records.read(tenant.id, entry.place.key)
                if kept:
                    return await self._moved(tenant, replace(entry, place=place, before=entry.place), kept, change)
            entry = await self._entry(tenant, session_id)  # the session ended or moved while this call waited
        if entry is None or entry.place != place or entry.before is None:
            return None
        # The call that moves it has finished or was interrupted.
        async with self._refresh.held(tenant, entry.before, entry.sign_in):
            there = await self._records.read(tenant.id, place.key)
            if there and await self._records.remove(tenant.id, entry.before.key):
                await self._revocation.changed(entry.before, session_id)
        return there.session if there else None

    async def _moved(
        self, tenant: Tenant, entry: IndexEntry, kept: SessionRecord, change: Callable[[Session], Session]
    ) -> Session | None:
        """Move the session to its new place. The caller has the lock of the old place, `entry.before`.

        The index names both places before the old record is removed. So a concurrent end takes effect at both.
        """
        old, before = kept.session, entry.before
        new = replace(change(old), id=old.id, tenant=old.tenant, user_id=old.user_id, ends_at=old.ends_at)
        moved = SessionRecord(replace(new, created_at=old.created_at), kept.renewed_at)
        await self._records.write(tenant.id, entry.place.key, moved, old.ends_at)
        await self._index.note(entry)
        if before and not await self._records.remove(tenant.id, before.key):  # the session ended meanwhile
            await self._records.remove(tenant.id, entry.place.key)
            await self._index.forget(entry)
            return None
        if before:
            await self._revocation.changed(before, old.id)
        self._ids.note(entry.place, old.id)
        return moved.session

    async def end(self, tenant: Tenant, session_id: str, *, reason: str = "logout") -> Session | None:
        """End one session on all replicas; returns the ended session, or None if there was none."""
        entry = await self._entry(tenant, session_id)
        return await self._end(entry, reason) if entry else None

    async def leave(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """Sign out the user of this browser; returns the ended session, or None if there was none.

        Does not call Keycloak. If the store does not respond (`errors.Unreachable`), this replica rejects the session
        at once. All replicas do so as soon as the store confirms its deletion.
        """
        place, known = _place(tenant, cookie_value), None
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
        """End every session of a user except the one with `except_id` and those of its sign-in.

        Returns the ended sessions, one for each sign-in.
        """
        entries = await self._index.of_user(tenant.id, user_id)
        sign_in = next((entry.sign_in for entry in entries if entry.id == except_id), "")
        others = [one for one in entries if one.id != except_id and not (sign_in and one.sign_in == sign_in)]
        ended = [await self._end(entry, reason) for entry in others]
        return tuple(session for session in ended if session)

    async def end_as_keycloak(self, tenant: Tenant, user_id: str, keycloak_session: str) -> None:
        """End what Keycloak has ended: the sessions of one of its sessions, or all of the user if that is empty."""
        for entry in await self._index.of_user(tenant.id, user_id):
            if not keycloak_session or await self._keycloak_session(entry) == keycloak_session:
                await self._end(entry, _KEYCLOAK)

    async def of_user(self, tenant: Tenant, user_id: str) -> tuple[Session, ...]:
        """The open sessions of a user, oldest first; of a sign-in the one at the host of the pages."""
        now = self._clock.now()
        kept = [await self._records.read(tenant.id, e.place.key) for e in await self._index.of_user(tenant.id, user_id)]
        live = [one.session for one in kept if one and not _over(tenant, one.session, now)]
        used_at = {one.sign_in: max(two.used_at for two in live if two.sign_in == one.sign_in) for one in live}
        return tuple(
            replace(one, used_at=used_at[one.sign_in]) if one.sign_in else one
            for one in live
            if one.sign_in in ("", one.id)
        )

    def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
        """See `Revocation.register`."""
        return self._revocation.register(session_id, close)

    def on_end(self, ended: Callable[[str], None], live: Callable[[], Iterable[str]] = tuple) -> Callable[[], None]:
        """See `Revocation.on_end`."""
        return self._revocation.on_end(ended, live)

    def watch(
        self, session_id: str, admits: Callable[[Session], bool], close: Callable[[], None]
    ) -> Callable[[], None]:
        """Call `close` once the session in the store no longer passes `admits`; returns a function to stop that.

        The gateway looks at the session now, and after each change on any replica.
        """
        forget = self._watched.add(session_id, admits, close)
        self._look(session_id)
        return forget

    async def recheck(self) -> None:
        """Close this replica's live streams whose session has ended or lost a role: an event may have been missed."""
        for session_id in self._revocation.live:
            session = await self._now(session_id)
            if session is None:
                self._revocation.close_streams(session_id)
            else:
                self._watched.judge(session)

    async def _asked(self, tenant: Tenant, place: SessionKey) -> Session | None:
        """The session from the store, with its tokens renewed where due; its use is stored in the background."""
        mark, used_at = self._copies.mark(), self._uses.unstored(place)
        kept = await self._records.read(tenant.id, place.key)
        if kept is None or kept.session.tenant != tenant.id:
            return None
        kept, now = self._seen(place, kept, used_at), self._clock.now()
        reason = _over(tenant, kept.session, now)
        if reason == _IDLE and kept.session.sign_in:  # the user may be active at another host of this sign-in
            beside = await self._of_sign_in(kept.session)
            kept = used(kept, max((one.session.used_at for one in beside), default=0.0))
            reason = _over(tenant, kept.session, now)
        if reason:
            await self._end(_entry(kept.session, place), reason)
            if reason == _IDLE:
                with suppress(errors.Unreachable, errors.Conflict):
                    await self._ended.write(tenant.id, place.key, EndedIdle(), now + IDLE_NOTED)
            return None
        if due(kept, self._clock.now()):
            answer = await self._refresh.renewed(tenant, place, kept)
            if isinstance(answer, SessionEnded):
                await self._end(_entry(kept.session, place), _KEYCLOAK)
                return None
            if answer is None:
                return None
            kept = answer
        return self._served(tenant, place, kept, mark)

    def _seen(self, place: SessionKey, kept: SessionRecord, used_at: float) -> SessionRecord:
        """The record that was read, with a use that was not stored when the reading began, or is not now."""
        self._ids.note(place, kept.session.id)
        return used(kept, max(used_at, self._uses.unstored(place)))

    def _served(self, tenant: Tenant, place: SessionKey, kept: SessionRecord, mark: int) -> Session:
        """The session for a request, whose use is noted."""
        kept = self._uses.note(tenant, place, kept)
        if place not in self._leaving:
            self._copies.put(place, kept, mark, until=_sure_until(tenant, kept))
        return kept.session

    async def _entry(self, tenant: Tenant, session_id: str) -> IndexEntry | None:
        entry = await self._index.find(session_id)
        return entry if entry and entry.place.tenant == tenant.id else None

    async def _keycloak_session(self, entry: IndexEntry) -> str | None:
        """The session at Keycloak of the session of `entry`, which may be moving; None if it has ended."""
        places = list(entry.places)
        for place in places:  # grows while the session moves
            if found := await self._records.read(place.tenant, place.key):
                return found.session.tokens.session_id
            noted = await self._index.find(entry.id)
            places += [p for p in (noted.places if noted else ()) if p not in places]
        return None

    async def _of_sign_in(self, session: Session) -> list[SessionRecord]:
        """The records of the other sessions of the same sign-in."""
        entries = await self._index.of_user(session.tenant, session.user_id) if session.sign_in else ()
        others = [one for one in entries if one.sign_in == session.sign_in and one.id != session.id]
        found = [await self._records.read(session.tenant, one.place.key) for one in others]
        return [kept for kept in found if kept]

    async def _end(self, entry: IndexEntry, reason: str, before: SessionRecord | None = None) -> Session | None:
        """End a session, and first the others of its sign-in: a call that was interrupted is repeated for all."""
        for other in await self._index.of_user(entry.place.tenant, entry.user_id) if entry.sign_in else ():
            if other.sign_in == entry.sign_in and other.id != entry.id:
                await self._end_one(other, reason)
        return await self._end_one(entry, reason, before)

    async def _end_one(self, entry: IndexEntry, reason: str, before: SessionRecord | None = None) -> Session | None:
        """Remove the records first, so that no cookie opens the session any more; then inform the replicas.

        A session that is being reissued ends at each place that the index names. `before` is the record seen by an
        earlier attempt without a response: that attempt may have removed it without informing the replicas.
        """
        kept, existed, places = before, before is not None, list(entry.places)
        for place in places:  # grows while the session moves
            found = await self._records.read(place.tenant, place.key)
            if await self._records.remove(place.tenant, place.key):
                kept, existed = found or kept, True
            try:
                noted = await self._index.find(entry.id)
            except errors.Unreachable:
                if not existed:
                    raise
                continue  # the session has ended, and the replicas must be informed
            places += [p for p in (noted.places if noted else ()) if p not in places]
        if kept is None or not existed:
            self._revocation.end_here(entry.place, entry.id)
            return None
        for place in places:
            await self._revocation.ended(place, entry.id)
        with suppress(errors.Unreachable, errors.Conflict):  # remaining entries expire by themselves
            await self._index.forget(entry)
        self._report(AuditEvent.SESSION_ENDED, kept.session, reason=reason)
        tenant = self._configuration().tenant(kept.session.tenant)
        if tenant and reason != _KEYCLOAK:
            self._logout_retries.begin(tenant, kept.session.tokens)
        return kept.session

    def _report(self, event: AuditEvent, session: Session, **details: str | None) -> None:
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
            client_roles=new.user.client_roles,
            groups=new.user.groups,
            assisted=new.assisted,
            sign_in=public_id(place) if tenant.apps else "",
        )

    def _after_gap(self) -> None:
        self._copies.clear()
        self._tasks.start(self._until_answered(self.recheck), "recheck of streams")

    def _look(self, session_id: str) -> None:
        """Look at the watched streams of a session that may have changed."""
        if session_id in self._watched:
            self._tasks.start(self._until_answered(partial(self._judge, session_id)), "look at streams")

    async def _judge(self, session_id: str) -> None:
        if session := await self._now(session_id):  # else it ended, which closes its streams
            self._watched.judge(session)

    async def _now(self, session_id: str) -> Session | None:
        """The session with this id as the store has it."""
        entry = await self._index.find(session_id)
        kept = await self._records.read(entry.place.tenant, entry.place.key) if entry else None
        return kept.session if kept else None

    async def _until_answered(self, look: Callable[[], Awaitable[None]]) -> None:
        """Repeats `look` until the store responds: an idle stream notes no use, so it would stay open."""
        pause = RECHECK_PAUSE
        while True:
            try:
                return await look()
            except errors.GatewayError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 60 * RECHECK_PAUSE)


def _entry(session: Session, place: SessionKey) -> IndexEntry:
    return IndexEntry(session.id, place, session.user_id, session.ends_at, sign_in=session.sign_in)


def _place(tenant: Tenant, cookie_value: str) -> SessionKey | None:
    return of_cookie(tenant.id, cookie_value, pages=tenant.apps is not None)


def _over(tenant: Tenant, session: Session, now: float) -> str:
    """The reason why the session has ended; "" if it has not."""
    if now >= session.ends_at:
        return "absolute"
    return _IDLE if now - session.used_at >= tenant.session.idle else ""


def _sure_until(tenant: Tenant, kept: SessionRecord) -> float:
    """Until when a request needs neither the store nor Keycloak, unless the session changes or ends earlier."""
    session = kept.session
    return min(session.ends_at, session.used_at + tenant.session.idle, note_due_at(tenant, kept), due_at(kept))
