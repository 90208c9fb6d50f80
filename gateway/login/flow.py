"""How does a login go on? Loads it, lets a step act, runs the effects that are due, keeps the record.

Names no step and no factor. The rules it keeps (DESIGN 5):

- the record changes by compare-and-swap; whoever loses re-reads and applies the same event again, never asks the
  world twice;
- an action on a page that is not the login's step changes nothing and shows the step that is;
- effects run after the swap, are idempotent or claimed, and are tried again by the next GET.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Protocol

from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.tenant import Tenant
from gateway.login import machine
from gateway.login.flights import Flights
from gateway.login.record import Effect, Event, Login, Purpose, Step
from gateway.login.visit import Visit, digest_of_secret
from gateway.rendering.step_view import StepView
from gateway.settings.snapshot import OperatorLimits
from gateway.store.records import Changed, Records
from gateway.web.cookies import new_browser_secret

SAME_SESSION_AGAIN = 30.0
"""Seconds for which a finished login gives its own browser the same session again (five tabs)."""
ACTIONS = frozenset({"", "send", "resend", "edit", "other-method", "cancel"})
"""What a form may ask for; nothing named is its step's main action."""
REAPED_WITHIN = 900.0
"""Seconds that a dead login's record is kept for `reaper` to end its Keycloak session."""

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Acted:
    """What an act led to: events, and apart from them a problem to show.

    `then` goes on once the events are recorded, for an act that must not be forgotten half-way.
    """

    events: tuple[Event, ...] = ()
    trouble: Trouble | None = None
    cancelled: bool = False
    then: "Callable[[Login], Awaitable[Acted]] | None" = None


@dataclass(frozen=True, slots=True)
class Went:
    """Where a login stands after a request; `login` None is the password page of a browser without one."""

    login: Login | None
    trouble: Trouble | None = None
    out_of_order: bool = False

    @property
    def step(self) -> Step:
        """The page to show."""
        return machine.step(self.login) if self.login else Step.PASSWORD

    @property
    def failed(self) -> bool:
        """Whether what was asked for did not happen; that a code waits for its turn is no failure."""
        return self.trouble is not None and self.trouble.problem is not Problem.QUEUED


class Page(Protocol):
    """One step: its act and its view."""

    async def act(self, visit: Visit, login: Login, action: str, fields: Fields) -> Acted:
        """Do what the form asks. Never changes the record itself."""

    async def view(self, visit: Visit, login: Login, fields: Fields) -> StepView:
        """What its template and its JSON show; `fields` is what was just typed, empty on a GET."""


EffectRunner = Callable[[Visit, Login], Awaitable[Acted]]


