"""Tests of what all own endpoints have in common."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.observe.audit import AuditEvent
from gateway.web.csrf import LOGIN, LOGOUT
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Page, Redirect, Reply
from tests.fixtures.own_pages import application, configuration, endpoints
from tests.fixtures.sample_tenants import session, tenant

SITE = tenant(public_url="http://127.0.0.1:8080")
BROWSER = f"{'t' * 22}.{'s' * 43}"
COOKIE = {"Cookie": f"gateway-login={BROWSER}; gateway-session=known"}
OWN = {**COOKIE, "Sec-Fetch-Site": "same-origin", "Accept": "application/json"}
REPORTED: list[str] = []
"""The audit events of the last `asked`."""
Mount = Callable[[Endpoints], web.RouteDef]


class OneSession:
    """Knows one session, by one cookie."""

    async def current(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """Has the interface of `Sessions.current`."""
        return session() if cookie_value == "known" else None


@asynccontextmanager
async def asked(mount: Mount, method: str, headers: dict[str, str], **fields: str) -> AsyncIterator[ClientResponse]:
    """Returns the answer of one endpoint."""
    app = application(configuration(SITE))
    REPORTED.clear()
    app.add_routes([mount(endpoints(OneSession(), REPORTED.append))])
    async with (
        TestClient(TestServer(app)) as client,
        client.request(method, "/-/x", headers=headers, data=fields or None, allow_redirects=False) as response,
    ):
        yield response


async def done(request: OwnRequest) -> Reply:
    """An endpoint that redirects a browser, and returns data to a program."""
    return Reply(Redirect("/next"), data={"fields": dict(request.fields)}, cookies=("a=1", "b=2"), headers={"X-A": "b"})


async def signed_in(request: OwnRequest, of: Session) -> Reply:
    """An endpoint that needs a session."""
    return Reply(Redirect("/next"), data={"user": of.username})


async def code(response: ClientResponse) -> str:
    """Returns the code of the problem."""
    return str((await response.json())["problem"]["code"])


@pytest.mark.parametrize(("accept", "status"), [("text/html", 303), ("application/json", 200)])
async def test_a_browser_is_redirected_and_a_program_gets_json(accept: str, status: int) -> None:
    async with asked(lambda own: own.get("x", done), "GET", {"Accept": accept}) as response:
        assert (response.status, response.headers.getall("Set-Cookie")) == (status, ["a=1", "b=2"])
        assert (response.headers["X-A"], response.headers["Cache-Control"]) == ("b", "no-store")


async def test_the_json_answer_has_the_status_of_the_reply() -> None:
    async def rejected(request: OwnRequest) -> Reply:
        return Reply(Redirect("/next"), data={"a": 1}, status=422)

    async with asked(lambda own: own.get("x", rejected), "GET", {"Accept": "application/json"}) as response:
        assert (response.status, await response.json()) == (422, {"a": 1})


async def test_a_problem_answer_keeps_cookies_and_headers() -> None:
    async def failed(request: OwnRequest) -> Reply:
        return Reply(Failure(Problem.STORE_UNAVAILABLE), data={"a": 1}, cookies=("a=1",), headers={"X-A": "b"})

    async with asked(lambda own: own.get("x", failed), "GET", {"Accept": "application/json"}) as response:
        assert (response.status, await code(response)) == (503, "store-unavailable")
        assert (response.headers["Set-Cookie"], response.headers["X-A"]) == ("a=1", "b")


async def test_a_page_is_rendered_with_its_template_variables() -> None:
    async def page(request: OwnRequest) -> Reply:
        return Reply(Page("logout.html", {"csrf": request.token("tag", LOGOUT), "to": "/home/"}))

    async with asked(lambda own: own.get("x", page), "GET", {}) as response:
        assert response.status == 200
        assert 'value="tag.' in await response.text()


@pytest.mark.parametrize("said", [{"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}])
async def test_scripts_and_frames_get_no_content_of_a_page(said: dict[str, str]) -> None:
    async with asked(lambda own: own.get("x", done), "GET", {**said, "Accept": "application/json"}) as response:
        assert (response.status, await code(response)) == (403, "origin-refused")


async def test_a_browser_without_a_session_is_redirected_to_the_login_and_back() -> None:
    async with asked(lambda own: own.get_with_session("x", signed_in), "GET", {}) as response:
        assert (response.status, response.headers["Location"]) == (303, "/-/login?to=/-/x")
    async with asked(lambda own: own.get_with_session("x", signed_in), "GET", OWN) as response:
        assert await response.json() == {"user": "anna"}


@pytest.mark.parametrize(
    ("act", "headers", "status"),
    [
        (LOGOUT, OWN, 200),
        (LOGIN, OWN, 403),
        ("", OWN, 403),
        (LOGOUT, {**OWN, "Sec-Fetch-Site": "cross-site"}, 403),
        (LOGOUT, {**OWN, "Cookie": f"gateway-login={'u' * 22}.{'s' * 43}"}, 403),
        (LOGOUT, {**OWN, "Cookie": ""}, 403),
    ],
    ids=["own", "another act", "no token", "another site", "another browser", "no cookie"],
)
async def test_a_form_needs_the_token_of_its_act_and_browser(act: str, headers: dict[str, str], status: int) -> None:
    token = {"csrf": endpoints().csrf.token(SITE, BROWSER.partition(".")[0], act)} if act else {}
    async with asked(lambda own: own.post("x", done, act=LOGOUT), "POST", headers, a="b", **token) as response:
        assert response.status == status
        assert status == 200 or await code(response) == "form-expired"


@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("cross-site", 403)])
async def test_a_form_without_a_token_needs_the_gateways_origin(site: str, status: int) -> None:
    headers = {**OWN, "Sec-Fetch-Site": site}
    async with asked(lambda own: own.post("x", done), "POST", headers, a="b") as response:
        assert response.status == status
        assert status == 200 or await code(response) == "origin-refused"


async def test_a_too_large_form_is_not_passed_to_its_endpoint() -> None:
    async with asked(lambda own: own.post("x", done, act=LOGOUT), "POST", OWN, a="b" * 30_000) as response:
        assert (response.status, await code(response)) == (413, "request-too-large")


async def test_an_audit_event_names_its_request_and_user() -> None:
    async def audited(request: OwnRequest, of: Session) -> Reply:
        request.audit.write(AuditEvent.LOGOUT, of, sessions=2)
        return Reply(Redirect("/"))

    async with asked(lambda own: own.get_with_session("x", audited), "GET", COOKIE) as response:
        assert response.status == 303
    [line] = map(json.loads, REPORTED)
    assert (line["tenant"], line["user_id"]) == (SITE.id, session().user_id)
    assert {"username", "client", "request_id", "reference"} <= line.keys()
    assert (line["username"], line["client"], line["sessions"]) == ("anna", "127.0.0.1", 2)
