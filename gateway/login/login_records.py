"""Keeps the records of logins, each under the digest of its newest secret.

One record is one `Slot`: a login under way, or `Spent`, the mark of a secret that is inert now. Every change is one
compare-and-swap of one slot, so of many requests with one secret exactly one turns or spends it (`docs/security.md`,
chain of custody).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import reduce

from gateway.domain.configuration import OperatorLimits
from gateway.domain.ports import Clock
from gateway.domain.tenant import Tenant
from gateway.login import machine
from gateway.login.login_secrets import digest
from gateway.login.record import Event, Login, Purpose
from gateway.login.visit import LoginRequest
from gateway.store.records import Changed, RecordKey, Records

SAME_ANSWER = 30.0
"""Seconds for which the very same form gets the same answer again."""
REAPED_WITHIN = 900.0
"""Seconds that a dead login's record is kept for `reaper` to end its Keycloak session."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What is kept under a login secret that is inert now.

    `by` names the form whose answer may be repeated until `at` + `SAME_ANSWER`; "" when none may. `next` is the digest
    of the secret that came after, "" at the end of the login. `login` is the login as it went on.
    """

    by: str
    at: float
    login: Login
    next: str = ""

    def repeats(self, form: str, now: float) -> bool:
        """Whether the answer to `form` may be repeated."""
        return self.by == form != "" and now < self.at + SAME_ANSWER


@dataclass(frozen=True, slots=True)
class Slot:
    """The record under one login secret: a login under way, or what became of it."""

    login: Login | None = None
    spent: Spent | None = None

    @property
    def sign_in(self) -> Login | None:
        """The login under way, if it is a sign-in."""
        return self.login if self.login and self.login.purpose is Purpose.SIGN_IN else None

    @property
    def gone_on(self) -> bool:
        """Whether another answer holds what the browser should come with: a newer secret, or a session."""
        return self.spent is not None and bool(self.spent.next or self.spent.login.opened)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands in a slot after a change, and whether this very request changed it."""

    slot: Slot
    mine: bool