@dataclass(frozen=True, slots=True)
class Flow:
    """See the module's text."""

    logins: Records[Login]
    pages: Mapping[Step, Page]
    effects: Mapping[Effect, EffectRunner]
    clock: Clock
    chance: Chance
    on_begun: Callable[[Tenant, Login], Awaitable[None]] = field(repr=False)
    on_dead: Callable[[Tenant, Login], None] = field(repr=False)
    stands: Callable[[Tenant, str], Awaitable[bool]] = field(repr=False)
    flights: Flights[Acted] = field(default_factory=Flights, repr=False)
    beginnings: Flights[Went] = field(default_factory=Flights, repr=False)

    async def load(self, visit: Visit, secret: str | None) -> Login | None:
        """The login of this browser, if it holds its secret and the login still counts."""
        login = await self.logins.read(visit.tenant.id, visit.tag)
        if login is None or secret is None or login.tenant != visit.tenant.id:
            return None
        if not hmac.compare_digest(login.secret.encode(), secret.encode()):
            return None
        return login if await self._serves(visit, login) else None

    async def look(self, visit: Visit, login: Login | None) -> Went:
        """A GET: run what is due, say where the login stands."""
        return await self._settle(visit, login, None) if login else Went(None)

    async def act(self, visit: Visit, login: Login | None, page: Step, action: str, fields: Fields) -> Went:
        """A POST of the form of `page`."""
        if login and (login.opened or login.stopped) and page is Step.PASSWORD:
            login = None  # it absorbs everything: a password begins a new one
        current = login or self.begin(visit)
        if machine.step(current) is not page:
            return replace(await self.look(visit, login), out_of_order=True)
        if login is None:  # a double click, or tabs that a browser opened at once: asked once for all of them
            name = (visit.tenant.id, visit.tag, visit.came_with, _digest_of(action, fields))
            return await self.beginnings.join(name, lambda: self._begun(visit, current, page, action, fields))
        acted = await self._acted(visit, current, page, action, fields)
        if acted.cancelled:
            await self.logins.remove(visit.tenant.id, visit.tag)
            self.on_dead(visit.tenant, login)
            return Went(None)
        moved = await self._happened(visit, login, acted.events)
        while moved and acted.then:
            acted = await acted.then(moved)
            moved = await self._happened(visit, moved, acted.events)
        shown = acted.trouble if moved is None or machine.step(moved) is page else None
        return await self._settle(visit, moved, shown)

    async def _acted(self, visit: Visit, login: Login, page: Step, action: str, fields: Fields) -> Acted:
        if action not in ACTIONS:
            return Acted(trouble=Trouble(Problem.BAD_INPUT))  # a slip of a program must not become its main action
        return await self.pages[page].act(visit, login, action, fields)

    async def _begun(self, visit: Visit, login: Login, page: Step, action: str, fields: Fields) -> Went:
        """The first act of a browser without a login."""
        acted = await self._acted(visit, login, page, action, fields)
        return Went(None) if acted.cancelled else await self._keep_new(visit, login, acted)

    def begin(self, visit: Visit) -> Login:
        """A login that nothing happened to yet, pinned to today's policy. It is no record before its first event."""
        now = self.clock.now()
        return Login(
            id=self.chance.token_bytes(9).hex(),
            secret=new_browser_secret(self.chance, visit.tag).secret,
            session_secret=new_browser_secret(self.chance, visit.tag).secret,
            tag=visit.tag,
            tenant=visit.tenant.id,
            purpose=Purpose.SIGN_IN,
            policy=visit.tenant.policy,
            app=visit.app,
            route_asks=visit.route_asks,
            begun_at=now,
            moved_at=now,
            begun_with=visit.came_with,
        )

    async def keep(self, visit: Visit, login: Login) -> Went:
        """Make the record of a login begun inside a session; it takes the place of any other of this browser."""
        before = await self.logins.read(login.tenant, login.tag)
        await self.logins.write(login.tenant, login.tag, login, _kept_until(login, visit.configuration.gateway.limits))
        if before and not before.opened:
            self.on_dead(visit.tenant, before)
        return await self._settle(visit, login, None)

    async def _keep_new(self, visit: Visit, begun: Login, acted: Acted) -> Went:
        """The first event of a login makes its record; a browser has one login at a time (GW-13)."""
        login = _after(begun, acted.events, self.clock.now())
        if login is begun:
            return Went(None, acted.trouble)
        limits = visit.configuration.gateway.limits
        until = _kept_until(login, limits)
        if not await self.logins.add(login.tenant, login.tag, login, until):
            other = await self.logins.read(login.tenant, login.tag)
            if other and login.user and await self._goes_on(visit, other, login.user.id):
                self.on_dead(visit.tenant, login)
                return await self._settle(visit, other, None)
            await self.logins.write(login.tenant, login.tag, login, until)
            if other and not other.opened:
                self.on_dead(visit.tenant, other)
        await self.on_begun(visit.tenant, login)
        if login.stopped:
            self.on_dead(visit.tenant, login)
        return await self._settle(visit, login, acted.trouble)

    async def _goes_on(self, visit: Visit, other: Login, user_id: str) -> bool:
        """Whether `other` is a login of the same user that this browser may go on with instead of a new one.

        It came with the cookie that `other` was begun with, or with its own: a tag that somebody knows leads into no
        login.
        """
        if visit.came_with not in (other.begun_with, digest_of_secret(other.secret)):
            return False
        same = other.user is not None and other.user.id == user_id and not other.stopped
        return same and other.purpose is Purpose.SIGN_IN and await self._serves(visit, other)

    async def _serves(self, visit: Visit, login: Login) -> bool:
        """Whether `login` counts now, and for where the browser wants to go.

        One that opened a session without a factor, because its route asks for none, is no login for a route that does;
        one whose session is over is none at all.
        """
        if not counts(login, visit.configuration.gateway.limits, self.clock.now()):
            return False
        if login.opened is None:
            return True
        if visit.route_asks and not login.route_asks:
            return False
        return not login.opened.cookie or await self.stands(visit.tenant, login.opened.cookie)

    async def _settle(self, visit: Visit, login: Login | None, trouble: Trouble | None) -> Went:
        """Run effects until a page is due, or one of them has a problem to show."""
        while login and not trouble and isinstance(effect := machine.first(login), Effect):
            acted = await self._run(visit, login, effect)
            moved = await self._happened(visit, login, acted.events)
            trouble = acted.trouble
            if moved == login:
                break  # somebody else is at it: the page says so and asks again
            login = moved
        if login is None:
            return Went(None, trouble or Trouble(Problem.LOGIN_EXPIRED))
        if login.opened or login.stopped:
            trouble = login.stopped
        return Went(login, trouble)

    async def _run(self, visit: Visit, login: Login, effect: Effect) -> Acted:
        """The outcome of an effect, for all requests that find it due at the same time."""
        name = (login.id, effect.value, str(login.round), str(login.asked))

        async def fly() -> Acted:
            return await self.effects[effect](visit, login)

        return await self.flights.join(name, fly)

    async def _happened(self, visit: Visit, login: Login, events: tuple[Event, ...]) -> Login | None:
        """The record with `events` applied, whoever else wrote meanwhile; None when it is another login's by now."""
        now, limits = self.clock.now(), visit.configuration.gateway.limits

        def change(current: Login) -> Login | Changed[Login] | None:
            if current.id != login.id:
                return None
            after = _after(current, events, now)
            return current if after is current else Changed(after, _kept_until(after, limits))

        moved = await self.logins.change(login.tenant, login.tag, change)
        if moved and moved.stopped and not login.stopped:
            self.on_dead(visit.tenant, moved)
        elif moved and moved.tokens and not login.tokens:
            await self.on_begun(visit.tenant, moved)
        return moved


