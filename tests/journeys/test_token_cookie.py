"""The upstream token cookie has the tenant's settings, from the last step to the logout."""

from http.cookies import Morsel, SimpleCookie

import pytest
from aiohttp import ClientResponse

from tests.fixtures.person import Person, code_for
from tests.fixtures.site import Site

pytestmark = pytest.mark.row("GW-07")


def given(response: ClientResponse, name: str) -> Morsel[str]:
    """Returns the one cookie of that name that an answer sets."""
    jars = [SimpleCookie(value) for value in response.headers.getall("Set-Cookie", [])]
    (morsel,) = [jar[name] for jar in jars if name in jar]
    return morsel


async def last_step(site: Site, agent: Person) -> ClientResponse:
    """Runs a new user's whole first login and returns the answer to the correct code."""
    user = site.user()
    await agent.to_code(user.username, user.password, "cookie@example.com")
    answer = await agent.submit("verify", code=await code_for(site.mail, "cookie@example.com"))
    assert answer.status == 303
    return answer


async def test_login_renewal_and_logout_use_the_tenants_cookie_name_and_attributes(
    light_site: Site,
) -> None:
    host = f"cc.example.com:{light_site.settings.port}"
    light_site.settings.gateway["insecure_http"] = True
    light_site.settings.tenant["tenantSettings"]["fqdn"] = "cc.example.com"
    light_site.settings.tenant["gateway"]["public_url"] = f"http://{host}"
    light_site.settings.tenant["gateway"]["token_cookie"] = {
        "name": "efcx",
        "domain": "example.com",
        "path": "/unified-admin",
        "same_site": "strict",
        "http_only": False,
    }
    light_site.change()
    async with light_site.person(always={"Host": host}) as agent:
        first = given(await last_step(light_site, agent), "efcx")
        light_site.clock.advance(280)
        renewed = given(await agent.get("/unified-admin/"), "efcx")
        removed = given(await agent.logout(), "efcx")
    for morsel in (first, renewed, removed):
        assert (morsel["domain"], morsel["path"], morsel["samesite"], morsel["httponly"]) == (
            "example.com",
            "/unified-admin",
            "Strict",
            "",
        )
    assert renewed.value.count(".") == 2
    assert renewed.value != first.value
    assert (removed.value, removed["max-age"]) == ("", "0")


async def test_only_the_last_answer_of_a_login_sets_the_token_cookie(light_site: Site) -> None:
    user = light_site.user()
    async with light_site.person() as agent:
        seen = [await agent.get("/unified-admin/"), await agent.get("/-/login")]
        seen.append(await agent.submit("password", username=user.username, password=user.password))
        seen.append(await agent.submit("register", address="cookie@example.com"))
        seen.append(await agent.submit("confirm", "send"))
        code = await code_for(light_site.mail, "cookie@example.com")
        seen.append(await agent.submit("verify", code="0" * len(code) if code != "0" * len(code) else "1" * len(code)))
        seen.append(await agent.get("/-/login/verify"))
        assert not [answer for answer in seen for value in answer.headers.getall("Set-Cookie", []) if "token=" in value]
        assert given(await agent.submit("verify", code=code), "token").value


async def test_the_logout_removes_the_token_cookie(light_site: Site) -> None:
    async with light_site.person() as agent:
        await last_step(light_site, agent)
        assert agent.cookie("token")
        await agent.logout()
        assert agent.cookie("token") is None
