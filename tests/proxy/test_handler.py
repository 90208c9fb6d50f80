"""Tests of the proxy's entry, and of the answers to refused requests."""

import json
from dataclasses import replace

import pytest
from aiohttp import http_parser

from gateway.domain.errors import Misconfigured
from gateway.domain.tenant import AllowedUsers, Branding, ExtraMethod, Help, Route, Tenant
from gateway.proxy.handler import require_strict_parser
from tests.fixtures.proxy_server import (
    VALUE,
    ProxyServer,
    body_of,
    fields_of,
    gateway,
    session,
    status_of,
    tenant,
    values,
)
from tests.fixtures.upstream import RawUpstream

FRIEND = "https://friend.example"
ODD_PAGES = ["/-/login/../x", "/-/login%00", "/-/login\\x", "//-/login", "/-/login#x"]


def field(answer: bytes, name: str) -> list[str]:
    """Returns the values of every field of that name."""
    return values(tuple(fields_of(answer)), name)


def problem(answer: bytes) -> str:
    """Returns the code of a problem in JSON."""
    code = json.loads(answer.partition(b"\r\n\r\n")[2])["problem"]["code"]
    assert isinstance(code, str)
    return code


async def test_app_and_browser_get_the_id_of_the_request_in_the_log(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b"HTTP/1.1 200 OK\r\nX-Request-ID: of-the-app\r\nContent-Length: 0\r\n\r\n"
    async with gateway(tenant(raw_upstream.url)) as server:
        request = server.request("/agent-manager/x").replace(b"\r\n\r\n", b"\r\nX-Request-ID: of-a-client\r\n\r\n")
        answer = await server.send(request)
    (shown,) = field(answer, "x-request-id")
    assert field(raw_upstream.received, "x-request-id") == [shown]
    assert len(shown) == 18


@pytest.mark.row("GW-11")
async def test_an_unknown_host_is_a_421(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        for target in ("/agent-manager/x", "/-/login"):
            request = server.request(target).replace(b"Host: cc.example", b"Host: nobody.example")
            assert status_of(await server.send(request)) == 421
    assert raw_upstream.connections == []


@pytest.mark.row("GW-11")
@pytest.mark.attack("A9")
async def test_a_session_opens_only_the_tenant_it_belongs_to(raw_upstream: RawUpstream) -> None:
    names = ("cc.example", "two.example", "three.example")
    tenants = [tenant(raw_upstream.url, id=name, public_url=f"https://{name}") for name in names]
    async with gateway(*tenants) as server:
        for of in names:
            server.sessions.known[VALUE] = session(tenant=of)
            for asked in names:
                request = server.request("/agent-manager/x").replace(b"Host: cc.example", f"Host: {asked}".encode())
                assert (status_of(await server.send(request)) == 200) is (asked == of)
    assert raw_upstream.requests == 3


async def test_a_tenant_that_is_not_active_is_not_served(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url, active=False)) as server:
        for target in ("/agent-manager/x", "/-/login"):
            assert b"own page" not in await server.send(server.request(target))
    assert raw_upstream.connections == []


@pytest.mark.parametrize("target", ODD_PAGES)
async def test_the_gateways_own_pages_pass_the_same_request_check(target: str) -> None:
    async with gateway(tenant()) as server:
        assert status_of(await server.send(server.request("/-/login"))) == 200
        assert status_of(await server.send(server.request(target))) == 400


async def test_a_refused_request_ends_its_connection() -> None:
    async with gateway(tenant()) as server:
        reader, writer = await server.connect()
        writer.write(server.request("/a/../b").replace(b"Connection: close\r\n", b""))
        assert field(await reader.read(), "connection") == ["close"]
        writer.close()


async def test_a_405_lists_the_allowed_methods() -> None:
    async with gateway(tenant()) as server:
        answer = await server.send(server.request("/agent-manager/x", method="TRACE"))
    assert (status_of(answer), field(answer, "allow")) == (405, ["DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"])


async def test_a_path_without_a_route_is_answered_with_the_gateways_404(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        for target in ("/nothing", "/-/nothing"):
            answer = await server.send(server.request(target, "Accept: text/html"))
            assert status_of(answer) == 404
            assert b"<html" in answer
    assert raw_upstream.connections == []


@pytest.mark.row("NX-05")
async def test_a_blocked_endpoint_is_answered_with_the_address_of_the_sign_in(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        for signed_in in (True, False):
            for target in ("/agent-manager/agent/login", "/unified-admin/keycloakLogin"):
                answer = await server.send(server.request(target, method="POST", signed_in=signed_in))
                assert problem(answer) == "sign-in-here"
                assert json.loads(body_of(answer))["login"] == "https://cc.example/-/login"
    assert raw_upstream.connections == []


@pytest.mark.row("GW-12")
async def test_a_navigation_without_a_session_is_redirected_to_the_login() -> None:
    async with gateway(tenant()) as server:
        answer = await server.send(server.request("/agent-manager/x?a=b", "Sec-Fetch-Mode: navigate", signed_in=False))
    assert status_of(answer) == 303
    assert field(answer, "location") == ["/-/login?to=/agent-manager/x%3Fa%3Db"]
    assert field(answer, "vary") == ["Cookie"]
    assert field(answer, "cache-control") == ["no-store"]


@pytest.mark.row("GW-12")
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html"])
async def test_a_script_without_a_session_gets_json_with_the_login(accept: str) -> None:
    async with gateway(tenant()) as server:
        lines = ("Sec-Fetch-Mode: cors", f"Accept: {accept}")
        answer = await server.send(server.request("/agent-manager/x", *lines, signed_in=False))
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert status_of(answer) == 401
    assert body["login"] == "https://cc.example/-/login?to=/agent-manager/x"
    assert body["problem"]["code"] == "sign-in-first"
    assert body["problem"]["text"]
    assert body["problem"]["reference"]


@pytest.mark.row("GW-28")
@pytest.mark.attack("F7")
async def test_a_request_of_another_site_with_the_session_cookie_is_a_403(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        forged = server.request("/agent-manager/x", "Origin: https://evil.cc.example", method="POST")
        answer = await server.send(forged.replace(b"same-origin", b"same-site"))
    assert (status_of(answer), problem(answer)) == (403, "origin-refused")
    assert raw_upstream.connections == []


async def configured(raw_upstream: RawUpstream, *lines: str, method: str = "GET", signed_in: bool = True) -> bytes:
    """Returns the answer to a page of a configured origin."""
    async with gateway(tenant(raw_upstream.url, origins=frozenset({FRIEND}))) as server:
        request = server.request("/agent-manager/x", f"Origin: {FRIEND}", *lines, method=method, signed_in=signed_in)
        return await server.send(request.replace(b"same-origin", b"cross-site"))


@pytest.mark.row("GW-12")
async def test_a_preflight_of_a_configured_origin_is_answered_by_the_gateway(raw_upstream: RawUpstream) -> None:
    lines = ("Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: X-A, content-type")
    answer = await configured(raw_upstream, *lines, method="OPTIONS", signed_in=False)
    assert status_of(answer) == 204
    assert field(answer, "access-control-allow-origin") == [FRIEND]
    assert field(answer, "access-control-allow-headers") == ["content-type, x-a"]
    assert field(answer, "access-control-allow-credentials") == ["true"]
    assert raw_upstream.connections == []


@pytest.mark.row("GW-28")
async def test_a_configured_origin_may_read_answers_and_refusals(raw_upstream: RawUpstream) -> None:
    for signed_in, status in ((True, 200), (False, 401)):
        answer = await configured(raw_upstream, "Sec-Fetch-Mode: cors", signed_in=signed_in)
        assert status_of(answer) == status
        assert field(answer, "access-control-allow-origin") == [FRIEND]


async def test_a_route_may_take_webdav_methods_and_names_with_underscores(raw_upstream: RawUpstream) -> None:
    files = Route("/files", raw_upstream.url, methods=frozenset({ExtraMethod.PROPFIND}), underscore_headers=True)
    async with gateway(tenant(routes=(files, Route("/app", raw_upstream.url)))) as server:
        assert status_of(await server.send(server.request("/files/", "X_Any: 1", method="PROPFIND"))) == 200
        assert raw_upstream.received.startswith(b"PROPFIND /files/ HTTP/1.1")
        assert b"X_Any: 1" in raw_upstream.received
        assert status_of(await server.send(server.request("/app/", method="PROPFIND"))) == 405
        assert status_of(await server.send(server.request("/-/login", method="PROPFIND"))) == 405
        assert status_of(await server.send(server.request("/app/", "X_Any: 1"))) == 400
        assert status_of(await server.send(server.request("/-/login", "X_Any: 1"))) == 400


@pytest.mark.row("GW-07")
async def test_the_next_answer_sets_a_token_cookie_that_differs_from_the_sessions_token(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        for sent, renewed in (("", True), ("; token=old", True), ("; token=header.payload.signature", False)):
            server.cookie = server.cookie.partition(";")[0] + sent
            cookies = field(await server.send(server.request("/agent-manager/x")), "set-cookie")
            assert [cookie.partition(";")[0] for cookie in cookies] == ["token=header.payload.signature"] * renewed


@pytest.mark.row("GW-07")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nSet-Cookie: own=1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=lambda answer: answer[9:12].decode(),
)
async def test_the_renewed_token_cookie_is_set_on_any_answer_of_the_app(
    answer: bytes, raw_upstream: RawUpstream
) -> None:
    raw_upstream.answer = answer
    async with gateway(tenant(raw_upstream.url)) as server:
        cookies = field(await server.send(server.request("/agent-manager/x")), "set-cookie")
    assert cookies[-1].startswith("token=header.payload.signature; ")


@pytest.mark.row("GW-07")
async def test_a_token_too_large_for_a_cookie_still_reaches_the_app(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        known = session()
        large = replace(known, tokens=replace(known.tokens, access="t" * 6000))
        server.sessions.known[VALUE] = large
        answer = await server.send(server.request("/agent-manager/x"))
    assert (status_of(answer), field(answer, "set-cookie")) == (200, [])
    assert b"Authorization: Bearer " + b"t" * 6000 in raw_upstream.received


@pytest.mark.attack("A5")
async def test_only_a_trusted_proxy_may_set_the_client_address(raw_upstream: RawUpstream) -> None:
    forged = "X-Forwarded-For: 203.0.113.9"
    for trusted, reported in (((), b"127.0.0.1"), (("127.0.0.0/8",), b"203.0.113.9")):
        async with gateway(tenant(raw_upstream.url), trusted=trusted) as server:
            await server.send(server.request("/agent-manager/x", forged))
        assert raw_upstream.received.rpartition(b"X-Forwarded-For: ")[2].partition(b"\r\n")[0] == reported


@pytest.mark.attack("A7")
async def test_an_unparsable_client_address_of_a_trusted_proxy_is_refused(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url), trusted=("127.0.0.0/8",)) as server:
        assert status_of(await server.send(server.request("/agent-manager/x", "X-Forwarded-For: me"))) == 400
    assert raw_upstream.connections == []


@pytest.mark.attack("A12")
@pytest.mark.parametrize("value", ["", "x", f"{VALUE}x", f"{VALUE} ;x", f'"{VALUE}"', "\x80\xff", "a" * 5000])
async def test_an_invalid_session_cookie_opens_nothing(value: str, raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        server.cookie = f"__Host-Http-gateway-session={value}"
        opened = await is_open(server)
    assert opened is (value == f"{VALUE} ;x")


@pytest.mark.attack("D11")
async def test_a_session_cookie_sent_twice_or_without_its_prefix_opens_nothing(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        own = server.cookie
        bare = own.removeprefix("__Host-Http-")
        assert bare != own
        shorter = (bare, f"__Host-{bare}", f"__Http-{bare}", own.lower())
        for planted in (f"{own}; {own}", f"__Host-Http-gateway-session=x; {own}", *shorter):
            server.cookie = planted
            assert not await is_open(server)


async def is_open(server: ProxyServer) -> bool:
    """Returns whether a request reaches the app."""
    return status_of(await server.send(server.request("/agent-manager/x"))) == 200


async def test_no_session_is_looked_up_for_paths_that_need_none(raw_upstream: RawUpstream) -> None:
    site = tenant(raw_upstream.url, public_paths=frozenset({"/agent-manager/logo"}))
    async with gateway(site) as server:
        for target in ("/agent-manager/logo", "/nothing", "/agent-manager/agent/login"):
            await server.send(server.request(target))
        assert server.sessions.asked == 0
    assert b"Authorization" not in raw_upstream.received


def test_the_pure_python_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_strict_parser()
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(Misconfigured, match="compiled parser"):
        require_strict_parser()


async def test_the_address_without_a_path_redirects_to_the_start_page(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url, home="/agent-manager/")) as server:
        answer = await server.send(server.request("/"))
    assert (status_of(answer), field(answer, "location")) == (303, ["/agent-manager/"])


RESTRICTED = AllowedUsers(roles=frozenset({"admin"}))


def restricted(upstream: str) -> Tenant:
    """Returns a tenant with an app for administrators only."""
    route = Route("/unified-admin", upstream, allow=RESTRICTED, name="Unified <Admin>")
    help_ = Help(text="The service desk helps.", phone="+49 30 4711")
    return tenant(upstream, routes=(route,), branding=Branding(name="Expertflow", help=help_))


@pytest.mark.row("GW-40")
async def test_a_user_who_may_not_use_an_app_reads_its_name_and_the_help(raw_upstream: RawUpstream) -> None:
    async with gateway(restricted(raw_upstream.url)) as server:
        lines = ("Accept: text/html", "Sec-Fetch-Mode: navigate")
        answer = await server.send(server.request("/unified-admin/x", *lines))
    page = body_of(answer).decode()
    assert status_of(answer) == 403
    assert "You can&#39;t use this app" in page
    assert "Unified &lt;Admin&gt;" in page
    assert "The service desk helps." in page
    assert 'href="/-/account"' in page
    assert field(answer, "cache-control") == ["no-store"]
    assert raw_upstream.connections == []


@pytest.mark.row("GW-40")
async def test_a_script_of_a_user_who_may_not_use_an_app_reads_its_name_in_json(raw_upstream: RawUpstream) -> None:
    async with gateway(restricted(raw_upstream.url)) as server:
        answer = await server.send(server.request("/unified-admin/x", "Sec-Fetch-Mode: cors", method="POST"))
    body = json.loads(body_of(answer))
    assert (status_of(answer), body["app"], body["problem"]["code"]) == (403, "Unified <Admin>", "app-not-allowed")
    assert raw_upstream.connections == []


@pytest.mark.row("GW-40")
async def test_a_user_with_the_role_uses_the_app(raw_upstream: RawUpstream) -> None:
    async with gateway(restricted(raw_upstream.url)) as server:
        server.sessions.known[VALUE] = session(roles=("admin",))
        assert status_of(await server.send(server.request("/unified-admin/x"))) == 200
