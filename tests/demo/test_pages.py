"""What the demo tells about itself."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.demo import start
from gateway.demo.configuration import Options
from gateway.demo.neighbours import Neighbours
from gateway.demo.pages import DemoPages
from gateway.demo.start import users_of


def pages(around: Neighbours) -> TestClient[Any, Any]:
    """A browser at the demo's own pages."""
    app = web.Application()
    app.add_routes(
        DemoPages(users=users_of(around), apps=start.apps_of(Options()), inbox=around.inbox, prefix="/-/").routes()
    )
    return TestClient(TestServer(app))


async def test_the_users_are_the_five_kinds_of_people(around: Neighbours) -> None:
    async with pages(around) as client, client.get("/-/demo/users.json") as response:
        users = await response.json()
    assert {user["about"] for user in users} == {
        "agent, not registered",
        "agent, registered",
        "supervisor",
        "administrator",
        "agent, disabled",
    }
    assert all(set(user) == {"username", "password", "about"} for user in users)


@pytest.mark.attack("F28")
@pytest.mark.parametrize("path", ["/-/demo", "/-/demo/users.json", "/-/demo/inbox.json"])
async def test_the_demos_pages_answer_loopback_names_only(around: Neighbours, path: str) -> None:
    async with pages(around) as client:
        async with client.get(path) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
        async with client.get(path, headers={"Host": "evil.example"}) as response:
            assert response.status == 421


async def test_the_inbox_begins_empty(around: Neighbours) -> None:
    async with pages(around) as client, client.get("/-/demo/inbox.json") as response:
        assert await response.json() == []
