"""Questions of other proxies on the fast path: both ways agree, and a yes that is kept serves nothing else."""

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.configuration import ForwardAuthProxy
from gateway.domain.tenant import AllowedUsers, IdentityDelivery, Route, Tenant
from tests.fixtures.fast_path import heads_taken
from tests.fixtures.proxy_server import HOST, TOKEN, VALUE, ProxyServer, gateway, session, status_of, tenant
from tests.proxy.test_fast_path_agrees import LINES, ORIGIN, OTHER, QUERIES, Client
from tests.proxy.test_forward_auth import EACH, FURTHER_WAYS, NGINX, NO_APP, OWN, UPSTREAM, field, question

pytestmark = pytest.mark.row("GW-04")
REQUESTS = int(os.environ.get("REQUESTS", "2000"))
"""Of all proxies together."""
BEN = session(id="s2", user_id="u2", username="ben", tokens=replace(session().tokens, access="token.of.ben"))
NAME = "__Host-Http-gateway-session"
PLAIN_TARGETS = ("/agent-manager/api/list", "/agent-manager/", "/unified-admin/a/b.c/", "/agent-manager/x?a=b", "/")
TARGETS = (
    *NO_APP,
    "/unified-admin/public",
    "/odd/a%2fb",
    "/odd//b",
    "/Agent-Manager/x",
    "/agent-manager/%61",
    "/agent-manager/nested/x",
    "/agent-manager/NESTED/x",
    "/agent-manager/n%65sted/x",
    "/agent-manager/" + "long/" * 80,
    "/agent-manager/\xe9",
    "/agent-manager/x y",
    "/agent-manager/x HTTP/1.1",
)
PLAIN_LINES = (
    "Accept: application/json",
    "User-Agent: Mozilla/5.0",
    "Referer: https://cc.example/x",
    "X-Custom:   spaced   ",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: none",
    f"Origin: https://{HOST}",
    "X-Request-ID: 0123456789abcdef",
    "X-Forwarded-For: 10.0.0.1",
    "X-Auth-Username: root",
    "Authorization: Bearer abc",
)
QUESTION_LINES = (
    *FURTHER_WAYS,
    "Connection: keep-alive",
    "Connection: Close",
    "Connection: X-Custom",
    "Connection: close, X-Custom",
    "Content-Length: 0",
    "Content-Length: 00",
    "Expect: 100-continue",
    "Keep-Alive: timeout=5",
    "Keep-Alive: \x01",
    "Host: other.example",
    f"X-Forwarded-Host: {HOST}",
    "X-Forwarded-Proto: https",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ": x",
)
METHODS = ("GET", "GET", "GET", "HEAD", "DELETE", "POST", "OPTIONS", "TRACE", "get", "GET /x", "")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Yields the heads that the fast path took."""
    return iter([heads_taken(monkeypatch)])


def of(**changes: Any) -> Tenant:
    """Returns a tenant with a nested route and a public path."""
    nested = Route("/agent-manager/nested", UPSTREAM, allow=AllowedUsers(roles=frozenset({"admin"})))
    named = Route("/named", UPSTREAM, identity=frozenset(IdentityDelivery))
    routes = (*tenant(UPSTREAM).routes, nested, named)
    public = frozenset({"/unified-admin/public"})
    return tenant(UPSTREAM, **{"routes": routes, "origins": (ORIGIN,), "public_paths": public, **changes})


def asked(proxy: ForwardAuthProxy, choices: random.Random) -> bytes:
    """Returns a question about a request of a signed-in user, most with one part that is odd, some with several."""
    odd = choices.choices(range(6), (3, 4, 2, 2, 1, 1), k=choices.choice((0, 1, 1, 1, 3)))
    lines = choices.sample(PLAIN_LINES, choices.randrange(3))
    lines += choices.sample((*LINES, *QUESTION_LINES), odd.count(0)) + choices.sample(QUESTION_LINES, odd.count(1))
    value = choices.choice(("x" * 22 + "." + "y" * 43, "odd", "") if 4 in odd else (VALUE, VALUE, OTHER))
    cookies = [f"{NAME}={value}"] if value else []
    cookies += choices.sample((f"token={TOKEN}", "a=b", "__Host-gateway-x=1", "=x", "\xc3\xbc=1", "\xe9=1"), 1)
    target = choices.choice((*TARGETS, *PLAIN_TARGETS) if 2 in odd else PLAIN_TARGETS)
    target += choices.choice(QUERIES) if 2 in odd else ""
    method = choices.choice(METHODS if 3 in odd else METHODS[:5])
    host = choices.choice((HOST.upper(), f"{HOST}:443", "other.example", "", "a b") if 5 in odd else (HOST,))
    raw = question(proxy, target, (*lines, f"Cookie: {'; '.join(cookies)}"), method=method, host=host)
    for kept in (b"Connection: close\r\n", b"X-Forwarded-For: 192.0.2.7\r\n"):
        raw = raw.replace(kept, b"", choices.randrange(2))
    if 5 in odd:
        raw = raw.replace(
            b"/-/auth", choices.choice((b"/-/auth?", b"/-/auth/", b"/-/Auth", b"/-/authx", b"/-/auth")), 1
        )
    first, *rest = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    choices.shuffle(rest)
    body = b"aaaaa" if b"Content-Length: 5" in rest else b"0\r\n\r\n" if b"Transfer-Encoding: chunked" in rest else b""
    return b"\r\n".join((first, *rest, b"", body))


@EACH
@pytest.mark.attack("F13")
@pytest.mark.property
async def test_both_ways_answer_a_question_alike(proxy: ForwardAuthProxy, taken: Iterator[list[bytes]]) -> None:
    heads, choices = next(taken), random.Random(proxy.value + os.environ.get("SEED", ""))
    trusted = ("127.0.0.1", "10.0.0.0/8")
    async with (
        gateway(of(), trusted=trusted, forward_auth=proxy) as fast,
        gateway(of(), trusted=trusted, forward_auth=proxy, fast=False) as usual,
    ):
        for server in (fast, usual):
            server.sessions.known[OTHER] = BEN
        one, other = Client(fast), Client(usual)
        for _ in range(REQUESTS // len(ForwardAuthProxy)):
            raw = asked(proxy, choices)
            assert await one.answer(raw) == await other.answer(raw), raw
    assert len(heads) > REQUESTS // len(ForwardAuthProxy) // 5


def about(server: ProxyServer, value: str = VALUE, target: str = "/agent-manager/x", *lines: str) -> bytes:
    """Returns a question of nginx about a user's request, on a connection that stays open."""
    raw = question(NGINX, target, (*OWN, *lines, f"Cookie: {NAME}={value}"))
    return raw.replace(b"Connection: close\r\n", b"")


