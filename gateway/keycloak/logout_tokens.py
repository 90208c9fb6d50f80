"""Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0): Keycloak tells that it has ended a session.

Any client can send one, so all must be right: the signature, the kind, realm, client and time of the token, and the
event. Its keys are fetched apart from those of access tokens, so that a forged token never delays a login. The caller
accepts each `id` once.
"""

from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from gateway.domain.tenant import KeycloakAccess
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.http_errors import where
from gateway.keycloak.tokens import LEEWAY, TokenRefused, Verifier

EVENT = "http://schemas.openid.net/event/backchannel-logout"
OFFLINE_TOO = "revoke_offline_access"
"""A member that Keycloak adds to the events if the client says so."""
AGE = 120
"""Seconds for which a logout token is accepted after it was issued, as Keycloak's own are valid."""
LONGEST = 8192
"""Characters of a logout token."""
LONGEST_ID = 255
KEPT = AGE + 2 * LEEWAY
"""Seconds after which no token that was accepted once can be accepted again."""


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A verified logout token. `session_id` is Keycloak's session, empty for all sessions of the user."""

    id: str
    user_id: str
    session_id: str


class LogoutTokens:
    """Verifies logout tokens of every realm."""

    def __init__(self, clients: KeycloakClients) -> None:
        self._verifier = Verifier(clients)

    async def verify(self, access: KeycloakAccess, token: str, now: float) -> LogoutToken:
        """The content of a logout token at `now`. Raises `TokenRefused`, or `Unreachable` without the realm's keys."""
        if len(token) > LONGEST:
            raise TokenRefused(where(access), "the logout token is too long")
        signed = await self._verifier.signed(access, token, now)
        if fault := _fault(access, signed.header, signed.claims, now):
            raise TokenRefused(where(access), f"the logout token's {fault}")
        claims = signed.claims
        return LogoutToken(claims["jti"], claims["sub"], claims.get("sid", ""))


def _fault(access: KeycloakAccess, header: dict[str, Any], claims: dict[str, Any], now: float) -> str:
    """What is wrong; "" for a logout token of the realm for this client."""
    client, events, issued_at = access.sign_in.client_id, claims.get("events"), claims.get("iat")
    faults = {
        "header typ": header.get("typ") != "logout+jwt",
        "header kid": not isinstance(header.get("kid"), str),
        "iss": claims.get("iss") != access.issuer,
        "aud": claims.get("aud") not in (client, [client]),
        "typ": claims.get("typ", "Logout") != "Logout",
        "nonce": "nonce" in claims,
        "events": not isinstance(events, dict) or events.get(EVENT) != {} or not events.keys() <= {EVENT, OFFLINE_TOO},
        "iat": isinstance(issued_at, bool)
        or not (isinstance(issued_at, int | float) and -LEEWAY <= now - issued_at <= AGE + LEEWAY),
        "jti": not _is_id(claims.get("jti")),
        "sub": not _is_id(claims.get("sub")),
        "sid": "sid" in claims and not _is_id(claims["sid"]),
    }
    for name, wrong in faults.items():
        if wrong:
            return name
    registry = jwt.JWTClaimsRegistry(now=int(now), leeway=LEEWAY, exp={"essential": True})
    try:
        registry.validate(claims)
    except JoseError as error:
        return f"claims: {error}"
    return ""


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID
