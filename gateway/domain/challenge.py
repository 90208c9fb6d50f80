"""One verification in progress, and the results of verifying an entry. No value contains the code itself."""

from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.domain.channel import ChannelKind
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem


class ProofPurpose(Enum):
    """The purpose that a proof is accepted for. It never counts for another one."""

    VERIFY = "verify"
    ENROL = "enrol"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Binding:
    """The binding of a challenge. A proof counts only where all four match.

    `login` is the login's id, `round` its round. `draft` is the digest of the enrolment that is proved (`ENROL`) or
    approved (`APPROVE`), "" for `VERIFY`.
    """

    login: str = ""
    round: int = 0
    purpose: ProofPurpose = ProofPurpose.VERIFY
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One verification in progress. `state` belongs to the factor (a code digest, a handle); the login record seals it.

    `sent_to` is the full address (masked only when shown), `expires_at` and `resend_at` are seconds since the epoch,
    `number` counts the challenges of one login. `factor` None means that nothing was sent (a page that takes any code).
    A code was sent by `channel`, which was of `channel_kind` then: only that one verifies it.
    `prompt` is what the service asks for next, an English sentence that a page translates ("" for the code itself).
    """

    id: str
    factor: FactorKind | None
    bound_to: Binding
    number: int
    state: str = field(default="", repr=False)
    channel: str | None = None
    sent_to: str = ""
    issued_at: float = 0.0
    expires_at: float | None = None
    resend_at: float | None = None
    tag: str = ""
    prompt: str = ""
    channel_kind: ChannelKind | None = None

    def asks(self, more: "More") -> "Challenge":
        """The same challenge after an entry that the service neither accepted nor rejected."""
        return replace(self, state=more.state, prompt=more.prompt)


@dataclass(frozen=True, slots=True)
class Asked:
    """A factor was asked: keep `state`, the code is void after `expires_at`."""

    state: str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The one positive answer. `redeem` is what the factor must use up exactly once before the entry counts.

    `by` is the id of the app whose code it is.
    """

    redeem: str
    by: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Verified and wrong.

    `voids` are marks (see `UsedCodes.mark`) that must be made before the user reads the problem: else it would tell
    that the entry is right later.
    """

    problem: Problem = Problem.WRONG_CODE
    voids: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nothing was verified: the caller gives the count back. `reason` is for the log."""

    reason: str
    problem: Problem = Problem.SEND_FAILED


@dataclass(frozen=True, slots=True)
class More:
    """The service wants another entry, as the next code of a token. `prompt` is the English sentence that says which.

    The entry costs an attempt. `state` takes the place of the challenge's.
    """

    state: str = field(repr=False)
    prompt: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The service ends the login: the browser is sent to the named path `path` of the tenant.

    `path` is a key and never an address. A tenant without it shows the page of a stopped login.
    """

    path: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An enrolment that no code has proved yet: an address, or a secret made by the factor."""

    factor: FactorKind
    address: str = ""
    secret: str = field(default="", repr=False)

    def as_enrolment(self) -> Enrolment:
        """The enrolment that a right code makes of it."""
        return Enrolment(self.factor, self.address, self.secret)


Judgement = Accepted | Rejected | Unavailable | More | Elsewhere
