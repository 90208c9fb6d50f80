"""Makes the address of Keycloak's own sign-in page, and reads what a browser brings back from it.

The authorization code flow (RFC 6749 4.1) with PKCE (RFC 7636), `nonce` and a sign-in that is asked for now: a session
that the browser has at Keycloak never signs a user in. Pure. `token_endpoint` exchanges the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from gateway.domain.secret import Secret
from gateway.domain.tenant import KeycloakAccess

AUTHORIZATION = "protocol/openid-connect/auth"
MOST_CODE = 2048
CANCELLED = "access_denied"
LATER = frozenset({"temporarily_unavailable", "server_error"})
"""Errors of the authorization endpoint that pass; all others but `CANCELLED` are the operator's matter."""


@dataclass(frozen=True, slots=True)
class Code:
    """Keycloak signed the user in, and gave this code."""

    code: Secret
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """Keycloak gave no code, by this error."""

    error: str
    description: str
    state: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotFromRealm:
    """The answer is not one of this tenant's realm, and `why`."""

    why: str


def authorization_url(
    access: KeycloakAccess,
    *,
    state: str,
    nonce: str,
    verifier: str,
    language: str = "",
    username: str = "",
    prompt: str = "login",
) -> str:
    """The address at which the user signs in. `username` fills in the form there."""
    address: str = prepare_grant_uri(
        f"{access.issuer}/{AUTHORIZATION}",
        access.sign_in.client_id,
        "code",
        redirect_uri=access.sso.redirect_uri if access.sso else "",
        scope="openid",
        state=state,
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        prompt=prompt,
        max_age="0",
        ui_locales=language or None,
        login_hint=username or None,
    )
    return address


def read_answer(access: KeycloakAccess, query: Mapping[str, list[str]]) -> Code | Declined | NotFromRealm:
    """What a browser brought back, by the `query` of its address. `state` is not judged here.

    The answer names its realm (`iss`, RFC 9207), so that the answer of another realm is never taken for one of ours.
    """
    known = ("state", "iss", "code", "error", "error_description")
    if any(len(query.get(name, ())) > 1 for name in known):
        return NotFromRealm("a parameter occurs twice")
    said = {name: query[name][0] for name in known if query.get(name)}
    if said.get("iss") != access.issuer:
        return NotFromRealm(f"its issuer (iss) is {said.get('iss', 'missing')[:200]}; expected {access.issuer}")
    state, code = said.get("state", ""), said.get("code", "")
    if not state or ("error" in said) is (code != "") or len(code) > MOST_CODE:
        return NotFromRealm("it has no state, or not either a code or an error")
    if code:
        return Code(Secret(code), state)
    return Declined(said["error"][:100], said.get("error_description", "")[:200], state)
