"""Tests of the demo's two sample apps."""

import asyncio
import base64
import json
from typing import Any

import pytest
from aiohttp import WSCloseCode, WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from gateway.demo.sample_apps import AGENT_MANAGER, UNIFIED_ADMIN, Sample, build, claims_of, presence, received
from tests.fixtures.clock import FakeClock

CLAIMS = {"preferred_username": "anna", "name": "Anna Lindqvist", "realm_access": {"roles": ["agent"]}}


def bearer(claims: Any = CLAIMS) -> dict[str, str]:
    """Returns an unsigned token with these `claims`."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return {"Authorization": f"Bearer e30.{payload}.{'s' * 40}"}


def client_of(sample: Sample) -> TestClient[Any, Any]:
    """Yields a client for the app of `sample`."""
    return TestClient(TestServer(build(sample, FakeClock())))


@pytest.mark.parametrize("sample", [UNIFIED_ADMIN, AGENT_MANAGER], ids=lambda sample: sample.name)
async def test_an_app_shows_the_signed_in_user_and_a_sign_out_button(sample: Sample) -> None:
    async with client_of(sample) as client, client.get("/", headers=bearer()) as response:
        page = await response.text()
    assert sample.name in page
    assert "Anna Lindqvist" in page
    assert 'href="/-/logout"' in page


@pytest.mark.parametrize("sample", [UNIFIED_ADMIN, AGENT_MANAGER], ids=lambda sample: sample.name)
async def test_a_deep_link_shows_the_page_with_its_path(sample: Sample) -> None:
    async with client_of(sample) as client, client.get("/teams/7/queues?sort=name&x=<b>", headers=bearer()) as response:
        page = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
    assert "Anna Lindqvist" in page
    assert "/teams/7/queues?sort=name&amp;x=" in page
    assert "<b>" not in page.partition('id="path"')[2][:80]


async def test_an_unknown_api_path_is_not_answered_with_a_page() -> None:
    async with client_of(UNIFIED_ADMIN) as client, client.get("/api/nothing", headers=bearer()) as response:
        assert response.status == 404


async def test_an_app_shows_the_received_headers_but_no_complete_token() -> None:
    headers = {**bearer(), "Cookie": "token=abcdef; own=1", "X-Forwarded-For": "203.0.113.9"}
    async with client_of(UNIFIED_ADMIN) as client, client.get("/", headers=headers) as response:
        page = await response.text()
    assert "203.0.113.9" in page
    assert "token=…" in page
    assert headers["Authorization"] not in page
    assert "abcdef" not in page


async def test_an_app_returns_the_signed_in_user_as_data() -> None:
    async with client_of(AGENT_MANAGER) as client, client.get("/api/me", headers=bearer()) as response:
        said = await response.json()
    assert (said["username"], said["roles"]) == ("anna", ["agent"])


async def test_markup_in_a_name_is_escaped() -> None:
    evil = bearer({"preferred_username": "x", "name": "<img src=x onerror=alert(1)>"})
    async with client_of(UNIFIED_ADMIN) as client, client.get("/", headers=evil) as response:
        assert "<img" not in await response.text()


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer a.!.c", "Basic a.b.c", "Bearer a.W10.c", "Bearer a.bnVsbA.c"],
)
def test_an_unreadable_token_identifies_no_user(value: str) -> None:
    assert claims_of({"Authorization": value}) == {}


async def test_claims_of_unexpected_types_cause_no_error() -> None:
    odd = bearer({"preferred_username": 7, "realm_access": ["x"], "name": None})
    async with client_of(UNIFIED_ADMIN) as client, client.get("/", headers=odd) as response:
        assert response.status == 200


async def test_the_socket_sends_the_present_users_and_echoes_messages() -> None:
    async with client_of(AGENT_MANAGER) as client, client.ws_connect("/ws", headers=bearer()) as live:
        first = await live.receive_json(timeout=5)
        assert first["type"] == "presence"
        assert first["agents"][0] == {"name": "Anna Lindqvist", "state": "Ready", "seconds": 0, "me": True}
        await live.send_str("hello")
        async with asyncio.timeout(5):
            while (said := await live.receive_json())["type"] != "echo":
                pass
        assert said == {"type": "echo", "text": "hello"}


async def test_the_echo_returns_text_and_bytes_unchanged() -> None:
    async with client_of(AGENT_MANAGER) as client, client.ws_connect("/echo", protocols=("echo",)) as live:
        assert live.protocol == "echo"
        await live.send_str("سلام")
        assert await live.receive_str(timeout=5) == "سلام"
        await live.send_bytes(b"\x00\xff")
        assert await live.receive_bytes(timeout=5) == b"\x00\xff"


async def test_the_socket_is_closed_when_the_app_ends() -> None:
    client = client_of(AGENT_MANAGER)
    await client.start_server()
    live = await client.ws_connect("/echo")
    ended = asyncio.create_task(client.server.close())
    message = await live.receive(timeout=5)
    assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.GOING_AWAY)
    await ended
    await client.close()


@pytest.mark.attack("F28")
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", ""])
async def test_an_app_answers_loopback_names_only(host: str) -> None:
    async with client_of(UNIFIED_ADMIN) as client, client.get("/", headers={"Host": host}) as response:
        assert response.status in (400, 421)


def test_the_states_of_colleagues_change_over_time() -> None:
    states = {tuple(row["state"] for row in presence(_anonymous(), 0, second)) for second in range(0, 600, 10)}
    assert len(states) > 5


def test_cookies_are_shown_only_by_name_and_length() -> None:
    assert received({"Cookie": "a=1; b=" + "x" * 1500}) == [("Cookie", "a=… (1 characters); b=… (1,500 characters)")]


def _anonymous() -> Any:
    from gateway.demo.sample_apps import Person

    return Person()
