"""The grants of the stand-in's token endpoint.

authlib's server grants with Keycloak's words: its statuses, its error texts, the claims and keys of its answers.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.grants import (
    BaseGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
    ResourceOwnerPasswordCredentialsGrant,
    TokenEndpointMixin,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core.util import create_half_hash
from joserfc import jwt

from gateway.demo.identity_provider.realm import NOT_SET_UP, Realm, StandInClient, StandInSession, StandInUser

SCOPES = {"openid", "profile", "email", "offline_access", "roles"}


class TokenServer(AuthorizationServer):  # type: ignore[misc]  # authlib ships no types
    """One realm's token endpoint."""

    def __init__(self, realm: Realm) -> None:
        super().__init__()
        self.realm = realm
        self.register_grant(PasswordGrant)
        self.register_grant(CodeGrant)
        self.register_grant(RefreshGrant)
        self.register_grant(ServiceAccountGrant)

    def answer(self, form: Mapping[str, str], issuer: str) -> web.Response:
        """The answer to a form whose client credentials are in it."""
        response: web.Response = self.create_token_response(_Request(dict(form), issuer))
        return response

    def authenticate_client(self, request: Any, methods: Any, endpoint: str = "token") -> StandInClient:
        """The client by the credentials in the form, in Keycloak's words when it may not."""
        client = authenticated(self.realm, request.form)
        if request.payload.grant_type == "password" and not client.direct_access:
            raise refused("unauthorized_client", "Client not allowed for direct access grants")
        if request.payload.grant_type == "client_credentials" and client.management is None:
            raise refused("unauthorized_client", "Client not enabled to retrieve service account", 401)
        return client

    def validate_requested_scope(self, scope: str | None) -> None:
        """Keycloak's list of scopes."""
        if not set((scope or "").split()) <= SCOPES:
            raise refused("invalid_scope", f"Invalid scopes: {scope}")

    def create_oauth2_request(self, request: "_Request") -> "_Request":
        """authlib's hook: requests are made by `answer`."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> web.Response:
        """authlib's hook."""
        return web.json_response(dict(body), status=status, headers={"Cache-Control": "no-store"})

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """authlib's hook, which the stand-in does not use."""

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """authlib's hook: sessions are kept by the realm, tokens nowhere."""


class _Request(OAuth2Request):  # type: ignore[misc]
    def __init__(self, form: dict[str, str], issuer: str) -> None:
        super().__init__("POST", "https://stand-in.invalid/token")  # authlib looks at the scheme only
        self.payload = BasicOAuth2Payload(form)
        self.issuer = issuer
        self._form = {"password": "", **form}

    @property
    def form(self) -> dict[str, str]:
        return self._form


