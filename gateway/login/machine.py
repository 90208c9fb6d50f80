"""What does this login owe? Events in, pending out; pure and total.

The rules, on one page:

- The record keeps what happened, never a step. `pending(login)` is what it still owes, in order: steps (pages) and
  effects (things the gateway does itself). The login's step is the first step pending; nothing pending is done.
- An event that answers nothing pending changes nothing. An event is applied only to the challenge and round whose act
  made it: a code sent for a replaced challenge is void, what needs no sending counts for its whole round.
- A stopped or opened login absorbs everything.
- A requirement that cannot be met is `stopped`, for every purpose.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.domain.challenge import Challenge, Draft
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import MESSAGE_FACTORS, FactorKind, Policy
from gateway.domain.problem import Trouble
from gateway.domain.session import Satisfied, Tokens
from gateway.domain.user import Contact, User
from gateway.second_factor import requirement
from gateway.second_factor.requirement import Refuse, Register, Requirement, Standing, Verify


class Step(Enum):
    """The pages: enum value = URL segment = template = module = test."""

    PASSWORD = "password"  # noqa: S105 - the name of a page
    REGISTER = "register"
    CONFIRM = "confirm"
    VERIFY = "verify"
    STOPPED = "stopped"
    DONE = "done"


class Effect(Enum):
    """What the gateway does itself between pages."""

    CHALLENGE = "challenge"
    SAVE = "save"
    OPEN = "open"


class Purpose(Enum):
    """Why a login was begun."""

    SIGN_IN = "sign-in"


@dataclass(frozen=True, slots=True)
class Opened:
    """The session a login became. `cookie` is its cookie value: the login's own browser may have it again."""

    session: str
    cookie: str = field(repr=False)
    at: float


@dataclass(frozen=True, slots=True)
class Login:
    """One login of one browser; times in seconds since the epoch.

    `tag` places the login, its challenge and its session together in the store; `secret` and `session_secret` are the
    halves of cookie values that only this browser holds (the record is sealed).
    `app` is the path prefix of the route it was begun for, `route_asks` whether that route asks for a factor.
    `edited` is the address that was taken back to be edited.
    """

    id: str
    secret: str = field(repr=False)
    session_secret: str = field(repr=False)
    tag: str
    tenant: str
    purpose: Purpose
    policy: Policy
    app: str
    route_asks: bool
    begun_at: float
    moved_at: float
    user: User | None = None
    tokens: Tokens | None = field(default=None, repr=False)
    enrolments: EnrolmentSet = EnrolmentSet()
    contacts: tuple[Contact, ...] = ()
    credential_date: int | None = None
    password_at: float = 0.0
    trusted: bool = False
    verified: bool = False
    draft: Draft | None = None
    edited: str = field(default="", repr=False)
    confirmed: bool = False
    challenge: Challenge | None = None
    asked: int = 0
    round: int = 0
    proved: FactorKind | None = None
    proved_at: float | None = None
    enrolled: Enrolment | None = None
    saved: bool = False
    opened: Opened | None = None
    stopped: Trouble | None = None


# Events: what happened, the only way a login changes.


@dataclass(frozen=True, slots=True)
class PasswordRight:
    """Keycloak accepted the password."""

    user: User
    tokens: Tokens = field(repr=False)
    enrolments: EnrolmentSet
    contacts: tuple[Contact, ...]
    credential_date: int | None
    at: float
    trusted: bool = False
    verified: bool = False


@dataclass(frozen=True, slots=True)
class AddressGiven:
    """The user typed an address; None takes the last one back ("Edit")."""

    draft: Draft | None


@dataclass(frozen=True, slots=True)
class AddressConfirmed:
    """The user saw `draft` again and said yes."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class ChallengeSent:
    """A factor was asked, for `sent_to` of the challenge."""

    challenge: Challenge


@dataclass(frozen=True, slots=True)
class Proved:
    """A factor was judged right."""

    challenge: Challenge
    factor: FactorKind
    at: float


@dataclass(frozen=True, slots=True)
class Saved:
    """The user's sealed set, with the new enrolment, stands in Keycloak."""

    enrolments: EnrolmentSet


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session exists."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Stopped:
    """The login ends without a session. With a challenge it counts only while that one is still under way."""

    trouble: Trouble
    challenge: str | None = None


Event = PasswordRight | AddressGiven | AddressConfirmed | ChallengeSent | Proved | Saved | SessionOpened | Stopped


def required(login: Login) -> Requirement:
    """What the policy asks of this login's user."""
    enrolments = login.enrolments
    if login.enrolled and not login.saved:
        enrolments = enrolments.with_enrolment(login.enrolled)
    standing = Standing(enrolments, login.contacts, trusted=login.trusted, verified=login.verified)
    return requirement.decide(login.policy, standing, route_asks=login.route_asks)


def aim(login: Login) -> Register | Verify | None:
    """What the proof now pending is for, or None when none is."""
    if not login.user or login.proved:
        return None
    asked = required(login)
    return asked if isinstance(asked, Register | Verify) else None


def refusal(login: Login) -> Refuse | None:
    """Why the requirement of this login cannot be met, or None."""
    if not login.user or login.proved or login.opened:
        return None
    asked = required(login)
    return asked if isinstance(asked, Refuse) else None


