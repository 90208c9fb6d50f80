"""The reasons why an act of administration is not done, for programs: RFC 9457 problem details.

`domain.problem` has the reasons that users read. These are for administrators and programs, and are not translated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self


class Reason(Enum):
    """Why an act is not done. The value is the `code` of the answer."""

    value: str  # its type; `__new__` sets it
    status: int
    title: str

    def __new__(cls, code: str, status: int = 0, title: str = "") -> Self:
        """Makes the code alone the value."""
        reason = object.__new__(cls)
        reason._value_, reason.status, reason.title = code, status, title
        return reason

    BAD_REQUEST = "bad-request", 400, "The request cannot be read"
    NOT_AUTHENTICATED = "not-authenticated", 401, "The request has no valid token"
    FORBIDDEN = "forbidden", 403, "The caller may not do this"
    NOT_FOUND = "not-found", 404, "Not found"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "This address does not support the method"
    EXISTS = "exists", 409, "A tenant with this id exists"
    READ_ONLY = "read-only", 409, "The tenant files cannot be written"
    FOLDERS_DIFFER = "folders-differ", 409, "The replicas do not share their tenant files"
    CONFLICT = "conflict", 409, "Another request changed the same thing"
    NOT_POSSIBLE = "not-possible", 409, "The act is not possible now"
    CHANGED = "changed", 412, "The tenant file was changed since it was read"
    TOO_LARGE = "too-large", 413, "The body is too large"
    UNSUPPORTED_TYPE = "unsupported-type", 415, "The body must be JSON"
    INVALID = "invalid", 422, "The values are not allowed"
    INTERNAL = "internal", 500, "The gateway failed"
    UNAVAILABLE = "unavailable", 503, "A dependency of the gateway does not respond"


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong value: its JSON path, as `tenantSettings.twoFAConfigs.otpExpiry`, and what is allowed."""

    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class Denial:
    """An act that is not done. `detail` is for the caller and names no secret; `cause` is for the log."""

    reason: Reason
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    cause: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self, reference: str) -> dict[str, Any]:
        """The problem details."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.reason.title,
            "status": self.reason.status,
            "code": self.reason.value,
            "reference": reference,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.faults:
            body["errors"] = [{"path": one.path, "detail": one.detail} for one in self.faults]
        return body
