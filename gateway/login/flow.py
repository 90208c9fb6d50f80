"""Loads a login, lets a step act, runs the effects that are due, and keeps the record.

Names no step but the password page, and no factor. The rules it keeps:

- The record stands under the digest of the login's newest secret. An accepted proof replaces the secret: one
  compare-and-swap turns the old record into `Spent`, which is inert; then the login goes on under the new secret.
- The session is given to the one request that spends the newest secret. Only the very same form with the same secret
  and entry gets the same answer, for half a minute.
- The record changes by compare-and-swap; a request that loses reads again and applies the same event again, and asks no
  external system twice.
- An act on a page that is not the login's step, or of a form of another login or round, changes nothing, costs nothing,
  and shows the step that is.
- Effects run after the swap, are idempotent or claimed, and are tried again by the next GET.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Protocol

from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.tenant import Tenant
from gateway.login import machine
from gateway.login.flights import Flights
from gateway.login.record import (
    Effect,
    Event,
    Login,
    Opened,
    PasswordChanged,
    PasswordRight,
    Proved,
    Purpose,
    SecretWithdrawn,
    Step,
)
from gateway.login.secrets import LoginSecrets, digest
from gateway.login.visit import Visit
from gateway.rendering.step_view import StepView
from gateway.settings.snapshot import OperatorLimits
from gateway.store.records import Changed, Key, Records
from gateway.web.cookies import BrowserSecret

SAME_ANSWER = 30.0
"""Seconds for which the very same form gets the same answer again."""
ACTIONS = frozenset({"", "send", "resend", "edit", "other-method", "cancel"})
"""What a form may ask for; nothing named is its step's main action."""
REAPED_WITHIN = 900.0
"""Seconds that a dead login's record is kept for `reaper` to end its Keycloak session."""
PROOFS = (PasswordRight, Proved, PasswordChanged)
"""The events that are accepted proofs: each is answered with a new secret."""

Fields = Mapping[str, str]


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
class Acted:
    """What an act led to: events, and apart from them a problem to show.

    `then` goes on once the events are recorded, for an act that must not be forgotten half-way.
    """

    events: tuple[Event, ...] = ()
    trouble: Trouble | None = None
    cancelled: bool = False
    then: "Callable[[Login], Awaitable[Acted]] | None" = None


@dataclass(frozen=True, slots=True)
class Given:
    """The cookie values that the one answer which ends a login sets; "" for none."""

    session: str = field(default="", repr=False)
    trust: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Went:
    """Where a login stands after a request; `login` None is the password page of a browser without one.

    `secret` is the login secret that the answer sets, None to leave the cookie as it is. `given` are the cookies of a
    login that just ended. `inert`: the browser came with a secret that another answer has replaced; it is led to
    `/-/login`, with no cookie. `signed_in`: the browser has a live session of this user already.
    """

    login: Login | None
    trouble: Trouble | None = None
    out_of_order: bool = False
    secret: str | None = field(default=None, repr=False)
    given: Given = Given()
    inert: bool = False
    signed_in: bool = False

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


class CutShort(Exception):
    """An effect failed (`__cause__`) after the login got a new secret: the answer tells the failure and sets `secret`.

    Without the cookie the browser would lose a login whose proof was accepted.
    """

    def __init__(self, tag: str, secret: str) -> None:
        super().__init__("an effect failed after an accepted proof")
        self.tag = tag
        self.secret = secret


EffectRunner = Callable[[Visit, Login], Awaitable[Acted]]