class PasswordGrant(ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """The password grant."""

    def validate_token_request(self) -> None:
        """Keycloak's words for a grant without a user name, which come after its verdict on the client."""
        client = self.authenticate_token_endpoint_client()
        if "username" not in self.request.form:
            raise refused("invalid_request", "Missing parameter: username", 401)
        self.request.client = client
        super().validate_token_request()

    def authenticate_user(self, username: str, password: str) -> StandInUser:
        """The user, or Keycloak's refusal."""
        realm: Realm = self.server.realm
        text = realm.refusal(username, password)
        user = realm.named(username)
        if text is None and user is not None:
            return user
        raise wrong_password(realm, text or "")

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """The tokens of a new session."""
        realm: Realm = self.server.realm
        session = realm.begin(self.request.user, self.request.client, self.request.payload.scope or "")
        return 200, session_tokens(realm, session, self.request.issuer), self.TOKEN_RESPONSE_HEADER


class CodeGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The exchange of a code, once. A second one ends the session that the first one got."""

    GRANT_TYPE = "authorization_code"

    def validate_token_request(self) -> None:
        """Keycloak's words for a code that does not count."""
        client, form, realm = self.authenticate_token_endpoint_client(), self.request.form, self.server.realm
        given = realm.codes.get(form.get("code", ""))
        if given is not None and given.used:
            realm.end(given.session)
        if given is None or given.used or realm.clock.now() >= given.until:
            raise refused("invalid_grant", "Code not valid")
        given.used = True
        if given.client is not client:
            raise refused("invalid_grant", "Auth error")
        if given.redirect_uri != form.get("redirect_uri"):
            raise refused("invalid_grant", "Incorrect redirect_uri")
        verifier = form.get("code_verifier", "")
        if given.challenge and not verifier:
            raise refused("invalid_grant", "PKCE code verifier not specified")
        if given.challenge and create_s256_code_challenge(verifier) != given.challenge:
            raise refused("invalid_grant", "PKCE verification failed: Code mismatch")
        self.request.given = given

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """The tokens of the session."""
        realm, given = self.server.realm, self.request.given
        signed_in = {"auth_time": int(given.session.signed_in_at), "nonce": given.nonce or None, "acr": given.acr}
        body = session_tokens(realm, given.session, self.request.issuer, signed_in)
        return 200, realm.behaviour.rewrite(body) if realm.behaviour.rewrite else body, self.TOKEN_RESPONSE_HEADER


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    """Refresh, with and without rotation."""

    def _validate_request_token(self, client: StandInClient) -> StandInSession:
        session: StandInSession | str = self.server.realm.session_of(self.request.form.get("refresh_token", ""))
        if isinstance(session, str):
            raise refused("invalid_grant", session)
        if session.client is not client:
            raise refused("invalid_grant", "Token client and authorized client don't match")
        return session

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """New tokens of the same session."""
        realm: Realm = self.server.realm
        session: StandInSession = self.request.refresh_token
        session.used_at = realm.clock.now()
        if realm.behaviour.rotate_refresh:
            session.spent.add(session.refresh_token)
            session.refresh_token = uuid.uuid4().hex + uuid.uuid4().hex
        return 200, session_tokens(realm, session, self.request.issuer), self.TOKEN_RESPONSE_HEADER


class ServiceAccountGrant(ClientCredentialsGrant):  # type: ignore[misc]
    """A service account's token."""

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """A token without a session."""
        realm: Realm = self.server.realm
        client: StandInClient = self.request.client
        claims = {
            "sub": realm.service_account(client),
            "preferred_username": f"service-account-{client.client_id.lower()}",
            "aud": list(client.audience) or None,
            "realm_access": {"roles": list(client.roles)},
            "resource_access": _management(client.management or ()),
        }
        token = signed(realm, self.request.issuer, client, claims)
        body = {
            "access_token": token,
            "expires_in": realm.access_life,
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": "profile email",
        }
        return 200, body, self.TOKEN_RESPONSE_HEADER


def authenticated(realm: Realm, form: Mapping[str, str]) -> StandInClient:
    """The client of a form; raises `OAuth2Error` as Keycloak answers."""
    text = "Invalid client or Invalid client credentials"
    client = realm.client(form.get("client_id"))
    if client is None:
        raise refused("invalid_client", text, 401)
    if client.secret and form.get("client_secret") != client.secret:
        raise refused("unauthorized_client", text, 401)
    return client


def refused(error: str, description: str, status: int = 400) -> OAuth2Error:
    """A refusal in Keycloak's shape."""
    return OAuth2Error(error=error, description=description, status_code=status)


def wrong_password(realm: Realm, text: str) -> OAuth2Error:
    """The refusal of a password; before Keycloak 26.6 most were 401."""
    always_400 = text in {NOT_SET_UP, "Account disabled"}
    return refused("invalid_grant", text, 401 if realm.behaviour.old_statuses and not always_400 else 400)


def session_tokens(
    realm: Realm, session: StandInSession, issuer: str, signed_in: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The token endpoint's answer for a session; `signed_in` are the ID token's claims of a sign-in on the own page."""
    user, client = session.user, session.client
    names = {"given_name": user.first_name, "family_name": user.last_name, "email": user.email}
    claims = {
        "sub": user.id,
        "sid": session.id,
        "acr": "1",
        "realm_access": {"roles": list(user.roles)},
        "scope": " ".join(sorted({"profile", "email", *session.scope.split()})),
        "email_verified": user.email_verified,
        "name": f"{user.first_name} {user.last_name}".strip() or None,
        "preferred_username": user.username,
        **{name: value or None for name, value in names.items()},
        "resource_access": _management(user.management),
        "groups": list(user.groups) or None,
    }
    body = {
        "access_token": signed(realm, issuer, client, claims),
        "expires_in": realm.access_life,
        "refresh_expires_in": realm.idle_life,
        "refresh_token": session.refresh_token,
        "token_type": "Bearer",
        "not-before-policy": user.not_before,
        "session_state": session.id,
        "scope": claims["scope"],
    }
    if "openid" in session.scope.split():
        half = create_half_hash(body["access_token"], "RS256").decode()
        of_id_token = {"aud": client.client_id, "at_hash": half, **(signed_in or {})}
        body["id_token"] = signed(realm, issuer, client, {**claims, **of_id_token}, kind="ID")
    return body


def signed(realm: Realm, issuer: str, client: StandInClient, claims: Mapping[str, Any], *, kind: str = "Bearer") -> str:
    """A signed token; claims of None are left out, as Keycloak does."""
    now = int(realm.clock.now())
    key = realm.keys[0]
    everything = {
        "exp": now + realm.access_life,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "iss": issuer,
        "typ": kind,
        "azp": client.client_id,
        **claims,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
    return jwt.encode(header, {name: value for name, value in everything.items() if value is not None}, key)


def _management(roles: tuple[str, ...]) -> dict[str, Any] | None:
    return {"realm-management": {"roles": list(roles)}} if roles else None
