"""CloudCX by keyboard alone: a user sets up mail and app, signs out, and signs in again with a trusted browser."""

import pytest
from playwright.async_api import Locator, expect

from tests.browser import second_factor_steps
from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.browser.second_factor_steps import ACCOUNT, CLOUDCX, SET_UP
from tests.fixtures.installation import Folder
from tests.fixtures.person import code_for

pytestmark = [*second_factor_steps.MARKS, pytest.mark.timeout(300)]
MOST_STOPS = 20


@pytest.fixture
def settings(settings: Folder, redis_url: str) -> Folder:
    """CloudCX on the real store."""
    return second_factor_steps.settle(settings, redis_url, CLOUDCX)


async def go_to(agent: Agent, wanted: Locator) -> None:
    """Presses Tab until `wanted` has the focus; every element on the way must show its focus."""
    await wanted.wait_for()
    focused = agent.page.locator(":focus")
    for _ in range(MOST_STOPS):
        if await focused.count():
            width = await focused.evaluate("one => parseFloat(getComputedStyle(one).outlineWidth)")
            assert width >= 2, await focused.evaluate("one => one.outerHTML")
        if await wanted.evaluate("one => one === document.activeElement"):
            return
        await agent.page.keyboard.press("Tab")
    await expect(wanted).to_be_focused()


async def press(agent: Agent, name: str, *, role: str = "button") -> None:
    """Moves the focus to a button or link and presses Enter."""
    await go_to(agent, agent.page.get_by_role("link" if role == "link" else "button", name=name, exact=True))
    await agent.page.keyboard.press("Enter")


async def enter(agent: Agent, field: Locator, text: str) -> None:
    """Types into the field that has the focus when the page opens, and presses Enter."""
    await expect(field).to_be_focused()
    await agent.page.keyboard.type(text)
    await agent.page.keyboard.press("Enter")


async def enter_code(agent: Agent, field: Locator, code: str) -> None:
    """Types a code. A script submits a complete one, where the length is known; else Enter does."""
    await expect(field).to_be_focused()
    submits_itself = await field.get_attribute("data-hold") is None
    await agent.page.keyboard.type(code)
    if not submits_itself:
        await agent.page.keyboard.press("Enter")


async def sign_in(agent: Agent) -> None:
    """Types user name, where the browser does not know it, and password."""
    username = agent.page.get_by_label("Username")
    if not await username.input_value():
        await expect(username).to_be_focused()
        await agent.page.keyboard.type(agent.user.username)
        await agent.page.keyboard.press("Tab")
    await enter(agent, agent.page.get_by_label("Password", exact=True), agent.user.password)


async def set_up_mail(site: Site, agent: Agent) -> None:
    """Sets up mail from the account page and returns there from the backup codes."""
    address = agent.user.email
    assert address
    await press(agent, "Set up: Code by email")
    await enter(agent, agent.page.get_by_label("Password", exact=True), agent.user.password)
    await press(agent, "Send the code")
    await enter_code(agent, agent.code, await code_for(site.mail, address))
    await press(agent, "I've saved my codes")
    await agent.page.wait_for_url(agent.base + SET_UP)


@pytest.mark.row("CC-02", "CC-03", "CC-10", "CC-13", "CC-21")
async def test_setting_up_mail_and_app_and_trusting_a_browser_work_by_keyboard_alone(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await new_agent()
    second_factor_steps.next_step(site)
    await agent.open()
    await sign_in(agent)
    await second_factor_steps.arrived(agent)
    await agent.open(ACCOUNT)
    await set_up_mail(site, agent)
    await press(agent, "Set up: Authenticator app")
    await enter_code(agent, agent.code, await code_for(site.mail, agent.user.email or "", 2))
    phone = await second_factor_steps.scan(site, agent)
    await go_to(agent, second_factor_steps.app_code(agent))
    await enter_code(agent, second_factor_steps.app_code(agent), phone.code())
    await agent.page.wait_for_url(agent.base + SET_UP)

    await press(agent, "Sign out", role="link")
    await press(agent, "Sign out")
    await sign_in(agent)
    await expect(agent.code).to_be_focused()
    second_factor_steps.next_step(site)
    box = agent.page.get_by_role("checkbox")
    await agent.page.keyboard.press("Shift+Tab")
    await expect(box).to_be_focused()
    await agent.page.keyboard.press("Space")
    await expect(box).to_be_checked()
    await go_to(agent, agent.code)
    await enter_code(agent, agent.code, phone.code())
    await agent.page.wait_for_url(lambda url: "/-/login" not in url)

    await second_factor_steps.sign_out(agent)
    await agent.open()
    await sign_in(agent)
    await second_factor_steps.arrived(agent)
