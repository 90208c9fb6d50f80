"""Tests of `make demo`."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from aiohttp import ClientSession, web

from gateway.demo import start
from gateway.demo.configuration import Options
from gateway.demo.dependencies import serving
from gateway.demo.start import fault_of
from gateway.domain.configuration import Configuration
from gateway.domain.ports import SystemClock
from gateway.services import Services
from tests.fixtures.ports import free_port

CLOCK = SystemClock()


@pytest.mark.attack("F28")
def test_keys_are_new_at_each_start() -> None:
    assert start.new_ring(CLOCK).fingerprint != start.new_ring(CLOCK).fingerprint


@pytest.mark.attack("F28")
@pytest.mark.parametrize(
    "upstream", ["http://192.0.2.7:80", "http://app.example", "ftp://127.0.0.1", "127.0.0.1:9000", ""]
)
def test_an_app_on_another_machine_is_refused_without_an_explicit_option(upstream: str) -> None:
    assert "--upstream" in fault_of(Options(free_port(), upstream))


def test_an_app_on_another_machine_is_accepted_with_the_explicit_option() -> None:
    assert fault_of(Options(free_port(), "http://192.0.2.7:80", remote_upstream=True)) == ""


async def test_a_port_in_use_is_reported_in_one_line() -> None:
    said: list[str] = []

    async def serve(_services: Services, _routes: Sequence[web.RouteDef], _ready: Callable[[], None]) -> None:
        raise AssertionError("nothing is served")

    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        assert await start.run(Options(port), serve, said.append) == 2
    assert said == [f"port {port} is in use or not allowed; choose another one: PORT=8081 make demo"]


async def test_the_demo_prints_the_addresses_of_its_apps_users_and_inbox() -> None:
    said: list[str] = []
    served: list[Configuration] = []

    async def serve(services: Services, routes: Sequence[web.RouteDef], ready: Callable[[], None]) -> None:
        served.append(services.configuration())
        ready()
        assert all(route.path.startswith("/-/demo") for route in routes)

    port = free_port()
    assert await start.run(Options(port), serve, said.append) == 0
    text = "\n".join(said)
    assert f"http://localhost:{port}/unified-admin/" in text
    assert f"http://localhost:{port}/-/demo" in text
    assert f"http://efcx.localhost:{port}/unified-admin/" in text
    assert f"http://cloudcx.localhost:{port}/unified-admin/" in text
    assert "anna-demo" in text
    assert len(served) == 1


@asynccontextmanager
async def demo(port: int, **options: Any) -> AsyncIterator[str]:
    """Runs the whole demo in this process and ends it as Ctrl-C does."""
    ready = asyncio.Event()

    async def serve(services: Services, routes: Sequence[web.RouteDef], say: Callable[[], None]) -> None:
        await start.serve_gateway(services, routes, ready.set)

    running = asyncio.create_task(start.run(Options(port, **options), serve, lambda _line: None))
    try:
        async with asyncio.timeout(30):
            await ready.wait()
        yield f"http://localhost:{port}"
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        assert await asyncio.wait_for(running, 30) == 0


NAMED = ("csrf", "login", "round", "form")
"""The fields that each answer names and the next form sends back."""


async def sign_in(browser: ClientSession, base: str, username: str, to: str, host: str = "") -> dict[str, Any]:
    """Signs in by JSON, enrols if requested, and returns the last answer. `host` is another tenant's."""
    origin = base.replace("localhost", host or "localhost")
    own = {"Accept": "application/json", "Origin": origin, "Host": urlsplit(origin).netloc}
    async with browser.get(f"{base}/-/login", params={"to": to}, headers=own) as response:
        step = await response.json()
    given = {"username": username, "password": f"{username}-demo"}
    for _ in range(5):
        form = {**{name: step[name] for name in NAMED}, "to": to, **given}
        async with browser.post(f"{base}/-/login/{step['step']}", data=form, headers=own) as response:
            step = await response.json()
        match step["step"]:
            case "register" if "secret" in step:
                given = {"code": next_code(pyotp.TOTP(step["secret"]))}
            case "register":
                given = {"address": f"{username}@example.com"}
            case "confirm":
                given = {}
            case "choose":
                given = {"factor": step["methods"][-1]["factor"]}
            case "verify" if "any_of" in step or step["factor"] == "totp":
                given = {"code": await code_of_the_app(browser, base, own, username)}
            case "verify":
                given = {"code": await newest_code(browser, base)}
            case _:
                return dict(step)
    raise AssertionError("no end in sight")


def next_code(app: pyotp.TOTP) -> str:
    """Returns the app code of the next 30 seconds: it is already valid, and newer than the demo's store."""
    return app.at(int(CLOCK.now()) + 30)


async def code_of_the_app(browser: ClientSession, base: str, own: dict[str, str], username: str) -> str:
    """Returns the app code that the demo page shows for the user."""
    async with browser.get(f"{base}/-/demo/codes.json", headers=own) as response:
        return str({one["username"]: one["code"] for one in await response.json()}[username])


