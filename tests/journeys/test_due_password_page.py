"""The page of a due password: the rules of the realm before an entry, and the realm's own sentence after a refusal."""

from tests.fixtures.person import Person, code_for
from tests.fixtures.site import Site
from tests.fixtures.stand_in_keycloak import StandIn


async def due(site: Site, agent: Person) -> str:
    """Returns the page for a new password."""
    user = site.user(required_actions=("UPDATE_PASSWORD",))
    await agent.to_code(user.username, user.password, f"{user.username}@example.com")
    await agent.do("verify", code=await code_for(site.mail, f"{user.username}@example.com"))
    return await agent.page("/-/login/new-password")


def let_the_service_account_read_the_realm(stand_in: StandIn, *, allowed: bool) -> None:
    """Gives or takes the role view-realm."""
    client = stand_in.realms["expertflow"].client("gateway-admin")
    assert client
    client.management = ("manage-users", "view-realm") if allowed else ("manage-users",)


async def test_the_page_says_the_rules_of_the_realm_if_the_service_account_may_read_them(
    light_site: Site, stand_in: StandIn
) -> None:
    let_the_service_account_read_the_realm(stand_in, allowed=True)
    async with light_site.person() as agent:
        page = await due(light_site, agent)
    let_the_service_account_read_the_realm(stand_in, allowed=False)
    assert "At least 8 characters" in page
    assert "Not your username" in page


async def test_without_that_role_the_page_works_and_says_no_rules(light_site: Site) -> None:
    async with light_site.person() as agent:
        page = await due(light_site, agent)
    assert 'name="new_password"' in page
    assert "characters" not in page


async def test_a_refused_password_is_explained_by_the_realms_own_sentence_alone(light_site: Site) -> None:
    async with light_site.person() as agent:
        await due(light_site, agent)
        page = await (await agent.submit("new-password", new_password="short")).text()
    assert "Invalid password: minimum length 8." in page
    assert "rules don" not in page