def method(login: Login) -> tuple[FactorKind, str, str] | None:
    """The factor, address and secret that the next challenge is for; None when no challenge is pending."""
    match aim(login):
        case Register():
            return (login.draft.factor, login.draft.address, login.draft.secret) if login.draft else None
        case Verify(methods=methods):
            return methods[0].factor, methods[0].address, methods[0].secret
    return None


def registering(login: Login) -> FactorKind | None:
    """The factor being registered now."""
    match aim(login):
        case Register(factors=factors):
            return factors[0]
    return None


def pending(login: Login) -> tuple[Step | Effect, ...]:
    """What this login still owes, in order; `done` stands last unless it is stopped."""
    if login.stopped or refusal(login):
        return (Step.STOPPED,)
    return tuple(_sign_in(login))


def step(login: Login) -> Step:
    """The page this login is on."""
    return next(owed for owed in pending(login) if isinstance(owed, Step))


def first(login: Login) -> Step | Effect:
    """What comes next."""
    return pending(login)[0]


def trouble(login: Login) -> Trouble | None:
    """Why this login is stopped."""
    if login.stopped:
        return login.stopped
    refused = refusal(login)
    return Trouble(refused.problem, path=refused.path) if refused else None


def satisfied(login: Login) -> tuple[Satisfied, str]:
    """How the requirement was met, and the rule by name, for the session."""
    if login.proved:
        return Satisfied.PROVED, ""
    asked = required(login)
    if asked.rule is requirement.DecidedBy.TRUSTED_BROWSER:
        return Satisfied.TRUSTED, asked.rule.value
    return Satisfied.NOT_ASKED, asked.rule.value


def _sign_in(login: Login) -> Iterator[Step | Effect]:
    if not login.user:
        yield Step.PASSWORD  # what follows is not known yet
        return
    yield from _factor(login)
    if login.enrolled and not login.saved:
        yield Effect.SAVE
    if not login.opened:
        yield Effect.OPEN
    yield Step.DONE


def _factor(login: Login) -> Iterator[Step | Effect]:
    match aim(login):
        case Register():
            if not login.draft:
                yield Step.REGISTER
            if not login.confirmed:
                yield Step.CONFIRM
        case None:
            return
    if not login.challenge:
        yield Effect.CHALLENGE
    yield Step.VERIFY


def apply(login: Login, event: Event) -> Login:
    """The login after `event`; the same login when the event answers nothing pending."""
    if login.stopped or login.opened:
        return login
    page = step(login)
    match event:
        case Stopped(trouble=why, challenge=of):
            bound = of is None or (login.challenge is not None and login.challenge.id == of)
            return replace(login, stopped=why) if bound else login
        case PasswordRight() if page is Step.PASSWORD:
            known = replace(
                login,
                user=event.user,
                tokens=event.tokens,
                enrolments=event.enrolments,
                contacts=event.contacts,
                credential_date=event.credential_date,
                password_at=event.at,
                trusted=event.trusted,
                verified=event.verified,
            )
            return replace(known, stopped=trouble(known))
        case AddressGiven(draft=None) if registering(login) and login.draft and login.draft.factor in MESSAGE_FACTORS:
            return replace(login, draft=None, edited=login.draft.address, confirmed=False, challenge=None)
        case AddressGiven(draft=Draft() as draft) if page is Step.REGISTER and draft.factor is registering(login):
            return replace(login, draft=draft)
        case AddressConfirmed(draft=draft) if page is Step.CONFIRM and login.draft == draft:
            return replace(login, confirmed=True)
        case ChallengeSent(challenge=challenge) if page is Step.VERIFY and _answers(login, challenge):
            return replace(login, challenge=challenge, asked=challenge.number + 1)
        case Proved(challenge=challenge, factor=factor, at=at) if page is Step.VERIFY and _counts(
            login, challenge, factor
        ):
            return replace(login, proved=factor, proved_at=at, enrolled=_newly(login, factor), challenge=None)
        case Saved(enrolments=enrolments) if first(login) is Effect.SAVE:
            return replace(login, saved=True, enrolments=enrolments)
        case SessionOpened(opened=opened) if first(login) is Effect.OPEN:
            return replace(login, opened=opened)
    return login


def _answers(login: Login, challenge: Challenge) -> bool:
    """Whether `challenge` is for what is pending: this round, the next number, and the address that stands now."""
    wanted = method(login)
    if challenge.round != login.round or challenge.number < login.asked or wanted is None:
        return False
    factor, address, _ = wanted
    return challenge.factor in (factor, None) and challenge.sent_to == (address if factor in MESSAGE_FACTORS else "")


def _counts(login: Login, challenge: Challenge, factor: FactorKind) -> bool:
    """An answer to a replaced message is void; what nothing was sent for counts for the whole round."""
    if challenge.round != login.round or login.proved or not login.challenge:
        return False
    return login.challenge.id == challenge.id or (factor not in MESSAGE_FACTORS and not registering(login))


def _newly(login: Login, factor: FactorKind) -> Enrolment | None:
    """The enrolment this proof makes: the draft, or a known contact pinned by its first accepted code."""
    if registering(login) and login.draft:
        return Enrolment(factor, login.draft.address, login.draft.secret)
    match aim(login):
        case Verify(methods=methods) if not login.enrolments.of(factor):
            return next((m for m in methods if m.factor is factor), None)
    return None
