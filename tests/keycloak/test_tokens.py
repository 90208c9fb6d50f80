"""Tests of the verification of tokens, and of fetching the realm's keys."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from gateway.demo.identity_provider.grants import session_tokens
from gateway.domain import errors
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.tokens import TokenRefused, Verifier
from tests.keycloak.conftest import RealmHarness

LEEWAY = 30  # seconds


class CountingConnections(KeycloakClients):
    """Counts how often the realm's keys are fetched."""

    fetched = 0

    async def get_json(self, *args: Any) -> Any:
        self.fetched += 1
        return await super().get_json(*args)


def fresh(realm_harness: RealmHarness) -> str:
    """Returns a new access token of the user."""
    client = realm_harness.realm.client("gateway-login")
    assert client is not None
    session = realm_harness.realm.begin(realm_harness.user, client, "")
    return str(session_tokens(realm_harness.realm, session, realm_harness.access.issuer)["access_token"])


def altered(realm_harness: RealmHarness, **claims: Any) -> str:
    """Returns a token with other claims, signed by the realm's key."""
    key = realm_harness.realm.keys[0]
    found = jwt.decode(fresh(realm_harness), key).claims | claims
    kept = {name: value for name, value in found.items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": key.kid}, kept, key)


def _written(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@pytest.fixture
async def connections() -> AsyncIterator[CountingConnections]:
    found = CountingConnections()
    yield found
    await found.close()


@pytest.fixture
def verifier(connections: CountingConnections) -> Verifier:
    return Verifier(connections)


async def test_a_token_of_the_realm_names_its_user(realm_harness: RealmHarness, verifier: Verifier) -> None:
    claims = await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    assert (claims.user.id, claims.user.username, claims.user.email) == (
        realm_harness.user.id,
        "agent1",
        "agent1@example.com",
    )


async def test_a_token_of_the_realm_gives_first_and_last_name(realm_harness: RealmHarness, verifier: Verifier) -> None:
    claims = await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    assert (claims.user.first_name, claims.user.last_name) == ("A", "One")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example/auth/realms/expertflow"},
        {"iss": None},
        {"azp": "another-client"},
        {"azp": None},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": None},
        {"sub": None},
        {"preferred_username": ""},
        {"exp": None},
    ],
)
async def test_a_token_with_other_claims_is_refused(
    realm_harness: RealmHarness, verifier: Verifier, claims: dict[str, Any]
) -> None:
    with pytest.raises(TokenRefused):
        await verifier.verify(realm_harness.access, altered(realm_harness, **claims), realm_harness.clock.now())


async def test_an_expired_token_is_refused(realm_harness: RealmHarness, verifier: Verifier) -> None:
    token = fresh(realm_harness)
    await verifier.verify(realm_harness.access, token, realm_harness.clock.now() + 300 + LEEWAY - 1)
    with pytest.raises(TokenRefused, match="expired"):
        await verifier.verify(realm_harness.access, token, realm_harness.clock.now() + 300 + LEEWAY + 1)


async def test_a_token_signed_with_another_key_is_refused(realm_harness: RealmHarness, verifier: Verifier) -> None:
    genuine = realm_harness.realm.keys[0]
    forger = RSAKey.generate_key(2048, {"kid": genuine.kid or ""})
    claims = jwt.decode(fresh(realm_harness), genuine).claims
    forged = jwt.encode({"alg": "RS256", "kid": genuine.kid}, claims, forger)
    with pytest.raises(TokenRefused, match="not signed"):
        await verifier.verify(realm_harness.access, forged, realm_harness.clock.now())


async def test_an_unsigned_token_and_one_signed_with_a_public_value_are_refused(
    realm_harness: RealmHarness, verifier: Verifier
) -> None:
    genuine = realm_harness.realm.keys[0]
    claims = jwt.decode(fresh(realm_harness), genuine).claims
    unsigned = _written({"alg": "none", "kid": genuine.kid}, claims)
    signing_input = _written({"alg": "HS256", "kid": genuine.kid}, claims)
    mac = hmac.digest(genuine.as_pem(private=False), signing_input.encode(), "sha256")
    tokens = [f"{unsigned}.", f"{signing_input}.{_base64(mac)}"]
    for token in tokens:
        with pytest.raises(TokenRefused, match="not signed"):
            await verifier.verify(realm_harness.access, token, realm_harness.clock.now())


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.ü.ö", "eyJhbGciOiJSUzI1NiJ9.e30.", "." * 50])
async def test_a_malformed_token_is_refused(realm_harness: RealmHarness, verifier: Verifier, token: str) -> None:
    with pytest.raises(TokenRefused):
        await verifier.verify(realm_harness.access, token, realm_harness.clock.now())


async def test_keys_are_fetched_once_for_many_tokens(
    realm_harness: RealmHarness, verifier: Verifier, connections: CountingConnections
) -> None:
    for _ in range(5):
        await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    assert connections.fetched == 1


@pytest.mark.parametrize(("seconds", "times"), [(3600, 1), (3601, 2)])
async def test_keys_are_fetched_again_after_an_hour(
    realm_harness: RealmHarness, verifier: Verifier, connections: CountingConnections, seconds: int, times: int
) -> None:
    now = realm_harness.clock.now()
    token = altered(realm_harness, exp=int(now) + 7200)
    await verifier.verify(realm_harness.access, token, now)
    await verifier.verify(realm_harness.access, token, now + seconds)
    assert connections.fetched == times


