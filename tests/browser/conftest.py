"""The gateway on a real Keycloak, a real relay and the two sample apps, and users in Chromium."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser

from gateway.demo import sample_apps
from gateway.demo.loopback import Handler
from gateway.domain.ports import SystemClock
from tests.browser.agent import Agent, Complaints
from tests.fixtures.clock import FakeClock
from tests.fixtures.installation import Folder, RecordedAudit, folder, running
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.ports import free_port

HELP = {
    "text": "The service desk is there around the clock.",
    "phone": "+92 51 111 4711",
    "url": "https://help.example.com/sign-in",
    "forgot_password": "https://help.example.com/password",
}
NORTHWIND = {"name": "Northwind Contact Centre", "logo": "/unified-admin/logo.svg"}
"""The branding in the pictures of the documentation."""
NewAgent = Callable[..., Awaitable[Agent]]


@dataclass
class Site:
    """The gateway, and the parts that a test may change."""

    base: str
    audit: RecordedAudit
    clock: FakeClock
    keycloak: Keycloak
    mail: MailServer
    settings: Folder

    def catch_up(self) -> None:
        """Sets the gateway's clock to the present before a late password, because Keycloak's clock has advanced too."""
        self.clock.set(max(self.clock.now(), time.time()))


def northwind(settings: Folder) -> None:
    """Gives the tenant the branding `NORTHWIND`."""
    settings.tenant["gateway"] |= {"branding": NORTHWIND, "public_paths": [NORTHWIND["logo"]]}


@web.middleware
async def _logo(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets an app serve the logo."""
    if request.path == "/logo.svg":
        return web.FileResponse(Path(__file__).with_name("northwind.svg"))
    return await handler(request)


@asynccontextmanager
async def sample_app(sample: sample_apps.Sample) -> AsyncIterator[str]:
    """Yields the address of a sample app."""
    app = sample_apps.build(sample, SystemClock())
    app.middlewares.append(_logo)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def settings(tmp_path: Path, keycloak: Keycloak, mail_server: MailServer) -> AsyncIterator[Folder]:
    """Returns the settings of `site`; a test changes them before it uses `site`."""
    async with AsyncExitStack() as apps:
        made = folder(tmp_path, keycloak=keycloak, mail=mail_server, app="")
        made.tenant["gateway"]["help"] = HELP
        for route, sample in zip(made.tenant["gateway"]["routes"], sample_apps.SAMPLES, strict=True):
            route["to"] = await apps.enter_async_context(sample_app(sample))
        yield made


@pytest.fixture
async def site(settings: Folder, keycloak: Keycloak, mail_server: MailServer) -> AsyncIterator[Site]:
    """Yields the running gateway on a clock that only the test advances.

    The clock begins at the present, because Keycloak's tokens are dated by the real time.
    """
    clock = FakeClock(time.time())
    async with running(settings.load(), settings.ring(), clock=clock) as audit:
        yield Site(settings.base, audit, clock, keycloak, mail_server, settings)


@pytest.fixture
async def new_agent(browser: Browser, site: Site) -> AsyncIterator[NewAgent]:
    """Makes a new user with an empty browser: `await new_agent(…)`. The arguments are those of Playwright's contexts.

    After the test the browser must not have reported anything about any page.
    """
    seen: list[Complaints] = []

    async def make(user: User | None = None, **context_options: Any) -> Agent:
        options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | context_options
        context = await browser.new_context(**options)
        context.set_default_timeout(10_000)
        seen.append(Complaints(context))
        who = user or site.keycloak.admin.create_user()
        agent = Agent(await context.new_page(), site.base, who, site.mail, seen[-1])
        agent.scripts = bool(options.get("java_script_enabled", True))
        return agent

    yield make
    assert not [said for complaints in seen for said in complaints.said]
