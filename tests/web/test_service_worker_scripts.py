"""Tests of the script that unregisters a service worker which is not allowed or could control the gateway's pages."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.domain.tenant import Route, Tenant
from gateway.web import service_worker_scripts
from gateway.web.request_check import asks_for_service_worker
from tests.fixtures.proxy_server import (
    HOST,
    VALUE,
    ProxyServer,
    body_of,
    fields_of,
    gateway,
    head,
    session,
    status_of,
    tenant,
    values,
)
from tests.fixtures.upstream import RawUpstream

EVENT = "worker_script_refused"
UPDATE = "Service-Worker: script"
MARKS = (UPDATE, "service-worker: SCRIPT", "Service-Worker:", "Sec-Fetch-Dest: serviceworker")
PASSED = b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 7\r\n\r\nown();\n"


def site(app: RawUpstream, **changes: object) -> Tenant:
    """Returns a tenant with a route without a service worker, one with, and one at the root with."""
    routes = (
        Route("/plain", app.url),
        Route("/worker", app.url, service_worker=True),
        Route("", app.url, service_worker=True),
    )
    return tenant(app.url, routes=routes, **changes)


def is_unregistering(answer: bytes) -> bool:
    """Returns whether the answer is the gateway's unregistering script, in a form that a browser accepts."""
    fields = tuple(fields_of(answer))
    reported = [values(fields, name) for name in ("content-type", "cache-control")]
    as_script = reported == [["text/javascript; charset=utf-8"], ["no-store"]]
    return status_of(answer) == 200 and as_script and body_of(answer) == service_worker_scripts.SCRIPT.encode()


async def asked(app: RawUpstream, server: ProxyServer, target: str, *lines: str, signed_in: bool = True) -> bytes:
    """Returns the answer to the request for a service worker's script, which reached no app."""
    before = app.requests
    answer = await server.send(server.request(target, *(lines or (UPDATE,)), signed_in=signed_in))
    assert app.requests == before
    return answer


@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_route_without_the_setting_serves_no_service_worker_script(
    raw_upstream: RawUpstream, signed_in: bool
) -> None:
    async with gateway(site(raw_upstream)) as server:
        for mark in MARKS:
            answer = await asked(raw_upstream, server, "/plain/worker.js?v=1", mark, signed_in=signed_in)
            assert is_unregistering(answer), (mark, answer)


