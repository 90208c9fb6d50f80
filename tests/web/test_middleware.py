"""Tests of what the middleware adds to every request: its id, and the warning about an unknown proxy."""

from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDictProxy
from structlog.testing import capture_logs

from gateway.domain.errors import Unreachable
from gateway.web.request_context import REQUEST_ID
from tests.fixtures import own_pages
from tests.fixtures.sample_tenants import tenant

LOOPBACK = (ip_network("127.0.0.0/8"),)


async def answers(*asked: Mapping[str, str], proxy: bool = False, fails: bool = False) -> list[CIMultiDictProxy[str]]:
    """Returns the headers of the answers; the pages send the id of their request back as `Seen`."""

    async def page(request: web.Request) -> web.Response:
        if fails:
            raise Unreachable("store", "no answer")
        return web.Response(headers={"Seen": request[REQUEST_ID]})

    made = own_pages.configuration(tenant(public_url="http://127.0.0.1:8080"), trusted=LOOPBACK if proxy else ())
    app = own_pages.application(made)
    app.router.add_get("/page", page)
    found = []
    async with TestClient(TestServer(app)) as client:
        for headers in asked:
            async with client.get("/page", headers=headers) as response:
                found.append(response.headers)
    return found


async def test_every_answer_has_the_id_of_its_request() -> None:
    first, second = await answers({}, {})
    assert first["X-Request-ID"] == first["Seen"]
    assert first["Seen"] != second["Seen"]


async def test_the_id_of_a_trusted_proxy_is_kept() -> None:
    (answer,) = await answers({"X-Request-ID": "4bf92f35-77b3.4da6"}, proxy=True)
    assert answer["X-Request-ID"] == answer["Seen"] == "4bf92f35-77b3.4da6"


async def test_the_id_of_any_other_client_is_replaced() -> None:
    (answer,) = await answers({"X-Request-ID": "4bf92f35-77b3.4da6"})
    assert answer["Seen"] != "4bf92f35-77b3.4da6"


@pytest.mark.parametrize("sent", ["short", "a" * 65, "a b c d e f", "anna@example.com", 'id"; drop'])
async def test_an_odd_id_is_replaced(sent: str) -> None:
    (answer,) = await answers({"X-Request-ID": sent}, proxy=True)
    assert answer["Seen"] != sent


async def test_an_answer_during_an_outage_says_when_to_try_again() -> None:
    (answer,) = await answers({}, fails=True)
    assert int(answer["Retry-After"]) > 0


async def test_the_ignored_header_of_an_unknown_proxy_is_logged_once() -> None:
    with capture_logs() as lines:
        await answers({"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}, {})
    (line,) = lines
    assert (line["event"], line["client"]) == ("forwarded_for_ignored", "127.0.0.1")
    assert "trusted_proxies" in line["hint"]


async def test_the_header_of_a_trusted_proxy_is_no_warning() -> None:
    with capture_logs() as lines:
        await answers({"X-Forwarded-For": "192.0.2.1"}, proxy=True)
    assert not lines


async def test_the_log_names_a_host_that_belongs_to_no_tenant() -> None:
    with capture_logs() as lines:
        await answers({"Host": "elsewhere.example.com"})
    (line,) = lines
    assert line["problem"] == "unknown-host"
    assert "elsewhere.example.com" in line["cause"]
    assert "gateway.hosts" in line["cause"]
