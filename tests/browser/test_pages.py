"""Tests of what every page must have: a small size, no browser errors, and help for a user who cannot continue."""

import pytest
from playwright.async_api import Browser, Page, Request, expect

from tests.browser import pictures
from tests.browser.agent import Agent, Complaints
from tests.browser.conftest import HELP, NewAgent, Site
from tests.fixtures.person import code_for, wrong

pytestmark = [pytest.mark.browser, pytest.mark.keycloak]
ADDRESS = "helped@example.com"
MOST_BYTES, MOST_REQUESTS = 40 * 1024, 3


async def test_a_first_page_is_at_most_forty_kilobytes_in_three_requests(new_agent: NewAgent) -> None:
    agent = await new_agent()
    done: list[Request] = []
    agent.page.on("requestfinished", lambda request: done.append(request))  # noqa: PLW0108 - Playwright wants a function
    await agent.page.goto(f"{agent.base}/-/login", wait_until="networkidle")
    sizes = [await request.sizes() for request in done]
    assert len(done) <= MOST_REQUESTS, [request.url for request in done]
    assert sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) <= MOST_BYTES


async def test_the_second_page_does_not_fetch_its_style_again(new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    await agent.password()
    await agent.page.get_by_label("Email address").wait_for()
    fetched = await agent.page.evaluate(
        "() => performance.getEntriesByType('resource').filter((one) => one.transferSize > 0).map((one) => one.name)"
    )
    assert not [url for url in fetched if url.endswith(".css")]


async def test_an_injected_script_never_runs(browser: Browser, site: Site) -> None:
    context = await browser.new_context()
    complaints, page = Complaints(context), await context.new_page()
    await page.goto(f"{site.base}/-/login")
    await page.evaluate("() => document.head.appendChild(document.createElement('script')).append('window.ran = 1')")
    assert await page.evaluate("() => window.ran") is None
    assert any("Content Security Policy" in said for said in complaints.said)
    await context.close()


async def shows_help(page: Page) -> None:
    """Asserts that the page shows the tenant's whole help."""
    help_block = page.get_by_role("region", name="Need help?")
    await expect(help_block).to_contain_text(HELP["text"])
    await expect(help_block.get_by_role("link", name=HELP["phone"])).to_have_attribute("href", "tel:+92511114711")
    await expect(help_block.get_by_role("link", name="Help page")).to_have_attribute("href", HELP["url"])


@pytest.mark.row("GW-31")
async def test_the_password_page_names_the_help_contact_and_the_way_to_a_forgotten_password(
    new_agent: NewAgent,
) -> None:
    agent = await new_agent()
    await agent.open()
    await shows_help(agent.page)
    forgotten = agent.page.get_by_role("link", name="Forgot your password?")
    await expect(forgotten).to_have_attribute("href", HELP["forgot_password"])


@pytest.mark.row("GW-31")
async def test_a_stopped_page_names_the_help_contact_and_offers_a_next_step(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    code = await agent.to_verify(ADDRESS)
    site.keycloak.admin.change(agent.user.id, enabled=False)
    await agent.verify(code)
    await agent.page.get_by_role("button", name="Sign in again").wait_for()
    await shows_help(agent.page)
    await expect(agent.page.locator(".reference")).to_contain_text("Reference:")
    assert not await pictures.faults(agent.page)
    await agent.button("Sign in again")
    await agent.page.get_by_label("Username").wait_for()


@pytest.mark.row("EF-21")
async def test_the_code_page_shows_where_the_code_was_sent_and_what_to_do_if_it_does_not_arrive(
    new_agent: NewAgent,
) -> None:
    agent = await new_agent()
    await agent.to_verify(ADDRESS)
    await expect(agent.page.get_by_role("main")).to_contain_text(ADDRESS)
    tips = agent.page.get_by_role("group").filter(has_text="Didn't get the code?")
    await tips.get_by_text("Didn't get the code?").click()
    for words in ("spam or junk", "Only the newest code works", "contact your administrator"):
        await expect(tips).to_contain_text(words)
    await expect(tips).not_to_contain_text("unique")


async def test_a_wrong_code_is_announced_and_named_in_the_title_and_the_field_is_cleared(
    new_agent: NewAgent,
) -> None:
    agent = await new_agent()
    await agent.verify(wrong(await agent.to_verify(ADDRESS)))
    await expect(agent.page.get_by_role("alert")).to_be_visible()
    await expect(agent.code).to_be_focused()
    assert (await agent.page.title()).startswith("Error: ")
    await expect(agent.code).to_have_value("")
    await expect(agent.code).to_have_attribute("aria-invalid", "true")


async def test_after_the_last_attempt_the_pages_main_button_requests_a_new_code(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await new_agent()
    code = await agent.to_verify(ADDRESS)
    for _ in range(4):
        await agent.verify(wrong(code))
        await agent.page.get_by_role("alert").wait_for()
    await agent.verify(wrong(code))
    await agent.page.get_by_role("heading", name="That was too many tries").wait_for()
    resend = agent.page.get_by_role("button", name="Send a new code")
    await expect(resend).to_contain_class("main")
    site.clock.advance(61)
    await agent.page.reload()
    await resend.click()
    await agent.verify(await code_for(site.mail, ADDRESS, 2))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


async def test_the_not_you_link_begins_a_login_for_another_user(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    await agent.password()
    await agent.button("Not you?")
    await expect(agent.page.get_by_label("Username")).to_have_value("")
    other = Agent(agent.page, agent.base, site.keycloak.admin.create_user(), agent.mail, agent.complaints)
    await other.first_login(ADDRESS)
    await expect(agent.page.locator("#username")).to_have_text(other.user.username)
