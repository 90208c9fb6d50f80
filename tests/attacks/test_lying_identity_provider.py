"""An identity provider that lies about a sign-in on its own page, and addresses that no provider made."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from gateway.demo.identity_provider import Realm
from gateway.demo.identity_provider.realm import Fault
from gateway.domain import errors
from gateway.domain.ports import SystemClock
from gateway.domain.secret import Secret
from gateway.domain.tenant import KeycloakAccess, SingleSignOn
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.sso import authorization_url
from gateway.keycloak.token_endpoint import CodeRefused, SignedIn, TokenEndpoint
from gateway.keycloak.tokens import SignIn
from tests.contract.test_identity_provider import access_of
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.person import Person
from tests.fixtures.sign_in_page import SignInPage, answer_of, claims_of, come_back, leave, new_client, signed
from tests.fixtures.site import Site
from tests.fixtures.stand_in_keycloak import StandIn

pytestmark = [pytest.mark.row("GW-06"), pytest.mark.attack("F15")]

Claims = dict[str, Any]
Body = dict[str, Any]


@pytest.fixture
def realm(stand_in: StandIn) -> Iterator[Realm]:
    """Yields the realm, which says the truth again afterwards."""
    found = stand_in.realms[stand_in.server.realm]
    yield found
    found.behaviour.rewrite, found.behaviour.token_fault = None, None


def encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@dataclass
class Exchange:
    """The gateway's code exchange at the stand-in, with a client of its own."""

    server: Keycloak
    access: KeycloakAccess
    endpoint: TokenEndpoint

    async def of(self, user: User) -> SignedIn | CodeRefused:
        """Signs `user` in on the realm's page and exchanges the code."""
        asked, verifier = SignIn(new_password(), SystemClock().now()), "v" * 43
        async with SignInPage() as page:
            address = authorization_url(self.access, state="s", nonce=asked.nonce, verifier=verifier)
            code = answer_of(await page.sign_in(address, user.username, user.password))["code"]
        return await self.endpoint.code(self.access, Secret(code), verifier=verifier, asked=asked)

    async def is_refused(self) -> None:
        """A sign-in leads to an error, and leaves no session at the provider."""
        user = self.server.admin.create_user()
        with pytest.raises(errors.GatewayError) as raised:
            await self.of(user)
        assert isinstance(raised.value, errors.Misconfigured | errors.Unreachable)
        assert not self.server.admin.sessions(user.id)


@pytest.fixture
async def exchange(stand_in: StandIn) -> AsyncIterator[Exchange]:
    """Yields the code exchange."""
    server, callback = stand_in.server, "https://cc.example.com/-/oidc/callback"
    access = replace(access_of(server), sign_in=new_client(server, callback), sso=SingleSignOn(callback))
    clients = KeycloakClients()
    yield Exchange(server, access, TokenEndpoint(clients, SystemClock()))
    await clients.close()


async def nothing_came_of(site: Site, user: User, tell: Callable[[str], str] = str) -> None:
    """Signs `user` in, as far as it goes: no page after the first, no session here and none left at Keycloak.

    `tell` changes the address with which the browser returns.
    """
    async with site.person() as person, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        answer = await come_back(person, tell(address))
        assert 400 <= answer.status < 504, await answer.text()
        assert "gateway-session" not in person.cookies()
        await nowhere(person)


async def nowhere(person: Person) -> None:
    """The browser is at the beginning: the app redirects it to the login, and the login to Keycloak."""
    assert (await person.get("/unified-admin/")).status == 303
    assert "/protocol/openid-connect/auth?" in await leave(person)


def without(name: str) -> Callable[[Claims], Claims]:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


def with_(**changed: Any) -> Callable[[Claims], Claims]:
    return lambda claims: {**claims, **changed}


def later(name: str, seconds: float) -> Callable[[Claims], Claims]:
    return lambda claims: {**claims, name: int(claims[name] + seconds)}


