"""Renews a session's tokens before they expire, once over all replicas.

With rotation, a refresh token that is used twice ends the session at Keycloak. So there is one renewal per session
(single flight). It runs in a task of its own: if the browser disconnects, the new token is not lost. Other requests
use the result. Only `invalid_grant` from Keycloak ends a session. After a timeout or another error, the session
continues with the old token while that is valid. After that, requests fail with 503, and the user stays signed in.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from gateway.domain import errors
from gateway.domain.ports import Clock, Lock
from gateway.domain.session import Session, Tokens
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.keycloak.token_endpoint import Granted, RefreshUnknown, SessionEnded, TokenEndpoint
from gateway.sessions.cache import SessionRecord
from gateway.sessions.revocation import Revocation
from gateway.sessions.session_key import SessionKey
from gateway.store.records import Records

SHARE_LEFT, SECONDS_LEFT = 0.2, 30.0
"""Tokens are renewed when less than this share, or less than these seconds, of their lifetime is left."""
PAUSE = 5.0
"""Seconds for which a valid token is used after a failed renewal, before the next attempt."""
STALL = 1.0
"""Seconds for which a request waits for a new token if its old one is valid for longer; then it uses the old one."""
_OF_TOKENS = ("tokens", "username", "display_name", "email", "roles", "client_roles", "groups")
"""Fields of a session that come from its tokens."""
SAVE_PAUSES = (0.05, 0.2, 0.5)
"""Seconds between attempts to write new tokens. They must not be lost, because the old refresh token may be spent."""
_log = structlog.get_logger(__name__)


def due(kept: SessionRecord, now: float) -> bool:
    """Whether the tokens should be renewed now. Even a short-lived token is used for at least half its lifetime."""
    return now > due_at(kept) or now >= kept.session.tokens.access_expires_at


def due_at(kept: SessionRecord) -> float:
    """When the tokens should be renewed, see `due`."""
    life = kept.session.tokens.access_expires_at - kept.renewed_at
    return kept.session.tokens.access_expires_at - max(SHARE_LEFT * life, min(SECONDS_LEFT, life / 2))


class TokenRefresh:
    """Renews tokens: one renewal per session, in this process by a task and over replicas by a lock."""

    def __init__(
        self,
        *,
        records: Records[SessionRecord],
        lock: Lock,
        clock: Clock,
        token_endpoint: TokenEndpoint,
        revocation: Revocation,
        tasks: BackgroundTasks,
        beside: Callable[[Session], Awaitable[list[SessionRecord]]],
    ) -> None:
        self._records = records
        self._lock = lock
        self._clock = clock
        self._token_endpoint = token_endpoint
        self._revocation = revocation
        self._tasks = tasks
        self._beside = beside
        self._single_flight: dict[SessionKey, asyncio.Task[SessionRecord | SessionEnded | None]] = {}
        self._not_before: dict[SessionKey, float] = {}

    async def renewed(
        self, tenant: Tenant, place: SessionKey, kept: SessionRecord
    ) -> SessionRecord | SessionEnded | None:
        """`kept` with valid tokens; None if the session no longer exists.

        :raises errors.Unreachable: the token has expired, and Keycloak or the lock was not available.
        :raises errors.Refused: the token has expired, and Keycloak rejects the gateway's client.
        """
        now = self._clock.now()
        valid = kept.session.tokens.access_expires_at > now
        renewal = self._single_flight.get(place)
        if valid and (renewal is not None or self._not_before.get(place, 0.0) > now):
            return kept
        if renewal is None:
            renewal = self._tasks.start(
                self._renew(tenant, place, kept.session.sign_in, wait=0.0 if valid else _patience(tenant)),
                "renewal of tokens",
            )
            self._single_flight[place] = renewal
            renewal.add_done_callback(lambda done: self._landed(place, done))
        try:
            async with asyncio.timeout(STALL if kept.session.tokens.access_expires_at > now + STALL else None):
                return await asyncio.shield(renewal)
        except TimeoutError:
            return kept
        except errors.GatewayError as error:
            if kept.session.tokens.access_expires_at > self._clock.now():
                return kept
            if isinstance(error, errors.Conflict):
                raise errors.Unreachable("keycloak", "another replica is still renewing the token") from error
            raise

    @asynccontextmanager
    async def held(self, tenant: Tenant, place: SessionKey, sign_in: str = "") -> AsyncIterator[None]:
        """Prevent renewal of the session at `place` while the context is open; raises `errors.Unreachable`."""
        try:
            async with self._lock.hold(_name(place, sign_in), wait=_patience(tenant), ttl=_life(tenant)):
                yield
        except errors.Conflict as error:
            raise errors.Unreachable("keycloak", "another request is still renewing the token") from error

    def _landed(self, place: SessionKey, renewal: asyncio.Task[SessionRecord | SessionEnded | None]) -> None:
        self._single_flight.pop(place, None)
        error = None if renewal.cancelled() else renewal.exception()
        if error is None:
            self._not_before.pop(place, None)
            return
        if not isinstance(error, errors.Conflict):
            _log.warning("token_not_renewed", tenant=place.tenant, why=str(error))
        now = self._clock.now()
        self._not_before = {p: at for p, at in self._not_before.items() if at > now} | {place: now + PAUSE}

    async def _renew(
        self, tenant: Tenant, place: SessionKey, sign_in: str, *, wait: float
    ) -> SessionRecord | SessionEnded | None:
        async with self._lock.hold(_name(place, sign_in), wait=wait, ttl=_life(tenant)):
            kept = await self._records.read(place.tenant, place.key)
            if kept is None or not due(kept, self._clock.now()):
                return kept
            if sign_in and (adopted := await self._adopted(place, kept)):
                kept = adopted
                if not due(kept, self._clock.now()):
                    return kept
            spent = kept.session.tokens
            answer = await self._token_endpoint.refresh(tenant.keycloak, spent)
            if isinstance(answer, SessionEnded):
                # If this renewal outlived its lock, another one may have used the token first: then it was only spent.
                newest = await self._records.read(place.tenant, place.key)
                return answer if newest and newest.session.tokens.refresh == spent.refresh else newest
            if isinstance(answer, RefreshUnknown):
                await self._save(place, spent, replace(spent, refresh=answer.refresh.value))
                raise answer.why
            if answer.user.id != kept.session.user_id:
                return SessionEnded("the token names another user")
            saved = await self._save(place, spent, answer)
            if saved:
                await self._revocation.changed(place, saved.session.id)
            return saved

    async def _adopted(self, place: SessionKey, kept: SessionRecord) -> SessionRecord | None:
        """`kept` with the newest tokens of its sign-in: another session of it may have spent the older ones."""
        newest = max(await self._beside(kept.session), key=_tokens_expire_at, default=kept)
        if _tokens_expire_at(newest) <= _tokens_expire_at(kept):
            return None
        theirs, spent = newest.session, kept.session.tokens

        def put(mine: SessionRecord) -> SessionRecord:
            if mine.session.tokens != spent:
                return mine
            named = {name: getattr(theirs, name) for name in _OF_TOKENS}
            return SessionRecord(replace(mine.session, **named), newest.renewed_at)

        adopted = await self._records.change(place.tenant, place.key, put)
        if adopted:
            await self._revocation.changed(place, adopted.session.id)
        return adopted

    async def _save(self, place: SessionKey, spent: Tokens, answer: Granted | Tokens) -> SessionRecord | None:
        """Save tokens, or a grant with the user's identity as it is now, unless newer tokens are there."""

        def put(kept: SessionRecord) -> SessionRecord:
            if kept.session.tokens != spent:
                return kept
            if isinstance(answer, Granted):
                return SessionRecord(_as_now(kept.session, answer), self._clock.now())
            return SessionRecord(replace(kept.session, tokens=answer), kept.renewed_at)

        for pause in SAVE_PAUSES:
            try:
                return await self._records.change(place.tenant, place.key, put)
            except errors.Unreachable:
                await asyncio.sleep(pause)
        return await self._records.change(place.tenant, place.key, put)


def _as_now(session: Session, granted: Granted) -> Session:
    """The session with new tokens and what they say of its user: a role that was taken away is gone."""
    user = granted.user
    return replace(
        session,
        tokens=granted.tokens,
        username=user.username,
        display_name=user.display_name,
        email=user.email,
        roles=user.roles,
        client_roles=user.client_roles,
        groups=user.groups,
    )


def _tokens_expire_at(kept: SessionRecord) -> float:
    return kept.session.tokens.access_expires_at


def _name(place: SessionKey, sign_in: str) -> str:
    """The lock of a session's tokens; the sessions of one sign-in have their tokens in common."""
    return f"refresh:{place.tenant}:{sign_in or place.digest}"


def _life(tenant: Tenant) -> float:
    """Seconds after which the lock expires in any case."""
    return 2 * tenant.keycloak.timeout + 10


def _patience(tenant: Tenant) -> float:
    """Seconds to wait for another replica's renewal if there is no valid token."""
    return 2 * tenant.keycloak.timeout + 1
