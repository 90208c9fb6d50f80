"""Tests of the API's description: it is served, and it names every operation with every answer."""

from pathlib import Path

import pytest
from aiohttp import ClientSession

from gateway.admin.api import feature
from tests.fixtures.api_site import ApiSite

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.mark.row("GW-16")
async def test_the_description_is_served_on_both_ports(api_site: ApiSite) -> None:
    async with ClientSession() as http:
        for base in (api_site.public, api_site.operations):
            async with http.get(f"{base}/-/api/openapi.json") as answer:
                found = await answer.json()
            assert found["openapi"] == "3.1.0"
            assert found["paths"]["/tenants/{tenantId}"].keys() == {"get", "patch", "delete"}


@pytest.mark.row("GW-16")
async def test_the_guide_names_every_operation(api_site: ApiSite) -> None:
    text = PAGE.read_text(encoding="utf-8")
    every = feature.operations(api_site.services, None)
    assert [one.name for one in every if f"`{one.method} {one.path}`" not in text] == []
