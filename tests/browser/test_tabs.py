"""Tests of several tabs, the back button and double clicks of one user."""

import asyncio
from dataclasses import replace

import pytest
from playwright.async_api import expect

from tests.browser.agent import Agent
from tests.browser.conftest import NewAgent, Site
from tests.fixtures.person import code_for, wrong

pytestmark = [pytest.mark.browser, pytest.mark.keycloak, pytest.mark.row("GW-13")]
ADDRESS = "tabs@example.com"


def target(number: int) -> str:
    """Returns the address that one tab opens."""
    return f"/unified-admin/?tab={number}"


async def another_tab(agent: Agent) -> Agent:
    """Opens another tab of the same browser."""
    return replace(agent, page=await agent.page.context.new_page())


async def enrolled(site: Site, new_agent: NewAgent) -> Agent:
    """Returns an enrolled user with an empty browser, after the cooldown."""
    first = await new_agent()
    await first.first_login(ADDRESS)
    await first.page.context.close()
    site.clock.advance(61)
    return await new_agent(first.user)


async def test_five_parallel_tabs_all_reach_their_pages_with_one_code(site: Site, new_agent: NewAgent) -> None:
    first = await enrolled(site, new_agent)
    tabs = [first, *[await another_tab(first) for _ in range(4)]]
    for number, tab in enumerate(tabs):
        await tab.open(target(number))
    await asyncio.gather(*(tab.password() for tab in tabs))
    await asyncio.gather(*(tab.code.wait_for() for tab in tabs))
    code = await code_for(site.mail, ADDRESS, 2)
    await asyncio.gather(*(tab.verify(code) for tab in tabs))
    for number, tab in enumerate(tabs):
        await tab.page.wait_for_url(site.base + target(number))
        await expect(tab.page.locator("#username")).to_have_text(tab.user.username)
    assert len(site.mail.to(ADDRESS)) == 2
    assert len(site.audit.of("session_opened")) == 2  # one for the first browser, one for these five tabs


async def test_open_code_pages_continue_when_another_tab_has_finished_the_login(
    site: Site, new_agent: NewAgent
) -> None:
    first = await enrolled(site, new_agent)
    second = await another_tab(first)
    await first.open(target(1))
    await first.password()
    code = await code_for(site.mail, ADDRESS, 2)
    await second.open(target(2))
    await second.code.wait_for()
    await first.verify(code)
    await first.page.wait_for_url(site.base + target(1))
    await second.page.reload()
    await second.page.wait_for_url(site.base + target(2))


@pytest.mark.parametrize("seconds", [5, 40], ids=["at once", "later"])
async def test_a_code_entered_in_a_forgotten_tab_leads_to_the_app(
    site: Site, new_agent: NewAgent, seconds: int
) -> None:
    first = await enrolled(site, new_agent)
    second = await another_tab(first)
    await first.open(target(1))
    await first.password()
    code = await code_for(site.mail, ADDRESS, 2)
    await second.open(target(2))
    await second.code.wait_for()
    await first.verify(code)
    await first.page.wait_for_url(site.base + target(1))
    site.clock.advance(seconds)
    await second.verify(code)
    await second.page.wait_for_url(site.base + target(2))


@pytest.mark.parametrize("seconds", [5, 40], ids=["at once", "later"])
async def test_the_back_button_after_a_login_opens_the_app(site: Site, new_agent: NewAgent, seconds: int) -> None:
    agent = await new_agent()
    await agent.first_login(ADDRESS)
    site.clock.advance(seconds)
    await agent.page.go_back()
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
    await expect(agent.page.locator("#username")).to_have_text(agent.user.username)
    assert len(site.mail.to(ADDRESS)) == 1


async def test_the_back_button_during_a_login_opens_the_pending_step(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    code = await agent.to_verify(ADDRESS)
    await agent.page.go_back()
    await agent.verify(code)
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
    assert len(site.mail.to(ADDRESS)) == 1


async def test_the_back_button_after_the_sign_out_shows_nothing_of_the_app(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.first_login(ADDRESS)
    await agent.open("/-/logout")
    await agent.button("Sign out")
    await agent.page.get_by_label("Username").wait_for()
    await agent.page.go_back()
    await agent.page.go_back()
    await expect(agent.page.get_by_label("Username")).to_be_visible()


async def test_a_double_click_on_send_sends_one_code(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open()
    await agent.password()
    await agent.register(ADDRESS)
    await agent.page.get_by_role("button", name="Send the code").dblclick()
    await agent.verify(await code_for(site.mail, ADDRESS))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
    assert len(site.mail.to(ADDRESS)) == 1


async def test_a_double_click_on_sign_in_sends_one_code(site: Site, new_agent: NewAgent) -> None:
    agent = await enrolled(site, new_agent)
    await agent.open()
    await agent.page.get_by_label("Username").fill(agent.user.username)
    await agent.page.get_by_label("Password", exact=True).fill(agent.user.password)
    await agent.page.get_by_role("button", name="Sign in").dblclick()
    await agent.code.wait_for()
    await agent.verify(await code_for(site.mail, ADDRESS, 2))
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
    assert len(site.mail.to(ADDRESS)) == 2


async def test_a_double_click_on_verify_counts_as_one_proof(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent(java_script_enabled=False)  # a script submits a complete code without a click
    code = await agent.to_verify(ADDRESS)
    await agent.code.fill(code)
    await agent.page.get_by_role("button", name="Verify").dblclick()
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")
    assert not site.audit.of("code_rejected")


async def test_reload_and_back_after_wrong_codes_resend_nothing(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    code = await agent.to_verify(ADDRESS)
    for _ in range(2):
        await agent.verify(wrong(code))
        await agent.page.get_by_role("alert").wait_for()
    await agent.page.reload()
    await expect(agent.page.get_by_role("alert")).to_have_count(0)
    await agent.page.go_back()
    await expect(agent.page.get_by_role("alert")).to_have_count(0)
    assert len(site.audit.of("code_rejected")) == 2
    await agent.verify(code)
    await agent.page.wait_for_url(f"{site.base}/unified-admin/")


async def test_a_reload_after_a_wrong_password_does_not_send_it_again(site: Site, new_agent: NewAgent) -> None:
    agent = await new_agent()
    await agent.open("/agent-manager/")
    await agent.password("not-the-password")
    await agent.page.get_by_role("alert").wait_for()
    await agent.page.reload()
    await expect(agent.page.get_by_role("alert")).to_have_count(0)
    assert len(site.audit.of("password_rejected")) == 1
    await agent.password()
    await agent.register(ADDRESS)
    await agent.confirm()
    await agent.verify(await code_for(site.mail, ADDRESS))
    await agent.page.wait_for_url(f"{site.base}/agent-manager/")
