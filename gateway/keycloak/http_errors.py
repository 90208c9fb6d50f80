"""Maps HTTP statuses and failed connections of Keycloak to the four errors of `domain.errors`.

Their texts are written for operators and never contain a secret. `token_endpoint` judges whether a password is wrong.
"""

import json
from typing import Any
from urllib.parse import urlsplit

from gateway.domain import errors
from gateway.domain.tenant import KeycloakAccess
from gateway.observe.connection_errors import MOST, is_untrusted, why_not_connected
from gateway.observe.redaction import clean_text

URL = "keyCloak.auth-server-url"
_DENIED = (
    "if a direct grant flow with Deny access is bound, choose another one for this client alone: Advanced, "
    "Authentication flow overrides"
)


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
    code, text = said(error.response_body)
    if status in {400, 404, 409} and not token:
        return Declined(f"{where(access)}: {what}", status, text)
    if token and text:
        return refused(access, what, code, text, "gateway.keycloak.service_account")
    if status == 403:
        text = f"{text} (its client needs the role manage-users of realm-management)"
    if 400 <= status < 500 and text:
        return errors.Refused(where(access), f"{what}: {status} {text}")
    return bad_status(access, what, status, error.response_body)


def said(body: bytes | None) -> tuple[str, str]:
    """Code and message of Keycloak's response (JSON in one of three shapes), or empty texts."""
    try:
        answer = json.loads(body or b"")
    except ValueError:
        return "", ""
    if not isinstance(answer, dict):
        return "", ""
    code = answer.get("error") or ""
    return str(code), str(answer.get("error_description") or answer.get("errorMessage") or code)


def refused(access: KeycloakAccess, what: str, code: str, text: str, client: str) -> errors.Refused:
    """The error for an OAuth error of one of the gateway's clients; `client` is the setting with its id and secret.

    None of these codes is about the user (measured on 26.7.3).
    """
    match code:
        case "unauthorized_client" if "direct access grants" in text:
            fix = "turn on Direct access grants of this client"
        case "unauthorized_client" if "service account" in text:
            fix = "turn on Service account roles of this client"
        case "unauthorized_client":
            fix = f"correct {client}.client_secret"
        case "invalid_client" if "consent" in text:
            fix = "turn off Consent required of this client"
        case "invalid_client":
            fix = f"the client is unknown or disabled: correct {client}.client_id, or enable the client"
        case "access_denied" if "Realm" in text:
            fix = "enable the realm, or correct its name in keyCloak.realm"
        case "Realm does not exist":
            fix = "correct keyCloak.realm"
        case _:  # a flow that denies access answers with a sentence in the realm's language instead of a code
            fix = _DENIED if code in {"access_denied", text} else ""
    shown = clean_text((text if code == text else f"{code} {text}")[:MOST])
    return errors.Refused(where(access), f"{what}: {shown}" + (f"; {fix}" if fix else ""))


def bad_status(access: KeycloakAccess, what: str, status: int, body: bytes | None = None) -> errors.GatewayError:
    """The error for a status that has no meaning here."""
    if 300 <= status < 400:
        return errors.Misconfigured(where(access), f"{what}: {status}, a redirect; check {URL}")
    code, text = said(body)
    if code == "Realm does not exist":
        return refused(access, what, code, text, "")
    if status == 404:
        return errors.Misconfigured(where(access), f"{what}: 404 {text}; {_path_hint(access)}")
    if status in {401, 403} and not text:
        return errors.Refused(where(access), f"{what}: {status} without a message from Keycloak; {_DENIED}")
    if 400 <= status < 500:
        return errors.Refused(where(access), f"{what}: {status} {text or 'without a message from Keycloak'}")
    return errors.Unreachable(where(access), f"{what}: {status or 'no response'}")


def no_keycloak(access: KeycloakAccess, what: str) -> errors.Unreachable:
    """The error for a response that is not Keycloak's."""
    return errors.Unreachable(where(access), f"{what}: the response is not from Keycloak; check {URL}")


def not_connected(access: KeycloakAccess, what: str, error: Exception) -> errors.GatewayError:
    """The error for a failed connection."""
    why = f"{what}: {why_not_connected(error, tls='tls.keycloak', address=URL)}"
    return (errors.Misconfigured if is_untrusted(error) else errors.Unreachable)(where(access), why)


def _path_hint(access: KeycloakAccess) -> str:
    """The advice for a 404: by default Keycloak has no path since version 17, and EFCX's has /auth."""
    if urlsplit(access.url).path.rstrip("/").endswith("/auth"):
        return f"if this Keycloak has no path /auth, remove it from {URL}"
    return f"{URL} may lack the path of this Keycloak, for example /auth/"