@dataclass(frozen=True, slots=True)
class LoginRecords:
    """Reads and changes slots. `on_begun` is told of each login with tokens, `on_dead` of each that ends without a
    session."""

    records: Records[Slot]
    clock: Clock
    on_begun: Callable[[Tenant, Login], Awaitable[None]] = field(repr=False)
    on_dead: Callable[[Tenant, Login], None] = field(repr=False)

    async def find(self, visit: LoginRequest) -> Slot:
        """What stands under the secret of this browser and counts now; an empty slot when nothing does.

        A login inside a session counts only for a browser with that session.
        """
        slot = await self.under(visit, visit.secret) if visit.secret else Slot()
        login = slot.login
        if login is None:
            return slot
        if not counts(login, visit.configuration.gateway.limits, self.clock.now()):
            return Slot()
        if login.purpose is not Purpose.SIGN_IN and (visit.session is None or visit.session.id != login.session):
            return Slot()
        return slot

    async def under(self, visit: LoginRequest, secret: str) -> Slot:
        """What stands under `secret`, whatever it is worth; an empty slot when nothing does."""
        return await self.records.read(visit.tenant.id, RecordKey(visit.tag, digest(secret))) or Slot()

    async def add(self, visit: LoginRequest, login: Login) -> bool:
        """Make the record; False when one stands there already. No login overwrites another."""
        until = kept_until(login, visit.configuration.gateway.limits)
        if not await self.records.add(login.tenant, _place(login), Slot(login), until):
            return False
        await self.on_begun(visit.tenant, login)
        if login.stopped:
            self.on_dead(visit.tenant, login)
        return True

    async def apply(self, visit: LoginRequest, login: Login, events: tuple[Event, ...]) -> Login | None:
        """The login with `events` applied, whatever was written meanwhile; None when its secret is spent by now."""

        def change(current: Login, now: float) -> Slot | None:
            after = applied(current, events, now)
            return None if after is current else Slot(after)

        outcome = await self._change(visit, login, change)
        moved = outcome.slot.login if outcome else None
        self._tell_of_stop(visit, login, moved)
        if moved and moved.tokens and not login.tokens:
            await self.on_begun(visit.tenant, moved)
        return moved

    async def turn(
        self, visit: LoginRequest, login: Login, events: tuple[Event, ...], form: str, secret: str
    ) -> Outcome | None:
        """Apply the events of an accepted proof and go on under `secret`; the old secret is spent for `form`.

        The slot holds a login where the events answered nothing that is pending now. None: it is gone.
        """

        def change(current: Login, now: float) -> Slot | None:
            after = applied(current, events, now)
            if events and after is current:
                return None
            moved = replace(after, key=digest(secret), moved_at=now, turned_at=now)
            return Slot(spent=Spent(form, now, moved, moved.key))

        outcome = await self._change(visit, login, change)
        if outcome and outcome.mine and outcome.slot.spent:
            moved = outcome.slot.spent.login
            await self.complete(visit, outcome.slot.spent)
            await self.on_begun(visit.tenant, moved)
        return outcome

    async def complete(self, visit: LoginRequest, spent: Spent) -> Slot:
        """What stands under the secret that came after; written where a process ended before it did so."""
        place, limits = RecordKey(spent.login.tag, spent.next), visit.configuration.gateway.limits
        slot = Slot(spent.login)
        if await self.records.add(spent.login.tenant, place, slot, kept_until(spent.login, limits)):
            return slot
        return await self.records.read(spent.login.tenant, place) or Slot()

    async def spend(self, visit: LoginRequest, login: Login, events: tuple[Event, ...], form: str) -> Outcome | None:
        """Apply the events of the last effect. When they end the login, its secret is spent for `form`, by one request.

        None: the slot is gone.
        """

        def change(current: Login, now: float) -> Slot | None:
            after = applied(current, events, now)
            if after is current:
                return None
            return Slot(spent=Spent(form, now, replace(after, tokens=None))) if after.opened else Slot(after)

        outcome = await self._change(visit, login, change)
        self._tell_of_stop(visit, login, outcome.slot.login if outcome else None)
        return outcome

    async def end(self, visit: LoginRequest, login: Login) -> None:
        """End a login whose newest secret the browser showed; a secret that was replaced meanwhile ends nothing."""

        def change(current: Login, now: float) -> Slot:
            return Slot(spent=Spent("", now, replace(current, tokens=None)))

        outcome = await self._change(visit, login, change)
        if outcome and outcome.mine and not login.stopped:
            self.on_dead(visit.tenant, login)

    async def _change(
        self, visit: LoginRequest, login: Login, change: Callable[[Login, float], Slot | None]
    ) -> Outcome | None:
        """Apply `change` to the login that stands under its secret (None: leave it); None when nothing stands there."""
        now, limits = self.clock.now(), visit.configuration.gateway.limits
        mine = False

        def swap(slot: Slot) -> Slot | Changed[Slot]:
            nonlocal mine
            current = slot.login
            new = change(current, now) if current and current.id == login.id else None
            mine = new is not None
            if new is None:
                return slot
            goes_on = new.login or (new.spent.login if new.spent else login)
            return Changed(new, kept_until(goes_on, limits))

        slot = await self.records.change(login.tenant, _place(login), swap)
        return None if slot is None else Outcome(slot, mine)

    def _tell_of_stop(self, visit: LoginRequest, before: Login, after: Login | None) -> None:
        if after and after.stopped and not before.stopped:
            self.on_dead(visit.tenant, after)


def counts(login: Login, limits: OperatorLimits, now: float) -> bool:
    """Whether a login still counts."""
    return now < counts_until(login, limits)


def counts_until(login: Login, limits: OperatorLimits) -> float:
    """When a login ends to which nothing happens: 15 minutes from its last event, 60 in all.

    A user who has to wait for a code has those 15 minutes from the moment it may be sent, however late that is.
    """
    idle = max(login.moved_at, login.queued_until or 0.0) + limits.login_idle
    return min(idle, max(login.begun_at + limits.login_absolute, login.held_until + limits.login_idle))


def applied(login: Login, events: tuple[Event, ...], now: float) -> Login:
    """`login` with `events` applied; the very same object when none of them answered anything pending."""
    after = reduce(machine.apply, events, login)
    return login if after == login else replace(after, moved_at=now)


def kept_until(login: Login, limits: OperatorLimits) -> float:
    """Until when the record of a login is kept."""
    return max(login.moved_at, login.queued_until or 0.0) + limits.login_idle + REAPED_WITHIN


def _place(login: Login) -> RecordKey:
    return RecordKey(login.tag, login.key)
