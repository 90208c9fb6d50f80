"""A proxied app whose page, scripts and header fields a test writes, and a signed-in user who views it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from playwright.async_api import Page

from gateway.domain.configuration import Configuration
from tests.browser.agent import Agent
from tests.browser.conftest import Site

PAGE = "<!doctype html><title>App</title><p>Nothing to see"
TAKEN_OVER = "Taken over"
WORKER = f"""
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {{
  if (event.request.mode !== "navigate") return;
  const page = "<!doctype html><title>{TAKEN_OVER}</title>";
  event.respondWith(new Response(page, {{ headers: {{ "Content-Type": "text/html" }} }}));
}});
"""
"""A worker that answers every page below its scope."""

REGISTER = """([script, options]) => navigator.serviceWorker.register(script, options).then(() => "", (e) => e.name)"""
"""Registers a worker; returns "" or the name of the browser's error."""

UPDATED_AWAY = """async () => {
  for (;;) {
    const all = await navigator.serviceWorker.getRegistrations();
    if (!all.length) return;
    await Promise.allSettled(all.map((one) => one.update()));
    await new Promise((go) => setTimeout(go, 250));
  }
}"""
"""Updates every worker, as a browser does by itself after a navigation and at least once a day, until none is left."""

WORKERS = "() => navigator.serviceWorker.getRegistrations().then((all) => all.map((r) => r.scope))"

ACTIVE = """async (page) => {
  for (;;) {
    const found = await navigator.serviceWorker.getRegistration(page);
    if (found && found.active && found.active.state === "activated") return;
    await new Promise((go) => setTimeout(go, 20));
  }
}"""
"""Ends when a worker answers for `page`."""

NONE_LEFT = """async () => {
  while ((await navigator.serviceWorker.getRegistrations()).length) await new Promise((go) => setTimeout(go, 20));
}"""
"""Ends when the browser no longer has a worker of this origin."""


@dataclass
class ScriptedApp:
    """An app: every path that ends in `.js` is a worker, `kept` may be cached, everything else is its page.

    `fields` are sent with every answer. `asked` holds path and header fields (lower case) of each request.
    """

    fields: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Handles all paths."""
        self.asked.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        if request.path.endswith(".js"):
            return web.Response(text=WORKER, content_type="text/javascript", headers=self.fields)
        kept = {"Cache-Control": "max-age=3600"} if request.path.endswith("/kept") else {}
        return web.Response(text=PAGE, content_type="text/html", headers=self.fields | kept)

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[str]:
        """Yields the app's address."""
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", self.answer)])
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()


@dataclass
class ChangingSite(Site):
    """A gateway whose settings a test changes while it runs."""

    configuration: Configuration

    def change(self) -> None:
        """Puts changed `settings` into force."""
        self.configuration = self.settings.load()


@dataclass
class Victim:
    """A signed-in user at a page of the app, and the actions of a script of that page."""

    agent: Agent
    app: ScriptedApp
    site: ChangingSite

    @property
    def page(self) -> Page:
        """Returns the page of the app."""
        return self.agent.page

    async def run(self, script: str, given: Any = None) -> Any:
        """Runs `script` (a function of `given`) in the page and returns its result."""
        return await self.page.evaluate(script, given)

    async def title(self, path: str) -> str:
        """Returns the title of the page at `path`, in a new tab, which stays open.

        Chromium may never run the update of a worker whose page was closed right after the worker answered it.
        """
        tab = await self.page.context.new_page()
        await tab.goto(self.agent.base + path)
        title = await tab.title()
        await tab.goto("about:blank")
        return title

    async def sign_out(self) -> None:
        """Signs out in another tab, as far as the login page."""
        tab = await self.page.context.new_page()
        await tab.goto(f"{self.agent.base}/-/logout")
        await tab.get_by_role("button", name="Sign out", exact=True).click()
        await tab.get_by_label("Username").wait_for()
        await tab.close()
