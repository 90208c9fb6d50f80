"""Loads a login, lets a step act, runs the effects that are due, and keeps the record.

Names no step but the pages at which a login begins, and no factor. The rules it keeps, with `login_records`:

- The key of the record is the digest of the login's newest secret. An accepted proof replaces the secret.
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
from functools import partial
from typing import Protocol

from gateway.domain.policy import LockScope
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tasks import SingleFlight
from gateway.login import state_machine
from gateway.login.login_records import LoginRecords, LoginSecrets, applied, digest
from gateway.login.login_request import LoginRequest
from gateway.login.record import (
    SAME_ANSWER,
    ChallengeSent,
    Event,
    Login,
    PasswordChanged,
    PasswordRight,
    Proved,
    Purpose,
    SecretWithdrawn,
    Slot,
    Spent,
    TokensRenewed,
    Verification,
)
from gateway.login.state_machine import Effect, LoginState, Step, state_of
from gateway.rendering.step_view import StepView
from gateway.web.cookies import BrowserSecret

ACTIONS = frozenset({"", "send", "resend", "edit", "other-method", "cancel"})
"""What a form may ask for; nothing named is its step's main action."""
ENTRIES = (Step.PASSWORD, Step.SSO)
"""The pages at which a login begins."""
PROOFS = (PasswordRight, Proved, PasswordChanged)
"""The events that are accepted proofs: each is answered with a new secret."""

FormFields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What an act led to: events, and apart from them a problem to show.

    `then` runs once the events are recorded, for an act that must not be forgotten half-way.
    """

    events: tuple[Event, ...] = ()
    problem_detail: ProblemDetail | None = None
    then: "Callable[[Login], Awaitable[StepResult]] | None" = None


@dataclass(frozen=True, slots=True)
class IssuedSecrets:
    """The cookie values that the one answer which ends a login sets; "" for none."""

    session: str = field(default="", repr=False)
    trust: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FlowResult:
    """The state of a login after a request; `state` None is the password page of a browser without a login.

    `secret` is the login secret that the answer sets, None to leave the cookie as it is. `given` are the cookies of a
    login that just ended. `inert`: the browser came with a secret that another answer has replaced; it is led to
    `/-/login`, with no cookie. `signed_in`: the browser has a live session of this user already.
    """

    state: LoginState | None
    problem_detail: ProblemDetail | None = None
    out_of_order: bool = False
    secret: str | None = field(default=None, repr=False)
    given: IssuedSecrets = IssuedSecrets()
    inert: bool = False
    signed_in: bool = False

    @property
    def login(self) -> Login | None:
        """The login."""
        return self.state.login if self.state else None

    @property
    def step(self) -> Step:
        """The page to show."""
        return self.state.step if self.state else Step.PASSWORD  # or that of single sign-on: `responses` knows

    @property
    def failed(self) -> bool:
        """Whether what was asked for did not happen; that a code waits for its turn is no failure."""
        return self.problem_detail is not None and self.problem_detail.problem is not Problem.QUEUED


class Page(Protocol):
    """One step: its act and its view."""

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Does what the form asks; the flow itself handles `cancel`. Never changes the record."""

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> StepView:
        """Returns the contents of its template and JSON; `fields` is what was just typed, empty on a GET."""


class CutShort(Exception):
    """An effect failed (`__cause__`) after the login got a new secret: the answer shows the failure, sets `secret`.

    Without the cookie the browser would lose a login whose proof was accepted.
    """

    def __init__(self, tag: str, secret: str) -> None:
        super().__init__("an effect failed after an accepted proof")
        self.tag = tag
        self.secret = secret


EffectRunner = Callable[[LoginRequest, LoginState], Awaitable[StepResult]]


