"""Tests of the code page while time passes, for the browser and for the gateway; the test advances both clocks."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.fixtures.clock import START
from tests.fixtures.person import code_for

pytestmark = [pytest.mark.browser, pytest.mark.keycloak]
ADDRESS = "waits@example.com"
EXPIRY, COOLDOWN = 120, 60


async def at_the_code_page(new_agent: NewAgent) -> Agent:
    """Returns an agent on the code page, whose browser clock only the test advances."""
    agent = await new_agent()
    await agent.page.clock.install(time=START)
    await agent.page.clock.pause_at(START + 1)
    await agent.to_verify(ADDRESS)
    return agent


async def pass_time(page: Page, seconds: int) -> None:
    """Advances the browser's clock by that number of seconds."""
    await page.clock.run_for(seconds * 1000)


async def test_the_countdown_announces_only_sixty_and_twenty_seconds(new_agent: NewAgent) -> None:
    agent = await at_the_code_page(new_agent)
    said: list[str] = []
    for _ in range(EXPIRY - 2):
        await pass_time(agent.page, 1)
        now = await agent.page.locator("[data-announce]").text_content() or ""
        if now and now not in said[-1:]:
            said.append(now)
    assert said == [
        "One minute left for this code.",
        "20 seconds left for this code.",
    ]


async def test_when_the_code_expires_the_page_says_so_and_its_button_has_the_focus(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await at_the_code_page(new_agent)
    site.clock.advance(EXPIRY)
    await pass_time(agent.page, EXPIRY)
    await agent.page.get_by_role("heading", name="This code has expired").wait_for()
    await expect(agent.code).to_have_count(0)
    await expect(agent.page.get_by_role("button", name="Send a new code")).to_be_focused()


async def test_a_code_that_is_being_typed_is_kept_when_it_expires(site: Site, new_agent: NewAgent) -> None:
    agent = await at_the_code_page(new_agent)
    await agent.code.press_sequentially("402")
    site.clock.advance(EXPIRY)
    await pass_time(agent.page, EXPIRY + 2)
    await expect(agent.page.locator("#code-life")).to_contain_text("This code has expired.")
    await expect(agent.code).to_have_value("402")


async def test_the_visible_countdown_is_in_no_live_region(new_agent: NewAgent) -> None:
    agent = await at_the_code_page(new_agent)
    await expect(agent.page.locator("#code-life")).to_contain_text("The code expires in")
    live = agent.page.locator("[aria-live] #code-life, [role=status] #code-life, [role=alert] #code-life")
    await expect(live).to_have_count(0)
    await expect(agent.page.locator("[role=status][data-announce]")).to_have_count(1)


@pytest.mark.row("EF-15")
async def test_the_resend_button_shows_the_wait_and_is_enabled_again_without_a_reload(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await at_the_code_page(new_agent)
    button = agent.page.get_by_role("button", name="Send a new code")
    await expect(button).to_be_disabled()
    await pass_time(agent.page, COOLDOWN - 10)
    await expect(button).to_contain_text("0:10")
    await pass_time(agent.page, 11)
    await expect(button).to_have_text("Send a new code")
    await expect(button).to_be_enabled()
    site.clock.advance(COOLDOWN + 1)
    await button.click()
    second = await code_for(site.mail, ADDRESS, 2)
    await agent.verify(second)
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


async def test_a_new_code_is_offered_before_the_old_one_expires(new_agent: NewAgent) -> None:
    agent = await at_the_code_page(new_agent)
    button = agent.page.get_by_role("button", name="Send a new code")
    await pass_time(agent.page, EXPIRY - 30)
    await expect(button).not_to_contain_class("offered")
    await pass_time(agent.page, 15)
    await expect(button).to_contain_class("offered")
    await expect(button).to_be_enabled()


async def test_the_page_is_correct_immediately_after_the_computer_slept(site: Site, new_agent: NewAgent) -> None:
    agent = await at_the_code_page(new_agent)
    site.clock.advance(EXPIRY + 5)
    await agent.page.clock.fast_forward((EXPIRY + 5) * 1000)
    await agent.page.get_by_role("heading", name="This code has expired").wait_for()
    await expect(agent.page.get_by_role("button", name="Send a new code")).to_be_enabled()


@pytest.mark.row("EF-15")
async def test_a_login_within_the_cooldown_shows_the_wait_and_then_sends_the_code(
    site: Site, new_agent: NewAgent
) -> None:
    """A second browser of the same user, while the first code is unused: its page reloads without a click."""
    first = await new_agent()
    await first.to_verify(ADDRESS)
    await first.verify(await code_for(site.mail, ADDRESS))
    await first.page.wait_for_url(f"{site.base}/unified-admin/")
    second, third = await new_agent(first.user), await new_agent(first.user)
    await second.open()
    await second.password()
    await code_for(site.mail, ADDRESS, 2)
    await third.open()
    await third.password()
    await expect(third.page.get_by_role("heading", name="Your code will be sent in 0:5")).to_be_visible()
    assert len(site.mail.to(ADDRESS)) == 2
    site.clock.advance(COOLDOWN + 1)
    await third.page.reload()
    await third.verify(await code_for(site.mail, ADDRESS, 3))
    await third.page.wait_for_url(f"{site.base}/unified-admin/")
