"""Several tabs, double clicks and the back button: one browser, one login, a return path for each tab."""

import asyncio
import re

import pytest

from tests.fixtures.person import JSON, code_for
from tests.fixtures.site import Site

pytestmark = [pytest.mark.keycloak, pytest.mark.row("GW-13")]
ADDRESS = "tabs@example.com"


def csrf_of(page: str) -> str:
    """Returns the token of a page's form."""
    return str(re.findall(r'name="csrf" value="([^"]+)"', page)[0])


async def test_five_parallel_tabs_all_sign_in_with_one_session(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        await agent.logout()
        targets = [f"/unified-admin/tab{number}" for number in range(5)]
        tabs = [await agent.tab(to) for to in targets]  # each is redirected to the login
        credentials = {"username": user.username, "password": user.password}
        await asyncio.gather(*(tab.send("password", **credentials) for tab in tabs))
        assert [tab.path for tab in tabs] == [f"/-/login/verify?to={to}" for to in targets]
        assert len({tab.fields["login"] for tab in tabs}) == 1
        code = await code_for(site.mail, ADDRESS, 2)
        assert len(site.mail.to(ADDRESS)) == 2
        await asyncio.gather(*(tab.send("verify", code=code) for tab in tabs))
        assert [tab.path for tab in tabs] == targets
        assert (await agent.get(targets[0])).status == 200
    assert len(site.audit.of("session_opened")) == 2  # the first login's and this one
    assert not site.audit.of("code_rejected")


async def test_five_tabs_with_one_sign_in_after_the_other_all_end_signed_in(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        await agent.logout()
        targets = [f"/unified-admin/tab{number}" for number in range(5)]
        tabs = [await agent.tab(to) for to in targets]
        for tab in tabs:  # the password in each, then the code in each: a browser sends its newest cookie
            await tab.send("password", username=user.username, password=user.password)
        assert [tab.path for tab in tabs] == [f"/-/login/verify?to={to}" for to in targets]
        code = await code_for(site.mail, ADDRESS, 2)
        for tab in tabs:
            await tab.send("verify", code=code)
        assert [tab.path for tab in tabs] == targets
        assert len(site.mail.to(ADDRESS)) == 2
    assert len(site.audit.of("session_opened")) == 2
    assert not site.audit.of("code_rejected")


async def test_tabs_restored_in_parallel_without_cookies_all_sign_in(site: Site) -> None:
    user = site.user(email=None)
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
    async with site.person() as agent:
        targets = [f"/unified-admin/tab{number}" for number in range(5)]
        tabs = await asyncio.gather(*(agent.tab(f"/-/login?to={to}") for to in targets))
        assert (
            len({tab.fields["csrf"] for tab in tabs}) == 5
        )  # each request got a separate cookie, and the browser kept one
        credentials = {"username": user.username, "password": user.password}
        await asyncio.gather(*(tab.send("password", **credentials) for tab in tabs))
        assert [tab.path for tab in tabs] == [f"/-/login/verify?to={to}" for to in targets]
        assert len(site.audit.of("password_accepted")) == 2  # Keycloak is asked once for the five tabs
        assert len(site.mail.to(ADDRESS)) == 2
        code = await code_for(site.mail, ADDRESS, 2)
        await asyncio.gather(*(tab.send("verify", code=code) for tab in tabs))
        assert [tab.path for tab in tabs] == targets


@pytest.mark.parametrize(
    "browser_headers",
    [{}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://evil.example"}],
)
async def test_a_password_page_of_another_cookie_is_accepted_only_from_the_gateways_own_page(
    site: Site, browser_headers: dict[str, str]
) -> None:
    user = site.user()
    async with site.person() as victim, site.person() as attacker:
        await victim.look()
        form = {"csrf": csrf_of(await attacker.page("/-/login")), "username": user.username, "password": user.password}
        refused = await victim.http.post(
            f"{victim.base}/-/login/password",
            data=form,
            headers={"Accept": "text/html", **browser_headers},
            allow_redirects=False,
        )
        assert refused.status == 403
    assert not site.audit.of("password_accepted")


@pytest.mark.parametrize("token", ["", "made-up", "made-up.made-up"])
async def test_a_forged_csrf_token_begins_no_login_from_any_page(site: Site, token: str) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.look()
        refused = await agent.submit("password", csrf=token, username=user.username, password=user.password)
        assert refused.status == 403
    assert not site.audit.of("password_accepted")


async def test_an_open_password_page_leads_to_the_app_when_another_tab_has_finished(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        credentials = {"username": user.username, "password": user.password}
        late = await agent.submit("password", to="/unified-admin/late", **credentials)
        assert (late.status, late.headers["Location"]) == (303, "/unified-admin/late")
    assert len(site.audit.of("session_opened")) == 1


@pytest.mark.parametrize("seconds", [1, 31, 200])
@pytest.mark.parametrize("page", ["password", "register", "confirm", "verify"])
async def test_the_back_button_after_the_login_opens_the_app(site: Site, page: str, seconds: float) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        site.clock.advance(seconds)
        back = await agent.get(f"/-/login/{page}?to=/unified-admin/x")
        assert (back.status, back.headers["Location"]) == (303, "/unified-admin/x")


async def test_a_code_page_left_open_in_another_tab_leads_to_the_app(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, ADDRESS)
        code = await code_for(site.mail, ADDRESS)
        assert (await agent.do("verify", code=code)).step == "done"
        for seconds in (1, 60):
            site.clock.advance(seconds)
            late = await agent.submit("verify", code=code)
            assert (late.status, late.headers["Location"]) == (303, "/unified-admin/")


async def test_the_back_button_within_a_login_opens_the_pending_step_and_changes_nothing(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, ADDRESS)
        for page in ("password", "register", "confirm", "stopped", "done"):
            back = await agent.get(f"/-/login/{page}?to=/unified-admin/")
            assert (back.status, back.headers["Location"]) == (303, "/-/login/verify?to=/unified-admin/")
        again = await agent.submit("register", address="other@example.com")
        assert (again.status, again.headers["Location"]) == (303, "/-/login/verify?to=/unified-admin/")
        out_of_order = await agent.do("confirm", "send")
        assert (out_of_order.status, out_of_order.step) == (409, "verify")
        assert (await agent.do("verify", code=await code_for(site.mail, ADDRESS))).step == "done"
    assert len(site.mail.to(ADDRESS)) == 1


async def test_a_double_click_on_sign_in_begins_one_login_and_sends_one_mail(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
    async with site.person() as agent:
        await agent.look()
        answers = await asyncio.gather(*(agent.password(user.username, user.password) for _ in range(2)))
        assert {answer.step for answer in answers} == {"verify"}
        done = await agent.do("verify", code=await code_for(site.mail, ADDRESS, 2))
        assert done.step == "done"
    assert len(site.mail.to(ADDRESS)) == 2


async def test_a_double_click_on_verify_counts_as_one_proof_and_opens_one_session(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, ADDRESS)
        code = await code_for(site.mail, ADDRESS)
        answers = await asyncio.gather(*(agent.do("verify", code=code) for _ in range(2)))
        assert {answer.step for answer in answers} == {"done"}
        assert (await agent.get("/unified-admin/")).status == 200
    assert len(site.audit.of("session_opened")) == 1


async def test_a_double_click_on_send_sends_one_mail(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        await agent.do("register", address=ADDRESS)
        answers = await asyncio.gather(*(agent.do("confirm", "send") for _ in range(3)))
        assert {answer.step for answer in answers} == {"verify"}
        assert (await agent.do("verify", code=await code_for(site.mail, ADDRESS))).step == "done"
    assert len(site.mail.to(ADDRESS)) == 1


async def test_an_enrolment_finished_in_parallel_tabs_is_saved_and_announced_once(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, ADDRESS)
        code = await code_for(site.mail, ADDRESS)
        answers = await asyncio.gather(*(agent.do("verify", code=code) for _ in range(5)))
        assert {answer.step for answer in answers} == {"done"}
        await site.mail.wait(2)
        assert (await agent.get("/unified-admin/")).status == 200
    assert len(site.mail.to(user.email)) == 1
    assert len(site.audit.of("enrolment_added")) == 1


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_a_form_of_another_login_cookie_gets_an_explanation_even_for_a_signed_in_user(
    site: Site, accept: str
) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        for step in ("password", "verify"):
            form = {"csrf": "of-another-cookie", "to": "/unified-admin/", "username": "x", "password": "y", "code": "1"}
            response = await agent.http.post(
                f"{agent.base}/-/login/{step}", data=form, headers={**JSON, "Accept": accept}, allow_redirects=False
            )
            assert response.status in (303, 403, 409), await response.text()
