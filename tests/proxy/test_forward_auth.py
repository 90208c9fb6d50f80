"""Tests of the answers to other proxies: whom they reach, which request they are about, what each proxy can pass on."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
import structlog
from hypothesis import given
from hypothesis.strategies import builds, just, lists, sampled_from
from ruamel.yaml import YAML

from gateway.domain.configuration import ForwardAuthProxy
from gateway.domain.errors import Unreachable
from gateway.domain.session import Session
from gateway.domain.tenant import AllowedUsers, IdentityDelivery, Route, Tenant, longest_match
from gateway.proxy.authorization import Decision, Forward, authorize
from gateway.proxy.forward_auth import IDENTITY, read_alike, request_in_question
from gateway.proxy.headers import ORIGIN_WIDE
from gateway.proxy.routing import find
from gateway.web.request_check import InvalidRequest, RequestHead, check, refusal
from tests.fixtures.asking_proxies import DEPLOY
from tests.fixtures.proxy_server import (
    TOKEN,
    VALUE,
    body_of,
    fields_of,
    gateway,
    session,
    status_of,
    tenant,
    values,
)
from tests.web.test_request_check import HANDSHAKE

pytestmark = pytest.mark.row("GW-04")
NGINX, TRAEFIK, CADDY, ENVOY = ForwardAuthProxy
EACH = pytest.mark.parametrize("proxy", ForwardAuthProxy, ids=lambda proxy: proxy.value)
OWN = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")
PAGE = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Accept: text/html")
WORKER = ("Sec-Fetch-Site: same-origin", "Service-Worker: script")
UPSTREAM = "http://127.0.0.1:1"


def question(
    proxy: ForwardAuthProxy, target: str, lines: Iterable[str] = OWN, *, method: str = "GET", host: str = "cc.example"
) -> bytes:
    """Returns the question that this proxy asks about a request."""
    fields = ["Connection: close", "X-Forwarded-For: 192.0.2.7", *lines]
    asked, at = "GET", "/-/auth"
    match proxy:
        case ForwardAuthProxy.NGINX:
            fields += [f"Host: {host}", f"X-Original-URI: {target}", f"X-Original-Method: {method}"]
        case ForwardAuthProxy.ENVOY:
            asked, at = method, f"/-/auth{target}"
            fields += [f"Host: {host}", "Content-Length: 0"]
        case _:
            fields += ["Host: gateway:8080", f"X-Forwarded-Host: {host}"]
            fields += [f"X-Forwarded-Uri: {target}", f"X-Forwarded-Method: {method}"]
    return "\r\n".join([f"{asked} {at} HTTP/1.1", *fields, "", ""]).encode("latin-1")


async def asked(
    proxy: ForwardAuthProxy,
    target: str,
    lines: Iterable[str] = OWN,
    *,
    method: str = "GET",
    of: Tenant | None = None,
    user: Session | None = None,
    signed_in: bool = True,
) -> bytes:
    """Returns the answer of a gateway to one question about a user's request."""
    async with gateway(of or tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy) as server:
        server.sessions.known[VALUE] = user or session()
        cookies = (f"Cookie: {server.cookie}; app=1",) if signed_in else ("Cookie: app=1",)
        return await server.send(question(proxy, target, (*lines, *cookies), method=method))


def field(answer: bytes, name: str) -> list[str]:
    """Returns the values of every field of that name."""
    return values(tuple(fields_of(answer)), name)


def identity(answer: bytes) -> dict[str, list[str]]:
    """Returns the fields for the app."""
    return {name: field(answer, name) for name in IDENTITY}