async def newest_code(browser: ClientSession, base: str) -> str:
    """Returns the code of the newest mail."""
    async with browser.get(f"{base}/-/demo/inbox.json") as response:
        mails = await response.json()
    found = re.search(r"^(?:@\S+ #)?\s*(\d{6})\s*$", mails[0]["text"], re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.row("EF-08")
@pytest.mark.parametrize("username", ["anna", "ben", "sara", "adam"])
async def test_each_user_signs_in_with_the_code_from_the_inbox_and_the_app_identifies_them(username: str) -> None:
    async with demo(free_port()) as base, ClientSession() as browser:
        assert (await sign_in(browser, base, username, "/agent-manager/"))["step"] == "done"
        async with browser.get(f"{base}/agent-manager/api/me") as response:
            assert (await response.json())["username"] == username
        async with browser.ws_connect(f"{base}/agent-manager/echo", origin=base) as live:
            await live.send_str("hello")
            assert await live.receive_str(timeout=5) == "hello"


@pytest.mark.parametrize(
    ("host", "username"),
    [
        ("efcx.localhost", "anna"),
        ("cloudcx.localhost", "anna"),
        ("cloudcx.localhost", "sara"),
        ("sinch.localhost", "anna"),
        ("genesys.localhost", "ben"),
        ("genesys.localhost", "sara"),
    ],
)
async def test_the_other_tenants_are_reached_by_their_host_names_alone(host: str, username: str) -> None:
    async with demo(free_port()) as base, ClientSession() as browser:
        assert (await sign_in(browser, base, username, "/agent-manager/", host))["step"] == "done"
        own = {"Host": urlsplit(base.replace("localhost", host)).netloc}
        async with browser.get(f"{base}/agent-manager/api/me", headers=own) as response:
            assert (await response.json())["username"] == username


@pytest.mark.row("GE-18")
async def test_a_user_without_a_verified_contact_is_led_to_a_page_of_its_own() -> None:
    async with demo(free_port()) as base, ClientSession() as browser:
        end = await sign_in(browser, base, "anna", "/agent-manager/", "genesys.localhost")
        assert (end["step"], end["location"]) == ("stopped", "/unified-admin/help")
        own = {"Host": urlsplit(base.replace("localhost", "genesys.localhost")).netloc}
        async with browser.get(f"{base}{end['location']}", headers=own) as response:
            assert "Talk to an agent" in await response.text()


async def test_an_administrators_code_of_the_demo_signs_the_registered_agent_in() -> None:
    async with demo(free_port()) as base, ClientSession() as browser:
        origin = base.replace("localhost", "cloudcx.localhost")
        own = {"Accept": "application/json", "Origin": origin, "Host": urlsplit(origin).netloc}
        async with browser.post(f"{base}/-/demo/admin-code", data={"username": "ben"}, headers=own) as response:
            code = (await response.json())["code"]
        async with browser.get(f"{base}/-/login", headers=own) as response:
            shown = await response.json()
        for step, given in (("password", {"username": "ben", "password": "ben-demo"}), ("verify", {"code": code})):
            form = {**{name: shown[name] for name in NAMED}, **given}
            async with browser.post(f"{base}/-/login/{step}", data=form, headers=own) as response:
                shown = await response.json()
        assert shown["step"] == "done"


async def test_the_disabled_agent_gets_the_same_answer_as_for_a_wrong_password() -> None:
    async with demo(free_port()) as base, ClientSession() as browser:
        end = await sign_in(browser, base, "dora", "/agent-manager/")
    assert (end["step"], end["problem"]["code"]) == ("password", "wrong-password")


async def test_an_app_given_by_the_operator_receives_nothing_before_the_login_and_the_user_after_it() -> None:
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization", ""))
        return web.Response(text="mine")

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with (
        serving(app) as upstream,
        demo(free_port(), upstream=upstream) as base,
        ClientSession() as browser,
    ):
        async with browser.get(f"{base}/deep/path", allow_redirects=False) as response:
            assert response.status in (303, 401)
        assert heard == []
        await sign_in(browser, base, "ben", "/deep/path")
        async with browser.get(f"{base}/deep/path") as response:
            assert await response.text() == "mine"
    assert heard[0].startswith("Bearer ")


@pytest.mark.attack("F28")
async def test_the_whole_demo_answers_loopback_names_only() -> None:
    async with demo(free_port()) as base, ClientSession() as browser:
        for path in ("/", "/unified-admin/", "/-/login", "/-/demo"):
            async with browser.get(f"{base}{path}", headers={"Host": "evil.example"}) as response:
                assert response.status == 421


@pytest.mark.attack("F28")
async def test_the_whole_demo_listens_on_loopback_only() -> None:
    port = free_port()
    async with demo(port):
        for address, taken in (("127.0.0.1", True), ("127.0.0.2", False)):
            with socket.socket() as probe:
                assert (probe.connect_ex((address, port)) == 0) is taken, address
