"""What security events are there, and how is one told?

One JSON line an event, with a stable name, who, whom, tenant, client and the codes that lead to the log of the
request. Never a code, token, password or full address: details are plain values that the caller chose, and all of them
pass `redaction`. A sink that is full or gone never fails the request that wrote to it; `lost` counts such lines.
"""

import json
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import structlog

from gateway.domain.errors import Misconfigured
from gateway.domain.ports import Clock
from gateway.observe.redaction import clean


class AuditEvent(Enum):
    """The event catalogue; the value is the name in the line and does not change between versions."""

    PASSWORD_ACCEPTED = "password_accepted"  # noqa: S105 - the name of an event
    """Keycloak accepted a password; nothing is open yet."""
    PASSWORD_REJECTED = "password_rejected"  # noqa: S105 - the name of an event
    """Keycloak refused a password; `reason` is its own text."""
    LOGIN_UNAVAILABLE = "login_unavailable"
    """Keycloak did not judge a password; nobody was refused by it."""
    LOGIN_QUEUE_FULL = "login_queue_full"
    """Too many asked for one user name at once, or in all."""
    LOGIN_STOPPED = "login_stopped"
    """A login with a right password was stopped; `problem` says why."""
    FORM_REJECTED = "form_rejected"
    """A form came without the token of its browser, or from another origin."""
    ENROLMENT_ADDED = "enrolment_added"
    """A factor was registered and proved."""
    ENROLMENT_REJECTED = "enrolment_rejected"
    """An address was typed that this user may not register."""
    ENROLMENT_CONFLICT = "enrolment_conflict"
    """A user's registrations were changed elsewhere while he registered."""
    ACCOUNT_CHANGE_MAILED = "account_change_mailed"
    """An address of the user was told of a factor set up or turned off, or of new backup codes; `change` says which."""
    ENROLMENT_TAMPERED = "enrolment_tampered"
    """A registration is not one the gateway wrote last; `finding` says in what way. The login was stopped."""
    ENROLMENT_UNGUARDED = "enrolment_unguarded"
    """A registration was accepted of which the store knew nothing: the store was lost."""
    CODE_SENT = "code_sent"
    """A code was sent; `to` is masked."""
    CODE_NOT_SENT = "code_not_sent"
    """No relay took a code."""
    CODE_ACCEPTED = "code_accepted"
    """A second factor was proved."""
    CODE_REJECTED = "code_rejected"
    """A code was judged and is wrong."""
    CODE_EXPIRED = "code_expired"
    """A code came too late; it was not judged."""
    LIMIT_REACHED = "limit_reached"
    """An attempt was refused by a limit; nothing was judged or sent."""
    LOCK_SET = "lock_set"
    """A user's second factor was locked by this very attempt."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    """A due password was changed."""
    PASSWORD_CHANGE_UNKNOWN = "password_change_unknown"  # noqa: S105 - the name of an event
    """Whether a due password was changed is not known: Keycloak did not answer. The login was stopped."""
    ADMIN_CODE_ISSUED = "admin_code_issued"
    """An administrator made a one-time code for a user; `by` says who."""
    ENROLMENT_REMOVED = "enrolment_removed"
    """A user turned one of his factors off."""
    BACKUP_CODES_SHOWN = "backup_codes_shown"
    """A user looked at his backup codes."""
    BACKUP_CODES_RENEWED = "backup_codes_renewed"
    """A user made new backup codes; the old ones are void."""
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    """A user ended his other sessions and all trust in browsers; `sessions` says how many ended."""
    BROWSER_TRUSTED = "browser_trusted"
    """A browser is trusted from now on."""
    TRUST_REJECTED = "trust_rejected"
    """A trust cookie counted for nothing; `verdict` says why. `stolen`: a copy of it was used before; `just-used`: it
    was replaced seconds ago, a double click for one."""
    SESSION_OPENED = "session_opened"
    """A login became a session; `satisfied` says by what."""
    SESSION_ENDED = "session_ended"
    """A session ended; `reason` says why."""
    TOKEN_COOKIE_TOO_LARGE = "token_cookie_too_large"  # noqa: S105 - the name of an event
    """A token does not fit into its cookie; delivery in a header goes on."""
    LOGOUT = "logout"
    """A user signed out."""
    ENDPOINT_BLOCKED = "endpoint_blocked"
    """An app's own login, second factor or refresh was asked for."""
    ORIGIN_REJECTED = "origin_rejected"
    """Another site's page asked with a user's cookie."""
    CONFIGURATION_LOADED = "configuration_loaded"
    """Another configuration is in force."""
    CONFIGURATION_REJECTED = "configuration_rejected"
    """Changed settings have errors; the last good ones stay in force."""
    CONFIGURATION_WEAKENED = "configuration_weakened"
    """The new configuration asks less of users; `changes` says where."""


class Audit:
    """Writes events to the log `audit` and, when a file is named, to it (appended, mode 0600).

    `tell` gets each line, `count` each event with its tenant.
    """

    def __init__(
        self,
        clock: Clock,
        file: Path | None = None,
        tell: Callable[[str], None] | None = None,
        count: Callable[[AuditEvent, str], None] | None = None,
    ) -> None:
        """Raises `errors.Misconfigured` when the file cannot be opened."""
        self._clock = clock
        self._tell = tell
        self._count = count
        self._log = structlog.get_logger("audit")
        self._file = _opened(file) if file else None
        self.lost = 0

    def write(
        self,
        event: AuditEvent,
        *,
        tenant: str,
        user_id: str | None = None,
        username: str | None = None,
        client: str | None = None,
        request_id: str | None = None,
        reference: str | None = None,
        **details: Any,
    ) -> None:
        """One line. `details` are plain values (text, numbers, lists of them)."""
        facts = {
            "tenant": tenant,
            "user_id": user_id,
            "username": username,
            "client": client,
            "request_id": request_id,
            "reference": reference,
            **details,
        }
        known = clean({name: value for name, value in facts.items() if value is not None})
        self._log.info(event.value, **known)
        line = json.dumps({"at": self._clock.now(), "event": event.value, **known}, ensure_ascii=True, default=str)
        if self._tell:
            self._tell(line)
        if self._count:
            self._count(event, tenant)
        if self._file is not None:
            self._append(self._file, line.encode() + b"\n")

    def _append(self, file: int, line: bytes) -> None:
        try:
            written = os.write(file, line)
        except OSError as error:
            written, why = 0, error.strerror
        else:
            why = "disk full"
        if written != len(line):
            self.lost += 1
            self._log.error("audit_line_lost", why=why, lost=self.lost)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _opened(file: Path) -> int:
    try:
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(opened, 0o600)  # it may have been there before, open to others
    except OSError as error:
        raise Misconfigured(f"audit_file {file}", f"cannot be opened: {error.strerror}") from error
    return opened
