"""Headers of every answer of the gateway."""

import pytest

from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


async def test_no_answer_names_the_server_software(site: Site) -> None:
    async with site.person() as visitor:
        for path in ("/-/login", "/nothing", "/unified-admin/", "/-/static/none"):
            assert "Server" not in (await visitor.get(path)).headers
