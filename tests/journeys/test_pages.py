"""Elements of every page: help, language, reference, in the HTML of the whole gateway."""

import re

import pytest

from tests.fixtures.person import Person, code_for, wrong
from tests.fixtures.site import Site

HELP = {
    "text": "Call the service desk",
    "phone": "+49 4711 12",
    "url": "https://help.example/",
    "forgot_password": "https://pw.example/",
}


@pytest.fixture
def helped(light_site: Site) -> Site:
    """Returns a tenant with help settings."""
    light_site.settings.tenant["gateway"]["help"] = HELP
    light_site.change()
    return light_site


def has_help(page: str) -> bool:
    """Returns whether a page shows the tenant's help."""
    return all(text in page for text in (HELP["text"], 'href="tel:+49471112"', HELP["url"]))


@pytest.mark.row("GW-31")
async def test_the_password_page_shows_the_help_and_the_link_for_a_forgotten_password(helped: Site) -> None:
    async with helped.person() as agent:
        page = await agent.page()
    assert has_help(page)
    assert HELP["forgot_password"] in page


@pytest.mark.row("GW-31")
async def test_the_stopped_page_shows_the_help(helped: Site) -> None:
    user = helped.user(required_actions=("CONFIGURE_TOTP",))
    async with helped.person() as agent:
        response = await agent.submit("password", username=user.username, password=user.password)
        assert response.headers["Location"].startswith("/-/login/stopped")
        page = await agent.page(response.headers["Location"])
    assert has_help(page)
    assert HELP["forgot_password"] in page


@pytest.mark.row("GW-31")
async def test_the_lock_page_shows_the_help(helped: Site) -> None:
    helped.change(otpMaxAttempts=20)
    user = helped.user()
    async with helped.person() as agent:
        await agent.to_code(user.username, user.password, "locked@example.com")
        code = await code_for(helped.mail, "locked@example.com")
        for _ in range(10):
            response = await agent.submit("verify", code=wrong(code))
        assert response.headers["Location"].startswith("/-/login/stopped")
        page = await agent.page(response.headers["Location"])
    assert has_help(page)
    assert "<time" in page


@pytest.mark.row("GW-31")
async def test_the_outage_pages_show_the_help(helped: Site) -> None:
    user = helped.user()
    async with helped.person() as agent, helped.person() as other:
        await agent.first_login(user.username, user.password, "out@example.com", helped.mail)
        await helped.app.stop()
        response = await agent.get("/unified-admin/")
        assert response.status == 502
        assert has_help(await response.text())
        helped.settings.tenant["tenantSettings"]["keyCloak"]["auth-server-url"] = "http://127.0.0.1:1/auth/"
        helped.change()
        response = await other.submit("password", username=user.username, password=user.password)
        assert response.status == 503
        assert has_help(await response.text())


@pytest.mark.row("GW-30")
async def test_every_problem_page_shows_a_unique_reference(light_site: Site) -> None:
    seen = set()
    async with light_site.person() as agent:
        pages = [
            await (await agent.get("/nothing/here")).text(),
            await (await agent.get("/-/nothing")).text(),
            await (await agent.get("/-/static/nothing")).text(),
        ]
    for page in pages:
        found = re.search(r"Reference: <bdi[^>]*>([2-9A-HJ-NP-Z]{8})</bdi>", page)
        assert found, page
        seen.add(found[1])
    assert len(seen) == 3


async def choose(agent: Person, language: str, to: str = "/-/login") -> str:
    """Presses a language button of a page and returns the following page."""
    async with agent.http.post(
        f"{agent.base}/-/language",
        data={"language": language, "to": to},
        headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin"},
    ) as response:
        assert response.status == 200
        return await response.text()


@pytest.mark.row("GW-39")
async def test_every_page_has_a_button_for_each_language_that_works_without_scripts(light_site: Site) -> None:
    user = light_site.user()
    async with light_site.person() as agent:
        pages = [await agent.page(), await (await agent.get("/nothing")).text(), await agent.page("/-/logout")]
        await agent.password(user.username, user.password)
        pages.append(await agent.page())
        await agent.do("register", address="pages@example.com")
        pages.append(await agent.page())
        await agent.do("confirm", "send")
        pages.append(await agent.page())
    for page in pages:
        assert '<form class="language" method="post" action="/-/language" aria-label="Language">' in page
        assert '<button type="submit" name="language" value="ar" lang="ar">العربية</button>' in page


