"""Routes with and without a required factor, in one session."""

import pytest

from tests.fixtures.installation import Folder
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


@pytest.fixture
def settings(settings: Folder) -> Folder:
    """Agent Manager needs no factor."""
    settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    return settings


async def test_a_session_of_the_password_alone_opens_only_the_route_without_a_factor(site: Site) -> None:
    user = site.user()
    async with site.person("/agent-manager/") as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        opened = await agent.get("/agent-manager/")
        refused = await agent.get("/unified-admin/")
        assert (opened.status, refused.status) == (200, 303)


async def test_a_stricter_route_requires_the_factor_after_a_password_only_session(site: Site) -> None:
    user = site.user()
    async with site.person("/agent-manager/") as agent:
        await agent.password(user.username, user.password)
        refused = await agent.get("/unified-admin/")
        page = await agent.get(refused.headers["Location"])
        assert (page.status, page.headers["Location"]) == (303, "/-/login/register?to=/unified-admin/")
