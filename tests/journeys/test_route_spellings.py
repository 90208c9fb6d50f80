"""The proxy and the login select the same route for every spelling of a path."""

import pytest
from aiohttp import ClientResponse
from yarl import URL

from tests.fixtures.person import PAGE, Person
from tests.fixtures.site import Site

MOST = 5
"""More redirects than any page needs."""


async def followed(person: Person, path: str) -> tuple[ClientResponse, int]:
    """Returns the page at `path`, or the last redirect of too many, and the number of redirects."""
    for count in range(MOST + 1):
        url = URL(person.base + path, encoded=True)
        async with person.http.get(url, headers=PAGE, allow_redirects=False) as response:
            await response.read()
        if response.status != 303:
            return response, count
        path = response.headers["Location"]
    return response, MOST + 1


@pytest.mark.parametrize("path", ["/help/admin/x", "/help/%61dmin/x", "/help/adm%69n", "/hel%70/%61%64min/?a=%2F"])
async def test_a_stricter_route_requires_its_factor_in_every_spelling_of_its_path(light_site: Site, path: str) -> None:
    app = light_site.settings.tenant["gateway"]["routes"][0]["to"]
    light_site.settings.tenant["gateway"]["routes"] += [
        {"path": "/help", "to": app, "second_factor": "off"},
        {"path": "/help/admin", "to": app},
    ]
    light_site.change()
    user = light_site.user()
    async with light_site.person("/help/") as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        opened, _ = await followed(agent, "/help/x")
        assert (opened.status, opened.url.path) == (200, "/help/x")
        page, redirects = await followed(agent, path)
        assert (page.status, page.url.path) == (200, "/-/login/register")
        assert redirects <= MOST
