"""The record of one login and the events that change it.

Purposes, the record, the slot that the store has under one login secret, and every event. The record keeps what
happened, never the step of the login; `state_machine` defines the steps and computes the step.
"""

from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.domain.challenge import Challenge, Draft, ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.problem import ProblemDetail
from gateway.domain.session import Tokens
from gateway.domain.user import Contact, User

ADMINISTER = "administer"
"""`act` of a login for the administration pages, in its page, JSON and query."""
SAME_ANSWER = 30.0
"""Seconds for which the very same form gets the same answer again."""


class Purpose(Enum):
    """Why a login was begun."""

    SIGN_IN = "sign-in"
    ENROL = "enrol"
    STEP_UP = "step-up"


class ActKind(Enum):
    """What a user does on the account page after a proof given for that one act."""

    TURN_OFF = "turn-off"
    SHOW_CODES = "show-codes"
    NEW_CODES = "new-codes"
    SIGN_OUT_EVERYWHERE = "sign-out-everywhere"
    END_SESSION = "end-session"
    END_TRUST = "end-trust"


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the account page. `factor` is its target where it has one.

    `target` names one of several: the id of a session, of a trusted browser or of an app. `about` is what the page
    called it, for the page of the proof.
    """

    kind: ActKind
    factor: FactorKind | None = None
    target: str = ""
    about: str = ""


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
class Enrolling:
    """The enrolment under way: what the user chose and gave until now. A choice of another factor replaces it.

    `edited` is the address that the user took back to edit it. `awaiting_approval` is the enrolment that was proved and
    waits for its approval.
    """

    picked: FactorKind | None = None
    draft: Draft | None = None
    edited: str = field(default="", repr=False)
    confirmed: bool = False
    awaiting_approval: Enrolment | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The enrolment that this login proved. `first`: the user had no factor before."""

    enrolment: Enrolment
    first: bool
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """The challenge under way, with its round.

    An entry of an earlier round never counts. `next_number` is the number of the next challenge. `queued_until` is when
    the next code may be sent, `held_until` until when the user had to wait last.
    """

    round: int = 0
    next_number: int = 0
    challenge: Challenge | None = None
    queued_until: float | None = None
    held_until: float = 0.0

    def reset(self) -> "Verification":
        """No challenge is under way."""
        return replace(self, challenge=None, queued_until=None)

    def next_round(self) -> "Verification":
        """No challenge is under way, and no entry of this round counts any more."""
        return replace(self.reset(), round=self.round + 1)


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

    `key` is the digest of its newest login secret, made at `rotated_at`; `tag` groups its record with the session's in
    the store. `app` is the path prefix of the route it was begun for, `route_asks` whether that route asks for a
    factor. `session` is the one that an `enrol` or `step-up` belongs to, `recent` whether a proof for this very login
    is owed whatever the policy asks at sign-in, `fresh` whether it was given, `wanted` what `enrol` sets up, `act` what
    is done after the proof. `administers`: the proof opens the administration pages for changes. `due`: Keycloak
    demands a new password, `changed`: the user set it. `open_registration`: a first factor needs no approval.
    `chosen` is the method that the user chose to prove. `proofs` are the accepted entries, in order; those of a round
    before `proofs_from` count no longer. `acknowledged` are the words of the pages that the user read and left by
    their button. `sso`: the user signs in on Keycloak's own page; `provider_factor` is what its token said there in
    place of a code ("" for nothing). `target` is the id of the app whose place a new one takes, or `BESIDE` (see
    `EnrolmentSet.with_enrolment`).
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
    rotated_at: float
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
    enrolling: Enrolling = Enrolling()
    chosen: FactorKind | None = None
    verification: Verification = Verification()
    proofs: tuple[Proof, ...] = ()
    proofs_from: int = 0
    proved: FactorKind | None = None
    proved_at: float | None = None
    remember: bool = False
    enrolled: Enrolled | None = None
    acknowledged: tuple[str, ...] = ()
    opened: Opened | None = None
    stopped: ProblemDetail | None = None
    sso: bool = False
    provider_factor: str = ""
    administers: bool = False
    target: str = ""

    @property
    def assisted(self) -> bool:
        """Whether a code of an administrator or supervisor was accepted in place of a factor of the user."""
        return any(p.factor is FactorKind.ADMIN_CODE and p.purpose is ProofPurpose.VERIFY for p in self.proofs)


