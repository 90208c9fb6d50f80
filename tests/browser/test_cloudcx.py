"""CloudCX in Chromium: a user sets up mail and app, trusts a browser, loses a phone, and turns both methods off."""

from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from tests.browser import second_factor_steps
from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.browser.pictures import Album
from tests.browser.second_factor_steps import ACCOUNT, CLOUDCX, SET_UP
from tests.fixtures.installation import Folder
from tests.fixtures.person import code_for, codes_to
from tests.fixtures.phone import Phone

pytestmark = [*second_factor_steps.MARKS, pytest.mark.timeout(400)]
ADDRESS = "amina.siddiqui@example.com"
KEPT = ("light", "dark", "ur-phone")


@pytest.fixture
def settings(settings: Folder, redis_url: str) -> Folder:
    """CloudCX on the real store."""
    settings.gateway["networks"] = {"Head office": ["127.0.0.0/8"]}
    return second_factor_steps.settle(settings, redis_url, {**CLOUDCX, "maxApps": 2})


def tick(agent: Agent) -> Locator:
    """Returns the box that makes a browser trusted."""
    return agent.page.get_by_label("Don't ask again on this browser for 30 days", exact=True)


async def asked(site: Site, agent: Agent, path: str = "/unified-admin/") -> None:
    """Goes to the page after the password."""
    await agent.open(path)
    site.catch_up()
    await agent.password()
    await expect(agent.page.get_by_role("main")).to_contain_text("Code from your authenticator app")


async def set_up_mail(site: Site, agent: Agent, album: Album) -> list[str]:
    """Goes from the account page without a method to the backup codes."""
    page = agent.page
    await agent.open(ACCOUNT)
    await expect(page.get_by_role("main")).to_contain_text("Nothing is set up yet.")
    await album.hold("account-empty")
    await agent.button("Set up: Code by email")
    await page.get_by_label("Password", exact=True).fill(agent.user.password)
    await expect(page.get_by_role("heading", name="Confirm it's you")).to_be_visible()
    await album.hold("password-again")
    site.catch_up()
    await agent.button("Continue")
    await expect(page.get_by_role("main")).to_contain_text("am•••@example.com")
    await agent.button("Send the code")
    await agent.verify(await code_for(site.mail, ADDRESS))
    await page.get_by_role("heading", name="Save your backup codes").wait_for()
    codes = await second_factor_steps.shown_codes(agent)
    assert len(set(codes)) == 10
    await can_be_kept(agent, codes)
    await page.reload()
    await expect(page.get_by_role("main")).to_contain_text("We've already shown your backup codes.")
    assert await second_factor_steps.shown_codes(agent) == []
    await album.hold("backup-codes-shown")
    await agent.button("Continue")
    await page.wait_for_url(agent.base + SET_UP)
    await expect(page.get_by_role("status")).to_contain_text("Your new sign-in method is saved.")
    return codes


async def can_be_kept(agent: Agent, codes: list[str]) -> None:
    """Asserts that the codes can be saved as a file and to the clipboard."""
    page = agent.page
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Save as a file").click()
    file = (await (await download.value).path()).read_text()
    assert [line.strip() for line in file.splitlines() if line.strip() in codes] == codes
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await agent.button("Copy")
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert (await page.evaluate("() => navigator.clipboard.readText()")).split() == codes


async def set_up_app(site: Site, agent: Agent, album: Album) -> Phone:
    """Sets up an app from the account page and returns there."""
    sent = len(codes_to(site.mail, ADDRESS))
    await agent.button("Set up: Authenticator app")
    await agent.code.wait_for()
    await album.hold("code-before-app")
    await agent.verify(await code_for(site.mail, ADDRESS, sent + 1))
    phone = await second_factor_steps.scan(site, agent)
    await album.hold("10-register-app", kept=KEPT)
    await agent.page.get_by_label("Name this phone, if you like.").fill("Work phone")
    await agent.enter_code(phone.code(), second_factor_steps.app_code(agent), "Turn on")
    await agent.page.wait_for_url(agent.base + SET_UP)
    second_factor_steps.next_step(site)
    return phone


async def equipped(site: Site, agent: Agent, album: Album) -> tuple[Phone, list[str]]:
    """Sets up mail and app from a password alone; returns the app and the backup codes."""
    second_factor_steps.next_step(site)
    await agent.open()
    await agent.password()
    await second_factor_steps.arrived(agent)
    codes = await set_up_mail(site, agent, album)
    phone = await set_up_app(site, agent, album)
    await agent.open(ACCOUNT)
    await expect(agent.page.get_by_text("10 codes left")).to_be_visible()
    await expect(agent.page.get_by_role("main")).to_contain_text("Work phone")
    await expect(agent.page.get_by_role("main")).to_contain_text("Head office")
    await album.hold("13-account", kept=KEPT)
    return phone, codes


