"""A sign-in on Keycloak's own page in Chromium, and the policies of the pages around it."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewAgent, Site
from tests.fixtures.installation import Folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.person import code_for
from tests.fixtures.site import single_sign_on

pytestmark = [pytest.mark.browser, pytest.mark.keycloak, pytest.mark.row("GW-06", "SI-08")]


@pytest.fixture(autouse=True)
def at_keycloak(settings: Folder, keycloak: Keycloak) -> None:
    """Lets users sign in on Keycloak's own page."""
    single_sign_on(settings, keycloak)


async def sign_in(page: Page, username: str, password: str) -> None:
    """Fills in Keycloak's form."""
    await page.locator("#username").fill(username)
    await page.locator("#password").fill(password)
    await page.locator("#kc-login").click()


async def test_a_user_signs_in_at_keycloak_enrols_and_signs_out_and_in_again(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open("/unified-admin/?first=1")
    site.catch_up()
    await sign_in(agent.page, agent.user.username, agent.user.password)
    await agent.register("sso@example.com")
    await agent.confirm()
    await agent.verify(await code_for(site.mail, "sso@example.com"))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/?first=1")
    await agent.page.goto(f"{site.base}/-/logout")
    await agent.button("Sign out")
    await expect(agent.page.get_by_text("You're signed out")).to_be_visible()
    await agent.button("Sign in")
    await expect(agent.page.locator("#kc-login")).to_be_visible()
    assert agent.complaints.said == []
