"""The user name on the password page: of the browser's last user, of a login that timed out, and after "Not you?"."""

import re

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import FORM, Person, forms_of
from tests.fixtures.site import Site
from tests.journeys.test_sessions import signed_in


def shown(page: str) -> str:
    """Returns the user name in the field of the password page."""
    return str(re.findall(r'id="username"[^>]* value="([^"]*)"', page)[0])


async def left(site: Site, agent: Person) -> User:
    """Signs a new user in and out again."""
    user = await signed_in(site, agent)
    assert (await agent.logout()).status == 303
    return user


async def test_a_browser_that_finished_a_login_shows_the_name_of_its_last_user(light_site: Site) -> None:
    async with light_site.person() as agent:
        user = await left(light_site, agent)
        page = await agent.page("/-/login")
    assert shown(page) == user.username
    assert re.search(r'id="password"[^>]* autofocus', page)
    assert "Not you?" in page


async def test_not_you_forgets_the_name(light_site: Site) -> None:
    async with light_site.person() as agent:
        await left(light_site, agent)
        form = next(f for f in forms_of(await agent.page("/-/login")) if "round" in f)
        address = f"{light_site.base}/-/login/password"
        answer = await agent.http.post(address, data={**form, "action": "cancel"}, headers=FORM)
        said = await answer.text()
        assert "Sign in as someone else" in said
        assert shown(said) == shown(await agent.page("/-/login")) == ""


async def test_a_shared_desk_shows_no_name(light_site: Site) -> None:
    async with light_site.person() as agent:
        await left(light_site, agent)
        light_site.settings.tenant["gateway"]["never_trust_from"] = ["127.0.0.0/8"]
        light_site.change()
        assert shown(await agent.page("/-/login")) == ""
        await left(light_site, agent)
        del light_site.settings.tenant["gateway"]["never_trust_from"]
        light_site.change()
        assert shown(await agent.page("/-/login")) == ""


async def test_a_browser_with_a_new_cookie_shows_no_name(light_site: Site) -> None:
    async with light_site.person() as agent:
        await left(light_site, agent)
        agent.set_cookie("gateway-browser", f"{'A' * 22}.{'B' * 43}")
        assert shown(await agent.page("/-/login")) == ""


async def test_a_script_of_an_app_cannot_read_the_name(light_site: Site) -> None:
    async with light_site.person() as agent:
        user = await left(light_site, agent)
        script = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
        for accept in ("text/html", "application/json"):
            answer = await agent.get("/-/login/password", headers={**script, "Accept": accept})
            assert user.username not in await answer.text()
            assert user.username not in str(answer.headers)


async def test_the_page_of_a_login_that_timed_out_keeps_the_typed_name(light_site: Site) -> None:
    user = light_site.user()
    async with light_site.person() as agent:
        await agent.to_code(user.username, user.password, "late@example.com")
        light_site.clock.advance(901)
        page = await agent.page("/-/login/verify")
    assert "Your sign-in timed out" in page
    assert shown(page) == user.username


async def test_the_sign_in_page_says_that_a_session_ended_because_it_was_idle(light_site: Site) -> None:
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        light_site.clock.advance(1801)
        assert (await agent.get("/unified-admin/")).status == 303
        page = await agent.page("/-/login")
        assert "There was no activity for a while." in page
        assert "The limit is 30 minutes." in page
        await agent.logout()
        assert "no activity" not in await agent.page("/-/login")
