"""Tests of the language select: pages and mails use the chosen language."""

import pytest
from playwright.async_api import expect

from tests.browser import pictures
from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.fixtures.person import code_for

pytestmark = [pytest.mark.browser, pytest.mark.keycloak, pytest.mark.row("GW-39")]
ADDRESS = "words@example.com"
SIGN_IN, CONTINUE, SEND, VERIFY = "تسجيل الدخول", "متابعة", "إرسال الرمز", "تحقق"


async def choose(agent: Agent, language: str) -> None:
    """Presses the button of another language at the foot of the page."""
    await agent.button({"ar": "العربية", "en": "English"}[language])
    await expect(agent.page.locator("html")).to_have_attribute("lang", language)


async def there_and_back(agent: Agent) -> None:
    """Switches the page to Arabic and back to English."""
    heading = await agent.page.locator("h1").inner_text()
    await choose(agent, "ar")
    await expect(agent.page.locator("html")).to_have_attribute("dir", "rtl")
    await expect(agent.page.locator("h1")).not_to_have_text(heading)
    await choose(agent, "en")
    await expect(agent.page.locator("h1")).to_have_text(heading)


async def test_every_page_of_a_login_has_buttons_of_languages_that_stay_on_the_page(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await new_agent()
    await agent.open()
    await there_and_back(agent)
    await agent.password()
    await there_and_back(agent)
    await agent.register(ADDRESS)
    await agent.page.get_by_role("heading", name="Check your address").wait_for()
    await there_and_back(agent)
    await agent.confirm()
    await there_and_back(agent)
    assert len(site.mail.to(ADDRESS)) == 1
    await agent.verify(await code_for(site.mail, ADDRESS))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
    for path in ("/-/logout", "/nothing-here"):
        await agent.open(path)
        await there_and_back(agent)


async def test_pages_and_mails_are_in_the_chosen_language(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    page = agent.page
    await agent.open()
    await choose(agent, "ar")
    await page.locator("#username").fill(agent.user.username)
    await page.locator("#password").fill(agent.user.password)
    await agent.button(SIGN_IN)
    await page.locator("#address").fill(ADDRESS)
    await agent.button(CONTINUE)
    await agent.button(SEND)
    code = await code_for(site.mail, ADDRESS)
    assert "رمز" in site.mail.to(ADDRESS)[0].subject
    assert 'dir="rtl"' in site.mail.to(ADDRESS)[0].html
    await agent.enter_code(code, page.locator("#code"), VERIFY)
    await page.wait_for_url(f"{site.base}/unified-admin/")


async def test_the_browsers_language_is_used_until_the_user_chooses_one(new_agent: NewAgent) -> None:
    agent = await new_agent(locale="ar-EG")
    await agent.open()
    await expect(agent.page.locator("html")).to_have_attribute("lang", "ar")


async def test_the_chosen_language_has_priority_over_the_browsers_language(new_agent: NewAgent) -> None:
    agent = await new_agent(locale="ar-EG")
    await agent.open()
    await choose(agent, "en")
    await agent.page.reload()
    await expect(agent.page.locator("html")).to_have_attribute("lang", "en")


async def test_the_sign_out_clears_the_chosen_language(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent(locale="ar-EG")
    await agent.open()
    await choose(agent, "en")
    await agent.first_login(ADDRESS)
    await agent.open("/-/logout")
    await agent.button("Sign out")
    await expect(agent.page.locator("html")).to_have_attribute("lang", "ar")


async def test_codes_and_addresses_read_left_to_right_on_right_to_left_pages(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.to_verify(ADDRESS)
    await choose(agent, "ar")
    await expect(agent.page.locator("#code")).to_have_attribute("dir", "ltr")
    await expect(agent.page.locator(".lead bdi")).to_have_attribute("dir", "ltr")
    assert not await pictures.faults(agent.page)


async def test_the_show_button_is_at_the_left_edge_of_its_field_on_right_to_left_pages(new_agent: NewAgent) -> None:
    agent = await new_agent(locale="ar-EG")
    await agent.open()
    button = await agent.page.locator(".reveal").bounding_box()
    field = await agent.page.locator("#password").bounding_box()
    assert button
    assert field
    assert button["x"] - field["x"] < 20
