"""The sign-in on the provider's page and the back-channel logout, at an OpenID provider that is not Keycloak.

It has the paths and claims of a realm. Accounts and the end of a session by its refresh token are Keycloak's own ways.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import web

from gateway.domain import errors
from gateway.domain.ports import SystemClock
from gateway.domain.tenant import KeycloakAccess, SingleSignOn
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.logout_tokens import LogoutToken, LogoutTokens
from gateway.keycloak.sso import Code, Declined, authorization_url, read_answer
from gateway.keycloak.token_endpoint import CodeRefused, Granted, IssuerDiffers, SignedIn, TokenEndpoint
from gateway.keycloak.tokens import SignIn, TokenRefused
from tests.fixtures.oidc_provider import Browser, OtherProvider, running

pytestmark = pytest.mark.row("GW-06")
VERIFIER = "v" * 43


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherProvider]:
    """Yields the provider."""
    with running(tmp_path_factory.mktemp("provider")) as found:
        yield found


@dataclass
class Gateway:
    """The gateway's adapters."""

    access: KeycloakAccess
    clients: KeycloakClients
    endpoint: TokenEndpoint

    def address(self, nonce: str = "n" * 43, prompt: str = "login") -> str:
        """Returns the address of the sign-in page."""
        return authorization_url(self.access, state="the-state", nonce=nonce, verifier=VERIFIER, prompt=prompt)

    def answer(self, address: str) -> Code | Declined:
        """Returns what a browser brought back."""
        found = read_answer(self.access, parse_qs(urlsplit(address).query))
        assert isinstance(found, Code | Declined), found
        assert found.state == "the-state"
        return found

    async def signed_in(
        self, browser: Browser, name: str, *, nonce: str = "n" * 43, verifier: str = VERIFIER
    ) -> SignedIn | CodeRefused:
        """Signs `name` in and exchanges the code."""
        asked = SignIn(nonce, SystemClock().now())
        found = self.answer(await browser.sign_in(self.address(), name))
        assert isinstance(found, Code)
        return await self.endpoint.code(self.access, found.code, verifier=verifier, asked=asked)


@pytest.fixture
async def gateway(provider: OtherProvider) -> AsyncIterator[Gateway]:
    """Yields the gateway's adapters."""
    clients = KeycloakClients()
    yield Gateway(provider.access, clients, TokenEndpoint(clients, SystemClock()))
    await clients.close()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Yields a new browser."""
    async with Browser() as found:
        yield found


async def test_the_check_of_the_realm_accepts_it(gateway: Gateway) -> None:
    await gateway.endpoint.check_issuer(gateway.access)
    assert await gateway.endpoint.check(gateway.access) == ()


async def test_another_issuer_than_the_one_in_the_settings_is_noticed(gateway: Gateway) -> None:
    with pytest.raises(IssuerDiffers):
        await gateway.endpoint.check_issuer(replace(gateway.access, issuer=f"{gateway.access.issuer}/"))


async def test_an_address_that_the_client_does_not_have_is_noticed(gateway: Gateway) -> None:
    access = replace(gateway.access, sso=SingleSignOn("https://elsewhere.example/callback"))
    with pytest.raises(errors.Misconfigured, match="does not sign users in"):
        await gateway.endpoint.check(access)


async def test_a_user_signs_in_with_verified_tokens(gateway: Gateway, browser: Browser) -> None:
    found = await gateway.signed_in(browser, "anna")
    assert isinstance(found, SignedIn)
    assert (found.user.id, found.user.username) == ("anna", "anna")
    assert found.tokens.session_id


async def test_refreshed_tokens_are_those_of_the_same_user_and_session(gateway: Gateway, browser: Browser) -> None:
    found = await gateway.signed_in(browser, "anna")
    assert isinstance(found, SignedIn)
    renewed = await gateway.endpoint.refresh(gateway.access, found.tokens)
    assert isinstance(renewed, Granted)
    assert (renewed.user.id, renewed.tokens.session_id) == ("anna", found.tokens.session_id)
    assert renewed.tokens.access != found.tokens.access


@pytest.mark.attack("F15")
async def test_a_session_that_a_browser_has_there_signs_no_user_in(gateway: Gateway, browser: Browser) -> None:
    await gateway.signed_in(browser, "anna")
    found = await gateway.signed_in(browser, "ben")  # fails if the page does not ask again
    assert isinstance(found, SignedIn)
    assert found.user.id == "ben"


@pytest.mark.attack("F15")
async def test_a_code_counts_once(gateway: Gateway, browser: Browser) -> None:
    found = gateway.answer(await browser.sign_in(gateway.address(), "anna"))
    assert isinstance(found, Code)
    asked = SignIn("n" * 43, SystemClock().now() - 5)
    exchanged = [
        await gateway.endpoint.code(gateway.access, found.code, verifier=VERIFIER, asked=asked) for _ in range(2)
    ]
    assert [type(one) for one in exchanged] == [SignedIn, CodeRefused]


@pytest.mark.attack("F15")
async def test_a_code_is_refused_without_the_verifier_of_its_login(gateway: Gateway, browser: Browser) -> None:
    assert isinstance(await gateway.signed_in(browser, "anna", verifier="w" * 43), CodeRefused)


@pytest.mark.attack("F15")
async def test_the_code_of_another_login_is_rejected(gateway: Gateway, browser: Browser) -> None:
    with pytest.raises(TokenRefused, match="nonce"):
        await gateway.signed_in(browser, "anna", nonce="another")


async def test_a_user_who_cancels_there_is_declined(gateway: Gateway, browser: Browser) -> None:
    assert await browser.open(gateway.address()) == ""
    abort = browser.page.partition("[ Cancel ]")[0].rpartition('href="')[2].partition('"')[0]
    found = gateway.answer(await browser.open(abort))
    assert isinstance(found, Declined)
    assert found.error == "access_denied"


async def test_its_logout_token_names_the_session_that_has_ended(
    gateway: Gateway, browser: Browser, provider: OtherProvider
) -> None:
    found = await gateway.signed_in(browser, "anna")
    assert isinstance(found, SignedIn)
    arrived: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def receive(request: web.Request) -> web.Response:
        arrived.set_result(str((await request.post())["logout_token"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/logout", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", provider.logout_port).start()
    try:
        query = urlencode({"id_token_hint": found.tokens.id_token, "client_id": gateway.access.sign_in.client_id})
        await browser.open(f"{gateway.access.issuer}/protocol/openid-connect/logout?{query}")
        await browser.submit(logout="yes")
        token = await asyncio.wait_for(arrived, 10)
    finally:
        await runner.cleanup()
    verified = await LogoutTokens(gateway.clients).verify(gateway.access, token, SystemClock().now())
    assert verified == LogoutToken(verified.id, "anna", found.tokens.session_id)
