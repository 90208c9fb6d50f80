"""The user's own page in Chromium without scripts: a user signs out another of their browsers."""

import pytest
from playwright.async_api import expect

from tests.browser import second_factor_steps
from tests.browser.conftest import NewAgent
from tests.browser.pictures import too_wide
from tests.browser.second_factor_steps import ACCOUNT, CLOUDCX
from tests.fixtures.installation import Folder

pytestmark = second_factor_steps.MARKS


@pytest.fixture
def settings(settings: Folder, redis_url: str) -> Folder:
    """CloudCX on the real store, with a name for the network of the test."""
    settings.gateway["networks"] = {"Head office": ["127.0.0.0/8"]}
    return second_factor_steps.settle(settings, redis_url, CLOUDCX)


@pytest.mark.row("GW-45")
async def test_a_user_signs_out_another_browser_on_their_own_page_without_scripts(new_agent: NewAgent) -> None:
    here = await new_agent(java_script_enabled=False)
    other = await new_agent(here.user)
    for agent in (other, here):
        await agent.open()
        await agent.password()
        await second_factor_steps.arrived(agent)

    await here.page.set_viewport_size({"width": 360, "height": 640})
    await here.open(ACCOUNT)
    places = here.page.get_by_role("region", name="Where you are signed in").get_by_role("listitem")
    await expect(places).to_have_count(2)
    await expect(places.first).to_contain_text("This browser")
    await expect(places.last).to_contain_text("Head office · 127.0.0.1")
    assert await too_wide(here.page) == []

    await places.last.get_by_role("button").click()
    await expect(here.page.get_by_role("main")).to_contain_text("You're about to sign out: Chrome on Linux.")
    await here.page.get_by_label("Password", exact=True).fill(here.user.password)
    await here.button("Sign out")
    await expect(here.page.get_by_role("status")).to_contain_text("The browser is signed out.")
    await expect(places).to_have_count(1)

    await other.open()
    await other.page.get_by_label("Username").wait_for()
