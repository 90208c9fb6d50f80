"""Sinch in Chromium: a first login by a text message and the keyboard alone, and the lock after three wrong codes."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from gateway.domain.ports import SystemClock
from tests.browser import second_factor_steps
from tests.browser.conftest import NewAgent, Site, northwind
from tests.browser.pictures import Album
from tests.fixtures.installation import CHANNEL, Folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.sinch_api import NUMBER, FakeSinch, fake_sinch
from tests.fixtures.site import stand_in
from tests.fixtures.stand_in_keycloak import StandIn

__all__ = ["stand_in"]
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def keycloak(stand_in: StandIn) -> Keycloak:
    """The stand-in identity provider, on which administrators alone write numbers."""
    realm = stand_in.realms[stand_in.server.realm]
    realm.profile = {**realm.profile, "unmanagedAttributePolicy": "ADMIN_EDIT"}
    return stand_in.server


@pytest.fixture
async def service() -> AsyncIterator[FakeSinch]:
    """Yields the service that sends the codes."""
    async with fake_sinch(SystemClock()) as running:
        yield running


@pytest.fixture
def settings(settings: Folder, service: FakeSinch) -> Folder:
    """The preset, with mail as the fallback."""
    northwind(settings)
    settings.gateway["channels"].append(service.settings())
    settings.tenant["gateway"]["phone_numbers"] = {"region": "DE"}
    settings.tenant["tenantSettings"]["twoFAConfigs"] = {
        "is2FAEnabled": True,
        "preset": "sinch",
        "channelType": "SMS",
        "channelServiceIdentifier": "sinch",
        "fallback": {"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL},
    }
    return settings


@pytest.mark.row("SI-02", "SI-06", "SI-07", "SI-09")
async def test_a_user_signs_in_by_a_text_message_and_three_wrong_codes_lock_the_app(
    site: Site, service: FakeSinch, stand_in: StandIn, new_agent: NewAgent, tmp_path: Path
) -> None:
    service.clock = stand_in.realms[stand_in.server.realm].clock = site.clock
    assert abs(site.clock.now() - time.time()) < 60
    user = site.keycloak.admin.create_user(attributes={"phoneNumber": [NUMBER]})
    agent = await new_agent(user)
    page, album = agent.page, Album(agent.page, tmp_path)

    await agent.open()
    await page.keyboard.type(user.username)
    await page.keyboard.press("Tab")
    await page.keyboard.type(user.password)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Check your phone")).to_be_visible(timeout=20_000)
    await expect(page.get_by_role("main")).to_contain_text("Enter the code we sent to •••67.")
    await expect(page.get_by_label("Code", exact=True)).to_be_focused()
    await album.hold("sinch-code")
    await page.keyboard.type(service.code())
    await expect(agent.code).to_have_value(service.code())
    await page.keyboard.press("Enter")
    await second_factor_steps.arrived(agent)

    await second_factor_steps.sign_out(agent)
    site.clock.advance(61)
    await agent.open()
    await agent.password()
    await agent.code.wait_for()
    for left in ("2 attempts left.", "1 attempt left."):
        await agent.code.fill(service.wrong())
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_contain_text(left)
    await album.hold("sinch-wrong", languages=())
    await agent.code.fill(service.wrong())
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Sign-in is paused")).to_be_visible()
    await album.hold("sinch-locked")
