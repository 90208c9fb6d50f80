"""Sessions from the end of a login to the sign-out: cookies, renewal, logout, on real parts."""

import asyncio
import re
from http.cookies import SimpleCookie

import pytest
from multidict import CIMultiDictProxy

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import Person, code_for
from tests.fixtures.site import Site
from tests.fixtures.stand_in_keycloak import StandIn
from tests.journeys.test_changes_meanwhile import ends

keycloak = pytest.mark.keycloak


async def signed_in(site: Site, agent: Person) -> User:
    """Signs a new user in."""
    user = site.user()
    assert user.email
    assert (await agent.first_login(user.username, user.password, user.email, site.mail)).step == "done"
    return user


async def in_a_step_up(site: Site, agent: Person) -> User:
    """Signs a user in where no factor is needed, and opens the page that enrols one."""
    user = site.user()
    site.settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    site.change()
    agent.target = "/agent-manager/"
    assert (await agent.password(user.username, user.password)).step == "done"
    agent.target = "/unified-admin/"
    assert (await agent.begin("step-up")).step == "register"
    return user


@keycloak
@pytest.mark.row("GW-07")
async def test_the_last_step_sets_the_session_cookies_with_their_attributes(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, "cookies@example.com")
        response = await agent.submit("verify", code=await code_for(site.mail, "cookies@example.com"))
    given = {name: morsel for name, morsel in response.cookies.items()}
    assert set(given) == {"gateway-session", "gateway-login", "gateway-browser", "token"}
    for morsel in given.values():
        assert morsel["httponly"]
        assert morsel["samesite"] == "Lax"
        assert morsel["path"] == "/"
    assert given["token"].value.count(".") == 2
    assert 0 < int(given["token"]["max-age"]) <= 300


@keycloak
@pytest.mark.row("GW-07", "GW-08")
async def test_the_app_receives_the_sessions_token_and_never_one_sent_by_the_browser(site: Site) -> None:
    async with site.person() as agent:
        await signed_in(site, agent)
        token = agent.cookie("token")
        agent.set_cookie("token", "forged")
        headers = {"Authorization": "Bearer forged", "X-Auth-User-Id": "admin", "Sec-Fetch-Site": "same-origin"}
        response = await agent.get("/unified-admin/", headers=headers)
        seen = (await response.json())["headers"]
    assert ["Authorization", f"Bearer {token}"] in seen
    assert "forged" not in str(seen)
    assert "admin" not in str([value for name, value in seen if name.lower().startswith("x-auth")])
    cookies = SimpleCookie("; ".join(value for name, value in seen if name == "Cookie"))
    assert {name: morsel.value for name, morsel in cookies.items()} == {"token": token}
    assert response.cookies["token"].value == token


@keycloak
@pytest.mark.row("GW-07")
async def test_a_renewed_token_is_set_with_the_next_answer(site: Site) -> None:
    async with site.person() as agent:
        user = await signed_in(site, agent)
        before = agent.cookie("token")
        assert (await agent.get("/unified-admin/")).cookies == {}
        site.clock.advance(280)
        renewed = await agent.get("/unified-admin/")
        assert renewed.cookies["token"].value != before
        assert (await site.seen(agent))["authorization"] == f"Bearer {renewed.cookies['token'].value}"
        assert len(await asyncio.to_thread(site.keycloak.admin.sessions, user.id)) == 1


@keycloak
@pytest.mark.row("GW-07")
async def test_parallel_requests_at_the_expiry_of_a_token_renew_it_once(site: Site) -> None:
    async with site.person() as agent:
        await signed_in(site, agent)
        site.clock.advance(301)
        answers = await asyncio.gather(*(agent.get("/unified-admin/") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.cookies["token"].value for answer in answers if "token" in answer.cookies}) == 1


@keycloak
async def test_a_session_that_keycloak_ended_redirects_to_the_login(site: Site) -> None:
    async with site.person() as agent:
        user = await signed_in(site, agent)
        site.keycloak.admin.logout(user.id)
        site.clock.advance(301)
        assert (await agent.get("/unified-admin/")).status == 303


@keycloak
@pytest.mark.row("GW-07")
async def test_the_logout_removes_the_cookies_and_ends_the_keycloak_session(site: Site) -> None:
    async with site.person() as agent:
        user = await signed_in(site, agent)
        kept = agent.cookies()
        response = await agent.logout()
        assert (response.status, response.headers["Location"]) == (303, "/-/login?signed-out=yes")
        assert set(agent.cookies()) == {"gateway-browser"}
        assert await ends(site, user)
        for name, value in kept.items():
            agent.set_cookie(name, value)
        assert (await agent.get("/unified-admin/")).status == 303
    assert [line["user_id"] for line in site.audit.of("logout")] == [user.id]


@pytest.mark.row("GW-10")
async def test_a_sign_out_everywhere_ends_the_users_sessions_in_all_browsers_and_at_keycloak(
    light_site: Site,
) -> None:
    async with light_site.person() as one, light_site.person() as two, light_site.person() as other:
        user = await signed_in(light_site, one)
        await signed_in(light_site, other)
        light_site.clock.advance(61)
        assert user.email
        assert (await two.login(user.username, user.password, user.email, light_site.mail)).step == "done"
        assert 'name="everywhere"' in await one.page("/-/logout")
        assert (await one.logout(everywhere="yes")).status == 303
        statuses = [(await browser.get("/unified-admin/")).status for browser in (one, two, other)]
        assert statuses == [303, 303, 200]
        assert await ends(light_site, user)
    (reported,) = light_site.audit.of("signed_out_everywhere")
    assert (reported["user_id"], reported["sessions"]) == (user.id, 1)


