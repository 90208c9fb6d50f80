"""A second factor for one app only, and a login that ends at the page of a named path, in Chromium."""

import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from aiohttp import web
from playwright.async_api import expect

from tests.browser import second_factor_steps
from tests.browser.conftest import NewAgent, Site
from tests.fixtures.installation import Folder
from tests.fixtures.person import code_for, wrong
from tests.fixtures.ports import free_port

pytestmark = [*second_factor_steps.MARKS, pytest.mark.timeout(120)]


@pytest.fixture
async def help_page() -> AsyncIterator[str]:
    """Yields the https address of a page of another site."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Help</title><h1>Call an agent", content_type="text/html")

    app = web.Application()
    app.router.add_get("/agent", show)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("help.localhost").configure_cert(context)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    yield f"https://help.localhost:{port}/agent"
    await runner.cleanup()


@pytest.fixture
def settings(settings: Folder, help_page: str) -> Folder:
    """Agent Manager needs no factor; the second wrong code leads to the page."""
    settings.gateway["path_addresses"] = [help_page]
    settings.tenant["gateway"]["paths"] = {"agent": help_page}
    settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    settings.two_factor.update(otpMaxAttempts=2, onMaxVerify="path:agent")
    return settings


@pytest.mark.row("SI-01")
async def test_the_password_opens_one_app_and_the_other_one_asks_for_a_factor(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    address = agent.user.email or ""
    await agent.open("/agent-manager/")
    await agent.password()
    await second_factor_steps.arrived(agent, "/agent-manager/")
    await agent.open("/unified-admin/")
    await agent.register(address)
    await agent.confirm()
    await agent.verify(await code_for(site.mail, address))
    await second_factor_steps.arrived(agent, "/unified-admin/")
    await agent.open("/agent-manager/")
    await second_factor_steps.arrived(agent, "/agent-manager/")


@pytest.mark.row("GE-20")
@pytest.mark.attack("F29")
async def test_the_last_wrong_code_leads_to_the_page_of_the_path_and_back_leads_to_no_app(
    site: Site, new_agent: NewAgent, help_page: str
) -> None:
    agent = await new_agent(ignore_https_errors=True)
    page, address = agent.page, agent.user.email or ""
    await agent.open()
    await agent.password()
    await agent.register(address)
    await agent.confirm()
    code = await code_for(site.mail, address)
    await agent.verify(wrong(code))
    await expect(page.get_by_role("alert")).to_be_visible()
    await agent.verify(wrong(code))
    await page.wait_for_url(help_page)
    await expect(page.get_by_role("heading", name="Call an agent")).to_be_visible()

    await page.go_back()
    await expect(page.get_by_role("heading", name="Call an agent")).to_be_visible()
    await agent.open()
    await expect(page.get_by_label("Username")).to_be_visible()
