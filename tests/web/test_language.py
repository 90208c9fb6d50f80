"""Tests of the language of a browser, and of choosing another."""

import pytest
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from gateway.domain.tenant import Branding
from gateway.rendering.languages import available, load_languages
from gateway.web.language import LanguageChoice
from gateway.web.request_context import TENANT, language_of
from tests.fixtures.own_pages import ROOT, application, configuration, endpoints
from tests.fixtures.sample_tenants import tenant

SITE = tenant(public_url="http://127.0.0.1:8080")
OWN = {"Sec-Fetch-Site": "same-origin"}
LANGUAGES = load_languages(ROOT / "locales", ["en", *(c for c in available(ROOT / "locales") if c != "en")])


async def choose(fields: dict[str, str], headers: dict[str, str]) -> tuple[int, str, str]:
    """Returns status, location and cookie of one choice."""
    app = application(configuration(SITE))
    app.add_routes(LanguageChoice(LANGUAGES).routes(endpoints()))
    async with (
        TestClient(TestServer(app)) as client,
        client.post("/-/language", data=fields, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, response.headers.get("Location", ""), response.headers.get("Set-Cookie", "")


@pytest.mark.row("GW-39")
async def test_the_chosen_language_is_kept_in_a_cookie_and_the_browser_returns_to_its_page() -> None:
    status, place, cookie = await choose({"language": "en", "to": "/-/login/verify?to=%2Fa"}, OWN)
    assert (status, place) == (303, "/-/login/verify?to=%2Fa")
    assert cookie.startswith("gateway-language=en; ")


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "", "/\\evil.example"])
async def test_choosing_a_language_never_redirects_to_another_origin(to: str) -> None:
    assert (await choose({"language": "en", "to": to}, OWN))[:2] == (303, SITE.home)


async def test_a_language_that_is_not_offered_is_bad_input() -> None:
    assert (await choose({"language": "xx\u0301", "to": "/"}, OWN))[0] == 422


async def test_another_site_cannot_choose_the_language() -> None:
    status, _, cookie = await choose({"language": "en", "to": "/"}, {"Sec-Fetch-Site": "cross-site"})
    assert (status, cookie) == (403, "")


@pytest.mark.row("GW-39")
@pytest.mark.parametrize(
    ("cookie", "of_tenant_", "accept", "found"),
    [
        ("gateway-language=en", "", "xx", "en"),
        ("gateway-language=zz", "en", "", "en"),
        ("", "", "en-GB,en;q=0.9", "en"),
        ("gateway-language=en; gateway-language=zz", "", "", "en"),
    ],
)
def test_the_chosen_language_precedes_the_tenants_and_the_tenants_precedes_the_browsers(
    cookie: str, of_tenant_: str, accept: str, found: str
) -> None:
    request = make_mocked_request("GET", "/", headers={"Cookie": cookie, "Accept-Language": accept})
    request[TENANT] = tenant(branding=Branding("x", language=of_tenant_))
    assert language_of(request, LANGUAGES).code == found


@pytest.mark.row("GW-39")
@pytest.mark.parametrize(
    ("choice", "of_tenant_", "header", "spoken"),
    [
        ("ar", "en", "en", "ar"),
        (None, "ar", "en", "ar"),
        (None, "", "ar-EG, en;q=0.5", "ar"),
        (None, "", "de, en;q=0.2, ar;q=0.7", "ar"),
        (None, "", "ar;q=0, en;q=0.1", "en"),
        ("xx", "", "", "en"),
        (None, "", "*;q=broken, ;;;, ar;q=oops", "en"),
        (None, "ar_SA", None, "ar"),
    ],
)
def test_the_language_is_the_choice_then_the_tenants_then_the_browsers(
    choice: str | None, of_tenant_: str, header: str | None, spoken: str
) -> None:
    headers = {"Cookie": f"gateway-language={choice}" if choice else "", "Accept-Language": header}
    request = make_mocked_request("GET", "/", headers={name: value for name, value in headers.items() if value})
    request[TENANT] = tenant(branding=Branding("x", language=of_tenant_))
    assert language_of(request, LANGUAGES).code == spoken
