"""Tests of `gateway.web.assets`."""

import gzip
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from gateway.rendering.data_root import data_root
from gateway.web.assets import FOR_EVER, Assets

ASSETS = Assets(data_root() / "static")
CSS = ASSETS.url("gateway.css")


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> TestClient[web.Request, web.Application]:
    """Yields a client that does not decompress answers."""
    app = web.Application()
    app.add_routes(ASSETS.routes())
    return await aiohttp_client(app, auto_decompress=False)


async def test_an_asset_is_cached_for_a_year_and_has_its_content_type(
    client: TestClient[web.Request, web.Application],
) -> None:
    response = await client.get(CSS)
    assert response.status == 200
    assert response.headers["Cache-Control"] == FOR_EVER
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in response.headers


async def test_an_asset_is_compressed_for_clients_that_accept_it(
    client: TestClient[web.Request, web.Application],
) -> None:
    plain = await client.get(CSS, headers={"Accept-Encoding": "identity"})
    packed = await client.get(CSS, headers={"Accept-Encoding": "br, gzip;q=0.8"})
    refused = await client.get(CSS, headers={"Accept-Encoding": "gzip;q=0.0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    body = await packed.read()
    assert gzip.decompress(body) == await plain.read()


@pytest.mark.parametrize(
    "path", ["gateway.css", "gateway.0000000000000000.css", "..%2Fpyproject.toml", "%2e%2e%2fREADME.md", ""]
)
async def test_any_other_asset_name_is_not_found(client: TestClient[web.Request, web.Application], path: str) -> None:
    assert (await client.get(f"/-/static/{path}")).status == 404


def test_the_name_of_an_asset_changes_with_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a{}")
    first = Assets(tmp_path).url("a.css")
    (tmp_path / "a.css").write_text("b{}")
    assert Assets(tmp_path).url("a.css") != first


def test_only_known_file_types_are_served(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("private")
    with pytest.raises(KeyError):
        Assets(tmp_path).url("notes.txt")


def test_assets_are_below_the_gateways_prefix() -> None:
    assert Assets(data_root() / "static", "/gate/").url("favicon.svg").startswith("/gate/static/favicon.")


def test_styles_and_scripts_are_below_their_size_limit() -> None:
    """Scripts and styles got 1,000 bytes more each for the code page: other kinds of codes, and one that asks again."""
    sizes = {path.name: path.stat().st_size for path in (data_root() / "static").iterdir()}
    assert sizes["gateway.css"] < 21_500
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) < 7_000


async def test_the_icon_has_the_colour_of_the_tenant_and_a_readable_mark(
    client: TestClient[web.Request, web.Application],
) -> None:
    icon = ASSETS.url("favicon.svg")
    assert "#2f5bd7" in await (await client.get(icon, headers={"Accept-Encoding": "identity"})).text()
    for colour, mark in (("7c3aed", "#ffffff"), ("ffe14d", "#0b0d12")):
        text = await (await client.get(f"{icon}?{colour}")).text()
        assert f'fill="#{colour}"' in text
        assert f'stroke="{mark}"' in text
    assert "#2f5bd7" in await (await client.get(f"{icon}?script", headers={"Accept-Encoding": "identity"})).text()
