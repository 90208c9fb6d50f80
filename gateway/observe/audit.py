"""Defines the security events and writes each one as a JSON line.

A line has a stable name, tenant, user, client address, request id and reference. It never contains a code, token,
password or full address: callers pass plain values, and all of them pass `redaction`. If the audit file cannot be
written, the request does not fail; `lost` counts such lines.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import structlog

from gateway.domain.errors import Misconfigured
from gateway.domain.ports import Clock
from gateway.domain.session import Session
from gateway.domain.user import User
from gateway.observe.redaction import clean


class AuditEvent(Enum):
    """The event catalogue. The value is the name in the line; it does not change between versions."""

    # password
    PASSWORD_ACCEPTED = "password_accepted"  # noqa: S105 - the name of an event
    """Keycloak accepted a password. The user is not signed in yet."""
    PASSWORD_REJECTED = "password_rejected"  # noqa: S105 - the name of an event
    """Keycloak rejected a password; `reason` is its own text, `name_digest` a keyed digest of the user name."""
    PROVIDER_SIGN_IN_ACCEPTED = "provider_sign_in_accepted"
    """Keycloak signed a user in on its own page. The user is not signed in here yet. `second_factor` is the value of
    its token that counts as the second factor."""
    PROVIDER_SIGN_IN_REJECTED = "provider_sign_in_rejected"
    """The gateway rejected what a browser brought back from Keycloak's own sign-in page; `reason` is why."""
    LOGIN_UNAVAILABLE = "login_unavailable"
    """Keycloak gave no verdict on a password or a sign-in: it did not respond, or it rejected the gateway's client;
    `what` and `detail` say why."""
    LOGIN_QUEUE_FULL = "login_queue_full"
    """A password was not checked: too many sign-ins at once, for this user name or in total."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    """A user changed a password that had to be changed."""
    PASSWORD_CHANGE_UNKNOWN = "password_change_unknown"  # noqa: S105 - the name of an event
    """It is unknown whether a password was changed, because Keycloak did not respond. The login was stopped."""

    # codes and limits
    CODE_SENT = "code_sent"
    """The gateway sent a code; `to` is masked."""
    CODE_NOT_SENT = "code_not_sent"
    """The gateway could not send a code: no SMTP server accepted it."""
    CODE_ACCEPTED = "code_accepted"
    """A user verified a second factor."""
    CODE_REJECTED = "code_rejected"
    """A user entered a wrong code."""
    CODE_EXPIRED = "code_expired"
    """A user entered a code after it expired; the code was not checked."""
    FURTHER_CODE_ASKED = "further_code_asked"
    """A service neither accepted nor rejected a code, and asked for another one, as for the next code of a token."""
    CODE_NOT_CHECKED = "code_not_checked"
    """A user's code was not checked: its page belongs to another login, or the code could not be verified."""
    LIMIT_REACHED = "limit_reached"
    """A limit rejected an attempt; nothing was checked or sent. `limit` is its setting, or `keycloak`."""
    USER_UNLOCKED = "user_unlocked"
    """An administrator ended the locks of a user and set back what they count; `by` is the administrator."""
    LOCK_SET = "lock_set"
    """This attempt locked the user's second factor; `limit` is the setting, `app` the one app that it locks."""

    # enrolments and the account page
    ENROLMENT_ADDED = "enrolment_added"
    """A user enrolled a factor and verified it."""
    ENROLMENT_IMPORTED = "enrolment_imported"
    """An operator took over a registration that a user made with EFCX's own second factor; `by` is the operator."""
    ENROLMENT_REMOVED = "enrolment_removed"
    """A user turned off a factor."""
    ENROLMENT_REJECTED = "enrolment_rejected"
    """A user entered an address that they may not enrol."""
    ENROLMENT_CONFLICT = "enrolment_conflict"
    """A user's enrolments were changed elsewhere while they enrolled a factor. The login was stopped."""
    ENROLMENT_TAMPERED = "enrolment_tampered"
    """A user's enrolments are not those that the gateway wrote last (`finding`). The login was stopped. If they do not
    open, `sealed_by` is the id of the key that sealed them, and `ring` lists the keys of the key ring."""
    ENROLMENT_UNGUARDED = "enrolment_unguarded"
    """The gateway accepted enrolments without a rollback guard in the store, for example after the store was lost."""
    ENROLMENTS_RESET = "enrolments_reset"
    """An administrator removed all factors of a user and ended their sessions; `by` is the administrator."""
    ENROLMENTS_RESTORED = "enrolments_restored"
    """An administrator accepted enrolments of a user that the rollback guard rejected (`finding`); `source` is the copy
    that counts now, `by` the administrator."""
    ADMIN_CODE_ISSUED = "admin_code_issued"
    """An administrator issued a single-use code for a user; `by` is the issuer."""
    USER_SIGNED_OUT = "user_signed_out"
    """An administrator ended sessions of a user; `sessions` is their number, `by` the administrator."""
    CONTACT_CHANGED = "contact_changed"
    """An administrator changed the e-mail address or the mobile number of a user in Keycloak (`changed`); `by` is the
    administrator."""
    ADMINISTRATION_DENIED = "administration_denied"
    """A user asked for an administration page or act without the right to it. Nothing was shown or changed."""
    BACKUP_CODES_SHOWN = "backup_codes_shown"
    """A user viewed their backup codes."""
    BACKUP_CODES_RENEWED = "backup_codes_renewed"
    """A user generated new backup codes, which replace the old ones."""
    ACCOUNT_CHANGE_MAILED = "account_change_mailed"
    """The gateway mailed a user about an enrolled factor, a removed factor, new backup codes, or wrong codes after the
    right password in three logins in a row (`change`)."""

    # trusted browsers
    BROWSER_TRUSTED = "browser_trusted"
    """A browser became a trusted browser."""
    TRUST_ENDED = "trust_ended"
    """The user ended the trust of one browser on their own page."""
    TRUST_REJECTED = "trust_rejected"
    """The gateway rejected a trust cookie; `verdict` is the reason. `stolen`: a copy was used before. `just-used`: it
    was replaced seconds ago, for example by a double click. `undated`: the directory tells no date of the password.
    `forged`: the gateway never gave this cookie to that browser, or long ago."""

    # logins and sessions
    LOGIN_STOPPED = "login_stopped"
    """The gateway stopped a login after a correct password; `problem` is the reason, `path` the named path that the
    user takes."""
    SESSION_OPENED = "session_opened"
    """A login opened a session; `satisfied` is how the second-factor requirement was met, `until` its latest end."""
    SESSION_ENDED = "session_ended"
    """A session ended; `reason` is why. A session that expires unused has no such event, see `until` above."""
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    """A user ended their other sessions, from the account page also all trust; `sessions` is their number."""
    LOGOUT = "logout"
    """A user signed out."""
    TICKET_REJECTED = "ticket_rejected"
    """The host of an app rejected a ticket of the `pages_host`; `reason` is why. Nothing was opened."""
    TOKEN_COOKIE_TOO_LARGE = "token_cookie_too_large"  # noqa: S105 - the name of an event
    """A token does not fit into its cookie. The app still receives it in a header."""

    # requests
    FORM_REJECTED = "form_rejected"
    """The gateway rejected a form: its CSRF token was missing or wrong, or it was sent from another origin."""
    ORIGIN_REJECTED = "origin_rejected"
    """The gateway rejected a request that a page of another site sent with a user's cookie."""
    APP_DENIED = "app_denied"
    """A user asked for an app that they may not use: `allow` of its route has none of their roles and groups."""
    ENDPOINT_BLOCKED = "endpoint_blocked"
    """The gateway blocked a request to an app's own sign-in, second-factor or token-refresh endpoint."""

    # administration
    TENANT_CREATED = "tenant_created"
    """The operator created a tenant by the API; `by` is the caller."""
    TENANT_CHANGED = "tenant_changed"
    """A caller of the API changed a tenant: `changes` lists the keys, of `twoFAConfigs` with both values; `weaker` is
    what asks less of users now."""
    TENANT_DELETED = "tenant_deleted"
    """The operator deleted a tenant by the API."""
    API_DENIED = "api_denied"
    """The gateway rejected a call of the API: the caller (`by`) may not do `operation`. `cause` is the reason."""

    # configuration
    CONFIGURATION_LOADED = "configuration_loaded"
    """The gateway applied a configuration."""
    CONFIGURATION_REJECTED = "configuration_rejected"
    """Changed settings have errors; the last valid ones stay in force."""
    CONFIGURATION_RESTORED = "configuration_restored"
    """After a rejection, the files have the configuration in force again."""
    CONFIGURATION_WEAKENED = "configuration_weakened"
    """The new configuration requires less of users; `changes` lists where."""


