"""A real Chromium: fixtures `browser` and `page` (Playwright's asynchronous API), new for each test."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.dependencies.missing import missing

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = [
    "--no-sandbox",  # test machines run as root, where Chromium refuses its sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # names that the browser does not treat as loopback
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Yields a headless Chromium; each `browser.new_context(…)` is a user with separate cookies and language."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if not program:
        missing("Chromium", "install it (Debian: chromium fonts-noto-core)")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield running
        await running.close()


@pytest.fixture
async def page(browser: Browser, tmp_path: Path) -> AsyncIterator[Page]:
    """Yields a page of a user who reads English, on a laptop."""
    context = await browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    yield await context.new_page()
    await context.close()
