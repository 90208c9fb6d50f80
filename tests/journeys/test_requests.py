"""Requests of a browser with a real session to the apps, and requests that other pages make it send."""

import json

import pytest
from aiohttp import WSServerHandshakeError

from tests.fixtures.person import JSON, PAGE, Person
from tests.fixtures.site import Site

SCRIPT = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
OWN = {"Sec-Fetch-Site": "same-origin"}
OTHER = "https://evil.example"


async def signed_in(site: Site, agent: Person) -> None:
    """Signs a user in."""
    user = site.user(email=None)
    assert (await agent.first_login(user.username, user.password, "in@example.com", site.mail)).step == "done"


async def asked(site: Site, agent: Person, path: str, method: str = "GET", **headers: str) -> int:
    """Returns the status of one request with exactly these fields."""
    async with agent.http.request(
        method, f"{site.base}{path}", headers={"Accept": "*/*", **headers}, allow_redirects=False
    ) as response:
        await response.read()
        return response.status


@pytest.mark.row("GW-12")
@pytest.mark.parametrize(
    "headers", [SCRIPT, {"Accept": "application/json"}, {"Accept": "*/*", "X-Requested-With": "XMLHttpRequest"}]
)
async def test_a_script_without_a_session_gets_401_and_the_address_of_the_login(
    light_site: Site, headers: dict[str, str]
) -> None:
    async with light_site.person() as person:
        response = await person.get("/agent-manager/api?x=1", headers=headers)
        body = json.loads(await response.text())
    assert response.status == 401
    assert body["login"] == f"{light_site.base}/-/login?to=/agent-manager/api%3Fx%3D1"
    assert body["problem"]["code"] == "sign-in-first"
    assert "Location" not in response.headers


@pytest.mark.row("GW-12")
async def test_a_websocket_without_a_session_gets_401(light_site: Site) -> None:
    async with light_site.person() as person:
        with pytest.raises(WSServerHandshakeError) as refused:
            await person.http.ws_connect(f"{light_site.base}/agent-manager/ws", origin=light_site.base)
    assert refused.value.status == 401
    assert not light_site.app.requests


@pytest.mark.row("GW-12")
async def test_a_page_without_a_session_is_redirected_to_the_login_and_back(light_site: Site) -> None:
    async with light_site.person() as person:
        response = await person.get("/agent-manager/a/b?x=1&y=%20z", headers=PAGE)
        assert (response.status, response.headers["Location"]) == (
            303,
            "/-/login?to=/agent-manager/a/b%3Fx%3D1%26y%3D%2520z",
        )
        page = await person.page(response.headers["Location"])
    assert 'name="to" value="/agent-manager/a/b?x=1&amp;y=%20z"' in page


@pytest.mark.row("GW-12")
async def test_a_preflight_is_answered_only_for_configured_origins(light_site: Site) -> None:
    light_site.settings.tenant["gateway"]["origins"] = ["https://partner.example"]
    light_site.change()
    async with light_site.person() as person:
        for origin, allowed in (("https://partner.example", True), (OTHER, False)):
            async with person.http.options(
                f"{light_site.base}/agent-manager/api",
                headers={"Origin": origin, "Access-Control-Request-Method": "PUT"},
            ) as response:
                assert (response.status == 204) is allowed
                assert (response.headers.get("Access-Control-Allow-Origin") == origin) is allowed
    assert not light_site.app.requests


