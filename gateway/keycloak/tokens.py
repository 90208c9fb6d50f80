"""Verifies that the realm issued a token to the gateway's client, and reads its user.

Before it uses any claim, `Verifier` checks the signature with the realm's keys, then `iss`, `azp`, `typ` and the
expiry; of an ID token also `aud`, `nonce`, `iat`, `auth_time` and `at_hash`. Keys are cached for an hour, and fetched
again if a token names an unknown one. That happens at most every 30 seconds, so that forged tokens cannot make the
gateway flood Keycloak. While fetching fails, the old keys stay in use.
"""

import asyncio
import base64
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import Key, KeySet
from joserfc.jwt import ClaimsOption

from gateway.domain import errors
from gateway.domain.session import Tokens
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import User
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.http_errors import where

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
KEYS_KEPT = 3600.0
REFETCH_FLOOR = 30.0
LEEWAY = 30
"""Seconds by which Keycloak's clock may differ from the gateway's."""
ID_TOKEN_AGE = 60.0
"""Seconds since which an ID token may have been issued: the gateway reads it as soon as it gets it."""


class TokenRefused(errors.Misconfigured):
    """A token that the realm did not issue to this client, or that has expired; the detail never contains the token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified token. Times in seconds since the epoch by Keycloak's clock."""

    user: User
    session_id: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """What the gateway asked the realm for: one sign-in, begun at `since` by its own clock, and named by `nonce`."""

    nonce: str = field(repr=False)
    since: float


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified ID token: the user, the Keycloak session, and how the user signed in."""

    user_id: str
    session_id: str
    acr: str = ""
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A client of the realm that acts for itself; `id` is that of its user."""

    id: str
    client: str


@dataclass(slots=True)
class _Keys:
    known: KeySet | None = None
    fetched_at: float = 0.0
    missed_at: float = float("-inf")
    fetching: asyncio.Lock = field(default_factory=asyncio.Lock)


class Verifier:
    """Verifies tokens of every realm; keys are cached by the access value."""

    def __init__(self, clients: KeycloakClients) -> None:
        self._clients = clients
        self._keys: dict[KeycloakAccess, _Keys] = {}

    async def verify(self, access: KeycloakAccess, token: str, now: float) -> Claims:
        """The claims of an access token at `now`.

        Raises `TokenRefused`, which for another issuer names both; `errors.Unreachable` if the realm's keys cannot be
        fetched.
        """
        claims = (await self.signed(access, token, now)).claims
        _check(access, claims, now, typ={"essential": True, "value": "Bearer"})
        return _claims(access, claims)

    async def verify_service_account(
        self, access: KeycloakAccess, token: str, now: float, clients: Collection[str], audience: str
    ) -> ServiceAccount:
        """The service account in an access token for `audience` that one of `clients` got with its own credentials.

        A token of a user is refused, also one that a listed client got: it has a session (`sid`). Raises as `verify`.
        """
        claims = (await self.signed(access, token, now)).claims
        _check(
            access,
            claims,
            now,
            azp={"essential": True, "values": sorted(clients)},
            typ={"essential": True, "value": "Bearer"},
            aud={"essential": True, "value": audience},
        )
        client, found = str(claims["azp"]), _claims(access, claims)
        if found.session_id or found.user.username != f"service-account-{client.lower()}":
            raise TokenRefused(where(access), f"the token is one of a user, not of client {client} itself")
        return ServiceAccount(found.user.id, client)

    async def verify_id_token(
        self, access: KeycloakAccess, token: str, now: float, asked: SignIn, access_token: str
    ) -> Identity:
        """The identity in the ID token that the realm issued for the sign-in `asked`, beside `access_token`.

        The user must have signed in after `asked` began. Two clocks are not compared for that: by Keycloak's clock, the
        sign-in (`auth_time`) may lie no longer before the token (`iat`) than the beginning lies before now.

        Raises as `verify`.
        """
        found = await self.signed(access, token, now)
        claims = found.claims
        _check(
            access,
            claims,
            now,
            typ={"essential": True, "value": "ID"},
            aud={"essential": True, "value": access.sign_in.client_id},
            nonce={"essential": True, "value": asked.nonce},
            iat={"essential": True},
            sub={"essential": True},
        )
        issued, signed_in = claims["iat"], claims.get("auth_time")
        if issued < now - ID_TOKEN_AGE:
            raise TokenRefused(where(access), "the ID token is an old one; compare the clocks")
        if not isinstance(signed_in, int) or isinstance(signed_in, bool):
            raise TokenRefused(where(access), "its ID tokens lack auth_time: the client needs the scope basic")
        if not -LEEWAY <= issued - signed_in <= now - asked.since + 1:  # both are whole seconds
            raise TokenRefused(where(access), "the user did not sign in now: an earlier sign-in was used (auth_time)")
        half = claims.get("at_hash")
        if half is not None and half != _half_hash(access_token, found.header["alg"]):
            raise TokenRefused(where(access), "the ID token belongs to another access token (at_hash)")
        acr, amr = claims.get("acr"), claims.get("amr")
        return Identity(
            user_id=str(claims["sub"]),
            session_id=str(claims.get("sid") or ""),
            acr=acr if isinstance(acr, str) else "",
            amr=tuple(one for one in amr if isinstance(one, str)) if isinstance(amr, list) else (),
        )

    async def signed(self, access: KeycloakAccess, token: str, now: float) -> jwt.Token:
        """Any token that the realm signed; no claim is verified. Raises as `verify`."""
        keys = self._keys.setdefault(access, _Keys())
        if keys.known is None or now - keys.fetched_at > KEYS_KEPT:
            await self._fetch(access, keys, now, since=keys.fetched_at)
        seen_at = keys.fetched_at
        try:
            return _decode(access, token, keys)
        except InvalidKeyIdError as error:
            if now - keys.missed_at < REFETCH_FLOOR:
                raise errors.Unreachable(where(access), "the token names an unknown key") from error
        await self._fetch(access, keys, now, since=seen_at, missed=True)
        keys.missed_at = now  # only after a successful fetch: otherwise the key may still exist
        try:
            return _decode(access, token, keys)
        except InvalidKeyIdError as error:
            raise TokenRefused(where(access), "the token names a key that the realm does not have") from error

    async def _fetch(
        self, access: KeycloakAccess, keys: _Keys, now: float, *, since: float, missed: bool = False
    ) -> None:
        async with keys.fetching:
            if keys.known is not None and keys.fetched_at != since:
                return  # another request fetched them meanwhile
            try:
                found = await self._clients.get_json(access, "protocol/openid-connect/certs", "its signing keys")
                keys.known = KeySet(_signing_keys(access, found))
            except errors.GatewayError:
                if keys.known is None or missed:
                    raise
            keys.fetched_at = now


