"""Tests of pages for a user who cannot continue: the page says why, until when, and where to get help."""

import re

import pytest
from playwright.async_api import expect

from tests.browser import pictures
from tests.browser.conftest import NewAgent, Site
from tests.browser.test_pages import shows_help
from tests.fixtures.installation import Folder
from tests.fixtures.person import code_for, wrong
from tests.fixtures.ports import free_port

pytestmark = [pytest.mark.browser, pytest.mark.keycloak, pytest.mark.row("GW-31")]
ADDRESS = "trouble@example.com"
FAILURES_TO_LOCK = 10


@pytest.fixture
def keycloak_down(settings: Folder) -> None:
    """Configures a port without a server as Keycloak."""
    settings.tenant["tenantSettings"]["keyCloak"]["auth-server-url"] = f"http://127.0.0.1:{free_port()}/auth"


@pytest.fixture
def many_attempts(settings: Folder) -> None:
    """Allows more attempts at one code than a user has in all."""
    settings.two_factor["otpMaxAttempts"] = 2 * FAILURES_TO_LOCK


@pytest.mark.usefixtures("keycloak_down")
async def test_while_keycloak_is_down_the_page_says_so_keeps_the_username_and_names_the_help_contact(
    new_agent: NewAgent,
) -> None:
    agent = await new_agent()
    await agent.open()
    await agent.password()
    await expect(agent.page.get_by_role("alert")).to_contain_text("again")
    await expect(agent.page.get_by_label("Username")).to_have_value(agent.user.username)
    await expect(agent.page.get_by_label("Password", exact=True)).to_have_value("")
    await shows_help(agent.page)
    assert not await pictures.faults(agent.page)


@pytest.mark.usefixtures("many_attempts")
async def test_a_locked_user_sees_the_end_of_the_lock_and_the_help_contact(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    code = await agent.to_verify(ADDRESS)
    for failure in range(1, FAILURES_TO_LOCK + 1):
        await agent.verify(wrong(code))
        await agent.page.get_by_role("alert").wait_for()
        if failure < FAILURES_TO_LOCK:
            await expect(agent.page.locator(".hint").get_by_text(re.compile("attempts? left"))).to_be_visible()
    await agent.page.get_by_role("button", name=re.compile("Sign in again")).wait_for()
    await expect(agent.page.get_by_role("alert")).to_contain_text(re.compile(r"[45]:\d\d"))
    await shows_help(agent.page)
    assert not await pictures.faults(agent.page)


async def test_an_unknown_page_links_to_the_start_page(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.first_login(ADDRESS)
    await agent.open("/nothing-here")
    await shows_help(agent.page)
    assert not await pictures.faults(agent.page)
    await agent.page.get_by_role("link", name="Go to the start page").click()
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


async def test_the_page_says_that_no_mail_can_be_sent_and_a_retry_sends_it(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    site.mail.switches.refuse_data = "451 4.7.1 try again later"
    await agent.open()
    await agent.password()
    await agent.register(ADDRESS)
    await agent.button("Send the code")
    await agent.page.get_by_role("heading", name="We couldn't send your code").wait_for()
    assert not await pictures.faults(agent.page)
    site.mail.switches.refuse_data = ""
    site.clock.advance(61)
    await agent.page.reload()
    await agent.verify(await code_for(site.mail, ADDRESS))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
