"""Tests of the demo's pages."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import pyotp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.demo import start
from gateway.demo.configuration import Options, configure
from gateway.demo.dependencies import Dependencies
from gateway.demo.loopback import loopback_only
from gateway.demo.pages import DemoPages
from gateway.domain.ports import SystemClock
from gateway.services import open_services

CLOCK = SystemClock()
PATHS = [
    "/-/demo",
    *(f"/-/demo/{name}" for name in ("users.json", "inbox.json", "codes.json", "mails.json", "logo.svg")),
]
CLOUD = {"Host": "cloudcx.localhost"}


@asynccontextmanager
async def pages(running_dependencies: Dependencies) -> AsyncIterator[TestClient[Any, Any]]:
    """Yields a client for the demo's pages."""
    app = web.Application()
    options = Options()
    configuration = configure(options, running_dependencies)
    async with open_services(lambda: configuration, start.new_ring(CLOCK)) as services:
        demo = DemoPages(
            sites=start.sites_of(options, running_dependencies, configuration),
            apps=start.apps_of(options),
            inbox=running_dependencies.inbox,
            prefix="/-/",
            clock=CLOCK,
            admin_codes=services.admin_codes,
        )
        app.add_routes(demo.routes())
        async with TestClient(TestServer(app)) as client:
            yield client


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "efcx.localhost", "cloudcx.localhost:8080"])
async def test_the_demo_page_shows_five_kinds_of_users_at_every_tenant(
    running_dependencies: Dependencies, host: str
) -> None:
    async with (
        pages(running_dependencies) as client,
        client.get("/-/demo/users.json", headers={"Host": host}) as response,
    ):
        users = await response.json()
    assert {user["about"] for user in users} == {
        "agent, not set up yet",
        "agent, already set up",
        "supervisor",
        "administrator",
        "agent, disabled",
    }
    assert all(set(user) == {"username", "password", "about"} for user in users)


async def test_the_demo_page_shows_the_profile_address_of_every_cloudcx_user(
    running_dependencies: Dependencies,
) -> None:
    async with pages(running_dependencies) as client, client.get("/-/demo", headers=CLOUD) as response:
        page = await response.text()
    for person in running_dependencies.people["cloudcx"]:
        assert person.user.email
        assert person.user.email in page


@pytest.mark.attack("F28")
@pytest.mark.parametrize("path", PATHS)
async def test_the_demo_pages_answer_loopback_names_only(running_dependencies: Dependencies, path: str) -> None:
    async with pages(running_dependencies) as client:
        async with client.get(path) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
        async with client.get(path, headers={"Host": "evil.example"}) as response:
            assert response.status == 421


