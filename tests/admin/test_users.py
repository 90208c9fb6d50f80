"""Tests of the pages about users."""

import re

import pytest

from tests.admin.administrator import Administrator
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.site import Site

pytestmark = pytest.mark.row("GW-16")


async def enrolled(site: Site) -> User:
    """Returns an agent with codes by e-mail."""
    agent = site.user()
    async with site.person() as browser:
        await browser.first_login(agent.username, agent.password, str(agent.email), site.mail)
    return agent


async def test_a_user_is_found_by_a_part_of_their_name_and_shown_with_their_methods(
    admin_site: Site, sara: Administrator
) -> None:
    agent = await enrolled(admin_site)
    found = await sara.open(f"/-/admin?q={agent.username[2:]}")
    assert f"/-/admin/users/{agent.id}" in found.text
    page = await sara.open(f"/-/admin/users/{agent.id}")
    assert "Code by email" in page.text
    assert "u***@e***.com" in page.text


async def test_a_search_without_a_match_says_so(sara: Administrator) -> None:
    assert "No user matches “nobody-at-all”." in (await sara.open("/-/admin?q=nobody-at-all")).text


@pytest.mark.row("CC-14")
async def test_an_agent_with_a_lost_phone_signs_in_with_the_code_that_an_administrator_reads_out(
    admin_site: Site, sara: Administrator
) -> None:
    agent = await enrolled(admin_site)
    shown = await sara.act(agent, "code")
    code = re.search(r"<li>(\d{4} \d{4} \d{4})</li>", shown.text)
    assert code
    async with admin_site.person() as browser:
        assert (await browser.password(agent.username, agent.password)).step == "verify"
        assert (await browser.do("verify", code=code[1])).step == "done"
    (line,) = admin_site.audit.of("admin_code_issued")
    assert (line["username"], line["by"]) == (agent.username, f"administration pages: {sara.user.username}")


async def test_a_reset_removes_the_methods_mails_the_user_and_says_so(admin_site: Site, sara: Administrator) -> None:
    agent = await enrolled(admin_site)
    page = await sara.act(agent, "reset")
    assert page.path == f"/-/admin/users/{agent.id}?done=reset"
    assert "Two-step sign-in is reset." in page.text
    assert "Not set up" in page.text
    assert any("administrator changed" in mail.subject for mail in admin_site.mail.to(str(agent.email)))


async def test_signing_a_user_out_ends_their_sessions_and_is_audited(admin_site: Site, sara: Administrator) -> None:
    agent = admin_site.user()
    async with admin_site.person() as browser:
        await browser.first_login(agent.username, agent.password, str(agent.email), admin_site.mail)
        await sara.act(agent, "sign-out")
        assert (await browser.get("/unified-admin/")).status == 303
    (line,) = admin_site.audit.of("user_signed_out")
    assert (line["username"], line["sessions"]) == (agent.username, 1)
    assert line["by"] == f"administration pages: {sara.user.username}"


async def test_a_locked_user_is_unlocked(admin_site: Site, sara: Administrator) -> None:
    agent = await enrolled(admin_site)
    admin_site.clock.advance(61)
    async with admin_site.person() as browser:
        await browser.password(agent.username, agent.password)
        for _ in range(5):
            await browser.do("verify", code="000000")
        await browser.do("verify", "resend")
        for _ in range(5):
            await browser.do("verify", code="000000")
    assert "Sign-in is paused until" in (await sara.open(f"/-/admin/users/{agent.id}")).text
    await sara.confirm(f"/-/admin/users/{agent.id}/unlock")
    page = await sara.act(agent, "unlock", confirm=False)
    assert "The user is unlocked" in page.text
    assert [line["username"] for line in admin_site.audit.of("user_unlocked")] == [agent.username]


async def test_a_user_who_is_gone_is_a_page_that_says_so(sara: Administrator) -> None:
    page = await sara.open("/-/admin/users/00000000-0000-0000-0000-000000000000")
    assert (page.status, "There's no such user" in page.text.replace("&#39;", "'")) == (404, True)


async def test_administrators_neither_reset_themselves_nor_issue_themselves_a_code(sara: Administrator) -> None:
    await sara.confirm(f"/-/admin/users/{sara.user.id}/sign-out")
    for act in ("code", "reset"):
        assert (await sara.open(f"/-/admin/users/{sara.user.id}/{act}")).status == 422