def _digest_of(action: str, fields: Fields) -> str:
    """Stands for what was typed, wherever its tab wants to go and whichever page it is on."""
    typed = sorted((name, value) for name, value in fields.items() if name not in ("csrf", "to"))
    return hashlib.sha256(repr((action, typed)).encode("utf-8", "surrogatepass")).hexdigest()


def counts(login: Login, limits: OperatorLimits, now: float) -> bool:
    """Whether a login still counts."""
    return now < counts_until(login, limits)


def counts_until(login: Login, limits: OperatorLimits) -> float:
    """When a login ends to which nothing happens: 15 minutes from its last event, 60 in all; opened, 30 seconds.

    Whoever has to wait for his code has those 15 minutes from the moment it may be sent, however late that is.
    """
    if login.opened:
        return login.opened.at + SAME_SESSION_AGAIN
    idle = max(login.moved_at, login.queued_until or 0.0) + limits.login_idle
    return min(idle, max(login.begun_at + limits.login_absolute, login.held_until + limits.login_idle))


def _after(login: Login, events: tuple[Event, ...], now: float) -> Login:
    """`login` with `events` applied; the very same object when none of them answered anything pending."""
    after = reduce(machine.apply, events, login)
    return login if after == login else replace(after, moved_at=now)


def _kept_until(login: Login, limits: OperatorLimits) -> float:
    if login.opened:
        return login.opened.at + SAME_SESSION_AGAIN
    return max(login.moved_at, login.queued_until or 0.0) + limits.login_idle + REAPED_WITHIN