async def test_a_key_for_encryption_verifies_no_signature(
    realm_harness: RealmHarness, verifier: Verifier, connections: CountingConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, signing = fresh(realm_harness), realm_harness.realm.keys[0]
    other = RSAKey.generate_key(2048, {"kid": "other"})

    async def published(*_args: Any) -> Any:
        return {"keys": [{**signing.as_dict(private=False), "use": "enc"}, other.as_dict(private=False)]}

    monkeypatch.setattr(connections, "get_json", published)
    with pytest.raises(TokenRefused, match="a key that the realm does not have"):
        await verifier.verify(realm_harness.access, token, realm_harness.clock.now())


@pytest.mark.parametrize(
    ("said", "verified"), [(True, True), (False, False), (None, False), ("true", False), ("false", False), (1, False)]
)
async def test_an_address_is_verified_only_if_the_token_says_true(
    realm_harness: RealmHarness, verifier: Verifier, said: Any, verified: bool
) -> None:
    token = altered(realm_harness, email_verified=said)
    claims = await verifier.verify(realm_harness.access, token, realm_harness.clock.now())
    assert claims.user.email_verified is verified


async def test_a_new_key_is_fetched_when_a_token_names_it(realm_harness: RealmHarness, verifier: Verifier) -> None:
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    realm_harness.realm.rotate_key()
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())


async def test_the_realms_keys_are_fetched_at_most_every_30_seconds_for_unknown_key_ids(
    realm_harness: RealmHarness, verifier: Verifier, connections: CountingConnections
) -> None:
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    stranger = RSAKey.generate_key(2048, {"kid": "made-up"})
    token = jwt.encode({"alg": "RS256", "kid": "made-up"}, {"iss": realm_harness.access.issuer}, stranger)
    for _ in range(5):
        with pytest.raises((TokenRefused, errors.Unreachable)):
            await verifier.verify(realm_harness.access, token, realm_harness.clock.now())
    assert connections.fetched == 2
    with pytest.raises(TokenRefused):
        await verifier.verify(realm_harness.access, token, realm_harness.clock.now() + 31)
    assert connections.fetched == 3


async def test_a_failed_key_fetch_is_an_outage_and_is_retried(
    realm_harness: RealmHarness, verifier: Verifier, connections: CountingConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    realm_harness.realm.rotate_key()
    token = fresh(realm_harness)

    async def down(*args: Any) -> Any:
        raise errors.Unreachable("Keycloak")

    with monkeypatch.context() as away:
        away.setattr(connections, "get_json", down)
        with pytest.raises(errors.Unreachable):
            await verifier.verify(realm_harness.access, token, realm_harness.clock.now())
    await verifier.verify(realm_harness.access, token, realm_harness.clock.now())


async def test_a_key_withdrawn_by_the_realm_is_rejected_after_the_next_fetch(
    realm_harness: RealmHarness, verifier: Verifier
) -> None:
    old = fresh(realm_harness)
    await verifier.verify(realm_harness.access, old, realm_harness.clock.now())
    realm_harness.realm.rotate_key(keep_old=False)
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    with pytest.raises(TokenRefused):
        await verifier.verify(realm_harness.access, old, realm_harness.clock.now() + 31)


async def test_known_keys_stay_valid_while_the_keys_cannot_be_fetched(
    realm_harness: RealmHarness, verifier: Verifier, connections: CountingConnections
) -> None:
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())
    realm_harness.clock.advance(3601)

    async def down(*args: Any) -> Any:
        raise errors.Unreachable("Keycloak")

    connections.get_json = down  # type: ignore[method-assign]
    await verifier.verify(realm_harness.access, fresh(realm_harness), realm_harness.clock.now())


async def test_without_any_keys_every_token_is_rejected(realm_harness: RealmHarness, verifier: Verifier) -> None:
    access = replace(realm_harness.access, url="http://127.0.0.1:9/auth/")
    with pytest.raises(errors.Unreachable):
        await verifier.verify(access, fresh(realm_harness), realm_harness.clock.now())


@pytest.mark.row("GW-40")
async def test_a_token_names_the_roles_of_realm_and_clients_and_the_groups(
    realm_harness: RealmHarness, verifier: Verifier
) -> None:
    token = altered(
        realm_harness,
        realm_access={"roles": ["agent"]},
        resource_access={"admin-app": {"roles": ["operator", "viewer"]}, "urn:a:b": {"roles": ["c"]}},
        groups=["/agents/berlin"],
    )
    user = (await verifier.verify(realm_harness.access, token, realm_harness.clock.now())).user
    assert (user.roles, user.groups) == (("agent",), ("/agents/berlin",))
    assert user.client_roles == ("admin-app:operator", "admin-app:viewer")


@pytest.mark.row("GW-40")
@pytest.mark.parametrize(
    "odd", [None, "admin", ["admin"], {"roles": "admin"}, {"app": "admin"}, {"roles": [1, None]}, 1]
)
async def test_a_claim_of_another_shape_gives_no_role_and_no_group(
    realm_harness: RealmHarness, verifier: Verifier, odd: Any
) -> None:
    groups = odd if not isinstance(odd, list) else {"groups": odd}
    token = altered(realm_harness, realm_access=odd, resource_access=odd, groups=groups)
    user = (await verifier.verify(realm_harness.access, token, realm_harness.clock.now())).user
    assert (user.roles, user.client_roles, user.groups) == ((), (), ())
