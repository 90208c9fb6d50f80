"""A first login, a second one, and what the app sees: on real parts."""

import pytest

from tests.journeys.conftest import Site

pytestmark = pytest.mark.keycloak


async def test_a_first_login_registers_an_address_and_opens_the_app(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        done = await agent.first_login(user.username, user.password, "first@example.com", site.mail)
        assert (done.step, done.body["location"]) == ("done", "/unified-admin/")
        response = await agent.get("/unified-admin/")
        assert response.status == 200
        seen = dict((await response.json())["headers"])
        assert seen["Authorization"].startswith("Bearer ")
