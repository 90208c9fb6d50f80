"""An administrator in Chromium helps an agent on a real Keycloak: by pages alone, counted in clicks."""

import pytest
from playwright.async_api import expect

from tests.browser import second_factor_steps
from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.fixtures.installation import Folder
from tests.fixtures.person import code_for

pytestmark = [*second_factor_steps.MARKS, pytest.mark.timeout(300), pytest.mark.row("GW-16", "CC-14")]


@pytest.fixture
def settings(settings: Folder, redis_url: str) -> Folder:
    """E-mail codes and administrator's codes, with the pages on the host of the apps."""
    two_factor = {**second_factor_steps.EFCX_MAIL, "adminCodes": True}
    settings.tenant["gateway"]["admin_on_app_host"] = True
    return second_factor_steps.settle(settings, redis_url, two_factor)


async def signed_in(new_agent: NewAgent, site: Site, role: str, path: str) -> Agent:
    """Returns a user with codes by e-mail, who signed in just now."""
    agent = await new_agent(site.keycloak.admin.create_user(roles=(role,)))
    site.catch_up()
    await agent.first_login(str(agent.user.email), path)
    return agent


async def test_an_agent_with_a_lost_phone_is_back_at_work_after_five_clicks_of_an_administrator(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await signed_in(new_agent, site, "agent", "/unified-admin/")
    sara = await signed_in(new_agent, site, "admin", "/-/admin")
    site.clock.advance(61)
    page = sara.page
    await expect(page.get_by_label("Find a user by name, username or email")).to_be_focused()
    await page.keyboard.type(agent.user.username[3:])
    await page.keyboard.press("Enter")  # 1
    await page.get_by_role("link", name="Test Person").click()  # 2
    await page.get_by_role("link", name="Issue a code").click()  # 3
    await sara.verify(await code_for(site.mail, str(sara.user.email), 2))  # 4, of the administrator's own
    await expect(page.get_by_role("button", name="Issue the code")).to_be_focused()
    await page.keyboard.press("Enter")  # 5
    code = await page.locator("[data-codes]").inner_text()
    again = await new_agent(agent.user)
    await again.open()
    site.catch_up()
    await again.password()
    await again.code.wait_for()
    await again.page.get_by_text("Use a code from your administrator").click()
    await again.code.fill(code)
    await again.button("Verify")
    await again.page.wait_for_url(site.base + "/unified-admin/")
    assert [line["username"] for line in site.audit.of("admin_code_issued")] == [agent.user.username]
    await page.get_by_role("link", name="Done").click()
    await expect(page.get_by_text("Code from an administrator")).to_be_visible()
