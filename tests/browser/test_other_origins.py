"""A page of another origin cannot use a user's session (attack F7).

Two tenants are siblings under one domain, so `SameSite` does not separate them: for a browser `one.cx.localhost` and
`two.cx.localhost` are the same site. An agent is signed in at the second. A page of the first, and a page of a foreign
site, try everything that a page can do. The test reads the raw bytes that reach the app of the second.
"""

import json
from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page

from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.fixtures.installation import Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.ports import free_port
from tests.fixtures.upstream import RawUpstream

pytestmark = [
    pytest.mark.browser,
    pytest.mark.keycloak,
    pytest.mark.row("GW-28"),
    pytest.mark.attack("F7"),
]
ATTACKER, VICTIM = "one.cx.localhost", "two.cx.localhost"
PAGE = "<!doctype html><title>Hello</title><p>Nothing to see"
PAGES = ("of a sibling tenant", "of a foreign site")
ATTEMPTS = {
    "fetch with credentials": "url => fetch(url + 'api', {credentials: 'include'})",
    "fetch without cors": "url => fetch(url + 'api', {credentials: 'include', mode: 'no-cors'})",
    "fetch that posts a plain body": """url => fetch(url + 'api',
        {method: 'POST', credentials: 'include', mode: 'no-cors', body: 'amount=1'})""",
    "fetch that deletes": "url => fetch(url + 'api', {method: 'DELETE', credentials: 'include'})",
    "beacon": "url => navigator.sendBeacon(url + 'api', 'amount=1')",
    "image": "url => new Promise((end) => { const i = new Image(); i.onload = i.onerror = end; i.src = url + 'i'; })",
    "script": """url => new Promise((end) => { const s = document.createElement('script');
        s.onload = s.onerror = end; s.src = url + 'api.js'; document.head.append(s); })""",
    "frame": """url => new Promise((end) => { const f = document.createElement('iframe');
        f.onload = f.onerror = end; f.src = url; document.body.append(f); })""",
    "form posted in a frame": """url => new Promise((end) => { const f = document.createElement('iframe');
        f.name = 'f'; document.body.append(f); const form = document.createElement('form'); form.method = 'post';
        form.action = url + 'api'; form.target = 'f'; document.body.append(form); f.onload = end; form.submit(); })""",
    "websocket": """url => new Promise((end) => { const s = new WebSocket(url.replace('http', 'ws') + 'ws');
        s.onopen = () => { s.send('hello'); end(); }; s.onerror = s.onclose = end; })""",
    "event source": """url => new Promise((end) => { const s = new EventSource(url + 'sse', {withCredentials: true});
        s.onopen = s.onerror = () => { s.close(); end(); }; })""",
}


@dataclass
class Pages:
    """The addresses of the attacker's pages."""

    sibling: str
    foreign: str


@pytest.fixture
async def attacker() -> AsyncIterator[int]:
    """Yields the port of a server whose every page is the attacker's."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/{tail:.*}", answer)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


@pytest.fixture
def settings(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, raw_upstream: RawUpstream, attacker: int
) -> Folder:
    """Two tenants on one port; one path of the first is public, and its app is the attacker's."""
    made = folder(tmp_path, keycloak=keycloak, mail=mail_server, app=raw_upstream.url)
    other = deepcopy(made.tenant)
    for data, name in ((made.tenant, VICTIM), (other, ATTACKER)):
        data["tenantSettings"]["fqdn"] = name
        data["gateway"]["public_url"] = f"http://{name}:{made.port}"
    other |= {"tenantName": "other", "tenantId": "other"}
    other["gateway"]["keycloak"] |= {"client_id": "cim", "client_secret": keycloak.clients["cim"]}
    other["gateway"]["public_paths"] = ["/unified-admin/page"]
    for route in other["gateway"]["routes"]:
        route["to"] = f"http://127.0.0.1:{attacker}"
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "other.json").write_text(json.dumps(other))
    return made


@pytest.fixture
def pages(settings: Folder, attacker: int) -> Pages:
    """Returns the attacker's pages."""
    return Pages(f"http://{ATTACKER}:{settings.port}/unified-admin/page", f"http://evil.localhost:{attacker}/")


@pytest.fixture
async def victim(site: Site, settings: Folder, new_agent: NewAgent) -> Agent:
    """Yields a user who is signed in at the second tenant."""
    agent = await new_agent()
    agent.base = f"http://{VICTIM}:{settings.port}"
    await agent.first_login("victim@example.com")
    return agent


async def on_attackers_page(victim: Agent, pages: Pages, which: str) -> Page:
    """Opens the attacker's page in the victim's browser."""
    page = await victim.page.context.new_page()
    await page.goto(pages.sibling if which == PAGES[0] else pages.foreign)
    assert await page.title() == "Hello"
    return page


async def test_a_page_of_the_users_own_tenant_can_use_the_session(victim: Agent, raw_upstream: RawUpstream) -> None:
    """Otherwise the assertions below show nothing."""
    before = len(raw_upstream.received)
    await victim.page.evaluate("() => fetch('/unified-admin/api').then(a => a.text())")
    assert b"Authorization: Bearer" in raw_upstream.received[before:]


@pytest.mark.parametrize("which", PAGES)
async def test_no_request_of_a_page_of_another_origin_reaches_the_app(
    victim: Agent, pages: Pages, raw_upstream: RawUpstream, which: str
) -> None:
    page = await on_attackers_page(victim, pages, which)
    before = raw_upstream.received
    for name, script in ATTEMPTS.items():
        await page.evaluate(
            f"url => Promise.resolve(({script})(url)).catch(() => 0).then(() => 0)", f"{victim.base}/unified-admin/"
        )
        assert raw_upstream.received == before, name
    victim.complaints.said.clear()  # the browser correctly reports that page


@pytest.mark.parametrize("which", PAGES)
async def test_a_form_posted_as_a_top_level_navigation_by_another_origin_is_refused(
    victim: Agent, pages: Pages, raw_upstream: RawUpstream, which: str
) -> None:
    page = await on_attackers_page(victim, pages, which)
    before = len(raw_upstream.received)
    async with page.expect_navigation():
        await page.evaluate(
            """url => { const form = document.createElement('form'); form.method = 'post'; form.action = url;
                document.body.append(form); form.submit(); }""",
            f"{victim.base}/unified-admin/api",
        )
    assert b"POST" not in raw_upstream.received[before:]
    assert b"/api" not in raw_upstream.received[before:]


@pytest.mark.parametrize("which", PAGES)
async def test_a_link_on_another_site_opens_the_app(
    victim: Agent, pages: Pages, raw_upstream: RawUpstream, which: str
) -> None:
    page = await on_attackers_page(victim, pages, which)
    before = len(raw_upstream.received)
    async with page.expect_navigation():
        await page.evaluate("url => { location.href = url; }", f"{victim.base}/unified-admin/reports")
    assert b"Authorization: Bearer" in raw_upstream.received[before:]


async def test_the_session_of_one_tenant_opens_nothing_at_a_sibling_tenant(victim: Agent, settings: Folder) -> None:
    answer = await victim.page.goto(f"http://{ATTACKER}:{settings.port}/unified-admin/")
    assert answer
    await victim.page.get_by_label("Username").wait_for()
