"""The browser fixture."""

import pytest
from playwright.async_api import Page

from tests.dependencies.upstream import EchoUpstream

pytestmark = pytest.mark.browser


async def test_chromium_opens_a_page(page: Page, echo_upstream: EchoUpstream) -> None:
    answer = await page.goto(f"{echo_upstream.url}/unified-admin/")
    assert answer is not None
    assert answer.status == 200
