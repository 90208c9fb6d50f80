"""What the store has under one login secret, and how long it counts and is kept."""

from dataclasses import dataclass

from gateway.domain.configuration import OperatorLimits
from gateway.login.record import Login, Purpose

SAME_ANSWER = 30.0
"""Seconds for which the very same form gets the same answer again."""
REAPED_WITHIN = 900.0
"""Seconds that a dead login's record is kept, for `abandoned_logins` to end its Keycloak session."""


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

    def repeats(self, form: str, now: float) -> bool:
        """Whether the answer to `form` may be repeated."""
        return self.by == form != "" and now < self.at + SAME_ANSWER


@dataclass(frozen=True, slots=True)
class Slot:
    """The record under one login secret: a login under way, or the mark of a spent secret."""

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


def counts(login: Login, limits: OperatorLimits, now: float) -> bool:
    """Whether a login still counts."""
    return now < counts_until(login, limits)


def counts_until(login: Login, limits: OperatorLimits) -> float:
    """When a login without a further event ends: 15 minutes from its last event, 60 in all.

    A user who has to wait for a code has those 15 minutes from the moment it may be sent, however late that is.
    """
    idle = max(login.moved_at, login.verification.queued_until or 0.0) + limits.login_idle
    return min(idle, max(login.begun_at + limits.login_absolute, login.verification.held_until + limits.login_idle))


def kept_until(login: Login, limits: OperatorLimits) -> float:
    """Until when the record of a login is kept."""
    return max(login.moved_at, login.verification.queued_until or 0.0) + limits.login_idle + REAPED_WITHIN
