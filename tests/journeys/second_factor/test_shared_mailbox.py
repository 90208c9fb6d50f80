"""Two users with one mailbox, each with separate codes."""

import re

import pytest

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import Person, code_for
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak
MAILBOX = "desk@example.com"


async def registered(site: Site) -> User:
    """Returns a user whose codes are sent to the mailbox."""
    user = site.user()
    async with site.person() as agent:
        assert (await agent.first_login(user.username, user.password, MAILBOX, site.mail)).step == "done"
    site.clock.advance(61)
    return user


async def asked(site: Site, agent: Person, user: User) -> tuple[str, str]:
    """Goes to the code page; returns its code and the tag that the page shows."""
    before = len(site.mail.to(MAILBOX))
    shown = await agent.password(user.username, user.password)
    assert shown.step == "verify"
    return await code_for(site.mail, MAILBOX, before + 1), str(shown.body.get("tag", ""))


@pytest.mark.row("NX-10")
async def test_a_newer_code_of_one_user_leaves_the_code_of_the_other_valid(site: Site) -> None:
    site.change(sharedAddress="separate")
    one, two = await registered(site), await registered(site)
    async with site.person() as first, site.person() as second:
        older, _ = await asked(site, first, one)
        newer, _ = await asked(site, second, two)
        assert (await first.do("verify", code=newer)).problem == "wrong-code"
        assert (await second.do("verify", code=older)).problem == "wrong-code"
        assert (await first.do("verify", code=older)).step == "done"
        assert (await second.do("verify", code=newer)).step == "done"


@pytest.mark.row("NX-10")
async def test_page_and_mail_show_the_same_short_tag_and_each_login_has_a_different_one(site: Site) -> None:
    site.change(sharedAddress="separate")
    user = await registered(site)
    tags = set()
    for _ in range(3):
        async with site.person() as agent:
            _, tag = await asked(site, agent, user)
            assert re.fullmatch("[A-Z]{3}", tag)
            mail = site.mail.to(MAILBOX)[-1]
            assert tag in mail.text
            assert tag in await agent.page()
            tags.add(tag)
            site.clock.advance(61)
    assert len(tags) > 1


@pytest.mark.row("NX-10")
async def test_a_new_code_of_the_same_login_keeps_the_tag(site: Site) -> None:
    site.change(sharedAddress="separate")
    user = await registered(site)
    async with site.person() as agent:
        _, tag = await asked(site, agent, user)
        site.clock.advance(61)
        assert (await agent.do("verify", "resend")).body["tag"] == tag


async def test_where_only_the_newest_code_counts_there_is_no_tag(site: Site) -> None:
    user = await registered(site)
    async with site.person() as agent:
        _, tag = await asked(site, agent, user)
        assert tag == ""