async def answered(server: ProxyServer, *raws: bytes) -> list[bytes]:
    """Returns the heads of the answers to questions that arrive at once."""
    reader, writer = await server.connect()
    writer.write(b"".join(raws))
    heads = []
    async with asyncio.timeout(5):
        for _ in raws:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(int(field(heads[-1], "content-length")[0]))
    return heads


@pytest.mark.attack("F13")
async def test_two_users_on_one_connection_never_get_the_yes_of_each_other() -> None:
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        server.sessions.known[OTHER] = BEN
        client, tokens = Client(server), {VALUE: TOKEN, OTHER: BEN.tokens.access}
        for number in range(400):
            for value, token in tokens.items():
                head, _ = await client.answer(about(server, value, f"/agent-manager/{number % 3}"))
                assert field(head, "authorization") == [f"Bearer {token}"]


@pytest.mark.attack("F13")
async def test_a_yes_has_the_cookies_of_its_own_request_and_the_newest_token() -> None:
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        client, got = Client(server), []
        for cookies in ("a=1", "a=2"):
            head, _ = await client.answer(about(server, f"{VALUE}; {cookies}"))
            got += field(head, "cookie")
        server.sessions.known[VALUE] = session(tokens=replace(session().tokens, access="newest"))
        head, _ = await client.answer(about(server, f"{VALUE}; a=2"))
        got += field(head, "cookie")
    assert got == [f"token={TOKEN}; a=1", f"token={TOKEN}; a=2", "token=newest; a=2"]


@pytest.mark.attack("F13")
async def test_a_peer_that_is_not_trusted_gets_no_yes(taken: Iterator[list[bytes]]) -> None:
    heads = next(taken)
    async with gateway(of(), trusted=("192.0.2.1",), forward_auth=NGINX) as server:
        raw = about(server).replace(b"X-Forwarded-For: 192.0.2.7\r\n", b"")
        assert [status_of(one) for one in await answered(server, raw)] == [404]
    assert heads == []


@pytest.mark.attack("F23")
async def test_a_yes_that_was_given_before_does_not_outlive_its_session(taken: Iterator[list[bytes]]) -> None:
    heads = next(taken)
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        client, raw = Client(server), about(server)
        before = [status_of((await client.answer(raw))[0]) for _ in range(2)]
        server.sessions.end(session().id)
        after = status_of((await client.answer(raw))[0])
    assert (before, after, len(heads)) == ([200, 200], 401, 3)


async def test_a_yes_that_was_given_before_does_not_outlive_its_configuration() -> None:
    strict = Route("/agent-manager", UPSTREAM, allow=AllowedUsers(roles=frozenset({"admin"})))
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        client, raw = Client(server), about(server)
        before = status_of((await client.answer(raw))[0])
        server.configure(of(routes=(strict,)))
        after = status_of((await client.answer(raw))[0])
    assert (before, after) == (200, 403)


@pytest.mark.parametrize("known", [True, False])
async def test_a_session_without_a_copy_is_read_from_the_store(
    known: bool, taken: Iterator[list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = next(taken)
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        monkeypatch.setattr(server.sessions, "held", lambda _tenant, _place: None)
        value = VALUE if known else OTHER
        answers = await answered(server, about(server, value), about(server, value))
    assert [status_of(one) for one in answers] == [200 if known else 401] * 2
    assert (len(heads), server.sessions.asked) == (2, 2 if known else 4)


async def test_questions_that_arrive_at_once_are_answered_in_their_order() -> None:
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        raws = [about(server, VALUE if n % 3 else "odd", "/named/x", f"X-Request-ID: number-{n:03}") for n in range(60)]
        answers = await answered(server, *raws)
    assert [field(one, "x-request-id") for one in answers] == [[f"number-{n:03}"] for n in range(60)]
    assert [status_of(one) for one in answers] == [200 if n % 3 else 401 for n in range(60)]


async def test_a_connection_ends_after_the_answer_if_the_proxy_says_so(taken: Iterator[list[bytes]]) -> None:
    heads = next(taken)
    async with gateway(of(), trusted=("127.0.0.1",), forward_auth=NGINX) as server:
        reader, writer = await server.connect()
        writer.write(question(NGINX, "/agent-manager/x", (*OWN, f"Cookie: {server.cookie}")))
        answer = await asyncio.wait_for(reader.read(), 5)
    assert (status_of(answer), field(answer, "connection"), len(heads)) == (200, ["close"], 1)
