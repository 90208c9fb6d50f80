"""Keeps the records of logins in the store, each under the digest of its newest secret, and derives these secrets.

One record is one `Slot`: a login under way, or `Spent`, the mark of a secret that is inert now. Every change is one
compare-and-swap of one slot. So of many requests with one secret exactly one rotates or spends it (`docs/security.md`,
chain of custody).

A right password leaves a session at Keycloak before the second factor. `LoginRecords` notes each login with tokens in
the store, under the minute in which it expires at the earliest, and again under each new secret. In that minute one
replica reads the note. It ends the Keycloak session of an abandoned login, and notes a live login again. The note
outlives a restart, and the record is kept for a while after it expires.

`BrowserUsers` remembers which users finished a login in a browser.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce

import structlog

from gateway.crypto.key_ring import Signer
from gateway.domain.configuration import Configuration, OperatorLimits
from gateway.domain.errors import GatewayError
from gateway.domain.ports import Clock, Random
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.login import state_machine
from gateway.login.login_request import LoginRequest
from gateway.login.record import Event, Login, Purpose, Slot, Spent, Stopped
from gateway.login.state_machine import LoginState, state_of
from gateway.observe.audit import AuditEvent
from gateway.sessions.sessions import Sessions
from gateway.store.protocol import Store
from gateway.store.records import Changed, RecordKey, Records
from gateway.store.single_use import SingleUse

SECRETS = "login-secrets"
"""The purpose of the `Signer` of `LoginSecrets`."""
NOT_TYPED = frozenset({"csrf", "to", "form"})
"""Fields of a form that are no part of what the user entered."""
TAG_LENGTH = 22
MINUTE = 60.0
LOOK_BACK = 15
"""Minutes for which an expired login's record is kept, so that a replica that was away still ends its session."""
MOST_NOTES = 100_000
NOTES_KEPT = 7200.0
LOOK_EVERY = 30.0
"""Seconds between two looks of one replica for abandoned logins."""
BROWSER_KEPT = 180 * 86400.0
MOST_USERS = 20
log = structlog.get_logger(__name__)


