"""Maps HTTP statuses and failed connections of Keycloak to the four errors of `domain.errors`.

Their texts are written for operators and never contain a secret. `token_endpoint` judges whether a password is wrong.
"""

import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from gateway.domain import errors
from gateway.domain.tenant import KeycloakAccess


class Declined(errors.Refused):
    """Keycloak's admin API answered `status` 400, 404 or 409; `text` is its own message."""

    def __init__(self, what: str, status: int, text: str) -> None:
        super().__init__(what, f"{status} {text}")
        self.status = status
        self.text = text


def where(access: KeycloakAccess) -> str:
    """The realm and its Keycloak, for messages to operators."""
    return f"Keycloak realm {access.realm} at {urlsplit(access.url).netloc}"


def admin_error(access: KeycloakAccess, what: str, error: Any, *, token: bool = False) -> errors.GatewayError:
    """The error for a `KeycloakError`. `token`: the request was for the administrator's own token."""
    status = error.response_code or 0
    cause = error.__cause__
    if not status and isinstance(cause, Exception):
        return not_connected(access, what, cause)
    text = said(error.response_body)
    if status in {400, 404, 409} and not token:
        return Declined(f"{where(access)}: {what}", status, text)
    if status == 403:
        text = f"{text} (its client needs the role manage-users of realm-management)"
    if 400 <= status < 500:
        return errors.Refused(where(access), f"{what}: {status} {text}")
    return bad_status(access, what, status)


def said(body: bytes | None) -> str:
    """The message in Keycloak's response (JSON in one of three shapes), or an empty text."""
    try:
        answer = json.loads(body or b"")
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    return str(answer.get("error_description") or answer.get("errorMessage") or answer.get("error") or "")


def bad_status(access: KeycloakAccess, what: str, status: int) -> errors.GatewayError:
    if 300 <= status < 400:
        return errors.Misconfigured(where(access), f"{what}: {status}, a redirect; check auth-server-url")
    if 400 <= status < 500:
        return errors.Refused(where(access), f"{what}: {status} without a message from Keycloak")
    return errors.Unreachable(where(access), f"{what}: {status or 'no response'}")


def not_connected(access: KeycloakAccess, what: str, error: Exception) -> errors.GatewayError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.Misconfigured(
                where(access), f"{what}: its certificate is not trusted ({cause.verify_message}); see tls: ca_file"
            )
        cause = cause.__cause__ or cause.__context__
    return errors.Unreachable(where(access), f"{what}: {type(error).__name__}")
