"""Password grant, code exchange, refresh and logout of the sign-in client, and the check that they can work.

The JSON `error` and `error_description` decide what a response means, never the status: a wrong password is 401 before
Keycloak 26.6 and 400 since (measured). Only `invalid_grant` means "wrong password". Problems of the gateway's own
client, the realm or the network are raised as errors.

Keycloak's brute-force protection rejects parallel logins of one user even with the correct password (measured). So
callers must first take a turn in `grant_queue`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authlib.oauth2 import OAuth2Client, OAuth2Error
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.domain.secret import Secret
from gateway.domain.session import Tokens
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import User
from gateway.keycloak import sso
from gateway.keycloak.clients import KeycloakClients, client_form, forwarded_for, realm_url, request_id
from gateway.keycloak.connection import FORM
from gateway.keycloak.http_errors import no_keycloak, refused, said, where
from gateway.keycloak.tokens import Claims, SignIn, TokenRefused, Verifier, tokens_of
from gateway.observe.connection_errors import MOST
from gateway.observe.redaction import clean_text

GRANT_TRUSTED = 600.0
"""Seconds after a sign-in, or a check of the password grant, in which `check` does not check this grant again."""
FAILURE_KEPT = 60.0
"""Seconds in which `check` reports a sign-in that failed by the set-up, if no other sign-in succeeds."""

NOT_FULLY_SET_UP = "Account is not fully set up"
GRANT_PROHIBITED = "resource owner password credentials grant is prohibited"  # a client policy's words


@dataclass(frozen=True, slots=True)
class Granted:
    """Keycloak granted tokens: they are verified, and their claims name the user."""

    tokens: Tokens
    user: User


@dataclass(frozen=True, slots=True)
class WrongPassword:
    """Keycloak rejected the password or the user (wrong, unknown, disabled, locked).

    `reason` is Keycloak's text, for the audit only.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class NotFullySetUp:
    """The password is correct, but a required action is pending, so there are no tokens.

    `Users.account(…).required_actions` names the action.
    """


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Keycloak exchanged a code: its tokens are verified. `acr` and `amr` say how the user signed in there."""

    tokens: Tokens
    user: User
    acr: str
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CodeRefused:
    """Keycloak rejected a code: it is not one of its own, was used before, or has expired.

    `reason` is Keycloak's text, for the audit only.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The session has ended at Keycloak; `reason` is its text, for the audit."""

    reason: str


@dataclass(frozen=True, slots=True)
class RefreshUnknown:
    """Keycloak replaced the refresh token, but the new access token could not be verified: `why`.

    With rotation the old refresh token is spent, so the caller must keep `refresh` all the same.
    """

    refresh: Secret
    why: errors.GatewayError


_IS_PUBLIC = (
    "is public, so the password alone gets tokens without its secret; turn on Client authentication of this client"
)


class IssuerDiffers(errors.Misconfigured):
    """The realm answers, but its tokens name another issuer than the settings."""


@dataclass(frozen=True, slots=True)
class _SignIns:
    """What is known of a client's sign-ins `until` that time: they work, or one ended in `failure`."""

    until: float
    failure: str = ""