NO_APP = (
    "/agent-manager/../unified-admin/x",
    "/agent-manager/%2e%2e/unified-admin/x",
    "/agent-manager/..;/x",
    "//agent-manager/x",
    "/agent-manager//x",
    "/agent-manager/%2fx",
    "/agent-manager/x#y",
    "http://cc.example/agent-manager/x",
    "agent-manager/x",
    "",
    "*",
    "/agent-manager/agent/login",
    "/-/login",
    "/-/auth",
    "/nothing",
)
FURTHER_WAYS = (
    "X-Original-URI: /unified-admin/",
    "X-Original-Method: GET",
    "X-Forwarded-Uri: /unified-admin/",
    "X-Forwarded-Method: GET",
    "X-Original-URL: /unified-admin/",
    "X-Rewrite-URL: /unified-admin/",
    "X_Original_URI: /unified-admin/",
    "X_Forwarded_Uri: /unified-admin/",
    "Transfer-Encoding: chunked",
    "Content-Length: 5",
)
NONE = {name: [""] for name in IDENTITY}


@EACH
async def test_a_signed_in_user_passes_with_the_fields_for_the_app(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x?a=b")
    assert status_of(answer) == 200
    assert identity(answer) == {**NONE, "Authorization": [f"Bearer {TOKEN}"], "Cookie": [f"token={TOKEN}; app=1"]}
    assert body_of(answer) == b""


@EACH
async def test_each_route_sets_how_its_app_learns_the_user(proxy: ForwardAuthProxy) -> None:
    route = Route("/app", UPSTREAM, identity=frozenset({IdentityDelivery.HEADERS}))
    answer = await asked(
        proxy, "/app/x", of=tenant(routes=(route,)), user=session(email="a@b.example", roles=("agent",))
    )
    assert identity(answer) == {
        "Authorization": [""],
        "Cookie": ["app=1"],
        "X-Auth-User-Id": ["u1"],
        "X-Auth-Username": ["anna"],
        "X-Auth-Email": ["a@b.example"],
        "X-Auth-Roles": ["agent"],
    }


@EACH
@pytest.mark.attack("F13")
async def test_every_field_for_the_app_is_there_whatever_the_client_sent(proxy: ForwardAuthProxy) -> None:
    of = tenant(UPSTREAM, public_paths=frozenset({"/agent-manager/logo.svg"}))
    forged = tuple(f"{name}: forged" for name in IDENTITY if name != "Cookie")
    answer = await asked(proxy, "/agent-manager/logo.svg", (*OWN, *forged), of=of)
    assert status_of(answer) == 200
    assert identity(answer) == {**NONE, "Cookie": ["app=1"]}


async def test_a_cookie_in_utf_8_keeps_its_bytes() -> None:
    answer = await asked(NGINX, "/agent-manager/x", (*OWN, "Cookie: name=\xc3\xbc"), signed_in=False)
    assert status_of(answer) == 401
    of = tenant(UPSTREAM, public_paths=frozenset({"/agent-manager/x"}))
    answer = await asked(NGINX, "/agent-manager/x", (*OWN, "Cookie: name=\xc3\xbc"), of=of, signed_in=False)
    assert field(answer, "cookie") == ["name=\xc3\xbc; app=1"]


@EACH
@pytest.mark.attack("F13")
async def test_a_yes_sets_no_cookie_and_is_not_stored(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x", user=session(tokens=replace(session().tokens, access="new")))
    assert (status_of(answer), field(answer, "set-cookie"), field(answer, "cache-control")) == (200, [], ["no-store"])


# ---- who gets an answer


@EACH
@pytest.mark.attack("F13")
@pytest.mark.parametrize("trusted", [(), ("192.0.2.1",)])
async def test_any_other_peer_than_a_trusted_proxy_finds_no_page(
    proxy: ForwardAuthProxy, trusted: tuple[str, ...]
) -> None:
    async with gateway(tenant(UPSTREAM), trusted=trusted, forward_auth=proxy) as server:
        lines = (*OWN, f"Cookie: {server.cookie}")
        answer = await server.send(question(proxy, "/agent-manager/x", lines).replace(b"gateway:8080", b"cc.example"))
        unknown = await server.send(server.request("/-/nothing", "Sec-Fetch-Mode: cors"))
    assert TOKEN not in answer.decode("latin-1")
    assert (status_of(answer), status_of(unknown)) == (404, 404)
    assert json.loads(body_of(answer))["problem"]["code"] == json.loads(body_of(unknown))["problem"]["code"]


@EACH
async def test_without_the_setting_there_is_no_such_page(proxy: ForwardAuthProxy) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",)) as server:
        lines = (*OWN, f"Cookie: {server.cookie}")
        answer = await server.send(question(proxy, "/agent-manager/x", lines).replace(b"gateway:8080", b"cc.example"))
    assert (status_of(answer), TOKEN in answer.decode("latin-1")) == (404, False)


@pytest.mark.attack("F13")
@pytest.mark.parametrize(
    "path", ["/-/auth/", "/-/auth?x", "/-/%61uth", "/-/Auth", "/-//auth", "/-/auth/agent-manager/x"]
)
async def test_no_other_spelling_of_the_path_answers_a_question(path: str) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        raw = question(NGINX, "/agent-manager/x", (*OWN, f"Cookie: {server.cookie}"))
        answer = await server.send(raw.replace(b"GET /-/auth ", f"GET {path} ".encode()))
    assert status_of(answer) in (400, 404)
    assert TOKEN not in answer.decode("latin-1")


# ---- which request a question is about


@EACH
@pytest.mark.attack("F13")
async def test_a_question_that_names_its_request_in_a_further_way_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy) as server:
        for line in FURTHER_WAYS:
            raw = question(proxy, "/agent-manager/x", (*OWN, f"Cookie: {server.cookie}", line))
            if line.startswith("Content-Length"):
                raw = raw.replace(b"Content-Length: 0\r\n", b"")
            body = b"0\r\n\r\n" if "chunked" in line else b"aaaaa" if "5" in line else b""
            answer = await server.send(raw + body)
            assert status_of(answer) in (400, 403)
            assert TOKEN not in answer.decode("latin-1")


@EACH
@pytest.mark.parametrize("missing", ["X-Original-URI", "X-Original-Method", "X-Forwarded-Uri", "X-Forwarded-Method"])
def test_a_question_without_path_or_method_is_about_no_request(proxy: ForwardAuthProxy, missing: str) -> None:
    lines = question(proxy, "/agent-manager/x").decode().split("\r\n")
    fields = [tuple(line.split(": ", 1)) for line in lines[1:] if line and not line.startswith(missing)]
    head = RequestHead("GET", lines[0].split(" ")[1], (1, 1), tuple((name, value) for name, value in fields))
    found = request_in_question(head, proxy, "/-/auth")
    if f"{missing}: " in "\n".join(lines):
        assert found == f"{missing.lower()} is missing, or there are several"
    else:
        assert isinstance(found, RequestHead)


async def test_an_unreadable_question_is_logged_with_its_reason() -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        with structlog.testing.capture_logs() as lines:
            await server.send(b"GET /-/auth HTTP/1.1\r\nHost: cc.example\r\nConnection: close\r\n\r\n")
    [line] = [line for line in lines if line["event"] == "forward_auth_unreadable"]
    assert line["why"] == "x-original-method is missing, or there are several"


@EACH
@pytest.mark.attack("F13")
async def test_a_path_that_the_gateway_forwards_to_no_app_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy) as server:
        for target in NO_APP:
            answer = await server.send(question(proxy, target, (*OWN, f"Cookie: {server.cookie}")))
            assert status_of(answer) in ((403, 404) if proxy is NGINX else (400, 403, 404)), target
            assert TOKEN not in answer.decode("latin-1")


