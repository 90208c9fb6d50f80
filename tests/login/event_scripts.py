"""Scripts of logins: a policy, a user, and events in order."""

from dataclasses import replace
from functools import reduce

from gateway.domain.challenge import Binding, Challenge, Draft
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind, Method, Policy
from gateway.domain.problem import ProblemDetail
from gateway.domain.session import Satisfied, Tokens
from gateway.domain.user import Contact, User
from gateway.login import state_machine
from gateway.login.pending_proof import PendingProof
from gateway.login.record import (
    AddressConfirmed,
    AddressGiven,
    ChallengeSent,
    Event,
    Login,
    Opened,
    PasswordRight,
    Proved,
    Purpose,
    Saved,
    SessionOpened,
)
from gateway.login.state_machine import Effect, Step, state_of

NOW = 1_800_000_000.0
ADDRESS = "user@example.com"
EMAIL = Method(FactorKind.EMAIL, "otp@example.com")
POLICY = Policy(preset="efcx", enabled=True, methods=(EMAIL,), otp_expiry=60)
USER = User(id="u1", username="agent1")
TOKENS = Tokens(access="a", refresh="r", access_expires_at=NOW + 300, refresh_expires_at=NOW + 1800)
TOTP = Method(FactorKind.TOTP)
DRAFT = Draft(FactorKind.EMAIL, ADDRESS)
APP_DRAFT = Draft(FactorKind.TOTP, secret="made up")
OTHER_DRAFT = Draft(FactorKind.EMAIL, "other@example.com")
ENROLLED = EnrolmentSet(version=3, enrolments=(Enrolment(FactorKind.EMAIL, ADDRESS),))
APP_ENROLLED = EnrolmentSet(version=3, enrolments=(Enrolment(FactorKind.TOTP, secret="made up"),))
BOTH_ENROLLED = EnrolmentSet(version=4, enrolments=ENROLLED.enrolments + APP_ENROLLED.enrolments)
CODES = tuple(f"{n:010}" for n in range(10))


def begun(policy: Policy = POLICY, *, route_asks: bool = True) -> Login:
    """Returns a login without events."""
    return Login(
        id="l1",
        key="digest",
        tag="tag",
        tenant="expertflow",
        purpose=Purpose.SIGN_IN,
        policy=policy,
        app="/unified-admin",
        route_asks=route_asks,
        begun_at=NOW,
        moved_at=NOW,
        rotated_at=NOW,
    )


def password(
    enrolments: EnrolmentSet = EnrolmentSet(),  # noqa: B008 - a frozen value
    contacts: tuple[Contact, ...] = (),
    *,
    due: bool = False,
    trusted: bool = False,
    verified: bool = False,
    open_registration: bool = True,
) -> PasswordRight:
    """A correct password; a due one gives no tokens."""
    return PasswordRight(
        USER,
        None if due else TOKENS,
        enrolments,
        contacts,
        credential_date=1,
        at=NOW,
        due=due,
        trusted=trusted,
        verified=verified,
        open_registration=open_registration,
    )


def challenge(number: int = 0, *, address: str = ADDRESS, of_round: int = 0) -> Challenge:
    """A mailed challenge; `apply` binds it to the pending proof, in its round."""
    return Challenge(
        id=f"c{number}",
        factor=FactorKind.EMAIL,
        bound_to=Binding(round=of_round),
        number=number,
        sent_to=address,
        expires_at=NOW + 60,
    )


def sent(number: int = 0, *, address: str = ADDRESS, of_round: int = 0) -> ChallengeSent:
    """A code was mailed."""
    return ChallengeSent(challenge(number, address=address, of_round=of_round))


def proved(number: int = 0) -> Proved:
    """The mailed code was correct."""
    return Proved(challenge(number), FactorKind.EMAIL, NOW + 10)


def saved(login: Login) -> Saved:
    """The new enrolments are saved."""
    assert login.enrolled
    return Saved(login.enrolments.with_enrolment(login.enrolled.enrolment))


def waiting(number: int = 0, *, factor: FactorKind | None = None, of_round: int = 0) -> ChallengeSent:
    """A proof without a message is expected."""
    return ChallengeSent(Challenge(id=f"c{number}", factor=factor, bound_to=Binding(round=of_round), number=number))


def proved_by(factor: FactorKind, number: int = 0, *, of_round: int = 0, **more: object) -> Proved:
    """A code of `factor` was correct."""
    return Proved(challenge(number, of_round=of_round), factor, NOW + 10, **more)  # type: ignore[arg-type]


def within(purpose: Purpose, enrolments: EnrolmentSet, policy: Policy = POLICY, **more: object) -> Login:
    """Returns a login begun inside a session."""
    login = replace(begun(policy), purpose=purpose, session="sess", user=USER, enrolments=enrolments)
    return replace(login, **more)  # type: ignore[arg-type]


OPENED = SessionOpened(Opened("sess", NOW + 11))
FIRST_LOGIN: tuple[Event, ...] = (password(), AddressGiven(DRAFT), AddressConfirmed(DRAFT), sent(), proved())


def pending(login: Login) -> tuple[Step | Effect, ...]:
    """Returns the pending steps and effects of a login."""
    return state_of(login).pending


def first(login: Login) -> Step | Effect:
    """Returns the next pending step or effect."""
    return state_of(login).pending[0]


def step(login: Login) -> Step:
    """Returns the current page of a login."""
    return state_of(login).step


def problem_detail(login: Login) -> ProblemDetail | None:
    """Returns the reason why a login is stopped."""
    return state_of(login).problem_detail


def satisfied(login: Login) -> tuple[Satisfied, str]:
    """Returns how the requirement was met."""
    return state_machine.satisfied(state_of(login))


def proof(login: Login) -> PendingProof:
    """Returns the pending proof."""
    return state_of(login).proof


def apply(login: Login, event: Event) -> Login:
    """Returns the login after `event`.

    A challenge made by a script is bound to the proof pending when it was sent, otherwise to the current one.
    """
    match event:
        case ChallengeSent(challenge=challenge) | Proved(challenge=challenge) if not challenge.bound_to.login:
            sent_before = (
                login.verification.challenge
                if login.verification.challenge and login.verification.challenge.id == challenge.id
                else None
            )
            bound = sent_before.bound_to if sent_before else proof(login).binding
            bound = replace(bound, round=challenge.bound_to.round)
            event = replace(event, challenge=replace(challenge, bound_to=bound))
    return state_machine.apply(state_of(login), event).login


def after(*events: Event, login: Login | None = None) -> Login:
    """Returns the login after `events`."""
    return reduce(apply, events, login or begun())


def with_policy(**changes: object) -> Policy:
    """Returns the usual policy with some changed keys."""
    return replace(POLICY, **changes)  # type: ignore[arg-type]