@dataclass(frozen=True, slots=True)
class Flow:
    """Runs logins. `on_begun` is told of each login with tokens, `on_dead` of each that ends without a session."""

    logins: Records[Slot]
    pages: Mapping[Step, Page]
    effects: Mapping[Effect, EffectRunner]
    secrets: LoginSecrets
    clock: Clock
    chance: Chance
    on_begun: Callable[[Tenant, Login], Awaitable[None]] = field(repr=False)
    on_dead: Callable[[Tenant, Login], None] = field(repr=False)
    flights: Flights[Acted] = field(default_factory=Flights, repr=False)
    beginnings: Flights[Went] = field(default_factory=Flights, repr=False)

    async def find(self, visit: Visit) -> Slot:
        """What stands under the secret of this browser and counts now; an empty slot when nothing does.

        A login inside a session counts only for a browser with that session.
        """
        slot = await self.logins.read(visit.tenant.id, _key(visit.tag, digest(visit.secret))) if visit.secret else None
        if slot is None:
            return Slot()
        login = slot.login
        if login is None:
            return slot
        if not counts(login, visit.configuration.gateway.limits, self.clock.now()):
            return Slot()
        if login.purpose is not Purpose.SIGN_IN and (visit.session is None or visit.session.id != login.session):
            return Slot()
        return slot

    async def look(self, visit: Visit, login: Login | None) -> Went:
        """A GET: run what is due, say where the login stands."""
        return await self._settle(visit, login, None) if login else Went(None)

    async def enter(self, visit: Visit, login: Login) -> Went:
        """A browser enters by `/-/login`: an app secret that a page showed and no code has proved is replaced.

        With it the login secret is replaced, so that no other holder of the old one sees the new app secret.
        """
        if not machine.shows_secret(login):
            return await self.look(visit, login)
        form = self.secrets.form(visit.tenant.id, visit.secret, "enter", {})
        return await self._turned(visit, login, Acted((SecretWithdrawn(),)), form)

    async def act(self, visit: Visit, slot: Slot, page: Step, action: str, fields: Fields) -> Went:
        """A POST of the form of `page`; `slot` is what `find` gave."""
        form = self.secrets.form(visit.tenant.id, visit.secret, page.value, fields)
        if slot.spent and (again := await self._again(visit, slot.spent, form)):
            return again
        login = slot.login
        signs_in = login is None or login.purpose is Purpose.SIGN_IN or not fields.get("login")
        if page is Step.PASSWORD and signs_in:
            return await self._password(visit, slot.sign_in, action, fields, form)
        if login is None:
            return Went(None, inert=True) if slot.spent else Went(None, Trouble(Problem.LOGIN_EXPIRED))
        if machine.step(login) is not page or not _names(fields, login):
            return replace(await self.look(visit, login), out_of_order=True)
        acted = await self._acted(visit, login, page, action, fields)
        if acted.cancelled:
            await self._remove(visit.tenant, login)
            return Went(None)
        if any(isinstance(event, PROOFS) for event in acted.events):
            return await self._turned(visit, login, acted, form)
        moved = await self._happened(visit, login, acted.events)
        if moved is None:
            return await self._overtaken(visit, login, form)
        shown = acted.trouble if machine.step(moved) is page else None
        return await self._settle(visit, moved, shown, form)

    async def _acted(self, visit: Visit, login: Login, page: Step, action: str, fields: Fields) -> Acted:
        if action not in ACTIONS:
            return Acted(trouble=Trouble(Problem.BAD_INPUT))  # a slip of a program must not become its main action
        return await self.pages[page].act(visit, login, action, fields)

    # ------------------------------------------------------------------ the password page of a sign-in

    async def _password(self, visit: Visit, login: Login | None, action: str, fields: Fields, form: str) -> Went:
        """A password begins a login, or goes on with the one that this browser has.

        Tabs that a browser opened at once send the same password with the same cookies: Keycloak is asked once for
        those that are under way together, and they get one answer.
        """
        cookies = (
            visit.secret or "",
            visit.trust.secret if visit.trust else "",
            visit.session.id if visit.session else "",
        )
        typed = (fields.get("username", ""), fields.get("password", ""), action)
        name = (visit.tenant.id, self.secrets.entry(visit.app, str(visit.route_asks), *cookies, *typed))
        return await self.beginnings.join(name, lambda: self._password_once(visit, login, action, fields, form))

    async def _password_once(self, visit: Visit, login: Login | None, action: str, fields: Fields, form: str) -> Went:
        secret = self.secrets.after(visit.secret or "", form)
        slot = await self.logins.read(visit.tenant.id, _key(visit.tag, digest(secret)))
        if slot and (again := await self._same_answer(visit, slot, secret, form)):
            return again
        begun = self.begin(visit, secret)
        acted = await self._acted(visit, begun, Step.PASSWORD, action, fields)
        new = _after(begun, acted.events, self.clock.now())
        if acted.cancelled or new is begun:
            return Went(None, acted.trouble)
        if visit.session and new.user and new.user.id == visit.session.user_id and new.tokens and not new.stopped:
            self.on_dead(visit.tenant, new)
            return Went(None, signed_in=True)
        if login and _same_login(login, new):
            self.on_dead(visit.tenant, new)
            return await self._turned(visit, login, Acted(), form)
        if not await self._keep(visit, new):
            self.on_dead(visit.tenant, new)
            slot = await self.logins.read(visit.tenant.id, _key(new.tag, new.key))
            return (slot and await self._same_answer(visit, slot, secret, form)) or Went(None, inert=True)
        if login:  # its newest secret was here: the browser goes on with another one
            await self._remove(visit.tenant, login)
        return await self._settle(replace(visit, secret=secret), new, acted.trouble, form, secret)

    def begin(self, visit: Visit, secret: str) -> Login:
        """A login that nothing happened to yet, pinned to today's policy. It is no record before its first event."""
        now = self.clock.now()
        return Login(
            id=self.chance.token_bytes(9).hex(),
            key=digest(secret),
            tag=visit.tag,
            tenant=visit.tenant.id,
            purpose=Purpose.SIGN_IN,
            policy=visit.tenant.policy,
            app=visit.app,
            route_asks=visit.route_asks,
            begun_at=now,
            moved_at=now,
            turned_at=now,
        )

    async def begin_in_session(self, visit: Visit, old: Login | None, secret: str, login: Login) -> Went:
        """Make the record of a login inside a session, under `secret`; `old` is the browser's login before."""
        if not await self._keep(visit, login):
            slot = await self.logins.read(visit.tenant.id, _key(login.tag, login.key))
            if slot is None or slot.login is None:
                return Went(None, inert=True)
            return await self._settle(replace(visit, secret=secret), slot.login, None, secret=secret)
        if old:
            await self._remove(visit.tenant, old)
        return await self._settle(replace(visit, secret=secret), login, None, secret=secret)

    async def _keep(self, visit: Visit, login: Login) -> bool:
        """Make the record; False when one stands there already. No login overwrites another."""
        until = _kept_until(login, visit.configuration.gateway.limits)
        if not await self.logins.add(login.tenant, _key(login.tag, login.key), Slot(login), until):
            return False
        await self.on_begun(visit.tenant, login)
        if login.stopped:
            self.on_dead(visit.tenant, login)
        return True

    async def _remove(self, tenant: Tenant, login: Login) -> None:
        """End a login whose newest secret the browser showed; a secret that was replaced meanwhile ends nothing."""
        now = self.clock.now()
        mine = False

        def end(slot: Slot) -> Slot:
            nonlocal mine
            mine = slot.login is not None and slot.login.id == login.id
            return Slot(spent=Spent("", now, replace(login, tokens=None))) if mine else slot

        await self.logins.change(login.tenant, _key(login.tag, login.key), end)
        if mine and not login.stopped:
            self.on_dead(tenant, login)

    # ------------------------------------------------------------------ secrets

    async def _turned(self, visit: Visit, login: Login, acted: Acted, form: str) -> Went:
        """Record the events of an accepted proof, and go on under a new secret."""
        secret = self.secrets.after(visit.secret or "", form)
        now, limits = self.clock.now(), visit.configuration.gateway.limits
        mine = False

        def change(slot: Slot) -> Slot | Changed[Slot]:
            nonlocal mine
            mine = False
            if slot.login is None or slot.login.id != login.id:
                return slot
            after = _after(slot.login, acted.events, now)
            if acted.events and after is slot.login:
                return slot
            mine = True
            moved = replace(after, key=digest(secret), moved_at=now, turned_at=now)
            return Changed(Slot(spent=Spent(form, now, moved, moved.key)), _kept_until(moved, limits))

        slot = await self.logins.change(login.tenant, _key(login.tag, login.key), change)
        if slot is None:
            return Went(None, inert=True)
        if slot.login:  # the events answer nothing that is pending now: another tab took the challenge's place
            return await self._settle(visit, slot.login, acted.trouble, form)
        assert slot.spent is not None  # noqa: S101 - a slot holds one of both
        if not mine:
            return await self._again(visit, slot.spent, form) or Went(None, inert=True)
        moved = slot.spent.login
        await self.logins.add(moved.tenant, _key(moved.tag, moved.key), Slot(moved), _kept_until(moved, limits))
        await self.on_begun(visit.tenant, moved)
        new = replace(visit, secret=secret)
        current: Login | None = moved
        while current and acted.then:
            try:
                acted = await acted.then(current)
            except Exception as error:
                raise CutShort(visit.tag, secret) from error
            current = await self._happened(new, current, acted.events)
        if current is None:
            return Went(None, inert=True)
        if current.stopped and not login.stopped:
            self.on_dead(visit.tenant, current)
        return await self._settle(new, current, acted.trouble, form, secret)

    async def _again(self, visit: Visit, spent: Spent, form: str) -> Went | None:
        """The answer to the very same form again, for half a minute; else None."""
        if spent.by != form or not form or self.clock.now() >= spent.at + SAME_ANSWER:
            return None
        if not spent.next:
            return self._ended(visit, spent, visit.secret or "")
        secret = self.secrets.after(visit.secret or "", form)
        if digest(secret) != spent.next:
            return None
        key, limits = _key(spent.login.tag, spent.next), visit.configuration.gateway.limits
        slot = await self.logins.read(visit.tenant.id, key)
        if slot is None:  # the process that replaced the secret ended before it wrote this
            await self.logins.add(visit.tenant.id, key, Slot(spent.login), _kept_until(spent.login, limits))
            slot = await self.logins.read(visit.tenant.id, key) or Slot()
        return await self._same_answer(visit, slot, secret, form)

    async def _same_answer(self, visit: Visit, slot: Slot, secret: str, form: str) -> Went | None:
        """The answer of a login that `form` brought under `secret`, as far as it has not gone on since."""
        if slot.login:
            if self.clock.now() >= slot.login.turned_at + SAME_ANSWER:
                return None
            return await self._settle(replace(visit, secret=secret), slot.login, None, form, secret)
        if slot.spent and slot.spent.by == form and self.clock.now() < slot.spent.at + SAME_ANSWER:
            return self._ended(visit, slot.spent, secret)
        return None

    async def _overtaken(self, visit: Visit, login: Login, form: str) -> Went:
        """What a request gets whose secret another one spent meanwhile: the same answer if that sent the same form."""
        slot = await self.logins.read(login.tenant, _key(login.tag, login.key))
        again = await self._again(visit, slot.spent, form) if slot and slot.spent else None
        return again or Went(None, inert=True)

    def _ended(self, visit: Visit, spent: Spent, secret: str) -> Went | None:
        """The answer that ends a login; it alone carries the session."""
        opened = spent.login.opened
        return Went(spent.login, secret=secret, given=self._given(spent.login, opened, secret)) if opened else None

    def _given(self, login: Login, opened: Opened, secret: str) -> Given:
        session = BrowserSecret(login.tag, self.secrets.session(secret)).value if opened.new_session else ""
        trust = BrowserSecret(opened.trust_tag, self.secrets.trust(secret)).value if opened.trust_tag else ""
        return Given(session, trust)

    # ------------------------------------------------------------------ events and effects

    async def _settle(
        self, visit: Visit, login: Login | None, trouble: Trouble | None, form: str = "", secret: str | None = None
    ) -> Went:
        """Run effects until a page is due, or one of them has a problem to show.

        `form` names the form that this answers ("" for a GET), `secret` is the login secret that the answer sets.
        """
        while login and not trouble and isinstance(effect := machine.first(login), Effect):
            try:
                acted = await self._run(visit, login, effect)
            except Exception as error:
                if secret is None:
                    raise
                raise CutShort(visit.tag, secret) from error
            trouble = acted.trouble
            if effect in (Effect.OPEN, Effect.TOUCH, Effect.ACT):
                ended = await self._spend(visit, login, acted, form)
                if isinstance(ended, Went):
                    return replace(ended, secret=secret if ended.secret is None else ended.secret)
                moved: Login | None = ended
            else:
                moved = await self._happened(visit, login, acted.events)
            if moved is None and not trouble:
                return await self._overtaken(visit, login, form)
            if moved == login:
                break  # another request runs it: the page says so and asks again
            login = moved
        if login is None:
            return Went(None, trouble)
        return Went(login, login.stopped or trouble, secret=secret)

    async def _run(self, visit: Visit, login: Login, effect: Effect) -> Acted:
        """The outcome of an effect, for all requests that find it due at the same time."""
        name = (login.id, login.key, effect.value, str(login.round), str(login.asked))

        async def fly() -> Acted:
            return await self.effects[effect](visit, login)

        return await self.flights.join(name, fly)

    async def _spend(self, visit: Visit, login: Login, acted: Acted, form: str) -> Login | Went | None:
        """Record what the last effect led to. When it ended the login, its secret is spent by one request."""
        now, limits = self.clock.now(), visit.configuration.gateway.limits
        mine = False

        def change(slot: Slot) -> Slot | Changed[Slot]:
            nonlocal mine
            mine = False
            if slot.login is None or slot.login.id != login.id:
                return slot
            after = _after(slot.login, acted.events, now)
            if after is slot.login:
                return slot
            if not after.opened:
                return Changed(Slot(after), _kept_until(after, limits))
            mine = True
            return Changed(Slot(spent=Spent(form, now, replace(after, tokens=None))), _kept_until(after, limits))

        slot = await self.logins.change(login.tenant, _key(login.tag, login.key), change)
        if slot is None:
            return None
        if slot.login:
            if slot.login.stopped and not login.stopped:
                self.on_dead(visit.tenant, slot.login)
            return slot.login
        assert slot.spent is not None  # noqa: S101 - a slot holds one of both
        secret = visit.secret or ""
        if mine or (form and slot.spent.by == form and not slot.spent.next):
            return self._ended(visit, slot.spent, secret)
        return Went(None, inert=True)

    async def _happened(self, visit: Visit, login: Login, events: tuple[Event, ...]) -> Login | None:
        """The record with `events` applied, whatever was written meanwhile; None when its secret is spent by now."""
        now, limits = self.clock.now(), visit.configuration.gateway.limits

        def change(slot: Slot) -> Slot | Changed[Slot] | None:
            if slot.login is None or slot.login.id != login.id:
                return None
            after = _after(slot.login, events, now)
            return slot if after is slot.login else Changed(Slot(after), _kept_until(after, limits))

        slot = await self.logins.change(login.tenant, _key(login.tag, login.key), change)
        moved = slot.login if slot else None
        if moved and moved.stopped and not login.stopped:
            self.on_dead(visit.tenant, moved)
        elif moved and moved.tokens and not login.tokens:
            await self.on_begun(visit.tenant, moved)
        return moved


