"""Forms that another page or another browser made, where a login is under way or a session is open."""

import pytest

from tests.journeys.conftest import Site
from tests.journeys.person import Person, code_for

ADDRESS = "foreign-form@example.com"


async def signed_in(site: Site, agent: Person) -> None:
    """A new user is in."""
    user = site.user(email=None)
    assert (await agent.first_login(user.username, user.password, ADDRESS, site.mail)).step == "done"


@pytest.mark.parametrize("purpose", ["step-up", "enrol"])
async def test_nothing_begins_in_a_session_by_a_form_without_its_token(light_site: Site, purpose: str) -> None:
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        agent.csrf = "x"
        refused = await agent.begin(purpose, "EMAIL")
        assert (refused.status, refused.problem) == (403, "form-expired")


async def test_the_token_of_another_browser_is_worth_nothing_on_a_code_page_even_if_a_page_of_ours_posts_it(
    light_site: Site,
) -> None:
    async with light_site.person() as agent, light_site.person() as other:
        user = light_site.user(email=None)
        await agent.to_code(user.username, user.password, ADDRESS)
        await other.look()
        agent.csrf = other.csrf
        refused = await agent.submit("verify", code=await code_for(light_site.mail, ADDRESS))
        assert refused.status == 403
    assert not light_site.audit.of("code.right")