@pytest.mark.row("CC-02", "CC-03", "CC-04", "CC-06", "CC-10", "CC-13", "CC-15", "CC-21")
async def test_a_user_sets_up_both_methods_loses_the_phone_and_turns_both_off(
    site: Site, new_agent: NewAgent, tmp_path: Path
) -> None:
    user = site.keycloak.admin.create_user(username="amina.siddiqui")
    site.keycloak.admin.change(user.id, firstName="Amina", lastName="Siddiqui")
    try:
        agent = await new_agent(user)
        album = Album(agent.page, tmp_path)
        phone, codes = await equipped(site, agent, album)
        await _trusts_this_browser(site, agent, album, phone)
        other = await new_agent(user)
        await _asks_for_a_mail(site, other, Album(other.page, tmp_path))
        lost = await new_agent(user)
        await _lost_phone(site, lost, Album(lost.page, tmp_path), codes)
        nothing_left = await new_agent(user)
        await _lost_everything(site, nothing_left, Album(nothing_left.page, tmp_path))
        await _turns_off_both(site, nothing_left, Album(nothing_left.page, tmp_path))
    finally:
        site.keycloak.admin.delete_user(user.id)


async def _trusts_this_browser(site: Site, agent: Agent, album: Album, phone: Phone) -> None:
    await second_factor_steps.sign_out(agent)
    sent = len(codes_to(site.mail, ADDRESS))
    await asked(site, agent)
    await expect(tick(agent)).not_to_be_checked()
    await album.hold("12-combined", kept=KEPT)
    await agent.verify(phone.wrong())
    await expect(agent.page.get_by_role("alert")).to_be_visible()
    await album.hold("combined-wrong", languages=())
    await tick(agent).check()
    await agent.verify(phone.code())
    await second_factor_steps.arrived(agent)
    assert len(codes_to(site.mail, ADDRESS)) == sent

    await second_factor_steps.sign_out(agent)
    await agent.open("/agent-manager/")
    site.catch_up()
    await agent.password()
    await second_factor_steps.arrived(agent, "/agent-manager/")

    await agent.open(ACCOUNT)
    await expect(agent.page.get_by_role("button", name="Turn off")).to_have_count(2)
    second_factor_steps.next_step(site)
    await _sees_the_codes(agent, album, phone)


async def _sees_the_codes(agent: Agent, album: Album, phone: Phone) -> None:
    """Shows the codes after a proof; they are gone when the page is left or reloaded."""
    page = agent.page
    await agent.button("View backup codes")
    await expect(page.get_by_role("main")).to_contain_text("You're about to view your backup codes.")
    await album.hold("act-show-codes")
    await agent.code.fill(phone.code())
    await agent.button("View backup codes")
    await page.get_by_role("heading", name="Your backup codes").wait_for()
    codes = await second_factor_steps.shown_codes(agent)
    assert len(codes) == 10
    await album.hold("account-codes", languages=())
    await can_be_kept(agent, codes)
    await page.reload()
    await page.wait_for_url(agent.base + ACCOUNT)
    assert not await page.locator("[data-codes]").count()
    await page.go_back()
    assert not await page.locator("[data-codes]").count()


async def _asks_for_a_mail(site: Site, agent: Agent, album: Album) -> None:
    sent = len(codes_to(site.mail, ADDRESS))
    site.clock.advance(61)
    await asked(site, agent)
    await agent.button("Email a code to am•••@example.com")
    await expect(agent.page.get_by_role("main")).to_contain_text("Enter the code we sent to am•••@example.com")
    await album.hold("combined-sent")
    await agent.verify(await code_for(site.mail, ADDRESS, sent + 1))
    await second_factor_steps.arrived(agent)


async def _lost_phone(site: Site, agent: Agent, album: Album, codes: list[str]) -> None:
    await asked(site, agent)
    await agent.button("Use a backup code")
    await agent.verify(codes[0].lower())
    await second_factor_steps.arrived(agent)
    await agent.open(ACCOUNT)
    await expect(agent.page.get_by_text("9 of 10 codes left")).to_be_visible()
    await album.hold("account-fresh", languages=())


async def _lost_everything(site: Site, agent: Agent, album: Album) -> None:
    await asked(site, agent)
    await agent.page.get_by_text("Can't get a code?").click()
    await expect(agent.page.get_by_text("Only your administrator can help.")).to_be_visible()
    code = await second_factor_steps.administrator_code(site.settings, agent.user)
    await agent.code.fill(code)
    await album.hold("combined-administrator", languages=())
    await agent.button("Verify")
    await second_factor_steps.arrived(agent)


async def _turns_off_both(site: Site, agent: Agent, album: Album) -> None:
    await agent.open(ACCOUNT)
    for method, called in (("Code by email", ""), ("Authenticator app", " (Work phone)")):
        await agent.button(f"Turn off: {method}{called}")
        await expect(agent.page.get_by_role("main")).to_contain_text(f"You're about to turn off: {method}")
        await album.hold(f"act-turn-off-{method[-3:]}", languages=("ar",))
        await agent.code.fill(await second_factor_steps.administrator_code(site.settings, agent.user))
        await agent.button("Turn off")
        await expect(agent.page.get_by_role("status")).to_contain_text("The method is turned off.")
        await expect(agent.page.get_by_role("button", name=f"Set up: {method}")).to_be_visible()
    await expect(agent.page.get_by_role("main")).to_contain_text("Nothing is set up yet.")
    await album.hold("account-off", languages=())
    await second_factor_steps.sign_out(agent)
    sent = len(codes_to(site.mail, ADDRESS))
    await agent.open()
    site.catch_up()
    await agent.password()
    await second_factor_steps.arrived(agent)
    assert len(codes_to(site.mail, ADDRESS)) == sent
