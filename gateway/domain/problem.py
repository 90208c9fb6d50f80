"""Every reason a user can be given.

One enum; `rendering.problem_texts` has status, tone, text and next step for each. The value is the code in JSON, log
and audit.
"""

from dataclasses import dataclass
from enum import Enum


class Problem(Enum):
    """Why the gateway did not do what was asked."""

    # what the user typed or did
    BAD_INPUT = "bad-input"
    BAD_ADDRESS = "bad-address"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105 - a word, not a password
    WRONG_CODE = "wrong-code"
    NEXT_CODE = "next-code"
    CLOCK_OFF = "clock-off"
    CODE_EXPIRED = "code-expired"
    FORM_EXPIRED = "form-expired"
    NO_COOKIE = "no-cookie"
    LOGIN_EXPIRED = "login-expired"
    CANCELLED = "cancelled"
    OUT_OF_ORDER = "out-of-order"
    # limits
    LIMIT_EXCEEDED = "limit-exceeded"
    TOO_MANY_CODES = "too-many-codes"
    WAIT = "wait"
    SAVING = "saving"
    QUEUED = "queued"
    WARNING = "warning"
    LOCKED = "locked"
    MAX_SENDS = "max-sends"
    TOO_MANY_LOGINS = "too-many-logins"
    # what stops a login
    NO_CONTACT = "no-contact"
    UNKNOWN_ADDRESS = "unknown-address"
    ACTION_REQUIRED = "action-required"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a word, not a password
    PASSWORD_REFUSED = "password-refused"  # noqa: S105 - a word, not a password
    ACCOUNT_CHANGED = "account-changed"
    ENROLMENT_CHANGED = "enrolment-changed"
    ENROLMENT_UNREADABLE = "enrolment-unreadable"
    OTHER_USER = "other-user"
    # what is not the user's doing
    SEND_FAILED = "send-failed"
    SIGN_IN_UNAVAILABLE = "sign-in-unavailable"
    SIGN_IN_MISCONFIGURED = "sign-in-misconfigured"
    STORE_UNAVAILABLE = "store-unavailable"
    TENANT_NOT_AVAILABLE = "tenant-not-available"
    UNKNOWN_HOST = "unknown-host"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    BAD_REQUEST = "bad-request"
    REQUEST_TOO_LARGE = "request-too-large"
    HEADERS_TOO_LARGE = "headers-too-large"
    SIGN_IN_FIRST = "sign-in-first"
    SIGN_IN_HERE = "sign-in-here"
    ORIGIN_REFUSED = "origin-refused"
    APP_UNAVAILABLE = "app-unavailable"
    APP_TOO_SLOW = "app-too-slow"
    TOO_MANY_STREAMS = "too-many-streams"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ProblemDetail:
    """A problem as it is shown once: `until` is when the wait it names ends (seconds since the epoch).

    `detail` is a dependency's own sentence for the user (Keycloak's password policy).
    """

    problem: Problem
    until: float | None = None
    path: str | None = None
    detail: str = ""
