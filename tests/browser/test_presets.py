"""EFCX with an authenticator app, and a due password, in Chromium."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import second_factor_steps
from tests.browser.conftest import NewAgent, Site
from tests.browser.pictures import Album
from tests.fixtures.installation import Folder
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.person import code_for

pytestmark = [*second_factor_steps.MARKS, pytest.mark.timeout(300)]


@pytest.fixture
def two_factor() -> Mapping[str, Any]:
    """The tenant's `twoFAConfigs`; a test may name others."""
    return second_factor_steps.EFCX_APP


@pytest.fixture
def settings(settings: Folder, redis_url: str, two_factor: Mapping[str, Any]) -> Folder:
    """EFCX on the real store."""
    return second_factor_steps.settle(settings, redis_url, two_factor)


async def test_the_first_login_sets_up_an_app_and_the_second_asks_for_its_code(
    site: Site, new_agent: NewAgent, tmp_path: Path
) -> None:
    agent = await new_agent()
    page, album = agent.page, Album(agent.page, tmp_path)
    second_factor_steps.next_step(site)
    await agent.open()
    await agent.password()
    phone = await second_factor_steps.scan(site, agent)
    await album.hold("register-app")
    await agent.enter_code(phone.wrong(), second_factor_steps.app_code(agent), "Turn on")
    await expect(page.get_by_role("alert")).to_be_visible()
    assert (await second_factor_steps.scan(site, agent)).secret == phone.secret
    await album.hold("register-app-wrong", languages=())
    site.catch_up()
    await agent.enter_code(phone.code(), second_factor_steps.app_code(agent), "Turn on")
    await second_factor_steps.arrived(agent)

    await second_factor_steps.sign_out(agent)
    await agent.open("/agent-manager/")
    await agent.password()
    await album.hold("app-code")
    await agent.verify(phone.code())
    await expect(page.get_by_role("alert")).to_contain_text("Your app shows the next one in")
    await album.hold("app-code-used", languages=())
    second_factor_steps.next_step(site)
    await agent.verify(phone.code())
    await second_factor_steps.arrived(agent, "/agent-manager/")
    assert not site.mail.to(agent.user.email or "")


@pytest.mark.parametrize("two_factor", [second_factor_steps.EFCX_MAIL])
@pytest.mark.row("SI-10")
async def test_a_due_password_is_changed_between_two_codes(site: Site, new_agent: NewAgent, tmp_path: Path) -> None:
    agent = await new_agent()
    page, album, new = agent.page, Album(agent.page, tmp_path), new_password()
    address = agent.user.email
    assert address
    await agent.first_login(address)
    await second_factor_steps.sign_out(agent)
    site.keycloak.admin.change(agent.user.id, requiredActions=["UPDATE_PASSWORD"])
    site.clock.advance(61)

    await agent.open()
    site.catch_up()
    await agent.password()
    await agent.code.wait_for()
    await agent.verify(await code_for(site.mail, address, 2))
    field = page.get_by_label("New password", exact=True)
    await field.wait_for()
    await album.hold("new-password")
    await field.fill("short")
    await agent.button("Save new password")
    await expect(page.get_by_role("alert")).to_contain_text("minimum length 8")
    await album.hold("new-password-refused", languages=())
    await field.fill(new)
    await agent.button("Save new password")

    await expect(page.get_by_role("main")).to_contain_text("Your new password is saved.")
    await album.hold("verify-after-password")
    await agent.verify(await code_for(site.mail, address, 3))
    await second_factor_steps.arrived(agent)
    await second_factor_steps.sign_out(agent)
    await agent.open()
    await agent.password()
    await expect(page.get_by_role("alert")).to_be_visible()
    site.clock.advance(61)
    site.catch_up()
    await agent.password(new)
    await agent.verify(await code_for(site.mail, address, 4))
    await second_factor_steps.arrived(agent)
