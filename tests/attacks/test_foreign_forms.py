"""Tests with forms of another page or another browser, during a login and inside a session."""

import pytest

from tests.fixtures.person import Person, code_for
from tests.fixtures.site import Site

ADDRESS = "foreign-form@example.com"


async def signed_in(site: Site, agent: Person) -> None:
    """Signs a new user in."""
    user = site.user(email=None)
    assert (await agent.first_login(user.username, user.password, ADDRESS, site.mail)).step == "done"


@pytest.mark.parametrize("act", ["step-up", "enrol", "turn-off", "show-codes", "new-codes", "sign-out-everywhere", ""])
async def test_a_form_without_a_csrf_token_begins_nothing_in_a_session(light_site: Site, act: str) -> None:
    async with light_site.person() as agent:
        await signed_in(light_site, agent)
        form = {"act": act, "factor": "email", "version": "1", "to": "/-/account"}
        for token in ("x", "", agent.csrf):
            refused = await agent.press({**form, "csrf": token})
            assert (refused.status, refused.problem) == (403, "form-expired")


async def test_the_account_page_form_of_another_user_begins_nothing(light_site: Site) -> None:
    async with light_site.person() as agent, light_site.person() as other:
        await signed_in(light_site, agent)
        await signed_in(light_site, other)
        refused = await agent.press(await other.account_form("enrol", "email"))
        assert (refused.status, refused.problem) == (403, "form-expired")


async def test_a_code_page_rejects_the_token_of_another_browser_even_from_the_gateways_own_page(
    light_site: Site,
) -> None:
    async with light_site.person() as agent, light_site.person() as other:
        user = light_site.user(email=None)
        await agent.to_code(user.username, user.password, ADDRESS)
        await other.look()
        agent.csrf = other.csrf
        refused = await agent.submit("verify", code=await code_for(light_site.mail, ADDRESS))
        assert refused.status == 403
    assert not light_site.audit.of("code_accepted")