async def arrived(at: Dependencies, sender: str, text: str, html: str) -> None:
    """Sends a mail to the demo's inbox."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"{sender} <otp@example.com>", "ben@example.com", "x"
    mail.set_content(text)
    mail.add_alternative(html, subtype="html")
    await aiosmtplib.send(mail, hostname="127.0.0.1", port=at.inbox.port, start_tls=False)


async def test_each_tenant_has_its_own_inbox_and_a_mail_is_shown_as_html_that_can_do_nothing(
    running_dependencies: Dependencies,
) -> None:
    await arrived(running_dependencies, "CloudCX", "402817\n\nYour code", "<script>x()</script><b>402817</b>")
    await arrived(running_dependencies, "CloudCX", "A method was added at 12:30", "<b>added</b>")
    async with pages(running_dependencies) as client:
        async with client.get("/-/demo/mails.json", headers=CLOUD) as response:
            newest, first = await response.json()
        async with client.get("/-/demo/mails.json") as response:
            assert await response.json() == []
        assert (first["code"], newest["code"]) == ("402817", "")
        async with client.get(f"/-/demo/mail/{first['number']}", headers=CLOUD) as response:
            assert "<b>402817</b>" in await response.text()
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "; sandbox;" in policy
        async with client.get(f"/-/demo/mail/{first['number']}") as response:
            assert response.status == 404


async def test_each_tenant_has_a_logo_of_its_own(running_dependencies: Dependencies) -> None:
    logos = set()
    async with pages(running_dependencies) as client:
        for host in ("localhost", "efcx.localhost", "cloudcx.localhost"):
            async with client.get("/-/demo/logo.svg", headers={"Host": host}) as response:
                assert response.content_type == "image/svg+xml"
                logos.add(await response.text())
    assert len(logos) == 3


async def test_a_name_without_a_tenant_gets_a_link_to_the_demo() -> None:
    app = web.Application(middlewares=[loopback_only])
    async with TestClient(TestServer(app)) as client, client.get("/", headers={"Host": "foo.localhost:8081"}) as answer:
        assert answer.status == 421
        assert 'href="http://localhost:8081/-/demo"' in await answer.text()


async def test_the_inbox_is_empty_at_the_start(running_dependencies: Dependencies) -> None:
    async with pages(running_dependencies) as client, client.get("/-/demo/inbox.json") as response:
        assert await response.json() == []


async def test_the_authenticator_app_of_the_registered_agent_is_shown_where_they_have_one(
    running_dependencies: Dependencies,
) -> None:
    (phone,) = (e for p in running_dependencies.people["cloudcx"] for e in p.enrolments if e.secret)
    async with pages(running_dependencies) as client:
        async with client.get("/-/demo/codes.json", headers=CLOUD) as response:
            (shown,) = await response.json()
        async with client.get("/-/demo/codes.json") as response:
            assert await response.json() == []
    assert (shown["username"], 1 <= shown["seconds"] <= 30) == ("ben", True)
    assert shown["code"] in {pyotp.TOTP(phone.secret).at(int(CLOCK.now()) - back) for back in (0, 30)}


async def test_the_demo_page_names_every_tenant_and_marks_the_current_one(running_dependencies: Dependencies) -> None:
    async with pages(running_dependencies) as client, client.get("/-/demo", headers=CLOUD) as response:
        page = await response.text()
    assert page.count('aria-current="page"') == 1
    for name in ("localhost", "efcx.localhost", "cloudcx.localhost"):
        assert f'href="http://{name}:8080/-/demo"' in page
    assert (
        sum(f"{code[:5]}-{code[5:]}" in page for p in running_dependencies.people["cloudcx"] for code in p.backup_codes)
        == 10
    )


async def test_the_demo_page_lists_the_steps_up_to_the_code_before_the_backup_codes(
    running_dependencies: Dependencies,
) -> None:
    async with pages(running_dependencies) as client, client.get("/-/demo", headers=CLOUD) as response:
        page = await response.text()
    order = [page.index(words) for words in ("Open an app", "Sign in as", "Read the code", "Backup codes")]
    assert order == sorted(order)


async def test_a_visitor_makes_an_administrators_code_with_and_without_javascript(
    running_dependencies: Dependencies,
) -> None:
    async with pages(running_dependencies) as client:
        async with client.post("/-/demo/admin-code", data={"username": "anna"}, headers=CLOUD) as response:
            made = await response.json()
        form = {**CLOUD, "Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        async with client.post("/-/demo/admin-code", data={"username": "anna"}, headers=form) as response:
            page = await response.text()
    assert (made["username"], made["minutes"]) == ("anna", 30)
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", made["code"])
    assert len(re.findall(r"\d{4} \d{4} \d{4}", page)) == 1


@pytest.mark.parametrize(
    ("headers", "username", "status"),
    [
        ({"Host": "localhost"}, "ben", 404),
        ({"Host": "evil.example"}, "ben", 421),
        (CLOUD, "dora", 404),
        (CLOUD, "nobody", 404),
        ({**CLOUD, "Sec-Fetch-Site": "cross-site"}, "ben", 403),
    ],
)
async def test_no_administrators_code_is_made_where_none_is_accepted_or_for_a_page_of_another_site(
    running_dependencies: Dependencies, headers: dict[str, str], username: str, status: int
) -> None:
    form = {"username": username}
    async with (
        pages(running_dependencies) as client,
        client.post("/-/demo/admin-code", data=form, headers=headers) as response,
    ):
        assert response.status == status


async def test_a_program_requests_an_administrators_code_as_json(running_dependencies: Dependencies) -> None:
    asked = {"username": "ben"}
    async with (
        pages(running_dependencies) as client,
        client.post("/-/demo/admin-code", json=asked, headers=CLOUD) as response,
    ):
        made = await response.json()
    assert made["username"] == "ben"


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", "text/plain"])
async def test_an_unreadable_body_makes_no_code_and_no_server_error(
    running_dependencies: Dependencies, kind: str
) -> None:
    headers = {**CLOUD, "Content-Type": kind}
    body = b"--x\r\n"
    async with (
        pages(running_dependencies) as client,
        client.post("/-/demo/admin-code", data=body, headers=headers) as response,
    ):
        assert response.status == 404


async def test_a_text_is_in_the_inbox_of_the_tenant_whose_host_it_names(running_dependencies: Dependencies) -> None:
    running_dependencies.inbox.keep_text("+12025550101", "Your code: 402817\n\n@cloudcx.localhost #402817")
    async with pages(running_dependencies) as client:
        async with client.get("/-/demo/mails.json", headers=CLOUD) as response:
            [text] = await response.json()
        async with client.get("/-/demo/mails.json") as response:
            assert await response.json() == []
    assert (text["to"], text["code"], text["kind"]) == ("+12025550101", "402817", "sms")
