"""Tests of a first login by keyboard alone."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import NewAgent, Site
from tests.fixtures.person import code_for

pytestmark = [pytest.mark.browser, pytest.mark.keycloak]
ADDRESS = "keys@example.com"


async def test_a_first_login_works_by_keyboard_alone(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    page, keys = agent.page, agent.page.keyboard
    focused = page.locator(":focus")
    await agent.open()

    await keys.type(agent.user.username)
    await keys.press("Tab")
    await keys.type(agent.user.password)
    await keys.press("Enter")

    await expect(page.get_by_label("Email address")).to_be_focused()
    await keys.type(ADDRESS)
    await keys.press("Enter")

    await page.get_by_role("heading", name="Check your address").wait_for()
    await expect(focused).to_have_text("Send the code")
    await keys.press("Enter")

    await expect(agent.code).to_be_focused()
    code = await code_for(site.mail, ADDRESS)
    await keys.type("1" if code[0] != "1" else "2")
    await keys.press("Enter")
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(agent.code).to_be_focused()
    await keys.type(code)

    await page.wait_for_url(f"{site.base}/unified-admin/")
    await expect(page.locator(".me")).to_contain_text(agent.user.username)


async def test_every_focused_element_has_a_visible_focus_mark(new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    stops = await agent.page.locator("main input:not([type=hidden]), button:visible, select, a").count()
    for _ in range(stops):
        width = await agent.page.locator(":focus").evaluate("one => parseFloat(getComputedStyle(one).outlineWidth)")
        assert width >= 2
        await agent.page.keyboard.press("Tab")