@pytest.mark.row("GW-28")
@pytest.mark.attack("F7")
async def test_a_page_of_another_site_cannot_use_the_session(light_site: Site) -> None:
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        for site_word in ("cross-site", "same-site"):  # a sibling tenant is "same-site"
            fetched = {"Sec-Fetch-Site": site_word, "Origin": OTHER}
            form = {**fetched, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            picture = {"Sec-Fetch-Site": site_word, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
            frame = {"Sec-Fetch-Site": site_word, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
            for method, headers in (
                ("GET", {**fetched, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
                ("POST", {**fetched, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
                ("POST", form),
                ("GET", picture),
                ("GET", frame),
                ("DELETE", fetched),
            ):
                assert await asked(light_site, agent, "/agent-manager/api", method, **headers) == 403, headers
        for headers in ({"Origin": OTHER}, {"Origin": "null"}, {}):
            assert await asked(light_site, agent, "/agent-manager/api", "POST", **headers) == 403, headers
        assert not light_site.app.requests
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert await asked(light_site, agent, "/agent-manager/", **link) == 200
        assert await asked(light_site, agent, "/agent-manager/api", "POST", **OWN) == 200
    assert len(light_site.audit.of("origin_rejected")) == 15


@pytest.mark.row("GW-28")
@pytest.mark.attack("F7")
@pytest.mark.parametrize("origin", [OTHER, "null", "http://b.localhost:8080", None])
async def test_a_websocket_of_another_origin_is_refused(light_site: Site, origin: str | None) -> None:
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        with pytest.raises(WSServerHandshakeError) as refused:
            await agent.http.ws_connect(f"{light_site.base}/agent-manager/ws", origin=origin)
        assert refused.value.status == 403
    assert not light_site.app.requests


@pytest.mark.row("GW-28")
async def test_a_page_of_a_configured_origin_may_use_the_session(light_site: Site) -> None:
    light_site.settings.tenant["gateway"]["origins"] = ["https://partner.example"]
    light_site.change()
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        headers = {**SCRIPT, "Origin": "https://partner.example", "Sec-Fetch-Site": "cross-site"}
        response = await agent.get("/agent-manager/api", headers=headers)
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == "https://partner.example"
        assert ["Authorization", f"Bearer {agent.cookie('token')}"] in (await response.json())["headers"]


@pytest.mark.row("GW-08")
async def test_each_route_sets_how_its_app_learns_the_signed_in_user(light_site: Site) -> None:
    routes = light_site.settings.tenant["gateway"]["routes"]
    for way in ("bearer", "cookie", "headers"):
        routes.append({"path": f"/by-{way}", "to": light_site.app.url, "identity": [way]})
    light_site.change()
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        bearer = await light_site.seen(agent, "/by-bearer/")
        cookie = await light_site.seen(agent, "/by-cookie/")
        named = await light_site.seen(agent, "/by-headers/")
    token = agent.cookie("token")
    assert (bearer["authorization"], "cookie" in bearer) == (f"Bearer {token}", False)
    assert ("authorization" in cookie, cookie["cookie"]) == (False, f"token={token}")
    assert ("authorization" in named, "cookie" in named) == (False, False)
    assert named["x-auth-username"].startswith("user-")
    assert "agent" in named["x-auth-roles"].split(",")


BLOCKED = [
    "/unified-admin/keycloakLogin/login",
    "/unified-admin/KEYCLOAKLOGIN/x",
    "/unified-admin/keycloaklogin",
    "/agent-manager/agent/login",
    "/agent-manager/Agent/Login/",
    "/agent-manager/agent/refresh-token",
    "/agent-manager/agent/send-sms-otp",
    "/agent-manager/agent/register-phone",
    "/agent-manager/agent/validate-otp?x=1",
    "/agent-manager/%61gent/logi%6e",
    "/agent-manager/agent;v=1/login",
    "/agent-manager/deep/er/agent/login",
    "/unified-admin/auth/realms/expertflow/protocol/openid-connect/token",
    "/unified-admin/realms/x/protocol/openid-connect/Token/",
]


@pytest.mark.row("NX-05")
@pytest.mark.attack("F12")
@pytest.mark.parametrize("blocked", BLOCKED)
async def test_the_apps_own_sign_in_endpoint_stays_blocked_with_and_without_a_session(
    light_site: Site, blocked: str
) -> None:
    async with light_site.person() as agent, light_site.person() as stranger:
        await signed_in(light_site, agent)
        for person in (agent, stranger):
            for method in ("GET", "POST", "PUT"):
                async with person.http.request(
                    method, f"{light_site.base}{blocked}".replace("%", "%25"), headers={**JSON, **OWN}
                ) as response:
                    assert response.status in (403, 400), (method, blocked)
            response = await person.get(blocked, headers={**JSON, **OWN})
            problem = json.loads(await response.text())["problem"]
            assert (response.status, problem["code"]) == (403, "sign-in-here")
            assert "sign" in problem["text"].lower()
    assert not light_site.app.requests
    assert {line["path"].partition("?")[0] for line in light_site.audit.of("endpoint_blocked")} >= {
        blocked.partition("?")[0]
    }