@pytest.mark.row("GW-39")
async def test_the_chosen_language_precedes_the_tenants_and_the_tenants_precedes_the_browsers(light_site: Site) -> None:
    async with light_site.person(always={"Accept-Language": "ar"}) as agent:
        assert '<html lang="ar" dir="rtl">' in await agent.page()
        light_site.settings.tenant["gateway"]["branding"] = {"language": "en"}
        light_site.change()
        assert '<html lang="en" dir="ltr">' in await agent.page()
        assert '<html lang="ar" dir="rtl">' in await choose(agent, "ar")
        assert '<html lang="ar" dir="rtl">' in await agent.page()


@pytest.mark.row("GW-39")
async def test_mails_and_problems_use_the_chosen_language_until_the_sign_out(light_site: Site) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await choose(agent, "ar")
        await agent.to_code(user.username, user.password, "lang@example.com")
        code = await code_for(light_site.mail, "lang@example.com")
        (mail,) = light_site.mail.to("lang@example.com")
        assert 'lang="ar" dir="rtl"' in mail.html
        refused = await agent.do("verify", code=wrong(code))
        assert re.search(r"[\u0600-\u06ff]{3}", refused.body["problem"]["text"])
        assert (await agent.do("verify", code=code)).step == "done"
        await agent.logout()
        assert agent.cookie("gateway-language") is None
        assert '<html lang="en"' in await agent.page()


@pytest.mark.row("GW-39")
async def test_changing_the_language_during_a_login_loses_nothing(light_site: Site) -> None:
    user = light_site.user(email=None)
    async with light_site.person("/agent-manager/x?y=1") as agent:
        await agent.to_code(user.username, user.password, "lang@example.com")
        page = await agent.page()
        here = re.search(r'action="/-/language".*?name="to" value="([^"]+)"', page, re.DOTALL)
        assert here
        after = await choose(agent, "ar", here[1].replace("&amp;", "&"))
        assert '<html lang="ar" dir="rtl">' in after
        assert 'action="/-/login/verify"' in after
        assert 'value="/agent-manager/x?y=1"' in after
        done = await agent.do("verify", code=await code_for(light_site.mail, "lang@example.com"))
        assert done.body["location"] == "/agent-manager/x?y=1"


async def test_the_first_page_is_below_its_size_limit(light_site: Site) -> None:
    async with light_site.person() as agent:
        page = await agent.page()
        assets = [path for path in re.findall(r'(?:href|src)="(/-/static/[^"]+)"', page) if "favicon" not in path]
        sizes = [len(page.encode())] + [len(await (await agent.get(path)).read()) for path in assets]
    assert len(sizes) <= 3
    assert sum(sizes) <= 40 * 1024


@pytest.mark.row("GW-30")
async def test_the_reference_of_a_stopped_page_is_in_the_log_and_leads_to_the_cause(light_site: Site) -> None:
    user = light_site.user(required_actions=("CONFIGURE_TOTP",))
    async with light_site.person() as agent:
        response = await agent.submit("password", username=user.username, password=user.password)
        page = await agent.page(response.headers["Location"])
    (reference,) = re.findall(r'class="whole">([2-9A-Z]{8})</bdi>', page)
    lines = light_site.audit.log.lines
    (line,) = [line for line in lines if line.get("reference") == reference and line["event"] == "problem"]
    (cause,) = light_site.audit.of("login_stopped")
    assert (line["problem"], line["step"], line["login"]) == ("action-required", "stopped", cause["login"])
    assert cause["user_id"] == user.id


@pytest.mark.row("GW-31")
async def test_the_page_of_another_step_leads_to_the_one_that_is_due(light_site: Site) -> None:
    user = light_site.user()
    async with light_site.person() as agent:
        await agent.to_code(user.username, user.password, "step@example.com")
        other = await agent.get("/-/login/stopped")
    assert (other.status, other.headers["Location"].partition("?")[0]) == (303, "/-/login/verify")