FALSE_CLAIMS: dict[str, Callable[[Claims], Claims]] = {
    "another issuer": with_(iss="https://elsewhere.example/auth/realms/expertflow"),
    "another realm": lambda claims: {**claims, "iss": claims["iss"].replace("expertflow", "noattribute")},
    "an issuer with a slash": lambda claims: {**claims, "iss": claims["iss"] + "/"},
    "no issuer": without("iss"),
    "a token for another client": with_(aud="cim"),
    "a token for two other clients": with_(aud=["cim", "account"]),
    "no audience": without("aud"),
    "an empty audience": with_(aud=[]),
    "requested by another client": with_(azp="cim"),
    "requested by no client": without("azp"),
    "an access token": with_(typ="Bearer"),
    "a logout token": with_(typ="Logout"),
    "no type": without("typ"),
    "another nonce": with_(nonce="A" * 43),
    "no nonce": without("nonce"),
    "an empty nonce": with_(nonce=""),
    "an expired token": later("exp", -3600),
    "a token without an end": without("exp"),
    "a token of tomorrow": with_(nbf=4_000_000_000),
    "issued tomorrow": later("iat", 86400),
    "issued an hour ago": lambda claims: later("auth_time", -3600)(later("iat", -3600)(claims)),
    "issued at no time": without("iat"),
    "signed in an hour ago": later("auth_time", -3600),
    "signed in before the login began": later("auth_time", -20),
    "signed in tomorrow": later("auth_time", 86400),
    "signed in at no time": without("auth_time"),
    "signed in at true": with_(auth_time=True),
    "signed in at a text": lambda claims: {**claims, "auth_time": str(claims["auth_time"])},
    "of another access token": with_(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "of another user": with_(sub="00000000-0000-0000-0000-000000000000"),
    "of no user": without("sub"),
    "of another session": with_(sid="another"),
}


@pytest.mark.parametrize("lie", FALSE_CLAIMS.values(), ids=FALSE_CLAIMS)
async def test_an_id_token_with_a_false_claim_is_refused_and_its_session_ended(
    exchange: Exchange, realm: Realm, lie: Callable[[Claims], Claims]
) -> None:
    realm.behaviour.rewrite = lambda body: {**body, "id_token": signed(realm, lie(claims_of(body["id_token"])))}
    await exchange.is_refused()


async def test_a_true_id_token_that_is_only_signed_again_is_accepted(exchange: Exchange, realm: Realm) -> None:
    realm.behaviour.rewrite = lambda body: {**body, "id_token": signed(realm, claims_of(body["id_token"]))}
    user = exchange.server.admin.create_user()
    found = await exchange.of(user)
    assert isinstance(found, SignedIn)
    assert (found.user.id, found.acr) == (user.id, "1")


async def test_a_false_id_token_leads_to_no_page_and_no_session(sso_site: Site, realm: Realm) -> None:
    def rewrite(body: Body) -> Body:
        return {**body, "id_token": signed(realm, with_(nonce="A" * 43)(claims_of(body["id_token"])))}

    realm.behaviour.rewrite = rewrite
    user = sso_site.user()
    await nothing_came_of(sso_site, user)
    assert not sso_site.keycloak.admin.sessions(user.id)
    assert "nonce" in sso_site.audit.of("login_unavailable")[-1]["detail"]


def by_secret(secret: bytes) -> Callable[[Realm, str], str]:
    """Returns a forger that signs with HS256 and `secret`."""

    def forge(realm: Realm, token: str) -> str:
        head = encoded({"alg": "HS256", "typ": "JWT", "kid": realm.keys[0].kid})
        signed_part = f"{head}.{token.split('.')[1]}"
        mac = hmac.new(secret or realm.keys[0].as_pem(private=False), signed_part.encode(), hashlib.sha256).digest()
        return f"{signed_part}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    return forge


def by_own_key(realm: Realm, token: str, **header: Any) -> str:
    key = RSAKey.generate_key(2048)
    return jwt.encode({"alg": "RS256", "kid": realm.keys[0].kid, **header}, claims_of(token), key)


def by_named_key(realm: Realm, token: str) -> str:
    key = RSAKey.generate_key(2048)
    head = {"alg": "RS256", "jwk": key.as_dict(private=False), "jku": "https://elsewhere.example/keys"}
    return jwt.encode(head, claims_of(token), key)


FORGERIES: dict[str, Callable[[Realm, str], str]] = {
    "no algorithm": lambda _realm, token: f"{encoded({'alg': 'none'})}.{token.split('.')[1]}.",
    "a shared secret": by_secret(b"made up"),
    "the public key as a secret": by_secret(b""),
    "another key of the same name": by_own_key,
    "a key in the token": by_named_key,
    "an unknown key": lambda realm, token: signed(realm, claims_of(token), kid="unknown"),
    "changed claims": lambda _realm, token: ".".join(
        (token.split(".")[0], encoded({**claims_of(token), "sub": "x"}), token.split(".")[2])
    ),
    "no signature": lambda _realm, token: token.rpartition(".")[0] + ".",
    "no token": lambda _realm, _token: "",
    "a text": lambda _realm, _token: "all is well",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_forged_id_token_is_refused_and_its_session_ended(
    exchange: Exchange, realm: Realm, forge: Callable[[Realm, str], str]
) -> None:
    realm.behaviour.rewrite = lambda body: {**body, "id_token": forge(realm, body["id_token"])}
    await exchange.is_refused()


FALSE_ANSWERS: dict[str, Callable[[Realm, Body], Body]] = {
    "an access token of another client": lambda realm, body: {
        **body,
        "access_token": signed(realm, {**claims_of(body["access_token"]), "azp": "cim"}),
    },
    "an access token of another user": lambda realm, body: {
        **body,
        "access_token": signed(realm, {**claims_of(body["access_token"]), "sub": "another"}),
    },
    "the ID token as access token": lambda _realm, body: {**body, "access_token": body["id_token"]},
    "the access token as ID token": lambda _realm, body: {**body, "id_token": body["access_token"]},
    "no access token": lambda _realm, body: {key: value for key, value in body.items() if key != "access_token"},
    "no ID token": lambda _realm, body: {key: value for key, value in body.items() if key != "id_token"},
    "no lifetime": lambda _realm, body: {key: value for key, value in body.items() if key != "expires_in"},
}


@pytest.mark.parametrize("lie", FALSE_ANSWERS.values(), ids=FALSE_ANSWERS)
async def test_a_false_answer_for_a_code_is_refused_and_its_session_ended(
    exchange: Exchange, realm: Realm, lie: Callable[[Realm, Body], Body]
) -> None:
    realm.behaviour.rewrite = lambda body: lie(realm, body)
    await exchange.is_refused()


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HTML_ERROR, Fault.HTML_DENIED, Fault.NOT_JSON, Fault.REDIRECT])
async def test_a_failing_exchange_of_a_code_is_an_error(exchange: Exchange, realm: Realm, fault: Fault) -> None:
    realm.behaviour.token_fault = fault
    with pytest.raises(errors.GatewayError):
        await exchange.of(exchange.server.admin.create_user())