_ERRORS = {AuditEvent.ENROLMENT_TAMPERED, AuditEvent.LOCK_SET, AuditEvent.CONFIGURATION_REJECTED}
_WARNINGS = {
    AuditEvent.PASSWORD_REJECTED,
    AuditEvent.PROVIDER_SIGN_IN_REJECTED,
    AuditEvent.LOGIN_UNAVAILABLE,
    AuditEvent.LOGIN_QUEUE_FULL,
    AuditEvent.PASSWORD_CHANGE_UNKNOWN,
    AuditEvent.CODE_NOT_SENT,
    AuditEvent.CODE_REJECTED,
    AuditEvent.CODE_EXPIRED,
    AuditEvent.CODE_NOT_CHECKED,
    AuditEvent.LIMIT_REACHED,
    AuditEvent.ENROLMENT_REJECTED,
    AuditEvent.ENROLMENT_CONFLICT,
    AuditEvent.ENROLMENT_UNGUARDED,
    AuditEvent.TRUST_REJECTED,
    AuditEvent.LOGIN_STOPPED,
    AuditEvent.TOKEN_COOKIE_TOO_LARGE,
    AuditEvent.FORM_REJECTED,
    AuditEvent.ORIGIN_REJECTED,
    AuditEvent.APP_DENIED,
    AuditEvent.ENDPOINT_BLOCKED,
    AuditEvent.API_DENIED,
    AuditEvent.TICKET_REJECTED,
    AuditEvent.ADMINISTRATION_DENIED,
    AuditEvent.CONFIGURATION_WEAKENED,
}


