"""Genesys in Chromium: the user chooses a method, goes back, and a login ends in the app or at a named path."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import second_factor_steps
from tests.browser.conftest import NewAgent, Site
from tests.browser.pictures import Album
from tests.fixtures.genesys_services import APP_CODE, GenesysServices, genesys_services
from tests.fixtures.installation import CHANNEL, Folder
from tests.fixtures.person import code_for, wrong

pytestmark = [*second_factor_steps.MARKS, pytest.mark.timeout(300)]
HELP = "/unified-admin/help"
EXTERNAL = {
    "is2FAEnabled": True,
    "preset": "genesys",
    "codeGeneration": "EXTERNAL",
    "contactService": "services",
    "onNoContact": "path:agent",
    "otpMaxAttempts": 2,
    "onMaxVerify": "path:agent",
    "maxSends": 2,
    "onMaxSends": "path:agent",
}
INTERNAL = {
    **EXTERNAL,
    "codeGeneration": "INTERNAL",
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}],
    "otpLength": 6,
    "otpExpiry": 300,
}


@pytest.fixture
async def services() -> AsyncIterator[GenesysServices]:
    """Yields the running services."""
    async with genesys_services() as running:
        yield running


@pytest.fixture(params=[EXTERNAL])
def settings(request: pytest.FixtureRequest, settings: Folder, redis_url: str, services: GenesysServices) -> Folder:
    """Genesys on the real store."""
    settings.gateway["channels"].append(services.settings(prompt="Bank Authenticator"))
    second_factor_steps.settle(settings, redis_url, request.param)
    settings.tenant["gateway"]["public_paths"].append(HELP)
    settings.tenant["gateway"]["paths"] = {"agent": HELP}
    return settings


@pytest.mark.row("GE-02", "GE-05", "GE-18", "GE-20", "GE-23")
async def test_a_user_chooses_by_keyboard_chooses_again_and_ends_in_the_app_or_at_the_named_path(
    site: Site, new_agent: NewAgent, services: GenesysServices, tmp_path: Path
) -> None:
    agent = await new_agent()
    page, album = agent.page, Album(agent.page, tmp_path)
    services.customers[agent.user.username] = {"email": "amina@bank.example", "SMS": "", "authenticator": ""}
    await agent.open()
    await agent.password()
    await expect(page.get_by_role("button", name="Code by email")).to_be_focused()
    await album.hold("genesys-choose")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_contain_text("Enter the code we sent you by text message.")
    await album.hold("genesys-text")
    await agent.button("Try another way")
    await agent.button("Bank Authenticator")
    await expect(page.get_by_role("main")).to_contain_text("Enter the code Bank Authenticator shows now.")
    await album.hold("genesys-app")
    await agent.verify("000000")
    await expect(page.get_by_role("alert")).to_be_visible()
    await album.hold("genesys-app-wrong", languages=())
    await agent.verify(APP_CODE)
    await second_factor_steps.arrived(agent)

    await second_factor_steps.sign_out(agent)
    services.customers[agent.user.username] = {"SMS": ""}
    await agent.open()
    site.catch_up()
    await agent.password()
    for _ in range(2):
        await agent.verify("000000")
    await page.wait_for_url(agent.base + HELP)
    await expect(page.get_by_role("heading")).to_have_text("Talk to an agent")
    assert services.sent == [(agent.user.username, "SMS")] * 2

    services.customers.clear()
    await agent.open()
    site.catch_up()
    await agent.password()
    await page.wait_for_url(agent.base + HELP)


@pytest.mark.row("GE-02")
async def test_the_choice_works_without_javascript(new_agent: NewAgent, services: GenesysServices) -> None:
    agent = await new_agent(java_script_enabled=False)
    services.customers[agent.user.username] = {"email": "", "authenticator": ""}
    await agent.open()
    await agent.password()
    await agent.button("Bank Authenticator")
    await agent.button("Try another way")
    await agent.button("Bank Authenticator")
    await agent.verify(APP_CODE)
    await second_factor_steps.arrived(agent)


@pytest.mark.row("GE-03")
@pytest.mark.parametrize("settings", [INTERNAL], indirect=True, ids=["internal"])
async def test_a_wrong_code_is_replaced_and_the_last_one_leads_to_the_named_path(
    new_agent: NewAgent, site: Site, services: GenesysServices, tmp_path: Path
) -> None:
    agent = await new_agent()
    page, album = agent.page, Album(agent.page, tmp_path)
    services.customers[agent.user.username] = {"email": "resend@bank.example"}
    await agent.open()
    await agent.password()
    await agent.code.wait_for()
    await agent.verify(wrong(await code_for(site.mail, "resend@bank.example")))
    await expect(page.get_by_role("alert")).to_contain_text("we sent you a new one")
    await album.hold("genesys-resent", languages=())
    await agent.verify(wrong(await code_for(site.mail, "resend@bank.example", 2)))
    await page.wait_for_url(agent.base + HELP)