@dataclass(frozen=True, slots=True)
class Flow:
    """Runs logins."""

    logins: LoginRecords
    pages: Mapping[Step, Page]
    effects: Mapping[Effect, EffectRunner]
    secrets: LoginSecrets
    clock: Clock
    random: Random
    single_flight: SingleFlight[StepResult] = field(default_factory=SingleFlight, repr=False)
    beginnings: SingleFlight[FlowResult] = field(default_factory=SingleFlight, repr=False)

    async def look(self, request: LoginRequest, login: Login | None) -> FlowResult:
        """A GET: run what is due."""
        return await self._settle(request, state_of(login), None) if login else FlowResult(None)

    async def enter(self, request: LoginRequest, login: Login) -> FlowResult:
        """A browser enters by `/-/login`: an app secret that a page showed and no code has proved is replaced.

        With it the login secret is replaced, so that no other holder of the old one sees the new app secret.
        """
        state = state_of(login)
        if not state.shows_secret:
            return await self._settle(request, state, None)
        form = self.secrets.form(request.tenant.id, request.secret, "enter", {})
        return await self._rotated(request, state, StepResult((SecretWithdrawn(),)), form)

    async def act(self, request: LoginRequest, slot: Slot, page: Step, action: str, fields: FormFields) -> FlowResult:
        """A POST of the form of `page`; `slot` is what `find` gave."""
        form = self.secrets.form(request.tenant.id, request.secret, page.value, fields)
        if slot.spent and (again := await self._again(request, slot.spent, form)):
            return again
        login = slot.login
        signs_in = login is None or login.purpose is Purpose.SIGN_IN or not fields.get("login")
        if page in ENTRIES and signs_in:
            if action == "cancel":
                return _cancelled(request)
            return await self._enter(request, slot, page, action=action, fields=fields, form=form)
        if login is None:
            expired = None if slot.spent else ProblemDetail(Problem.LOGIN_EXPIRED)
            return FlowResult(None, expired, inert=slot.spent is not None)
        state = state_of(login)
        if state.step is not page or not _names(fields, login):
            went = await self._settle(request, state, None)
            # The same page again, in another round: what it shows (a picture to scan, a code sent) is new.
            if went.step is page and went.problem_detail is None:
                went = replace(went, problem_detail=ProblemDetail(Problem.OUT_OF_ORDER))
            return replace(went, out_of_order=True)
        if action == "cancel" and page is not Step.STOPPED:
            await self.logins.end(request, login)
            return _cancelled(request) if login.purpose is Purpose.SIGN_IN else FlowResult(None)
        acted = await self._acted(request, state, page, action, fields)
        if any(isinstance(event, PROOFS) for event in acted.events):
            return await self._rotated(request, state, acted, form)
        moved = await self.logins.apply(request, state, acted.events)
        if moved is None:
            return await self._overtaken(request, form)
        return await self._settle(request, moved, acted.problem_detail if moved.step is page else None, form)

    async def _acted(
        self, request: LoginRequest, state: LoginState, page: Step, action: str, fields: FormFields
    ) -> StepResult:
        if action not in ACTIONS:  # a slip of a program must not become its main action
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))
        form = self.pages.get(page)  # a stopped login has none: it absorbs everything
        return await form.act(request, state, action, fields) if form else StepResult()

    # ------------------------------------------------------------------ the first page of a sign-in

    async def _enter(
        self, request: LoginRequest, slot: Slot, page: Step, *, action: str, fields: FormFields, form: str
    ) -> FlowResult:
        """A password, or a sign-in at Keycloak, begins a login, or continues the one that this browser has.

        Tabs that a browser opened at once send the same password with the same cookies: Keycloak is asked once for
        those that are under way together, and they get one answer.
        """
        name = (
            request.tenant.id,
            request.app,
            str(request.route_asks),
            request.secret or "",
            request.trust.secret if request.trust else "",
            request.session.id if request.session else "",
            fields.get("username", ""),
            fields.get("password", ""),
            fields.get("state", ""),
            fields.get("code", ""),
            page.value,
            action,
        )
        once = partial(self._enter_once, request, slot, page, action=action, fields=fields, form=form)
        return await self.beginnings.join(name, once)

    async def _enter_once(
        self, request: LoginRequest, slot: Slot, page: Step, *, action: str, fields: FormFields, form: str
    ) -> FlowResult:
        login = slot.login if slot.login and slot.login.purpose is Purpose.SIGN_IN else None
        secret = self.secrets.after(request.secret or "", form)
        if again := await self._same_answer(request, secret, form):
            return again
        begun = state_of(self.begin(request, secret))
        acted = await self._acted(request, begun, page, action, fields)
        state = applied(begun, acted.events, self.clock.now())
        if state is begun:
            return FlowResult(None, acted.problem_detail)
        state = _with_live_code(state, slot.spent, self.clock.now())
        new = state.login
        if request.session and new.user and new.user.id == request.session.user_id and new.tokens and not new.stopped:
            self.logins.end_at_keycloak(request, new)
            return FlowResult(None, signed_in=True)
        if login and _same_login(login, new):
            if page is Step.SSO and new.tokens:  # Keycloak may have replaced the older tokens of this browser
                self.logins.end_at_keycloak(request, login, new.tokens)
                return await self._rotated(request, state_of(login), StepResult((TokensRenewed(new.tokens),)), form)
            self.logins.end_at_keycloak(request, new)
            return await self._rotated(request, state_of(login), StepResult(), form)
        if not await self.logins.add(request, new, acted.events):
            self.logins.end_at_keycloak(request, new)
            return await self._same_answer(request, secret, form) or FlowResult(None, inert=True)
        if login:  # its newest secret was here: the browser gets another one
            await self.logins.end(request, login, new.tokens)
        return await self._settle(replace(request, secret=secret), state, acted.problem_detail, form, secret)

    def begin(self, request: LoginRequest, secret: str) -> Login:
        """A login that nothing happened to yet, pinned to today's policy. It is no record before its first event."""
        now = self.clock.now()
        return Login(
            id=self.random.token_bytes(9).hex(),
            key=digest(secret),
            tag=request.tag,
            tenant=request.tenant.id,
            purpose=Purpose.SIGN_IN,
            policy=request.tenant.policy,
            app=request.app,
            route_asks=request.route_asks,
            begun_at=now,
            moved_at=now,
            rotated_at=now,
            sso=request.tenant.keycloak.sso is not None,
        )

    async def begin_in_session(self, request: LoginRequest, old: Login | None, secret: str, login: Login) -> FlowResult:
        """Make the record of a login inside a session, under `secret`; `old` is the browser's login before."""
        new, state = replace(request, secret=secret), state_machine.settled(state_of(login))
        if not await self.logins.add(request, state.login):
            there = (await self.logins.under(request, secret)).login
            if there is None:
                return FlowResult(None, inert=True)
            return await self._settle(new, state_of(there), None, secret=secret)
        if old:
            await self.logins.end(request, old)
        return await self._settle(new, state, None, secret=secret)

    # ------------------------------------------------------------------ secrets

    async def _rotated(self, request: LoginRequest, state: LoginState, acted: StepResult, form: str) -> FlowResult:
        """Record the events of an accepted proof, and go on under a new secret."""
        secret = self.secrets.after(request.secret or "", form)
        outcome = await self.logins.rotate(request, state, acted.events, form, secret)
        if outcome is None:
            return FlowResult(None, inert=True)
        if outcome.slot.login:  # the events answer nothing pending now: another tab took the challenge's place
            return await self._settle(request, outcome.state, acted.problem_detail, form)
        spent = outcome.slot.spent
        if spent is None or not outcome.mine:
            return (spent and await self._again(request, spent, form)) or FlowResult(None, inert=True)
        new, current = replace(request, secret=secret), replace(outcome.state, login=spent.login)
        while acted.then:
            try:
                acted = await acted.then(current.login)
            except Exception as error:
                raise CutShort(request.tag, secret) from error
            moved = await self.logins.apply(new, current, acted.events)
            if moved is None:
                return FlowResult(None, inert=True)
            current = moved
        return await self._settle(new, current, acted.problem_detail, form, secret)

    async def _again(self, request: LoginRequest, spent: Spent, form: str) -> FlowResult | None:
        """The answer to the very same form again, for half a minute; else None."""
        if not spent.repeats(form, self.clock.now()):
            return None
        if not spent.next:
            return self._ended(spent, request.secret or "")
        secret = self.secrets.after(request.secret or "", form)
        if digest(secret) != spent.next:
            return None
        await self.logins.complete(request, spent)
        return await self._same_answer(request, secret, form)

    async def _same_answer(self, request: LoginRequest, secret: str, form: str) -> FlowResult | None:
        """The answer of a login that `form` brought under `secret`, as far as it has not gone on since."""
        slot, now = await self.logins.under(request, secret), self.clock.now()
        if slot.login and now < slot.login.rotated_at + SAME_ANSWER:
            return await self._settle(replace(request, secret=secret), state_of(slot.login), None, form, secret)
        if slot.spent and slot.spent.repeats(form, now):
            return self._ended(slot.spent, secret)
        return None

    async def _overtaken(self, request: LoginRequest, form: str) -> FlowResult:
        """What a request gets whose secret another one spent meanwhile: the same answer if that sent the same form."""
        spent = (await self.logins.under(request, request.secret or "")).spent
        return (spent and await self._again(request, spent, form)) or FlowResult(None, inert=True)

    def _ended(self, spent: Spent, secret: str) -> FlowResult | None:
        """The answer that ends a login; it alone carries the session."""
        login, opened = spent.login, spent.login.opened
        if opened is None:
            return None
        session = BrowserSecret(login.tag, self.secrets.session(secret)).value if opened.new_session else ""
        trust = BrowserSecret(opened.trust_tag, self.secrets.trust(secret)).value if opened.trust_tag else ""
        return FlowResult(state_of(login), secret=secret, given=IssuedSecrets(session, trust))

    # ------------------------------------------------------------------ events and effects

    async def _settle(
        self,
        request: LoginRequest,
        state: LoginState,
        problem_detail: ProblemDetail | None,
        form: str = "",
        secret: str | None = None,
    ) -> FlowResult:
        """Run effects until a page is due, or one of them has a problem to show.

        `form` names the form that this answers ("" for a GET), `secret` is the login secret that the answer sets.
        """
        while not problem_detail and isinstance(effect := state.pending[0], Effect):
            login, verification = state.login, state.login.verification
            name = (login.id, login.key, effect.value, str(verification.round), str(verification.next_number))
            try:  # one run for all requests of this process that find the effect due
                acted = await self.single_flight.join(name, partial(self.effects[effect], request, state))
            except Exception as error:
                if secret is None:
                    raise
                raise CutShort(request.tag, secret) from error
            problem_detail = acted.problem_detail
            if effect in (Effect.OPEN, Effect.TOUCH, Effect.ACT):
                moved = await self._spend(request, state, acted, form)
                if isinstance(moved, FlowResult):
                    return replace(moved, secret=secret if moved.secret is None else moved.secret)
            else:
                moved = await self.logins.apply(request, state, acted.events)
            if moved is None:
                return FlowResult(None, problem_detail) if problem_detail else await self._overtaken(request, form)
            if moved.login == state.login:
                break  # another request runs it: the page says so and asks again
            state = moved
        return FlowResult(state, state.login.stopped or problem_detail, secret=secret)

    async def _spend(
        self, request: LoginRequest, state: LoginState, acted: StepResult, form: str
    ) -> LoginState | FlowResult | None:
        """Record what the last effect led to. When it ended the login, its secret is spent by one request."""
        outcome = await self.logins.spend(request, state, acted.events, form)
        if outcome is None or outcome.slot.spent is None:
            return outcome.state if outcome and outcome.slot.login else None
        spent = outcome.slot.spent
        if outcome.mine or (spent.repeats(form, self.clock.now()) and not spent.next):
            return self._ended(spent, request.secret or "")
        return FlowResult(None, inert=True)


