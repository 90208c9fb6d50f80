"""Steps of a browser and an authenticator app on the pages of the presets with two methods."""

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.browser.agent import Agent
from tests.browser.conftest import Site, northwind
from tests.fixtures.installation import CHANNEL, Folder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.phone import STEP, Phone

EFCX_APP: Mapping[str, Any] = {"is2FAEnabled": True, "channelType": "APP", "otpExpiry": 120, "otpMaxAttempts": 5}
EFCX_MAIL: Mapping[str, Any] = {**EFCX_APP, "channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}
CLOUDCX: Mapping[str, Any] = {
    "is2FAEnabled": True,
    "preset": "cloudcx",
    "trustBrowserDays": 30,
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}, {"channelType": "APP"}],
}
ACCOUNT = "/-/account"
SET_UP = f"{ACCOUNT}?done=enrol"
CODE = re.compile(r"[0-9a-zA-Z]+(?:-[0-9a-zA-Z]+)+")


def settle(settings: Folder, redis_url: str, two_factor: Mapping[str, Any]) -> Folder:
    """Sets these `twoFAConfigs`, the real store, and an operator's name for the pages."""
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(two_factor)
    northwind(settings)
    settings.gateway["store"]["url"] = redis_url
    return settings


def next_step(site: Site) -> None:
    """Advances to the next code of all apps; codes of the 30 seconds in which a store began are rejected."""
    site.clock.advance(STEP)


async def scan(site: Site, agent: Agent) -> Phone:
    """Returns the app with the secret that the page shows as text; the page must show the QR code too."""
    await expect(agent.page.get_by_role("img", name="QR code")).to_be_visible()
    secret = re.sub(r"\s", "", await agent.page.locator(".secret").inner_text())
    link = await agent.page.get_by_role("link", name="Add to my authenticator app").get_attribute("href")
    assert link
    assert f"secret={secret}" in link
    return Phone(secret, site.clock)


def app_code(agent: Agent) -> Locator:
    """Returns the code field of the page that sets up an app."""
    return agent.page.locator("#code")


async def arrived(agent: Agent, path: str = "/unified-admin/") -> None:
    """Asserts that the app is open and names the user."""
    await agent.page.wait_for_url(agent.base + path)
    await expect(agent.page.locator(".me")).to_contain_text(agent.user.username)


async def sign_out(agent: Agent) -> None:
    """Signs out; the same browser then shows the password page."""
    await agent.open("/-/logout")
    await agent.button("Sign out")
    await agent.page.get_by_label("Username").wait_for()


async def shown_codes(agent: Agent) -> list[str]:
    """Returns the backup codes on the page."""
    codes = [text.strip() for text in await agent.page.locator("[data-codes] li").all_inner_texts()]
    assert all(CODE.fullmatch(code) for code in codes), codes
    return codes


async def administrator_code(settings: Folder, user: User) -> str:
    """Returns the output of `efcx-gateway user code`, run on the gateway's store."""
    words = ["user", "code", user.username, "--tenant", "expertflow", "--config", str(settings.file), "--json"]
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await command.communicate()
    assert command.returncode == 0
    return str(json.loads(out)["code"])


MARKS = [pytest.mark.browser, pytest.mark.keycloak, pytest.mark.redis, pytest.mark.slow]
"""The `twoFAConfigs` of every journey with these presets."""