async def test_a_sign_out_keeps_the_users_sessions_in_other_browsers(light_site: Site) -> None:
    async with light_site.person() as one, light_site.person() as two:
        user = await signed_in(light_site, one)
        light_site.clock.advance(61)
        assert user.email
        assert (await two.login(user.username, user.password, user.email, light_site.mail)).step == "done"
        await one.logout()
        assert (await two.get("/unified-admin/")).status == 200


async def test_the_page_after_a_sign_out_says_so_without_a_reference(light_site: Site) -> None:
    async with light_site.person() as agent:
        shown = await agent.page("/-/login?signed-out=yes")
    assert "You&#39;re signed out" in shown
    assert "Reference" not in shown
    assert 'name="password"' in shown


async def left(site: Site, *, as_json: bool) -> CIMultiDictProxy[str]:
    """Returns the fields of the answer to a sign-out without a session."""
    async with site.person() as agent:
        form = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', await agent.page("/-/logout"))[0]}
        accept = "application/json" if as_json else "text/html"
        headers = {"Accept": accept, "Sec-Fetch-Site": "same-origin"}
        answer = await agent.http.post(f"{site.base}/-/logout", data=form, headers=headers, allow_redirects=False)
        assert answer.status == (200 if as_json else 303)
        return answer.headers


@pytest.mark.parametrize("as_json", [False, True])
async def test_the_sign_out_clears_the_cache_and_also_the_storage_where_the_tenant_says_so(
    light_site: Site, as_json: bool
) -> None:
    assert (await left(light_site, as_json=as_json))["Clear-Site-Data"] == '"cache"'
    light_site.settings.tenant["gateway"]["clear_storage_at_sign_out"] = True
    light_site.change()
    assert (await left(light_site, as_json=as_json))["Clear-Site-Data"] == '"cache", "storage"'


async def test_a_form_that_signs_no_user_out_clears_nothing(light_site: Site) -> None:
    async with light_site.person() as agent:
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
        answer = await agent.http.post(f"{light_site.base}/-/logout", data={}, headers=headers, allow_redirects=False)
    assert 400 <= answer.status < 500
    assert "Clear-Site-Data" not in answer.headers


@keycloak
async def test_neither_a_link_nor_a_form_of_another_site_signs_the_user_out(site: Site) -> None:
    async with site.person() as agent:
        await signed_in(site, agent)
        await agent.get("/-/logout")
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
            response = await agent.http.post(
                f"{agent.base}/-/logout", headers={"Accept": "text/html", **headers}, data={}, allow_redirects=False
            )
            assert 400 <= response.status < 500
        assert (await agent.get("/unified-admin/")).status == 200


@keycloak
async def test_an_idle_session_ends(site: Site) -> None:
    async with site.person() as agent:
        await signed_in(site, agent)
        site.clock.advance(1801)
        assert (await agent.get("/unified-admin/")).status == 303


@keycloak
async def test_a_new_sign_in_in_the_same_browser_ends_the_previous_session(site: Site) -> None:
    async with site.person() as browser:
        first = await signed_in(site, browser)
        old = browser.cookie("gateway-session")
        site.clock.advance(31)
        second = await signed_in(site, browser)
        assert await ends(site, first)
        assert await asyncio.to_thread(site.keycloak.admin.sessions, second.id)
        browser.set_cookie("gateway-session", str(old))
        assert (await browser.get("/unified-admin/")).status == 303


@keycloak
async def test_an_open_websocket_closes_when_its_session_ends(site: Site) -> None:
    async with site.person() as agent:
        await signed_in(site, agent)
        async with agent.http.ws_connect(f"{agent.base}/agent-manager/ws", origin=agent.base) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            assert (await agent.logout()).status == 303
            assert (await socket.receive(timeout=10)).type.name in ("CLOSE", "CLOSED", "CLOSING")


@pytest.mark.row("GW-07")
async def test_a_token_too_large_for_a_cookie_is_reported_and_still_sent_to_the_app_in_a_header(
    light_site: Site, stand_in: StandIn
) -> None:
    user = light_site.user()
    (person,) = [one for one in stand_in.realms["expertflow"].users if one.username == user.username]
    person.roles = tuple(f"a-role-with-a-long-name-{number}" for number in range(150))
    async with light_site.person() as agent:
        done = await agent.first_login(user.username, user.password, "large@example.com", light_site.mail)
        assert done.step == "done"
        assert agent.cookie("token") is None
        assert len((await light_site.seen(agent))["authorization"]) > 4096
    (reported,) = light_site.audit.of("token_cookie_too_large")
    assert reported["size"] > 4096


@pytest.mark.attack("S3")
async def test_the_sign_in_of_another_user_clears_the_data_that_the_browser_kept_of_the_apps(light_site: Site) -> None:
    anna, ben = light_site.user(), light_site.user()
    async with light_site.person() as shared_browser:
        cleared = []
        for number, user in enumerate((anna, anna, ben)):
            address = f"{user.username}@example.com"
            enters = shared_browser.login if number == 1 else shared_browser.first_login
            done = await enters(user.username, user.password, address, light_site.mail)
            assert done.step == "done"
            cleared.append(done.headers.get("Clear-Site-Data"))
            await shared_browser.logout()
            shared_browser.csrf = ""
            light_site.clock.advance(61)
    assert cleared == [None, None, '"cache"']


async def test_a_wrong_password_in_an_old_tab_is_reported_also_during_a_step_up(light_site: Site) -> None:
    async with light_site.person() as agent:
        user = await in_a_step_up(light_site, agent)
        shown = await agent.submit("password", username=user.username, password="wrong", login="")
        assert (shown.status, "Wrong username or password" in await shown.text()) == (401, True)