@EACH
@pytest.mark.attack("F13")
async def test_a_path_that_the_proxy_may_read_as_another_route_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    strict = Route("/strict", UPSTREAM, allow=AllowedUsers(roles=frozenset({"admin"})))
    of = tenant(routes=(Route("", UPSTREAM, allow_encoded_slash=True), strict))
    async with gateway(of, trusted=("127.0.0.1",), forward_auth=proxy) as server:
        statuses = {}
        for target in ("/other/x", "/strict%2fx", "/STRICT/x", "/%53trict/x", "/other//x", "/strictly"):
            answer = await server.send(question(proxy, target, (*OWN, f"Cookie: {server.cookie}")))
            statuses[target] = status_of(answer) == 200
    assert [target for target, passed in statuses.items() if passed] == ["/other/x", "/strictly"]


@EACH
@pytest.mark.attack("F13")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_an_unsafe_method_needs_the_fields_that_name_the_page(proxy: ForwardAuthProxy, method: str) -> None:
    without = await asked(proxy, "/agent-manager/x", (), method=method)
    other = await asked(proxy, "/agent-manager/x", ("Origin: https://evil.example",), method=method)
    own = await asked(proxy, "/agent-manager/x", ("Origin: https://cc.example",), method=method)
    assert [status_of(answer) for answer in (without, other, own)] == [403, 403, 200]