def _key(tag: str, key: str) -> Key:
    return Key(tag, key)


def _names(fields: Fields, login: Login) -> bool:
    """Whether the form is one of this login and round."""
    return fields.get("login") == login.id and fields.get("round") == str(login.round)


def _same_login(old: Login, new: Login) -> bool:
    """Whether a password that was just right goes on with `old`: the same user, with the same password."""
    if old.stopped or new.stopped or old.user is None or new.user is None or old.user.id != new.user.id:
        return False
    return (old.due, old.credential_date) == (new.due, new.credential_date) and old.enrolments.same_factors(
        new.enrolments
    )


def counts(login: Login, limits: OperatorLimits, now: float) -> bool:
    """Whether a login still counts."""
    return now < counts_until(login, limits)


def counts_until(login: Login, limits: OperatorLimits) -> float:
    """When a login ends to which nothing happens: 15 minutes from its last event, 60 in all.

    A user who has to wait for a code has those 15 minutes from the moment it may be sent, however late that is.
    """
    idle = max(login.moved_at, login.queued_until or 0.0) + limits.login_idle
    return min(idle, max(login.begun_at + limits.login_absolute, login.held_until + limits.login_idle))


def _after(login: Login, events: tuple[Event, ...], now: float) -> Login:
    """`login` with `events` applied; the very same object when none of them answered anything pending."""
    after = reduce(machine.apply, events, login)
    return login if after == login else replace(after, moved_at=now)


def _kept_until(login: Login, limits: OperatorLimits) -> float:
    return max(login.moved_at, login.queued_until or 0.0) + limits.login_idle + REAPED_WITHIN