class TokenEndpoint:
    """Grants of the tenants' sign-in clients."""

    def __init__(self, clients: KeycloakClients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock
        self._verifier = Verifier(clients)
        self._grants: dict[KeycloakAccess, _SignIns] = {}
        self._warnings: dict[KeycloakAccess, tuple[str, ...]] = {}

    async def check_issuer(self, access: KeycloakAccess) -> None:
        """Compare the realm's issuer with the expected one, which every token must name.

        Raises `errors.Misconfigured` naming both; as `check` if the realm does not answer.
        """
        document = await self._clients.get_json(access, ".well-known/openid-configuration", "its discovery document")
        issuer = document["issuer"] if isinstance(document, dict) and "issuer" in document else None
        if not isinstance(issuer, str):
            raise no_keycloak(access, "its discovery document")
        if issuer != access.issuer:
            raise IssuerDiffers(
                where(access),
                f"its issuer is {clean_text(issuer[:MOST])}, and the settings expect {access.issuer}; "
                "set gateway.keycloak.issuer to the first, or correct Keycloak's --hostname",
            )

    async def check(self, access: KeycloakAccess) -> tuple[str, ...]:
        """Check the client, its secret and its way to sign users in, without any user; returns warnings.

        Keycloak verifies client and secret before it looks at a refresh token. A password grant without a user name
        also tells whether the client may use this grant. It counts for no user and costs no password hash, but is a
        `LOGIN_ERROR` in Keycloak's events (measured). So it is made only while no sign-in has shown that the grant
        works.

        Raises `errors.Refused` with client and fix, or the error of a sign-in that has just failed;
        `errors.Unreachable`.
        """
        now = self._clock.now()
        known = self._grants.get(access)
        if known is not None and known.failure and now < known.until:
            raise errors.Misconfigured(where(access), f"a sign-in failed: {known.failure}")
        trusted = known is not None and now < known.until
        if error := await self._probe(access, "refresh_token" if trusted or access.sso else "password"):
            raise _refused(access, "signing users in", error) from error
        if not trusted:
            if access.sso:
                await self._check_sign_in_page(access)
            self._grants[access] = _SignIns(now + GRANT_TRUSTED)
            public = access.sign_in.secret and not await self._probe(access, "refresh_token", client_secret="")
            self._warnings[access] = (
                (f"{where(access)}: client {access.sign_in.client_id} {_IS_PUBLIC}",) if public else ()
            )
        return self._warnings.get(access, ())

    async def _check_sign_in_page(self, access: KeycloakAccess) -> None:
        """Ask for a sign-in without a page: Keycloak judges client, flow and redirect address, and then declines."""
        address = sso.authorization_url(access, state="check", nonce="check", verifier="check", prompt="none")
        url = f"{realm_url(access, sso.AUTHORIZATION)}?{urlsplit(address).query}"
        async with self._clients.asking(access, "sign-in page") as clients:
            answer = await clients.grants.get(url, headers=request_id())
            if answer.status_code >= 500:
                answer.raise_for_status()
            said = parse_qs(urlsplit(answer.headers.get("Location", "")).query)
        why = ": ".join(said[name][0] for name in ("error", "error_description") if name in said)
        if answer.status_code == HTTPStatus.BAD_REQUEST or (why and said.get("error") != ["login_required"]):
            client, callback = access.sign_in.client_id, access.sso.redirect_uri if access.sso else ""
            raise errors.Misconfigured(
                where(access),
                f"client {client} does not sign users in ({clean_text(why[:MOST]) or 'its page answers 400'}); turn on "
                f"its Standard flow, and add {callback} to its Valid redirect URIs",
            )

    async def _probe(self, access: KeycloakAccess, grant_type: str, **more: str) -> OAuth2Error | None:
        """The error of a grant that cannot succeed; None if Keycloak accepts the client and its use of the grant."""
        form = {"refresh_token": "none"} if grant_type == "refresh_token" else {}
        try:
            await self._grant(access, grant_type, {**form, **more}, "")
        except OAuth2Error as error:
            if error.error not in {"invalid_grant", "invalid_request"}:
                return error
        return None

    async def password(
        self, access: KeycloakAccess, username: str, password: Secret, client_address: str = ""
    ) -> Granted | WrongPassword | NotFullySetUp:
        """Check a password with Keycloak. `client_address` (an IP address, or empty) is sent along.

        Raises `errors.Refused` (the gateway's client, its grant, the realm), `errors.Unreachable`, and
        `errors.Misconfigured` if the token names another issuer or client; its session is then ended.
        """
        if not username or not password.value:
            return WrongPassword("nothing typed")
        try:
            found = await self._judged(access, username, password, client_address)
        except (errors.Refused, errors.Misconfigured) as error:
            self._grants[access] = _SignIns(self._clock.now() + FAILURE_KEPT, error.detail)
            raise
        if not isinstance(found, WrongPassword):  # a flow may judge the password, and then deny
            self._grants[access] = _SignIns(self._clock.now() + GRANT_TRUSTED)
        return found

    async def _judged(
        self, access: KeycloakAccess, username: str, password: Secret, client_address: str
    ) -> Granted | WrongPassword | NotFullySetUp:
        form = {"username": username, "password": password.value}
        try:
            answer = await self._grant(access, "password", form, client_address)
        except OAuth2Error as error:
            return _password_refusal(access, error)
        async with self._ended_after_error(access, answer):
            claims, tokens = await self._checked(access, answer)
        return Granted(tokens, claims.user)

    @asynccontextmanager
    async def _ended_after_error(self, access: KeycloakAccess, answer: dict[str, Any]) -> AsyncIterator[None]:
        """Ends the session of tokens that the gateway does not accept."""
        try:
            yield
        except errors.GatewayError:
            with suppress(errors.GatewayError):  # the session must not stay open; the first error is more useful
                await self.end(access, str(answer.get("refresh_token") or ""))
            raise

    async def code(
        self, access: KeycloakAccess, code: Secret, *, verifier: str, asked: SignIn, client_address: str = ""
    ) -> SignedIn | CodeRefused:
        """Exchange the code that Keycloak gave a browser for the sign-in `asked`; `verifier` proves that we asked.

        Raises as `password`, and `errors.Misconfigured` if a token is not the one asked for; its session is then ended.
        """
        redirect_uri = access.sso.redirect_uri if access.sso else ""
        form = {"code": code.value, "code_verifier": verifier, "redirect_uri": redirect_uri}
        try:
            answer = await self._grant(access, "authorization_code", form, client_address)
        except OAuth2Error as error:
            if error.error == "invalid_grant":
                return CodeRefused(str(error.description or ""))
            problem = _refused(access, "code exchange", error)
            self._grants[access] = _SignIns(self._clock.now() + FAILURE_KEPT, problem.detail)
            raise problem from error
        async with self._ended_after_error(access, answer):
            claims, tokens = await self._checked(access, answer)
            identity = await self._verifier.verify_id_token(
                access, tokens.id_token, self._clock.now(), asked, tokens.access
            )
            if (identity.user_id, identity.session_id) != (claims.user.id, claims.session_id):
                raise TokenRefused(where(access), "the ID token and the access token name two users or sessions")
        return SignedIn(tokens, claims.user, identity.acr, identity.amr)

    async def refresh(self, access: KeycloakAccess, tokens: Tokens) -> Granted | SessionEnded | RefreshUnknown:
        """New tokens for a session, with the user as they are now.

        Only `invalid_grant` is `SessionEnded`; other failures are raised and end nothing.
        Never call it twice at once for one session: with rotation, that ends the session at Keycloak (measured).
        """
        try:
            answer = await self._grant(access, "refresh_token", {"refresh_token": tokens.refresh}, "")
        except OAuth2Error as error:
            if error.error == "invalid_grant":
                return SessionEnded(str(error.description or ""))
            raise _refused(access, "refresh", error) from error
        answer.setdefault("refresh_token", tokens.refresh)
        try:
            claims, renewed = await self._checked(access, answer)
        except errors.GatewayError as error:
            return RefreshUnknown(Secret(str(answer["refresh_token"])), error)
        return Granted(renewed, claims.user)

    async def end(self, access: KeycloakAccess, refresh_token: str) -> None:
        """End the session at Keycloak; succeeds also if the session has ended or the token is unknown."""
        if not refresh_token:
            return
        async with self._clients.asking(access, "logout") as clients:
            answer = await clients.grants.request(
                "POST",
                realm_url(access, "protocol/openid-connect/logout"),
                headers=request_id(),
                data={**client_form(access), "refresh_token": refresh_token},
            )
            if not answer.is_success and said(answer.content)[0] != "invalid_grant":
                answer.raise_for_status()

    async def _grant(
        self, access: KeycloakAccess, grant_type: str, form: dict[str, str], client_address: str
    ) -> dict[str, Any]:
        """The token endpoint's response. Raises `OAuth2Error` for a JSON error with a status below 500."""
        headers = {"Accept": "application/json", "Content-Type": FORM, **forwarded_for(access, client_address)}
        async with self._clients.asking(access, f"{grant_type} grant") as clients:
            answer = await clients.grants.request(
                "POST",
                realm_url(access, "protocol/openid-connect/token"),
                headers={**headers, **request_id()},
                content=prepare_token_request(grant_type, **{**client_form(access), **form}),
            )
            # A new client each time: it keeps the token in memory, and tokens are stored sealed elsewhere.
            return dict(OAuth2Client(None).parse_response_token(answer))

    async def _checked(self, access: KeycloakAccess, answer: dict[str, Any]) -> tuple[Claims, Tokens]:
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise errors.Unreachable(where(access), "the response of the token endpoint contains no token")
        now = self._clock.now()
        claims = await self._verifier.verify(access, token, now)
        try:
            return claims, tokens_of(answer, claims, now)
        except (KeyError, TypeError, ValueError) as error:
            raise errors.Unreachable(where(access), "the response of the token endpoint is not Keycloak's") from error


def _password_refusal(access: KeycloakAccess, error: OAuth2Error) -> WrongPassword | NotFullySetUp:
    """Judges a rejected password: wrong, or right with a required action; raises if the client is the problem."""
    description = str(error.description or "")
    if error.error != "invalid_grant" or GRANT_PROHIBITED in description:
        raise _refused(access, "password grant", error)
    if description == NOT_FULLY_SET_UP:
        return NotFullySetUp()
    return WrongPassword(description)


def _refused(access: KeycloakAccess, what: str, error: OAuth2Error) -> errors.Refused:
    what = f"{what} of client {access.sign_in.client_id}"
    return refused(access, what, str(error.error), str(error.description or error.error), "gateway.keycloak")