def level_of(event: AuditEvent) -> str:
    """The level of an event's line: `error` for an attack, a lock or wrong settings, `warning` for a refusal."""
    return "error" if event in _ERRORS else "warning" if event in _WARNINGS else "info"


def utc_time(seconds: float) -> str:
    """A time (seconds since the epoch) as every log line writes it: ISO 8601, UTC, microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Audit:
    """Writes events to the log `audit`, and to `file` if given (appended, mode 0600).

    If the file was renamed or removed, as a log rotation does, the next line opens it anew. `tell` receives each
    line, `count` each event with its tenant.
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
        self._path = file
        self._file = _opened(file) if file else None
        self._stuck = False
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
        """Write one line. `details` are plain values (text, numbers, lists of them)."""
        facts = {
            "tenant": tenant,
            "user_id": user_id,
            "username": username,
            "client": client,
            "request_id": request_id,
            "reference": reference,
            **details,
        }
        known = {name: value for name, value in facts.items() if value is not None}
        level = level_of(event)
        getattr(self._log, level)(event.value, **known)
        if self._count:
            self._count(event, tenant)
        if self._tell or self._file is not None:
            at = utc_time(self._clock.now())
            line = json.dumps({"at": at, "level": level, "event": event.value, **clean(known)}, default=str)
        if self._tell:
            self._tell(line)
        if self._file is not None:
            self.follow_file()
            self._append(self._file, line.encode() + b"\n")

    def follow_file(self) -> None:
        """Open the file anew if another one, or none, has its name now. If that fails, the old one stays in use."""
        if self._path is None or self._file is None or _is_open_as(self._file, self._path):
            return
        try:
            new = _opened(self._path)
        except Misconfigured as error:
            if not self._stuck:
                self._log.error("audit_file_not_reopened", why=error.detail)
            self._stuck = True
            return
        os.close(self._file)
        self._file, self._stuck = new, False
        self._log.info("audit_file_reopened", file=str(self._path))

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


@dataclass(frozen=True, slots=True)
class RequestAudit:
    """The audit of one request. Its caller names only the event, the user and the details."""

    audit: Audit
    tenant: str
    client: str
    request_id: str
    reference: str

    def write(self, event: AuditEvent, user: User | Session | None = None, **details: object) -> None:
        """Write `event`; `details` are plain values, never a code, token or full address."""
        self.audit.write(
            event,
            tenant=self.tenant,
            user_id=user.user_id if isinstance(user, Session) else user.id if user else None,
            username=user.username if user else None,
            client=self.client,
            request_id=self.request_id,
            reference=self.reference,
            **details,
        )


def _is_open_as(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _opened(file: Path) -> int:
    try:
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(opened, 0o600)  # an existing file may be readable by others
    except OSError as error:
        raise Misconfigured(f"audit_file {file}", f"cannot be opened: {error.strerror}") from error
    return opened