@EACH
async def test_a_method_that_the_route_does_not_take_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x", method="PROPFIND")
    assert status_of(answer) == (403 if proxy is NGINX else 405)


@EACH
@pytest.mark.attack("F13")
async def test_a_websocket_of_another_page_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    key = next(f"{name}: {value}" for name, value in HANDSHAKE if name.lower() == "sec-websocket-key")
    lines = (key, "Sec-WebSocket-Version: 13", "Sec-Fetch-Site: same-origin")  # the proxy has removed Upgrade
    other = await asked(proxy, "/agent-manager/ws", (*lines, "Origin: https://evil.example"))
    own = await asked(proxy, "/agent-manager/ws", (*lines, "Origin: https://cc.example"))
    broken = await asked(proxy, "/agent-manager/ws", ("Sec-WebSocket-Key: x", "Origin: https://cc.example"))
    assert [status_of(answer) for answer in (other, own)] == [403, 200]
    assert status_of(broken) == (403 if proxy is NGINX else 400)


@EACH
@pytest.mark.row("GW-11")
async def test_a_question_about_an_unknown_host_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy) as server:
        lines = (*OWN, f"Cookie: {server.cookie}")
        answer = await server.send(question(proxy, "/agent-manager/x", lines, host="other.example"))
    assert status_of(answer) == (403 if proxy is NGINX else 421)


# ---- what a proxy can pass on