def changed(**fields: str | None) -> Callable[[str], str]:
    """Returns a change of the parameters with which a browser returns; None removes one."""

    def change(address: str) -> str:
        new = {**answer_of(address), **fields}
        query = urlencode({name: value for name, value in new.items() if value is not None})
        return f"{address.partition('?')[0]}?{query}"

    return change


FALSE_WAYS: dict[str, Callable[[str], str]] = {
    "no issuer": changed(iss=None),
    "another issuer": changed(iss="https://elsewhere.example/auth/realms/expertflow"),
    "an empty issuer": changed(iss=""),
    "two issuers": lambda address: f"{address}&iss=https%3A%2F%2Felsewhere.example",
    "no state": changed(state=None),
    "an empty state": changed(state=""),
    "a made-up state": changed(state="A" * 200),
    "two states": lambda address: f"{address}&state=A",
    "no code": changed(code=None),
    "a made-up code": changed(code="made-up"),
    "a huge code": changed(code="A" * 3000),
    "two codes": lambda address: f"{address}&code=A",
    "a code and an error": changed(error="access_denied"),
    "nothing": lambda address: address.partition("?")[0] + "?",
}


@pytest.mark.parametrize("change", FALSE_WAYS.values(), ids=FALSE_WAYS)
async def test_a_false_way_back_gets_nowhere(sso_site: Site, change: Callable[[str], str]) -> None:
    await nothing_came_of(sso_site, sso_site.user(), change)


async def test_a_code_that_another_browser_got_cannot_be_injected(sso_site: Site) -> None:
    victim = sso_site.user()
    async with sso_site.person() as other, SignInPage() as page:
        stolen = answer_of(await page.sign_in(await leave(other), victim.username, victim.password))["code"]
        await nothing_came_of(sso_site, sso_site.user(), changed(code=stolen))


async def test_an_attackers_sign_in_is_refused_in_the_users_browser(sso_site: Site) -> None:
    attacker = sso_site.user()
    async with sso_site.person() as own, sso_site.person() as user, SignInPage() as page:
        address = await page.sign_in(await leave(own), attacker.username, attacker.password)
        await leave(user)
        answer = await come_back(user, address)
        assert (answer.status, "This sign-in wasn&#39;t started here" in await answer.text()) == (403, True)
        await nowhere(user)


async def test_a_cookie_of_an_earlier_sign_in_signs_no_user_in_where_the_provider_asks_for_nothing(
    sso_site: Site, realm: Realm
) -> None:
    first = sso_site.user()
    async with sso_site.person() as person, sso_site.person() as other, SignInPage() as page:
        address = await page.sign_in(await leave(person), first.username, first.password)
        realm.behaviour.silent_sign_in = True
        realm.sessions[answer_of(address)["session_state"]].signed_in_at -= 5
        answer = await come_back(other, await page.open(await leave(other)))
        realm.behaviour.silent_sign_in = False
        assert answer.status == 503
        await nowhere(other)


async def test_the_addresses_of_a_sign_in_leak_nothing_to_a_script(sso_site: Site) -> None:
    async with sso_site.person() as person:
        address = urlsplit(await leave(person))
        script = await person.get(
            f"/-/oidc/callback?{address.query}", headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
        )
        assert script.status == 403
