"""The whole journey of a new agent on real parts (Chromium, Keycloak, Redis, SMTP), with screenshots."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site, northwind
from tests.browser.pictures import Album
from tests.fixtures.installation import Folder
from tests.fixtures.person import code_for

pytestmark = [pytest.mark.browser, pytest.mark.keycloak, pytest.mark.redis, pytest.mark.slow]
ADDRESS, MISTYPED = "sara.lindqvist@example.com", "sara.lindqvits@example.com"


@pytest.fixture
def settings(settings: Folder, redis_url: str) -> Folder:
    """Uses the real store, and an operator's name for the pages."""
    settings.gateway["store"]["url"] = redis_url
    northwind(settings)
    return settings


@pytest.mark.timeout(300)
@pytest.mark.row("EF-11")
async def test_a_new_agent_signs_in_uses_the_app_signs_out_and_signs_in_again(
    site: Site, new_agent: NewAgent, tmp_path: Path
) -> None:
    """At every page axe finds no fault, and the page fits a narrow phone."""
    user = site.keycloak.admin.create_user(username="sara.lindqvist")
    site.keycloak.admin.change(user.id, firstName="Sara", lastName="Lindqvist")
    try:
        agent = await new_agent(user)
        await _walk(site, agent, Album(agent.page, tmp_path))
    finally:
        site.keycloak.admin.delete_user(user.id)


async def _walk(site: Site, agent: Agent, album: Album) -> None:
    page = agent.page

    await agent.open()
    await album.show("password", also_in="ar")
    site.catch_up()
    await agent.password()

    await page.get_by_label("Email address").fill(MISTYPED)
    await album.show("register", also_in="ar")
    await agent.button("Continue")
    await expect(page.locator(".address")).to_have_text(MISTYPED)
    await agent.button("Change address")
    await expect(page.get_by_label("Email address")).to_have_value(MISTYPED)
    await agent.register(ADDRESS)
    await expect(page.locator(".address")).to_have_text(ADDRESS)
    await album.show("confirm", also_in="ar")
    await agent.confirm()
    assert not site.mail.to(MISTYPED)

    await album.show("verify", also_in="ar")
    code = await code_for(site.mail, ADDRESS)
    await album.show_mail("mail", site.mail.to(ADDRESS)[0].html)
    await agent.verify("000000" if code != "000000" else "111111")
    await expect(page.get_by_role("alert")).to_be_visible()
    await album.show("wrong-code")
    await agent.verify(code)

    await page.wait_for_url(f"{site.base}/unified-admin/")
    await expect(page.locator(".me")).to_contain_text(agent.user.username)
    await album.show("unified-admin")
    await page.get_by_role("link", name="Agent Manager").click()
    await expect(page.locator("#state")).to_have_text("live")
    await page.get_by_label("Message").fill("Hello from behind the gateway")
    await agent.button("Send")
    await expect(page.locator("#lines li")).to_have_text("Hello from behind the gateway")
    await album.show("agent-manager")

    await page.locator(".menu summary").click()
    await page.get_by_role("link", name="Sign out").click()
    await album.show("sign-out", also_in="ar")
    await agent.button("Sign out")
    await page.get_by_label("Username").wait_for()
    assert await asyncio.to_thread(site.keycloak.admin.soon_signed_out, agent.user.id)

    site.clock.advance(61)
    await agent.open("/agent-manager/")
    site.catch_up()
    await agent.password()
    await agent.code.wait_for()
    await agent.verify(await code_for(site.mail, ADDRESS, 2))
    await page.wait_for_url(f"{site.base}/agent-manager/")
    await expect(page.locator(".me")).to_contain_text(agent.user.username)