@EACH
async def test_a_page_without_a_session_leads_to_the_login_and_back(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x?a=b", PAGE, signed_in=False)
    assert status_of(answer) == (401 if proxy is NGINX else 303)
    assert field(answer, "location") == ["https://cc.example/-/login?to=/agent-manager/x%3Fa%3Db"]


@EACH
async def test_a_script_without_a_session_reads_the_login_in_json(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x", signed_in=False)
    assert status_of(answer) == 401
    assert json.loads(body_of(answer))["login"] == "https://cc.example/-/login?to=/agent-manager/x"


@EACH
async def test_a_stricter_route_leads_to_the_step_up(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x", PAGE, user=session(routes=("/unified-admin",)))
    assert status_of(answer) == (401 if proxy is NGINX else 303)
    assert field(answer, "location") == ["https://cc.example/-/login?purpose=step-up&to=/agent-manager/x"]


@EACH
@pytest.mark.row("GW-40")
async def test_a_user_who_may_not_use_the_app_gets_its_page(proxy: ForwardAuthProxy) -> None:
    route = Route("/app", UPSTREAM, allow=AllowedUsers(roles=frozenset({"admin"})), name="The App")
    answer = await asked(proxy, "/app/x?y", PAGE, of=tenant(routes=(route,)))
    page = body_of(answer).decode()
    assert (status_of(answer), "The App" in page, "/-/auth" in page) == (403, True, False)


@EACH
@pytest.mark.attack("F13")
async def test_the_script_that_unregisters_a_worker_is_no_yes(proxy: ForwardAuthProxy) -> None:
    for target, signed_in in (("/agent-manager/sw.js", True), ("/nothing/sw.js", False), ("/-/sw.js", True)):
        answer = await asked(proxy, target, WORKER, signed_in=signed_in)
        assert (status_of(answer), TOKEN in answer.decode("latin-1")) == (403, False)


@EACH
@pytest.mark.attack("F13")
async def test_the_answer_to_a_broken_request_for_a_worker_is_no_yes(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/../sw.js", WORKER)
    assert status_of(answer) == 403


@EACH
@pytest.mark.attack("F13")
async def test_the_answer_to_a_preflight_is_no_yes(proxy: ForwardAuthProxy) -> None:
    of = tenant(UPSTREAM, origins=frozenset({"https://friend.example"}))
    lines = ("Origin: https://friend.example", "Access-Control-Request-Method: PUT")
    answer = await asked(proxy, "/agent-manager/x", lines, method="OPTIONS", of=of)
    assert status_of(answer) == 403


@EACH
async def test_a_tenant_that_is_not_active_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    answer = await asked(proxy, "/agent-manager/x", of=tenant(UPSTREAM, active=False))
    assert status_of(answer) == 503


@EACH
async def test_an_ended_session_gets_no_yes(proxy: ForwardAuthProxy) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy) as server:
        raw = question(proxy, "/agent-manager/x", (*OWN, f"Cookie: {server.cookie}"))
        before = status_of(await server.send(raw))
        server.sessions.end("s1")
        assert [before, status_of(await server.send(raw))] == [200, 401]


@EACH
async def test_the_audit_names_the_request_in_question(proxy: ForwardAuthProxy) -> None:
    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy) as server:
        lines = ("Origin: https://evil.example", f"Cookie: {server.cookie}")
        with structlog.testing.capture_logs() as logged:
            await server.send(question(proxy, "/agent-manager/x", lines, method="POST"))
    [line] = [line for line in logged if line["event"] == "origin_rejected"]
    assert (line["method"], line["path"], line["client"]) == ("POST", "/agent-manager/x", "192.0.2.7")


# ---- a question and the request itself


def decided(head: RequestHead, *, in_question: bool = False) -> Decision | InvalidRequest:
    """Returns the decision about a request of a signed-in user, as the gateway makes it."""
    checked = check(head)
    if isinstance(checked, InvalidRequest):
        return checked
    route = longest_match(SITE.routes, checked.segments)
    if refused := refusal(checked, route):
        return refused
    match = find(checked, SITE, "/-/")
    return authorize(checked, SITE, read_alike(checked, SITE, match) if in_question else match, session(), "/-/")


SITE = tenant(UPSTREAM, origins=frozenset({"https://friend.example"}), public_paths=frozenset({"/agent-manager/x"}))
BEGINNINGS = ("/agent-manager/x", "/unified-admin/", "/odd/", "/AGENT-MANAGER/", "/")
PIECES = ("a", "b", "agent/login", "/", "%2f", "/..", "%2e%2e", ";", "?a=/b", "-/auth")
SENT = (
    ("Origin", "https://cc.example"),
    ("Origin", "https://evil.example"),
    ("Origin", "https://friend.example"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Site", "same-site"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "iframe"),
    ("Referer", "https://friend.example/x"),
    ("Access-Control-Request-Method", "PUT"),
    ("Service-Worker", "script"),
    ("X_Custom", "1"),
    ("Authorization", "Bearer forged"),
    ("X-Original-URI", "/agent-manager/x"),
    ("X-Forwarded-Uri", "/agent-manager/x"),
    *HANDSHAKE,
)


@pytest.mark.attack("F13")
@given(
    proxy=sampled_from(ForwardAuthProxy),
    method=sampled_from(("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND", "TRACE")),
    target=builds(str.__add__, sampled_from(BEGINNINGS), lists(sampled_from(PIECES), max_size=2).map("".join)),
    fields=lists(sampled_from(SENT), max_size=3) | just(list(HANDSHAKE)),
)
def test_no_question_passes_a_request_that_the_gateway_itself_would_not_forward(
    proxy: ForwardAuthProxy, method: str, target: str, fields: list[tuple[str, str]]
) -> None:
    lines = [f"{name}: {value}" for name, value in fields if name.lower() not in ("connection", "upgrade")]
    first, *rest = question(proxy, target, lines, method=method).decode().split("\r\n")
    headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in rest if line))
    by, at, _ = first.split(" ", 2)
    found = request_in_question(RequestHead(by, at, (1, 1), headers), proxy, "/-/auth")
    asked_about = found if isinstance(found, str) else decided(found, in_question=True)
    if isinstance(asked_about, Forward):
        own = decided(RequestHead(method, target, (1, 1), (("Host", "cc.example"), *fields)))
        plain = decided(RequestHead(method, target, (1, 1), (("Host", "cc.example"), *without_upgrade(fields))))
        assert asked_about in (own, plain)


def without_upgrade(fields: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Returns the fields as a proxy leaves them that removes those of the connection."""
    return tuple(one for one in fields if one[0].lower() not in ("connection", "upgrade"))


# ---- the shipped configurations


@pytest.mark.parametrize(
    ("file", "begin", "end"),
    [
        ("nginx/gateway-app.inc", "auth_request /-/auth;", "error_page"),
        ("caddy/Caddyfile", "copy_headers", "}"),
        ("traefik/efcx-gateway.yaml", "authResponseHeaders:", "app-fields"),
        ("envoy/envoy.yaml", "allowed_upstream_headers:", "router"),
    ],
)
def test_the_shipped_configuration_passes_on_every_field_for_the_app(file: str, begin: str, end: str) -> None:
    text = (DEPLOY / file).read_text().partition(begin)[2].partition(end)[0].lower()
    named = set(re.findall(r"[a-z-]+", text.replace("$upstream_http_", " ").replace("_", "-")))
    assert [name for name in IDENTITY if name.lower() not in named] == []


@pytest.mark.parametrize(
    "file", ["nginx/gateway-app.inc", "caddy/Caddyfile", "traefik/efcx-gateway.yaml", "envoy/envoy.yaml"]
)
def test_the_shipped_configuration_drops_every_field_of_an_app_for_the_whole_origin(file: str) -> None:
    dropped = set(re.findall(r"[a-z][a-z-]+\*?", (DEPLOY / file).read_text().lower()))
    groups = tuple(one.removesuffix("*") for one in dropped if one.endswith("*"))
    assert [name for name in sorted(ORIGIN_WIDE) if name not in dropped and not name.startswith(groups)] == []


def test_envoy_sends_the_gateway_every_field_on_which_a_decision_depends() -> None:
    text = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    sent = text.partition("allowed_headers:")[2].partition("authorization_response:")[0]
    names = set(re.findall(r"exact: ([a-z-]+)", sent))
    assert names >= {
        "accept",
        "access-control-request-method",
        "authorization",
        "cookie",
        "origin",
        "referer",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-websocket-key",
        "sec-websocket-version",
        "service-worker",
        "x-forwarded-for",
        "x-requested-with",
    }


@pytest.mark.parametrize("file", ["traefik/efcx-gateway.yaml", "envoy/envoy.yaml"])
def test_a_shipped_configuration_that_is_yaml_can_be_read(file: str) -> None:
    assert YAML(typ="safe").load((DEPLOY / file).read_text())


@EACH
async def test_a_store_that_does_not_answer_is_a_failure_and_neither_a_yes_nor_a_no(
    proxy: ForwardAuthProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_tenant: Tenant, _cookie: str) -> Session | None:
        raise Unreachable("store", "timeout")

    async with gateway(tenant(UPSTREAM), trusted=("127.0.0.1",), forward_auth=proxy, fast=False) as server:
        monkeypatch.setattr(server.sessions, "current", down)
        raw = question(proxy, "/agent-manager/x", (*OWN, f"Cookie: {server.cookie}"))
        assert status_of(await server.send(raw)) == 503
