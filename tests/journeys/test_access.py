"""Apps for some users only: by the roles and groups of the token that the session has now."""

from typing import Any

import pytest

from tests.fixtures.keycloak_admin import KeycloakAdmin
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import PAGE, Person
from tests.fixtures.site import Site
from tests.fixtures.stand_in_keycloak import StandIn

pytestmark = pytest.mark.row("GW-40")
UNTIL_RENEWAL = 250
"""Seconds after which a token of five minutes is renewed."""

MAPPER = {
    "name": "groups",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-group-membership-mapper",
    "config": {"claim.name": "groups", "full.path": "true", "access.token.claim": "true"},
}


def allow(site: Site, **users: list[str]) -> None:
    """Lets only these users use Unified Admin."""
    site.settings.tenant["gateway"]["routes"][0]["allow"] = users
    site.change()


async def signed_in(site: Site, agent: Person, user: User) -> None:
    """Signs a new user in."""
    assert user.email
    assert (await agent.first_login(user.username, user.password, user.email, site.mail)).step == "done"


async def status(agent: Person) -> int:
    """Returns the status of the restricted app."""
    return (await agent.get("/unified-admin/")).status


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ({}, {"roles": ("supervisor",)}, [403, 200]),
        ({"roles": ("supervisor",)}, {}, [200, 403]),
        ({"management": ("view-users",)}, {"roles": ("agent",)}, [200, 403]),
        ({"groups": ("/leads",)}, {"groups": ("/leads/berlin",)}, [200, 403]),
    ],
)
async def test_the_newest_token_decides_which_apps_a_session_opens(
    light_site: Site, stand_in: StandIn, before: dict[str, Any], after: dict[str, Any], seen: list[int]
) -> None:
    allow(light_site, roles=["supervisor", "realm-management:view-users"], groups=["/leads"])
    user = light_site.user(roles=())
    (person,) = [one for one in stand_in.realms["expertflow"].users if one.username == user.username]
    statuses = []
    async with light_site.person("/agent-manager/") as agent:
        for given in (before, after):
            for name in ("roles", "management", "groups"):
                setattr(person, name, given.get(name, ()))
            if given is before:
                await signed_in(light_site, agent, user)
            else:
                light_site.clock.advance(UNTIL_RENEWAL)
            statuses.append(await status(agent))
        assert (await agent.get("/agent-manager/")).status == 200
    assert statuses == seen


async def test_a_denied_app_is_audited_with_user_and_app(light_site: Site) -> None:
    allow(light_site, roles=["supervisor"])
    user = light_site.user()
    async with light_site.person() as agent:
        await signed_in(light_site, agent, user)
        await agent.get("/unified-admin/users?x=1", headers={**PAGE, "Sec-Fetch-Site": "none"})
    (line,) = light_site.audit.of("app_denied")
    assert (line["username"], line["app"], line["method"], line["level"]) == (
        user.username,
        "unified-admin",
        "GET",
        "warning",
    )
    assert line["path"].partition("?")[0] == "/unified-admin/users"
    assert len(light_site.app.requests) == 0


async def test_the_login_for_a_denied_app_ends_at_its_page_without_a_loop(light_site: Site) -> None:
    allow(light_site, roles=["supervisor"])
    async with light_site.person() as agent:
        await signed_in(light_site, agent, light_site.user())
        assert await status(agent) == 403
        assert (await agent.get("/-/account")).status == 200


def add_groups_claim(admin: KeycloakAdmin) -> None:
    """Gives the sign-in client the mapper that writes the groups of a user into access tokens."""
    (client,) = admin.request("GET", "clients", params={"clientId": "gateway-login"}).json()
    models = f"clients/{client['id']}/protocol-mappers/models"
    if not any(one["name"] == MAPPER["name"] for one in admin.request("GET", models).json()):
        admin.request("POST", models, json=MAPPER)


@pytest.mark.keycloak
async def test_a_group_of_keycloak_opens_the_app_until_the_user_leaves_it(site: Site) -> None:
    admin = site.keycloak.admin
    add_groups_claim(admin)
    user = site.user()
    name = f"team-{user.username}"
    admin.request("POST", "groups", json={"name": name})
    (group,) = admin.request("GET", "groups", params={"search": name}).json()
    allow(site, groups=[f"/{name}"])
    admin.request("PUT", f"users/{user.id}/groups/{group['id']}")
    async with site.person() as agent:
        await signed_in(site, agent, user)
        inside = await status(agent)
        admin.request("DELETE", f"users/{user.id}/groups/{group['id']}")
        site.clock.advance(UNTIL_RENEWAL)
        assert [inside, await status(agent)] == [200, 403]


@pytest.mark.keycloak
async def test_a_role_of_a_client_in_keycloak_opens_the_app(site: Site) -> None:
    admin, user = site.keycloak.admin, site.user()
    (client,) = admin.request("GET", "clients", params={"clientId": "account"}).json()
    role = admin.request("GET", f"clients/{client['id']}/roles/view-groups").json()
    allow(site, roles=["account:view-groups"])
    async with site.person() as agent:
        await signed_in(site, agent, user)
        without = await status(agent)
        admin.request("POST", f"users/{user.id}/role-mappings/clients/{client['id']}", json=[role])
        site.clock.advance(UNTIL_RENEWAL)
        assert [without, await status(agent)] == [403, 200]
