"""Tests that a browser without scripts can do everything."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewAgent, Site
from tests.fixtures.person import code_for

pytestmark = [pytest.mark.browser, pytest.mark.keycloak]
ADDRESS = "plain@example.com"


async def test_a_whole_login_works_without_scripts(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent(java_script_enabled=False)
    await agent.first_login(ADDRESS)
    await expect(agent.page.locator(".me")).to_contain_text(agent.user.username)
    await agent.open("/-/logout")
    await agent.button("Sign out")
    await agent.page.get_by_label("Username").wait_for()
    await expect(agent.page.get_by_role("status")).to_contain_text("You're signed out")


async def test_without_scripts_the_page_shows_when_the_code_expires_and_when_a_new_one_may_be_sent(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await new_agent(java_script_enabled=False)
    await agent.to_verify(ADDRESS)
    await expect(agent.page.locator("#code-life")).to_contain_text("The code works until")
    await expect(agent.page.get_by_role("button", name="Send a new code")).to_contain_text("1 minute")


async def test_without_scripts_the_resend_button_sends_after_the_wait(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent(java_script_enabled=False)
    first = await agent.to_verify(ADDRESS)
    site.clock.advance(61)
    await agent.page.get_by_role("button", name="Send a new code").click()
    second = await code_for(site.mail, ADDRESS, 2)
    assert first != second
    await agent.verify(second)
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


async def test_without_scripts_an_early_request_for_a_code_is_answered_with_the_wait(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await new_agent(java_script_enabled=False)
    await agent.to_verify(ADDRESS)
    await agent.page.get_by_role("button", name="Send a new code").click()
    await expect(agent.page.get_by_role("alert")).to_contain_text("1 minute")
    assert len(site.mail.to(ADDRESS)) == 1


@pytest.mark.row("GW-39")
async def test_without_scripts_a_language_is_chosen_by_its_button(new_agent: NewAgent) -> None:
    agent = await new_agent(java_script_enabled=False)
    await agent.open()
    await agent.button("العربية")
    await expect(agent.page.locator("html")).to_have_attribute("dir", "rtl")
