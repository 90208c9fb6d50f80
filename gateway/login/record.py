"""The record of one login and the events that change it.

Pages, effects, purposes, the record, and every event. The record keeps what happened, never the step the login is on;
`machine` computes the step.
"""

from dataclasses import dataclass, field
from enum import Enum

from gateway.domain.challenge import Challenge, Draft, ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.problem import ProblemDetail
from gateway.domain.session import Tokens
from gateway.domain.user import Contact, User


class Step(Enum):
    """The pages: enum value = URL segment = template = module = test."""

    PASSWORD = "password"  # noqa: S105 - the name of a page
    REGISTER = "register"
    CONFIRM = "confirm"
    VERIFY = "verify"
    BACKUP_CODES = "backup-codes"
    NEW_PASSWORD = "new-password"  # noqa: S105 - the name of a page
    STOPPED = "stopped"
    DONE = "done"


class Effect(Enum):
    """What the gateway does itself between pages."""

    DRAFT = "draft"
    CHALLENGE = "challenge"
    SAVE = "save"
    ACT = "act"
    OPEN = "open"
    TOUCH = "touch"


class Purpose(Enum):
    """Why a login was begun."""

    SIGN_IN = "sign-in"
    ENROL = "enrol"
    STEP_UP = "step-up"


class ActKind(Enum):
    """What a user does on the account page after a proof given for that one act (GW-46)."""

    TURN_OFF = "turn-off"
    SHOW_CODES = "show-codes"
    NEW_CODES = "new-codes"
    SIGN_OUT_EVERYWHERE = "sign-out-everywhere"


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the account page. `factor` is its target where it has one."""

    kind: ActKind
    factor: FactorKind | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """One entry that a factor accepted in this login: for what, in which round, for which challenge and draft."""

    purpose: ProofPurpose
    factor: FactorKind
    round: int
    challenge: str
    draft: str
    at: float


@dataclass(frozen=True, slots=True)
class Opened:
    """How a login ended: the session it opened or changed, or the act it carried out.

    `session` is the session's public id. The secrets of session and trusted browser are never kept: the answer that
    sets the cookies derives them from the login secret (`secrets`). `new_session` is whether the browser gets a session
    cookie, `trust_tag` the tag of a browser trusted from now on ("" for none), `other_user` whether the browser was
    last used by another user.
    """

    session: str
    at: float
    new_session: bool = True
    trust_tag: str = ""
    other_user: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """One login; times in seconds since the epoch.

    `key` is the digest of its newest login secret, made at `turned_at`; `tag` groups its record with the session's in
    the store. `app` is the path prefix of the route it was begun for, `route_asks` whether that route asks for a
    factor. `session` is the one that an `enrol` or `step-up` belongs to, `recent` whether a proof for this very login
    is owed whatever the policy asks at sign-in, `fresh` whether it was given, `wanted` what `enrol` sets up, `act` what
    is done after the proof. `proofs` are the accepted entries, in order; those of a round before `proofs_from` count no
    longer. `open_registration`: a first factor needs no approval. `edited` is the address that was taken back to be
    edited, `awaiting_approval` the enrolment that was proved and waits for its approval. `queued_until` is when the
    next code may be sent, `held_until` until when the user had to wait last.
    """

    id: str
    key: str
    tag: str
    tenant: str
    purpose: Purpose
    policy: Policy
    app: str
    route_asks: bool
    begun_at: float
    moved_at: float
    turned_at: float
    session: str = ""
    recent: bool = False
    fresh: bool = False
    wanted: FactorKind | None = None
    act: Act | None = None
    user: User | None = None
    tokens: Tokens | None = field(default=None, repr=False)
    enrolments: EnrolmentSet = EnrolmentSet()
    contacts: tuple[Contact, ...] = ()
    credential_date: int | None = None
    password_at: float = 0.0
    due: bool = False
    changed: bool = False
    trusted: bool = False
    verified: bool = False
    open_registration: bool = True
    picked: FactorKind | None = None
    draft: Draft | None = None
    edited: str = field(default="", repr=False)
    confirmed: bool = False
    awaiting_approval: Enrolment | None = None
    challenge: Challenge | None = None
    queued_until: float | None = None
    held_until: float = 0.0
    asked: int = 0
    round: int = 0
    proofs: tuple[Proof, ...] = ()
    proofs_from: int = 0
    proved: FactorKind | None = None
    proved_at: float | None = None
    remember: bool = False
    enrolled: Enrolment | None = None
    first_enrolment: bool = False
    saved: bool = False
    noted: bool = False
    opened: Opened | None = None
    stopped: ProblemDetail | None = None


@dataclass(frozen=True, slots=True)
class PasswordRight:
    """Keycloak accepted the password. `tokens` None: a new password is due first. `trusted`: by this browser's cookie.

    `open_registration`: a first factor needs no voucher today (GW-27).
    """

    user: User
    tokens: Tokens | None = field(repr=False)
    enrolments: EnrolmentSet
    contacts: tuple[Contact, ...]
    credential_date: int | None
    at: float
    due: bool = False
    trusted: bool = False
    verified: bool = False
    open_registration: bool = True


@dataclass(frozen=True, slots=True)
class Picked:
    """The user chose which factor to register."""

    factor: FactorKind | None


@dataclass(frozen=True, slots=True)
class AddressGiven:
    """The user typed an address; None takes the last one back ("Edit")."""

    draft: Draft | None


@dataclass(frozen=True, slots=True)
class AddressConfirmed:
    """The user saw `draft` again and said yes."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Drafted:
    """The gateway made the secret of an app, before its page is shown."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class SecretWithdrawn:
    """The app secret that a page showed is replaced: another holder of the login secret may have seen it."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The code with this number and round has to wait until `at`: the channel takes no more mails before (GW-34).

    None: it is waited for no longer; an older code may be left.
    """

    at: float | None
    number: int
    round: int


@dataclass(frozen=True, slots=True)
class ChallengeSent:
    """A factor was asked, for `sent_to` of the challenge; without a factor nothing was sent."""

    challenge: Challenge


@dataclass(frozen=True, slots=True)
class Proved:
    """A factor was judged right. `enrolments` is the set that stands now where the proof used up a part of it."""

    challenge: Challenge
    factor: FactorKind
    at: float
    remember: bool = False
    enrolments: EnrolmentSet | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """The user's sealed set, with the new enrolment, stands in Keycloak."""

    enrolments: EnrolmentSet


@dataclass(frozen=True, slots=True)
class CodesNoted:
    """The user was shown his backup codes and went on."""


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    """Keycloak set the new password; its credential is of `credential_date`."""

    credential_date: int | None


@dataclass(frozen=True, slots=True)
class TokensGranted:
    """The grant with the new password: tokens, and the user as they name him."""

    tokens: Tokens = field(repr=False)
    user: User


@dataclass(frozen=True, slots=True)
class TokensRenewed:
    """The tokens were renewed, so that the session at Keycloak does not end while a code is waited for."""

    tokens: Tokens = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session exists, was changed, or the act is done."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Stopped:
    """The login ends without a session. With a challenge it counts only while that one is still under way."""

    problem_detail: ProblemDetail
    challenge: str | None = None


Event = (
    PasswordRight
    | Picked
    | AddressGiven
    | AddressConfirmed
    | Drafted
    | SecretWithdrawn
    | Queued
    | ChallengeSent
    | Proved
    | Saved
    | CodesNoted
    | PasswordChanged
    | TokensGranted
    | TokensRenewed
    | SessionOpened
    | Stopped
)