def tokens_of(answer: dict[str, Any], claims: Claims, now: float) -> Tokens:
    """A token endpoint's response as `Tokens`; lifetimes count from `now`, the gateway's clock.

    Raises `KeyError`, `TypeError` or `ValueError` if the response is not Keycloak's.
    """
    refresh_life = float(answer.get("refresh_expires_in") or 0)  # 0 with an offline token: it does not expire
    return Tokens(
        access=str(answer["access_token"]),
        refresh=str(answer.get("refresh_token") or ""),
        access_expires_at=now + float(answer["expires_in"]),
        refresh_expires_at=now + refresh_life if refresh_life > 0 else None,
        session_id=claims.session_id,
        id_token=str(answer.get("id_token") or ""),
    )


def _half_hash(token: str, algorithm: str) -> str:
    """`at_hash` of OpenID Connect Core 3.1.3.6. Authlib's own function would load its whole server at the start."""
    digest = hashlib.new(f"sha{algorithm[2:]}", token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _check(access: KeycloakAccess, claims: jwt.Claims, now: float, **further: ClaimsOption) -> None:
    """Raises `TokenRefused` unless the realm issued the token with these `further` claims, to the gateway's client."""
    issuer = claims.get("iss")
    if issuer != access.issuer:
        raise TokenRefused(where(access), f"its tokens name the issuer {issuer}; the settings expect {access.issuer}")
    own: dict[str, ClaimsOption] = {"azp": {"essential": True, "value": access.sign_in.client_id}}
    registry = jwt.JWTClaimsRegistry(now=int(now), leeway=LEEWAY, exp={"essential": True}, **(own | further))
    try:
        registry.validate(claims)
    except ExpiredTokenError as error:
        raise TokenRefused(where(access), "the token has expired; compare the clocks") from error
    except JoseError as error:
        raise TokenRefused(where(access), f"the token's claims: {error}") from error


def _decode(access: KeycloakAccess, token: str, keys: _Keys) -> jwt.Token:
    try:
        assert keys.known is not None  # noqa: S101 - _fetch raises otherwise
        return jwt.decode(token, keys.known, algorithms=ALGORITHMS)
    except InvalidKeyIdError:
        raise
    except (JoseError, ValueError, RecursionError) as error:
        raise TokenRefused(where(access), f"the token is not signed by the realm ({type(error).__name__})") from error


def _signing_keys(access: KeycloakAccess, found: Any) -> list[Key]:
    """The keys for verification; keys of a kind that the library does not support are skipped."""
    keys: list[Key] = []
    for one in found.get("keys", ()) if isinstance(found, dict) else ():
        try:
            if one.get("use", "sig") == "sig":
                keys.extend(KeySet.import_key_set({"keys": [one]}).keys)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError):
            continue
    if not keys:
        raise errors.Unreachable(where(access), "its signing keys: the response contains none")
    return keys


def _claims(access: KeycloakAccess, claims: dict[str, Any]) -> Claims:
    user_id, username = claims.get("sub"), claims.get("preferred_username")
    if not (isinstance(user_id, str) and user_id and isinstance(username, str) and username):
        raise TokenRefused(
            where(access), "its tokens lack sub or preferred_username: the client needs the scopes basic and profile"
        )
    clients = claims.get("resource_access")
    user = User(
        id=user_id,
        username=username,
        email=str(claims.get("email") or ""),
        email_verified=claims.get("email_verified") is True,
        first_name=str(claims.get("given_name") or ""),
        last_name=str(claims.get("family_name") or ""),
        roles=_roles(claims.get("realm_access")),
        client_roles=tuple(
            f"{client}:{role}"
            for client, access in (clients.items() if isinstance(clients, dict) else ())
            if ":" not in client  # "a:b" and "c" would read as "a" and "b:c"
            for role in _roles(access)
        ),
        groups=_texts(claims.get("groups")),
    )
    return Claims(
        user=user,
        session_id=str(claims.get("sid") or ""),
    )


def _roles(access: Any) -> tuple[str, ...]:
    return _texts(access.get("roles")) if isinstance(access, dict) else ()


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