@dataclass(frozen=True, slots=True)
class Spent:
    """The mark that a login secret leaves once it is inert.

    `by` names the form whose answer may be repeated until `at` + `SAME_ANSWER`; "" when none may. `next` is the digest
    of the secret that came after, "" at the end of the login. `login` is the login after that form.
    """

    by: str
    at: float
    login: Login
    next: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether the user ended the login by "Not you?" before anything came of it."""
        return not self.by and not self.next and not self.login.opened and not self.login.stopped

    def repeats(self, form: str, now: float) -> bool:
        """Whether the answer to `form` may be repeated."""
        return self.by == form != "" and now < self.at + SAME_ANSWER


@dataclass(frozen=True, slots=True)
class Slot:
    """The record under one login secret: a login under way, or the mark of a spent secret."""

    login: Login | None = None
    spent: Spent | None = None


@dataclass(frozen=True, slots=True)
class PasswordRight:
    """Keycloak accepted the password. `tokens` None: a new password is due first. `trusted`: by this browser's cookie.

    `open_registration`: a first factor needs no approval today.
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
class SignedInAtProvider(PasswordRight):
    """Keycloak signed the user in on its own page, in place of the password here.

    `factor` is what its token says in place of a code, as the tenant names it; "" for nothing.
    """

    factor: str = ""


@dataclass(frozen=True, slots=True)
class Picked:
    """The user chose the factor to enrol; None takes the choice back."""

    factor: FactorKind | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The user chose the method to prove; None leads back to the choice."""

    factor: FactorKind | None


@dataclass(frozen=True, slots=True)
class AddressGiven:
    """The user typed an address; None takes the last one back ("Edit")."""

    draft: Draft | None


@dataclass(frozen=True, slots=True)
class AddressConfirmed:
    """The user saw `draft` again and confirmed it."""

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
    """The code with this number and round waits until `at`: the channel takes no more messages before.

    None: it waits no longer; an older code may be left.
    """

    at: float | None
    number: int
    round: int


@dataclass(frozen=True, slots=True)
class ChallengeSent:
    """A factor was asked, for `sent_to` of the challenge; without a factor nothing was sent."""

    challenge: Challenge


@dataclass(frozen=True, slots=True)
class EntryContinued:
    """A service asks for another entry: `challenge` takes the place of `before`, unless that one changed meanwhile."""

    challenge: Challenge
    before: Challenge


@dataclass(frozen=True, slots=True)
class Proved:
    """A factor accepted an entry. `enrolments` is the user's set after it, where the entry consumed a part of it.

    `name` is what the user calls the device of the app that the entry enrols.
    """

    challenge: Challenge
    factor: FactorKind
    at: float
    remember: bool = False
    enrolments: EnrolmentSet | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """Keycloak keeps the user's sealed set with the new enrolment."""

    enrolments: EnrolmentSet


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The user read a page that asks for nothing, and pressed its button. `page` is the word of its step."""

    page: str


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    """Keycloak set the new password, whose credential is of `credential_date`."""

    credential_date: int | None


@dataclass(frozen=True, slots=True)
class TokensGranted:
    """The grant with the new password: tokens, and the user that they name."""

    tokens: Tokens = field(repr=False)
    user: User


@dataclass(frozen=True, slots=True)
class TokensRenewed:
    """The gateway renewed the tokens, so that the session at Keycloak does not end while a code waits."""

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
    | Chosen
    | AddressGiven
    | AddressConfirmed
    | Drafted
    | SecretWithdrawn
    | Queued
    | ChallengeSent
    | EntryContinued
    | Proved
    | Saved
    | Acknowledged
    | PasswordChanged
    | TokensGranted
    | TokensRenewed
    | SessionOpened
    | Stopped
)
