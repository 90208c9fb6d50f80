"""One proof under way, and what judging an answer to it can end in. Never the code itself."""

from dataclasses import dataclass, field

from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem


@dataclass(frozen=True, slots=True)
class Challenge:
    """Whose proof is under way: `state` is the factor's own, sealed by the login record (a code digest, a handle).

    `sent_to` is the full address (masked only when shown), `expires_at` and `resend_at` seconds since the epoch,
    `number` counts the challenges of one login, `round` the proofs it owes. `method` None of a combined page means
    that nothing was sent.
    """

    id: str
    factor: FactorKind | None
    round: int
    number: int
    state: str = field(default="", repr=False)
    channel: str | None = None
    sent_to: str = ""
    issued_at: float = 0.0
    expires_at: float | None = None
    resend_at: float | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A factor was asked: keep `state`, the code is void after `expires_at`."""

    state: str
    expires_at: float | None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The one positive answer. `consume` names what must be used up exactly once: (kind, value)."""

    consume: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Judged and wrong."""

    problem: Problem = Problem.WRONG_CODE


@dataclass(frozen=True, slots=True)
class More:
    """The factor asks on: a new state and a prompt."""

    state: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The factor sends the user to a named path."""

    path: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody judged: the count is given back. `reason` is for the log."""

    reason: str
    problem: Problem = Problem.SEND_FAILED


@dataclass(frozen=True, slots=True)
class Draft:
    """A registration as given, not yet proved: an address, or a secret made by the factor."""

    factor: FactorKind
    address: str = ""
    secret: str = field(default="", repr=False)


Judgement = Accepted | Rejected | More | Elsewhere | Unavailable