async def test_a_route_with_the_setting_serves_a_script_for_its_folder(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = PASSED
    async with gateway(site(raw_upstream)) as server:
        for target in ("/worker/sw.js", "/worker/deep/sw.js", "/elsewhere/sw.js", "/-x/sw.js"):
            assert body_of(await server.send(server.request(target, UPDATE))) == b"own();\n", target


@pytest.mark.parametrize("target", ["/sw.js", "/worker", "/", "/sw.js?/a/b/"])
async def test_a_script_whose_folder_covers_the_gateways_pages_is_refused_even_with_the_setting(
    raw_upstream: RawUpstream, target: str
) -> None:
    async with gateway(site(raw_upstream)) as server:
        assert is_unregistering(await asked(raw_upstream, server, target))


@pytest.mark.parametrize(
    "target", ["/-/login", "/-/static/base.js", "/-/sw.js", "/%2D/sw.js", "/-/nothing/sw.js", "/-/", "/-"]
)
async def test_no_path_of_the_gateway_serves_a_service_worker_script(raw_upstream: RawUpstream, target: str) -> None:
    async with gateway(site(raw_upstream)) as server:
        for signed_in in (True, False):
            assert is_unregistering(await asked(raw_upstream, server, target, signed_in=signed_in))


async def test_an_update_without_a_session_unregisters_the_service_worker_of_any_route(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(site(raw_upstream)) as server:
        assert is_unregistering(await asked(raw_upstream, server, "/worker/sw.js", signed_in=False))


async def test_an_update_by_a_session_that_does_not_open_the_route_unregisters_the_service_worker(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(site(raw_upstream)) as server:
        server.sessions.known[VALUE] = session(routes=("/plain",))
        assert is_unregistering(await asked(raw_upstream, server, "/worker/sw.js"))


async def test_on_a_path_without_an_app_the_service_worker_is_unregistered(raw_upstream: RawUpstream) -> None:
    routes = (Route("/worker", raw_upstream.url, service_worker=True),)
    async with gateway(tenant(routes=routes)) as server:
        for target in ("/gone/sw.js", "/worker/keycloakLogin", "/worker//sw.js", "/worker/a%2Fb/sw.js"):
            assert is_unregistering(await asked(raw_upstream, server, target)), target


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/worker/sw.js", f"Cookie: a={'x' * 32_768}"),
        ("/worker/sw.js", f"X-Large: {'x' * 32_768}"),
        ("/worker/sw.js", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Mode: cors"),
        ("/worker/%00/sw.js", "Accept: */*"),
        ("/worker/../sw.js", "Accept: */*"),
    ],
)
async def test_a_request_refused_by_the_request_check_unregisters_the_service_worker(
    raw_upstream: RawUpstream, target: str, line: str
) -> None:
    """Cookies for the script's path could otherwise make each update a 431 and keep the worker for ever."""
    async with gateway(site(raw_upstream)) as server:
        answer = await asked(raw_upstream, server, target, UPDATE, line)
        assert is_unregistering(answer)
        assert values(tuple(fields_of(answer)), "connection") == ["close"]
        assert status_of(await server.send(server.request(target, line))) in (400, 431)


async def test_a_host_or_tenant_no_longer_served_unregisters_its_service_workers(raw_upstream: RawUpstream) -> None:
    async with gateway(site(raw_upstream, active=False)) as server:
        request = server.request("/worker/sw.js", UPDATE)
        assert is_unregistering(await server.send(request))
        assert is_unregistering(await server.send(request.replace(HOST.encode(), b"gone.example")))


async def test_an_unreadable_client_address_does_not_keep_a_service_worker_registered(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(site(raw_upstream), trusted=("127.0.0.0/8",)) as server:
        answer = await asked(raw_upstream, server, "/worker/sw.js", UPDATE, "X-Forwarded-For: nonsense")
    assert is_unregistering(answer)


@pytest.mark.parametrize("kind", ["worker", "sharedworker", "script", "paintworklet"])
async def test_other_workers_and_scripts_are_ordinary_requests(raw_upstream: RawUpstream, kind: str) -> None:
    raw_upstream.answer = PASSED
    async with gateway(site(raw_upstream)) as server:
        answer = await server.send(server.request("/plain/worker.js", f"Sec-Fetch-Dest: {kind}"))
    assert body_of(answer) == b"own();\n"


async def test_a_post_request_is_no_service_worker_script(raw_upstream: RawUpstream) -> None:
    async with gateway(site(raw_upstream)) as server:
        answer = await server.send(server.request("/plain/x", UPDATE, method="POST", body=b"x"))
    assert (status_of(answer), raw_upstream.requests) == (200, 1)
    assert body_of(answer) == b"ok"


async def test_an_app_that_is_down_does_not_unregister_its_service_worker(raw_upstream: RawUpstream) -> None:
    await raw_upstream.stop()
    async with gateway(site(raw_upstream)) as server:
        assert status_of(await server.send(server.request("/worker/sw.js", UPDATE))) == 502


async def test_a_redirect_of_the_app_is_forwarded_to_the_browser(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b"HTTP/1.1 302 Found\r\nLocation: /sw.js\r\nContent-Length: 0\r\n\r\n"
    async with gateway(site(raw_upstream)) as server:
        assert status_of(await server.send(server.request("/worker/sw.js", UPDATE))) == 302


async def test_the_connection_stays_usable_after_the_unregistering_script(raw_upstream: RawUpstream) -> None:
    async with gateway(site(raw_upstream)) as server:
        refused = server.request("/plain/sw.js", UPDATE).replace(b"Connection: close\r\n", b"")
        answers = await server.send(refused + server.request("/plain/x"))
    assert answers.count(b"HTTP/1.1 200 OK") == 2


async def test_each_refusal_is_logged_once_with_its_route_and_without_its_query(raw_upstream: RawUpstream) -> None:
    async with gateway(site(raw_upstream)) as server:
        with capture_logs() as lines:
            for target, signed_in in (("/plain/sw.js?secret", True), ("/sw.js", True), ("/worker/sw.js", False)):
                await server.send(server.request(target, UPDATE, signed_in=signed_in))
    reported = [(line["log_level"], line["route"], line["path"]) for line in lines if line["event"] == EVENT]
    assert reported == [
        ("info", "/plain", "/plain/sw.js"),
        ("info", "/", "/sw.js"),
        ("info", "/worker", "/worker/sw.js"),
    ]


def test_the_unregistering_script_answers_no_request_and_reloads_no_page() -> None:
    assert not [
        word for word in ("fetch", "navigate", "reload", "clients", "import") if word in service_worker_scripts.SCRIPT
    ]


def test_a_navigation_preload_is_no_service_worker_script_request() -> None:
    assert not asks_for_service_worker(head("/", ("Service-Worker-Navigation-Preload", "true")))
    assert asks_for_service_worker(replace(head("/", ("SERVICE-WORKER", "script")), method="HEAD"))
