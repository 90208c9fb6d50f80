"""Tests of the answers to errors."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from structlog.testing import capture_logs

from gateway.domain.errors import Conflict, Misconfigured, Refused, Unreachable
from gateway.domain.problem import Problem
from gateway.web.pages import Pages
from gateway.web.request_context import REFERENCE_LETTERS, REQUEST_ID, new_reference, wants_json
from tests.fixtures import own_pages
from tests.fixtures.clock import SeededRandom
from tests.fixtures.own_pages import configuration, failures
from tests.fixtures.sample_tenants import tenant

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECRET = "a-secret-in-an-exception"


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    """Resets logging to its state before any set-up."""
    structlog.reset_defaults()


def application(handler: Handler) -> web.Application:
    """Returns an application with one page, whose failures are answered."""
    app = own_pages.application(configuration(tenant(public_url="http://127.0.0.1:8080")))
    app.router.add_get("/page", handler)
    app.router.add_post("/page", handler)
    return app


def raising(error: BaseException) -> Handler:
    """Returns a page that fails."""

    async def handler(request: web.Request) -> web.StreamResponse:
        raise error

    return handler


async def ask(
    handler: Handler, accept: str = "application/json", path: str = "/page", method: str = "GET"
) -> tuple[int, dict[str, str], str]:
    """Returns status, headers and body of one request."""
    async with (
        TestClient(TestServer(application(handler))) as client,
        client.request(method, path, headers={"Accept": accept}) as response,
    ):
        return response.status, dict(response.headers), await response.text()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unreachable("store", "no answer"), 503, "store-unavailable"),
        (Unreachable("Keycloak", "no answer"), 503, "sign-in-unavailable"),
        (Refused("Keycloak", "our client secret"), 503, "sign-in-misconfigured"),
        (Misconfigured("issuer"), 503, "sign-in-misconfigured"),
        (Conflict("a lock"), 409, "out-of-order"),
        (RuntimeError(SECRET), 500, "internal"),
        (TimeoutError(), 500, "internal"),
        (web.HTTPNotFound(), 404, "not-found"),
        (web.HTTPRequestEntityTooLarge(1, 2), 413, "request-too-large"),
        (web.HTTPBadRequest(text=SECRET), 400, "bad-request"),
        (web.HTTPUnsupportedMediaType(), 415, "bad-request"),
        (web.HTTPServiceUnavailable(), 503, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
async def test_each_kind_of_failure_has_its_status_and_problem(error: Exception, status: int, code: str) -> None:
    answered, _, body = await ask(raising(error))
    assert answered == status
    assert f'"code": "{code}"' in body
    assert SECRET not in body


async def test_an_unknown_path_is_answered_with_the_gateways_page() -> None:
    status, headers, body = await ask(raising(RuntimeError()), "text/html", "/nowhere")
    assert status == 404
    assert headers["Content-Type"].startswith("text/html")
    assert "<h1>" in body


async def test_a_405_answer_keeps_the_list_of_allowed_methods() -> None:
    status, headers, body = await ask(raising(RuntimeError()), method="DELETE")
    assert status == 405
    assert "GET" in headers["Allow"]
    assert '"method-not-allowed"' in body


async def test_a_redirect_is_not_treated_as_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther("/elsewhere")

    async with (
        TestClient(TestServer(application(handler))) as client,
        client.get("/page", allow_redirects=False) as response,
    ):
        assert response.status == 303


@pytest.mark.row("GW-30")
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_the_log_entry_with_the_answers_reference_names_the_cause(accept: str) -> None:
    with capture_logs() as lines:
        _, _, body = await ask(raising(Unreachable("Keycloak", "connection refused")), accept)
    shown = re.search(rf"[{REFERENCE_LETTERS}]{{8}}", re.sub(r'nonce[-=]"?[^"\' ]+|/static/[^"]+', "", body))
    assert shown
    found = [line for line in lines if line.get("reference") == shown[0]]
    assert any("connection refused" in str(line) for line in found)
    assert "connection refused" not in body


async def test_an_unexpected_exception_is_logged_with_its_traceback() -> None:
    with capture_logs() as lines:
        await ask(raising(RuntimeError("what really happened")))
    assert isinstance(lines[0]["exc_info"], RuntimeError)


@pytest.mark.parametrize(
    ("error", "detail"),
    [(Unreachable("Keycloak", "connection refused"), "Keycloak: connection refused"), (RuntimeError(SECRET), "")],
)
async def test_only_the_text_of_an_expected_error_is_the_detail_of_its_log_line(error: Exception, detail: str) -> None:
    with capture_logs() as lines:
        await ask(raising(error))
    assert lines[0]["detail"] == detail


async def test_the_query_of_a_request_is_not_logged() -> None:
    with capture_logs() as lines:
        await ask(raising(Conflict("x")), path="/page?code=123456")
    assert "123456" not in str(lines)


async def test_an_error_answer_is_not_cached_and_names_its_language() -> None:
    _, headers, _ = await ask(raising(Conflict("x")))
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Language"] == "en"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_json_problem_can_have_additional_members() -> None:
    answers = failures()

    async def handler(request: web.Request) -> web.StreamResponse:
        return answers.respond(
            request, Problem.SIGN_IN_FIRST, status=401, extra={"login": "https://cc.example/-/login"}
        )

    status, _, body = await ask(handler)
    assert status == 401
    assert '"login": "https://cc.example/-/login"' in body


async def test_an_answer_that_has_begun_is_cut_and_does_not_end_as_complete() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError("in the middle")

    with pytest.raises(ClientError):
        await ask(handler)
    async with TestServer(application(handler)) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(f"GET /page HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    assert answer.endswith(b"half\r\n")


async def test_every_request_has_a_unique_reference() -> None:
    references = set()

    async def handler(request: web.Request) -> web.StreamResponse:
        raise Conflict("x")

    with capture_logs() as lines:
        async with TestClient(TestServer(application(handler))) as client:
            for _ in range(20):
                async with client.get("/page"):
                    pass
    references = {line["reference"] for line in lines}
    assert len(references) == 20


def test_a_reference_has_eight_unambiguous_letters() -> None:
    made = new_reference(SeededRandom())
    assert len(made) == 8
    assert set(made) <= set(REFERENCE_LETTERS)
    assert not set("01IO") & set(REFERENCE_LETTERS)


@pytest.mark.parametrize(
    ("headers", "json"),
    [
        ({}, False),
        ({"Accept": "*/*"}, False),
        ({"Accept": "application/json"}, True),
        ({"Accept": "application/json, text/plain, */*"}, True),
        ({"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, False),
        ({"Accept": "text/html, application/json;q=0.5"}, False),
        ({"Accept": "text/html;q=0.5, application/json"}, True),
        ({"Accept": "text/html;q=1, application/json"}, False),
        ({"Accept": "application/json;q=x"}, False),
        ({"Accept": "*/*", "X-Requested-With": "XMLHttpRequest"}, True),
        ({"Accept": "*/*", "Content-Type": "application/json"}, True),
        ({"Accept": "text/html", "Content-Type": "application/json"}, False),
    ],
)
def test_the_client_selects_page_or_json(headers: dict[str, str], json: bool) -> None:
    assert wants_json(make_mocked_request("GET", "/", headers=headers)) is json


async def test_a_browser_gets_a_page_with_help_and_without_a_traceback() -> None:
    status, headers, body = await ask(raising(RuntimeError(SECRET)), "text/html")
    assert status == 500
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Traceback" not in body
    assert SECRET not in body


def test_one_middleware_serves_the_whole_application() -> None:
    made: Any = own_pages.application(configuration(tenant())).middlewares
    assert [one.__middleware_version__ for one in made] == [1]


async def test_a_page_that_cannot_be_rendered_still_gives_an_answer_with_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> web.Response:
        raise KeyError("a template")

    monkeypatch.setattr(Pages, "render", broken)
    with capture_logs() as lines:
        status, headers, body = await ask(raising(Unreachable("store")), "text/html")
    assert status == 503
    assert headers["Content-Type"].startswith("text/plain")
    assert lines[-1]["reference"] in body


@pytest.mark.row("GW-30")
@pytest.mark.parametrize("error", [Unreachable("store"), ZeroDivisionError()], ids=["dependency", "programming error"])
async def test_a_failed_request_has_one_log_line_with_its_id_and_problem(error: Exception) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        request[REQUEST_ID] = "abc123"
        raise error

    with capture_logs() as lines:
        await ask(handler)
    (line,) = lines
    assert (line["event"], line["request_id"], line["tenant"]) == ("request_failed", "abc123", tenant().id)
    assert line["status"] >= 500