def digest(secret: str) -> str:
    """The SHA-256 (hex) of a secret: the key of its record. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LoginSecrets:
    """Derives login, session and trust secrets: 43 characters of URL-safe base64 each (256 bits).

    A login secret is a cookie's value. The next one is derived from the one that the browser sent and from the form it
    sent, under a key of the key ring. So the very same form, secret and entry get the very same answer (a double click,
    a lost answer), and the store keeps no secret. No other party can compute it: the key ring is secret, and a form
    carries a random id.
    """

    signer: Signer
    random: Random

    def form(self, tenant: str, secret: str | None, page: str, fields: Mapping[str, str]) -> str:
        """Names one form with its entry, as sent with `secret`; keyed, so that it tells no entry.

        A form without an id gets another name each time: then no answer is repeated.
        """
        form_id = fields.get("form") or self.random.token_bytes(16).hex()
        typed = [part for name in sorted(fields) if name not in NOT_TYPED for part in (name, fields[name])]
        return self.signer.sign("form", tenant, secret or "", page, form_id, *typed)

    def after(self, secret: str, form: str) -> str:
        """The login secret that the answer to `form` (see `form`), sent with `secret`, sets."""
        return self.signer.sign("next", secret, form)

    def session(self, secret: str) -> str:
        """The secret of the session that spends the login secret `secret`."""
        return self.signer.sign("session", secret)

    def trust(self, secret: str) -> str:
        """The secret of the browser trusted by the login that `secret` ends."""
        return self.signer.sign("trust", secret)

    def trust_tag(self, secret: str) -> str:
        """The tag under which that browser's trust is kept; known to no other browser."""
        return self.signer.sign("trust-tag", secret)[:TAG_LENGTH]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A slot after a change, whether this very request changed it, and the state of its login."""

    slot: Slot
    mine: bool
    state: LoginState


Write = Callable[[LoginState, bool, float], Slot | None]
"""What to write for a login to which events were applied, given whether they changed it, and now; None: nothing."""


@dataclass(frozen=True, slots=True)
class LoginRecords:
    """Reads and changes slots. A login that ends without a session loses its session at Keycloak."""

    records: Records[Slot]
    store: Store
    single_use: SingleUse
    clock: Clock
    configuration: Callable[[], Configuration]
    logout_retries: LogoutRetries
    sessions: Sessions | None = None

    async def find(self, request: LoginRequest) -> Slot:
        """The slot of this browser's secret, as far as it counts now; an empty slot when nothing does.

        A login inside a session counts only for a browser with that session.
        """
        slot = await self.under(request, request.secret) if request.secret else Slot()
        login = slot.login
        if login is None:
            return slot
        expires, _ = lifetime(login, request.configuration.gateway.limits)
        if self.clock.now() >= expires:
            return Slot()
        if login.purpose is not Purpose.SIGN_IN and (request.session is None or request.session.id != login.session):
            return Slot()
        return slot

    async def under(self, request: LoginRequest, secret: str) -> Slot:
        """The slot of `secret`, also an expired one; an empty slot when there is none."""
        return await self.records.read(request.tenant.id, RecordKey(request.tag, digest(secret))) or Slot()

    async def last_user(self, request: LoginRequest) -> User | None:
        """The user of this browser's login, also of an expired one while its record is kept."""
        slot = await self.under(request, request.secret) if request.secret else Slot()
        return slot.login.user if slot.login and slot.login.purpose is Purpose.SIGN_IN else None

    async def add(self, request: LoginRequest, login: Login, events: tuple[Event, ...] = ()) -> bool:
        """Make the record; False when there is one already. No login overwrites another. `events` led to it."""
        _, until = lifetime(login, request.configuration.gateway.limits)
        if not await self.records.add(login.tenant, RecordKey(login.tag, login.key), Slot(login), until):
            return False
        await self.note(request.tenant, login)
        if login.stopped:
            self._stopped(request, login, events)
        return True

    async def apply(self, request: LoginRequest, state: LoginState, events: tuple[Event, ...]) -> LoginState | None:
        """The login with `events` applied, whatever was written meanwhile; None when its secret is spent by now."""

        def write(after: LoginState, changed: bool, _now: float) -> Slot | None:
            return Slot(after.login) if changed else None

        outcome = await self._change(request, state, events, write)
        if outcome is None or outcome.slot.login is None:
            return None
        if outcome.state.login.tokens and not state.login.tokens:
            await self.note(request.tenant, outcome.state.login)
        return outcome.state

    async def rotate(
        self, request: LoginRequest, state: LoginState, events: tuple[Event, ...], form: str, secret: str
    ) -> Outcome | None:
        """Apply the events of an accepted proof and go on under `secret`; the old secret is spent for `form`.

        The slot holds a login where the events answered nothing that is pending now. None: it is gone.
        """

        def write(after: LoginState, changed: bool, now: float) -> Slot | None:
            if events and not changed:
                return None
            moved = replace(after.login, key=digest(secret), moved_at=now, rotated_at=now)
            return Slot(spent=Spent(form, now, moved, moved.key))

        outcome = await self._change(request, state, events, write)
        if outcome and outcome.mine and outcome.slot.spent:
            await self.complete(request, outcome.slot.spent)
            await self.note(request.tenant, outcome.slot.spent.login)
        return outcome

    async def complete(self, request: LoginRequest, spent: Spent) -> None:
        """Write the slot of the secret that replaced a spent one, if a process ended before it did so."""
        _, until = lifetime(spent.login, request.configuration.gateway.limits)
        await self.records.add(spent.login.tenant, RecordKey(spent.login.tag, spent.next), Slot(spent.login), until)

    async def spend(
        self, request: LoginRequest, state: LoginState, events: tuple[Event, ...], form: str
    ) -> Outcome | None:
        """Apply the events of the last effect. When they end the login, its secret is spent for `form`, by one request.

        None: the slot is gone.
        """

        def write(after: LoginState, changed: bool, now: float) -> Slot | None:
            if not changed:
                return None
            login = after.login
            return Slot(spent=Spent(form, now, replace(login, tokens=None))) if login.opened else Slot(login)

        return await self._change(request, state, events, write)

    async def end(self, request: LoginRequest, login: Login, kept: Tokens | None = None) -> None:
        """End a login whose newest secret the browser showed; a secret that was replaced meanwhile ends nothing.

        `kept` as in `end_at_keycloak`.
        """

        def write(after: LoginState, _changed: bool, now: float) -> Slot:
            return Slot(spent=Spent("", now, replace(after.login, tokens=None)))

        outcome = await self._change(request, state_of(login), (), write)
        if outcome and outcome.mine and not login.stopped:
            self.end_at_keycloak(request, login, kept)

    def end_at_keycloak(self, request: LoginRequest, login: Login, kept: Tokens | None = None) -> None:
        """End the Keycloak session of a login that ends without a session here.

        `kept` are the tokens of the login that goes on in its place. Sign-ins of one browser on Keycloak's own page
        share one session there, which must not end under that login, nor under a live session of this browser.
        """
        live = request.session.tokens if request.session else None
        if login.tokens and not login.tokens.same_session(kept) and not login.tokens.same_session(live):
            self.logout_retries.begin(request.tenant, login.tokens)

    async def note(self, tenant: Tenant, login: Login) -> None:
        """Notes to look at `login` when it may be abandoned."""
        if login.tokens is None:
            return
        expires, _ = lifetime(login, self.configuration().gateway.limits)
        value = json.dumps([tenant.id, login.tag, login.key]).encode()
        life = NOTES_KEPT + max(0.0, expires - self.clock.now())
        await self.store.append(f"dying:{int(expires // MINUTE) + 1}", value, MOST_NOTES, life)

    async def watch_abandoned(self) -> None:
        """Ends abandoned logins every `LOOK_EVERY` seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.end_abandoned()
            except GatewayError as error:
                log.warning("abandoned_logins_not_ended", what=error.what)
            except Exception:  # an unexpected error must not end the task: it would end no later login either
                log.exception("abandoned_logins_not_ended")

    async def end_abandoned(self) -> int:
        """Looks at every login noted for the last minutes; returns the number of Keycloak sessions that it ended."""
        now, ended = int(self.clock.now() // MINUTE), 0
        for minute in range(now - LOOK_BACK, now + 1):
            for raw in await self.store.last(f"dying:{minute}", MOST_NOTES):
                try:
                    tenant_id, tag, key = map(str, json.loads(raw))
                except (ValueError, TypeError):  # another version's
                    continue
                claim = ("reap", key, str(minute))
                if not await self.single_use.claim(tenant_id, claim, NOTES_KEPT):
                    continue
                try:
                    ended += await self._abandoned(tenant_id, RecordKey(tag, key))
                except GatewayError:
                    with suppress(GatewayError):  # else no replica looks at it any more
                        await self.single_use.release(tenant_id, claim)
                    raise
        return ended

    async def _abandoned(self, tenant_id: str, key: RecordKey) -> bool:
        """Ends the Keycloak session of the login under `key` if it has expired; whether this replica ended it."""
        configuration = self.configuration()
        tenant = configuration.tenant(tenant_id)
        slot = await self.records.read(tenant_id, key)
        login = slot.login if slot else None
        if tenant is None or login is None or login.tokens is None:
            return False
        expires, _ = lifetime(login, configuration.gateway.limits)
        if self.clock.now() < expires:
            await self.note(tenant, login)
            return False

        def without(now: Slot) -> Slot | None:
            return Slot(replace(now.login, tokens=None)) if now.login and now.login.tokens else None

        if await self.records.change(tenant_id, key, without) is None:
            return False  # another replica was first, or the login went on
        if await self._lives_on(tenant, login):
            return False
        self.logout_retries.begin(tenant, login.tokens)
        return True

    async def _lives_on(self, tenant: Tenant, login: Login) -> bool:
        """Whether a live session of the user has the Keycloak session of this login.

        So it is where the browser lost its login cookie, but not Keycloak's, and the user signed in again.
        """
        if self.sessions is None or login.user is None or not login.sso:
            return False
        return any(one.tokens.same_session(login.tokens) for one in await self.sessions.of_user(tenant, login.user.id))

    async def _change(
        self, request: LoginRequest, state: LoginState, events: tuple[Event, ...], write: Write
    ) -> Outcome | None:
        """Applies `events` to the login under its secret and writes what `write` returns; None without a slot."""
        login, now, limits = state.login, self.clock.now(), request.configuration.gateway.limits
        after, mine = state, False

        def swap(slot: Slot) -> Slot | Changed[Slot]:
            nonlocal after, mine
            current, new = slot.login, None
            if current and current.id == login.id:
                before = state if current == login else state_of(current)
                after = applied(before, events, now)
                new = write(after, after is not before, now)
            mine = new is not None
            if new is None:
                return slot
            _, until = lifetime(new.spent.login if new.spent else after.login, limits)
            return Changed(new, until)

        slot = await self.records.change(login.tenant, RecordKey(login.tag, login.key), swap)
        if slot is None:
            return None
        if mine and slot.login and slot.login.stopped and not login.stopped:
            self._stopped(request, slot.login, events)
        return Outcome(slot, mine, after)

    def _stopped(self, request: LoginRequest, login: Login, events: tuple[Event, ...]) -> None:
        """Ends the Keycloak session of a login that stopped.

        Audited here: a refusal by the requirement, which no event names, and the path that the user takes.
        """
        self.end_at_keycloak(request, login)
        why = login.stopped
        if why and (why.path or not any(isinstance(event, Stopped) for event in events)):
            request.audit.write(
                AuditEvent.LOGIN_STOPPED, login.user, login=login.id, problem=why.problem.value, path=why.path
            )


def applied(state: LoginState, events: tuple[Event, ...], now: float) -> LoginState:
    """The state with `events` applied; the very same object when none of them answered anything pending."""
    after = reduce(state_machine.apply, events, state)
    return state if after.login == state.login else replace(after, login=replace(after.login, moved_at=now))


def lifetime(login: Login, limits: OperatorLimits) -> tuple[float, float]:
    """When a login without a further event expires, and until when its record is kept.

    It expires 15 minutes after its last event, and 60 minutes after its first. A user who has to wait for a code has
    those 15 minutes from the moment at which the gateway may send it, however late that is.
    """
    idle = max(login.moved_at, login.verification.queued_until or 0.0) + limits.login_idle
    absolute = max(login.begun_at + limits.login_absolute, login.verification.held_until + limits.login_idle)
    return min(idle, absolute), idle + LOOK_BACK * MINUTE


@dataclass(frozen=True, slots=True)
class KnownUsers:
    """Digests of user names, newest last; `last` is the user name of the newest, "" when it is not shown here."""

    names: tuple[str, ...] = ()
    last: str = ""


@dataclass(frozen=True, slots=True)
class BrowserUsers:
    """The users that finished a login in a browser, under the digest of the id in its browser cookie.

    They get a queue and a failure count of their own there: another person who types a user's name elsewhere does not
    stall them. This is never a proof: it skips nothing. A reader of the store cannot use the key as a cookie, and so
    cannot take the place of a user.
    """

    records: Records[KnownUsers]
    clock: Clock

    async def knows(self, tenant: str, browser: str | None, name: str) -> bool:
        """Whether the user with the name digest `name` finished a login in `browser`."""
        seen = await self.records.read(tenant, digest(browser)) if browser else None
        return seen is not None and name in seen.names

    async def last(self, tenant: str, browser: str | None) -> str:
        """The user name for the password page of `browser`."""
        seen = await self.records.read(tenant, digest(browser)) if browser else None
        return seen.last if seen else ""

    async def forget(self, tenant: str, browser: str | None) -> None:
        """Show no user name in `browser` any more."""
        if browser:
            await self.records.change(tenant, digest(browser), lambda seen: replace(seen, last=""))

    async def remember(self, tenant: str, browser: str, name: str, shown: str = "") -> bool:
        """Note that the user with the name digest `name` finished a login; whether another user did so last.

        `shown` is the user name for the next password page of this browser, "" for none.
        """
        key, until = digest(browser), self.clock.now() + BROWSER_KEPT
        if await self.records.add(tenant, key, KnownUsers((name,), shown), until):
            return False
        other = False

        def note(seen: KnownUsers) -> Changed[KnownUsers]:
            nonlocal other
            other = seen.names[-1:] != (name,)
            return Changed(KnownUsers((*(n for n in seen.names if n != name), name)[-MOST_USERS:], shown), until)

        await self.records.change(tenant, key, note)
        return other
