"""Keeps the records of logins, each under the digest of its newest secret.

One record is one `Slot`: a login under way, or `Spent`, the mark of a secret that is inert now. Every change is one
compare-and-swap of one slot, so of many requests with one secret exactly one turns or spends it (`docs/security.md`,
chain of custody).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

from gateway.domain.ports import Clock
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.login import state_machine
from gateway.login.abandoned_logins import AbandonedLogins
from gateway.login.login_request import LoginRequest
from gateway.login.login_secrets import digest
from gateway.login.record import Event, Login, Purpose, Slot, Spent, counts, kept_until
from gateway.login.state_machine import LoginState
from gateway.store.records import Changed, RecordKey, Records


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
    """Reads and changes slots.

    Each login with tokens is noted in `abandoned`; one that ends without a session loses its session at Keycloak.
    """

    records: Records[Slot]
    clock: Clock
    abandoned: AbandonedLogins
    logout_retries: LogoutRetries

    async def find(self, request: LoginRequest) -> Slot:
        """The slot of this browser's secret, as far as it counts now; an empty slot when nothing does.

        A login inside a session counts only for a browser with that session.
        """
        slot = await self.under(request, request.secret) if request.secret else Slot()
        login = slot.login
        if login is None:
            return slot
        if not counts(login, request.configuration.gateway.limits, self.clock.now()):
            return Slot()
        if login.purpose is not Purpose.SIGN_IN and (request.session is None or request.session.id != login.session):
            return Slot()
        return slot

    async def under(self, request: LoginRequest, secret: str) -> Slot:
        """The slot of `secret`, whatever it is worth; an empty slot when there is none."""
        return await self.records.read(request.tenant.id, RecordKey(request.tag, digest(secret))) or Slot()

    async def add(self, request: LoginRequest, login: Login) -> bool:
        """Make the record; False when there is one already. No login overwrites another."""
        until = kept_until(login, request.configuration.gateway.limits)
        if not await self.records.add(login.tenant, _key(login), Slot(login), until):
            return False
        await self.abandoned.note(request.tenant, login)
        if login.stopped:
            self.end_at_keycloak(request, login)
        return True

    async def apply(self, request: LoginRequest, state: LoginState, events: tuple[Event, ...]) -> LoginState | None:
        """The login with `events` applied, whatever was written meanwhile; None when its secret is spent by now."""
        outcome = await self._apply(
            request, state, events, lambda after, changed, now: Slot(after.login) if changed else None
        )
        self._report_stop(request, state, outcome)
        if outcome is None or outcome.slot.login is None:
            return None
        after = outcome.state
        if after.login.tokens and not state.login.tokens:
            await self.abandoned.note(request.tenant, after.login)
        return after

    async def turn(
        self, request: LoginRequest, state: LoginState, events: tuple[Event, ...], form: str, secret: str
    ) -> Outcome | None:
        """Apply the events of an accepted proof and go on under `secret`; the old secret is spent for `form`.

        The slot holds a login where the events answered nothing that is pending now. None: it is gone.
        """

        def change(after: LoginState, changed: bool, now: float) -> Slot | None:
            if events and not changed:
                return None
            moved = replace(after.login, key=digest(secret), moved_at=now, turned_at=now)
            return Slot(spent=Spent(form, now, moved, moved.key))

        outcome = await self._apply(request, state, events, change)
        if outcome and outcome.mine and outcome.slot.spent:
            await self.complete(request, outcome.slot.spent)
            await self.abandoned.note(request.tenant, outcome.slot.spent.login)
        return outcome

    async def complete(self, request: LoginRequest, spent: Spent) -> Slot:
        """The slot of the secret that replaced a spent one; written where a process ended before it did so."""
        key, limits = RecordKey(spent.login.tag, spent.next), request.configuration.gateway.limits
        slot = Slot(spent.login)
        if await self.records.add(spent.login.tenant, key, slot, kept_until(spent.login, limits)):
            return slot
        return await self.records.read(spent.login.tenant, key) or Slot()

    async def spend(
        self, request: LoginRequest, state: LoginState, events: tuple[Event, ...], form: str
    ) -> Outcome | None:
        """Apply the events of the last effect. When they end the login, its secret is spent for `form`, by one request.

        None: the slot is gone.
        """

        def change(after: LoginState, changed: bool, now: float) -> Slot | None:
            if not changed:
                return None
            login = after.login
            return Slot(spent=Spent(form, now, replace(login, tokens=None))) if login.opened else Slot(login)

        outcome = await self._apply(request, state, events, change)
        self._report_stop(request, state, outcome)
        return outcome

    async def end(self, request: LoginRequest, login: Login) -> None:
        """End a login whose newest secret the browser showed; a secret that was replaced meanwhile ends nothing."""

        def change(current: Login, now: float) -> Slot:
            return Slot(spent=Spent("", now, replace(current, tokens=None)))

        _, mine = await self._change(request, login, change)
        if mine and not login.stopped:
            self.end_at_keycloak(request, login)

    def end_at_keycloak(self, request: LoginRequest, login: Login) -> None:
        """End the Keycloak session of a login that ends without a session here."""
        if login.tokens:
            self.logout_retries.begin(request.tenant, login.tokens)

    async def _apply(
        self, request: LoginRequest, state: LoginState, events: tuple[Event, ...], write: Write
    ) -> Outcome | None:
        """Applies `events` to the login under its secret and writes what `write` returns; None without a slot."""
        after = state

        def change(current: Login, now: float) -> Slot | None:
            nonlocal after
            before = state if current == state.login else state_machine.state_of(current)
            after = applied(before, events, now)
            return write(after, after is not before, now)

        slot, mine = await self._change(request, state.login, change)
        return None if slot is None else Outcome(slot, mine, after)

    async def _change(
        self, request: LoginRequest, login: Login, change: Callable[[Login, float], Slot | None]
    ) -> tuple[Slot | None, bool]:
        """Apply `change` to the login under its secret (None: leave it).

        :returns: the slot as it is now, None when there is none, and whether this request wrote it.
        """
        now, limits = self.clock.now(), request.configuration.gateway.limits
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

        return await self.records.change(login.tenant, _key(login), swap), mine

    def _report_stop(self, request: LoginRequest, state: LoginState, outcome: Outcome | None) -> None:
        stopped = outcome.slot.login if outcome else None
        if stopped and stopped.stopped and not state.login.stopped:
            self.end_at_keycloak(request, stopped)


def applied(state: LoginState, events: tuple[Event, ...], now: float) -> LoginState:
    """The state with `events` applied; the very same object when none of them answered anything pending."""
    after = reduce(state_machine.apply, events, state)
    return state if after.login == state.login else replace(after, login=replace(after.login, moved_at=now))


def _key(login: Login) -> RecordKey:
    return RecordKey(login.tag, login.key)