def _cancelled(request: LoginRequest) -> FlowResult:
    """The first page for another user; a browser says so, a program asked for it."""
    said = Problem.SIGN_IN_CANCELLED if request.tenant.keycloak.sso else Problem.CANCELLED
    return FlowResult(None, None if request.as_data else ProblemDetail(said))


def _names(fields: FormFields, login: Login) -> bool:
    """Whether the form is one of this login and round."""
    return fields.get("login") == login.id and fields.get("round") == str(login.verification.round)


def _with_live_code(state: LoginState, spent: Spent | None, now: float) -> LoginState:
    """The state of a new login, with the code of the login that the user cancelled just before in this browser.

    Only while that code lives and a further one may be sent. For every limit it is the same login.
    """
    challenge = spent.login.verification.challenge if spent and spent.cancelled else None
    if spent is None or challenge is None or spent.login.proofs or not _same_login(spent.login, state.login):
        return state
    old = spent.login
    if (challenge.expires_at or 0.0) <= now or challenge.number + 1 >= old.policy.max_sends:
        return state
    before = Verification(old.verification.round, challenge.number)
    again = state_of(replace(state.login, id=old.id, verification=before))
    after = state_machine.apply(again, ChallengeSent(challenge))
    return state if after is again else after


def _same_login(old: Login, new: Login) -> bool:
    """Whether a password that was just right continues `old`: the same user, with the same password as a date tells.

    Where a lock is of one app, a login for another app is another one.
    """
    if new.policy.lock_scope is LockScope.APP and old.app != new.app:
        return False
    if old.stopped or new.stopped or old.user is None or new.user is None or old.user.id != new.user.id:
        return False
    if new.credential_date is None:
        return False
    return (old.due, old.credential_date) == (new.due, new.credential_date) and old.enrolments.same_factors(
        new.enrolments
    )
