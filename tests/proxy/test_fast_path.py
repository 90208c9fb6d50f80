"""The fast path: which requests it takes, and that what it remembers is never used for another request."""

import asyncio
import hashlib
import random
import re
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.session import Session
from gateway.domain.tenant import Route, Tenant, Timeouts
from gateway.proxy import routing
from gateway.proxy.client_connection import Connection
from gateway.proxy.fast_path import FastConnection
from gateway.proxy.request_kinds import Targets
from gateway.proxy.routing import RouteMatch
from gateway.proxy.runner import FAST_PATH
from gateway.web.request_check import Checked, RequestHead, check
from tests.fixtures.fast_path import heads_taken
from tests.fixtures.proxy_server import (
    HOST,
    VALUE,
    app_that,
    body_of,
    gateway,
    read_head,
    session,
    status_of,
    tenant,
    until,
)
from tests.fixtures.silent_address import silent_address
from tests.fixtures.upstream import RawUpstream

OTHER = f"{'u' * 22}.{'v' * 43}"
TURNS = 2_000


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Returns the heads that the fast path has taken."""
    return heads_taken(monkeypatch)


def plain(value: str, target: str = "/agent-manager/x", *lines: str) -> bytes:
    """Returns the head of a plain request."""
    cookie = f"Cookie: __Host-Http-gateway-session={value}; a=b"
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {HOST}", cookie, *lines, "", ""]).encode()


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> bytes:
    """Returns the answer to a request on a connection that stays open."""
    writer.write(raw)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return head + await reader.readexactly(int(length[1]) if length else 0)


async def test_a_plain_request_of_a_signed_in_user_takes_the_fast_path(
    raw_upstream: RawUpstream, taken: list[bytes]
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        answer = await one(reader, writer, plain(VALUE))
    assert (status_of(answer), body_of(answer), len(taken)) == (200, b"ok", 1)


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        ("/-/login", ()),
        ("/agent-manager/x", ("Content-Length: 0",)),
        ("/agent-manager/x", ("Upgrade: h2c",)),
        ("/agent-manager/x", ("Sec-Fetch-Site: same-site",)),
        ("/agent-manager/x", ("Service-Worker: script",)),
        ("/agent-manager/x", ("X-Forwarded-For: 10.1.1.1",)),
        ("/agent-manager/x", ("X_Y: z",)),
        ("/agent-manager/agent/login", ()),
        ("/nothing", ()),
    ],
)
async def test_every_other_request_takes_the_usual_way(
    raw_upstream: RawUpstream, taken: list[bytes], target: str, lines: tuple[str, ...]
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        await one(reader, writer, plain(VALUE, target, *lines))
    assert taken == []


@pytest.mark.row("GW-49")
async def test_the_host_of_the_pages_serves_no_app_on_a_connection_that_just_served_one(
    raw_upstream: RawUpstream, taken: list[bytes]
) -> None:
    async with gateway(tenant(raw_upstream.url, pages_host="login.example")) as server:
        reader, writer = await server.connect()
        of_app = plain(VALUE)
        of_pages = of_app.replace(HOST.encode(), b"login.example")
        answers = [await one(reader, writer, raw) for raw in (of_app, of_pages, of_app)]
    assert [status_of(answer) for answer in answers] == [200, 404, 200]
    assert taken == [of_app, of_app]


@pytest.mark.parametrize(("value", "status", "asked"), [(VALUE, 200, 1), (OTHER, 303, 2)])
async def test_a_session_without_a_copy_is_read_from_the_store(
    raw_upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch, value: str, status: int, asked: int
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        monkeypatch.setattr(server.sessions, "held", lambda _tenant, _place: None)
        reader, writer = await server.connect()
        answers = [await one(reader, writer, plain(value)) for _ in range(2)]
    assert [status_of(answer) for answer in answers] == [status] * 2
    assert server.sessions.asked == 2 * asked


async def test_pipelined_requests_of_sessions_without_a_copy_are_answered_in_their_order(
    raw_upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        monkeypatch.setattr(server.sessions, "held", lambda _tenant, _place: None)
        reader, writer = await server.connect()
        values = [VALUE, OTHER, VALUE]
        answers = [await one(reader, writer, b"".join(map(plain, values)))]
        answers += [await one(reader, writer, b"") for _ in values[1:]]
    assert [status_of(answer) for answer in answers] == [200, 303, 200]


@pytest.mark.parametrize("known", [True, False])
async def test_of_a_client_that_left_while_the_store_was_asked_nothing_reaches_the_app(
    raw_upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    waiting: asyncio.Queue[Callable[[Session | None], None]] = asyncio.Queue()
    gone = asyncio.Event()
    lost = FastConnection.client_lost

    def noting(self: FastConnection) -> None:
        lost(self)
        gone.set()

    monkeypatch.setattr(FastConnection, "client_lost", noting)
    async with gateway(tenant(raw_upstream.url)) as server, asyncio.timeout(10):
        monkeypatch.setattr(server.sessions, "held", lambda _tenant, _place: None)
        monkeypatch.setattr(server.sessions, "ask", lambda _tenant, _place, found: waiting.put_nowait(found))
        _, writer = await server.connect()
        writer.write(plain(VALUE))
        found = await waiting.get()
        writer.transport.abort()
        await gone.wait()
        found(server.sessions.known[VALUE] if known else None)
        assert status_of(await server.first(server.request("/-/login"))) == 200
    assert raw_upstream.received == b""


@pytest.mark.attack("A9")
async def test_two_users_who_alternate_on_a_connection_of_a_trusted_proxy_stay_apart(
    raw_upstream: RawUpstream, taken: list[bytes]
) -> None:
    async with gateway(tenant(raw_upstream.url), trusted=("127.0.0.1",)) as server:
        second = session(id="s2", user_id="u2", username="other")
        server.sessions.known[OTHER] = replace(second, tokens=replace(second.tokens, access="second.user.token"))
        first_token = server.sessions.known[VALUE].tokens.access
        reader, writer = await server.connect()
        for turn in range(TURNS):
            value = (VALUE, OTHER)[turn % 2]
            await one(reader, writer, plain(value, "/agent-manager/x", f"X-Forwarded-For: 10.0.0.{turn % 2 + 1}"))
    (connection,) = raw_upstream.connections
    heads = bytes(connection.received).split(b"\r\n\r\n")[:-1]
    tokens = [re.search(rb"Bearer (\S+)", head) for head in heads]
    addresses = [re.search(rb"X-Forwarded-For: (\S+)", head) for head in heads]
    assert [token and token[1] for token in tokens] == [first_token.encode(), b"second.user.token"] * (TURNS // 2)
    assert [address and address[1] for address in addresses] == [b"10.0.0.1", b"10.0.0.2"] * (TURNS // 2)
    assert len(taken) == TURNS


async def test_a_session_that_ended_between_two_requests_of_a_connection_opens_nothing(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        await one(reader, writer, plain(VALUE))
        server.sessions.end("s1")
        answer = await one(reader, writer, plain(VALUE))
    assert (status_of(answer), raw_upstream.requests) == (303, 1)


@pytest.mark.attack("A11")
async def test_a_request_whose_session_ends_while_its_app_is_connected_is_cut() -> None:
    async with silent_address() as (host, port):
        routes = (Route("/agent-manager", f"http://{host}:{port}", timeouts=Timeouts(connect=60)),)
        async with gateway(tenant(routes=routes)) as server:
            reader, writer = await server.connect()
            writer.write(plain(VALUE))
            await until(lambda: server.runner.app[FAST_PATH].deadlines.under_way != (), server)
            server.sessions.end("s1")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), 5)


async def test_the_end_of_a_session_cuts_no_request_of_another_one() -> None:
    asked, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.release()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async with app_that(script) as app, gateway(tenant(app.url)) as server:
        server.sessions.known[OTHER] = session(id="s2", user_id="u2", username="other")
        (reader, writer), (other_reader, other_writer) = await server.connect(), await server.connect()
        writer.write(plain(VALUE))
        other_writer.write(plain(OTHER))
        for _ in range(2):
            await asked.acquire()
        server.sessions.end("s1")
        go_on.set()
        assert await reader.read() == b""
        assert status_of(await other_reader.readuntil(b"ok")) == 200


async def test_a_token_that_was_renewed_between_two_requests_reaches_the_app(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        await one(reader, writer, plain(VALUE))
        old = server.sessions.known[VALUE]
        server.sessions.known[VALUE] = replace(old, tokens=replace(old.tokens, access="newer.token.x"))
        await one(reader, writer, plain(VALUE))
    assert raw_upstream.received.count(b"Bearer newer.token.x") == 1


async def test_changed_settings_hold_for_the_next_request_of_a_connection(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        await one(reader, writer, plain(VALUE))
        closed = tenant(raw_upstream.url, routes=(Route("/other", raw_upstream.url),))
        server.configure(closed)
        answer = await one(reader, writer, plain(VALUE))
    assert (status_of(answer), raw_upstream.requests) == (404, 1)


async def test_an_app_that_gives_no_answer_is_a_problem_with_the_code_of_the_log(
    raw_upstream: RawUpstream, taken: list[bytes]
) -> None:
    raw_upstream.answer = None  # type: ignore[assignment]
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        answer = await one(reader, writer, plain(VALUE, "/agent-manager/x", "Accept: application/json"))
    assert (status_of(answer), b"app-unavailable" in answer, len(taken)) == (502, True, 1)


async def test_pipelined_requests_are_answered_in_their_order(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = lambda number: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        writer.write(plain(VALUE) * 2 + plain(VALUE, "/-/login") + plain(VALUE))
        answers = [await one(reader, writer, b"") for _ in range(4)]
    assert [body_of(answer) for answer in answers] == [b"0", b"1", b"own page", b"2"]


@pytest.mark.attack("D1")
async def test_a_head_whose_last_line_is_cut_short_after_another_request_reaches_no_app(
    raw_upstream: RawUpstream,
) -> None:
    async with gateway(tenant(raw_upstream.url)) as server:
        reader, writer = await server.connect()
        first = await one(reader, writer, plain(VALUE) + plain(VALUE, "/agent-manager/cut")[:-2] + b"X\n")
        second = await reader.readuntil(b"\r\n\r\n")
    assert (status_of(first), status_of(second)) == (200, 400)
    assert b"cut" not in raw_upstream.received


async def test_without_a_limit_between_bytes_the_rest_of_an_answer_may_take_its_time(taken: list[bytes]) -> None:
    go_on = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await go_on.wait()
        writer.write(b"cd")

    async with app_that(script) as app:
        route = Route("/agent-manager", app.url, timeouts=Timeouts(between_bytes=None))
        async with gateway(tenant(routes=(route,))) as server:
            reader, writer = await server.connect()
            writer.write(plain(VALUE))
            await reader.readuntil(b"\r\n\r\nab")
            go_on.set()
            assert await reader.readexactly(2) == b"cd"
    assert len(taken) == 1


SEGMENT = st.sampled_from(
    [
        "agent-manager",
        "unified-admin",
        "odd",
        "agent",
        "login",
        "Admin",
        "realms",
        "-",
        "a",
        "a.b",
        ".",
        "..",
        "",
        "x;y",
    ]
) | st.text(st.sampled_from("aA09._~-$@=%2f+ ;:!"), max_size=6)


@pytest.mark.property
@given(st.lists(SEGMENT, min_size=1, max_size=6))
def test_the_route_of_a_path_is_that_of_the_usual_way(segments: list[str]) -> None:
    of = tenant("http://127.0.0.1:1", public_paths=("/unified-admin/a",))
    path = "/" + "/".join(segments)
    found = Targets(of, "/-/").find(path.encode())
    assert (found and (found[0], found[1].decode())) == usual(of, path)


def usual(of: Tenant, path: str) -> tuple[Route, str] | None:
    """Returns route and path for the app by the functions of the usual way; None where no session decides."""
    checked = check(RequestHead("GET", path, (1, 1), (("Host", HOST),)))
    if not isinstance(checked, Checked):
        return None
    match = routing.find(checked, of, "/-/")
    return (match.route, match.target) if isinstance(match, RouteMatch) and not match.public else None


@pytest.mark.row("GW-01")
async def test_a_large_body_arrives_byte_for_byte() -> None:
    size, seen = 20 * 2**20, hashlib.sha256()

    async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        left = size
        while left:
            data = await reader.read(min(left, 2**18))
            seen.update(data)
            left -= len(data)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    body = random.Random(1).randbytes(size)
    async with app_that(read_all) as app, gateway(tenant(app.url)) as server:
        answer = await server.send(server.request("/agent-manager/x", method="POST", body=body))
    assert (status_of(answer), seen.digest()) == (200, hashlib.sha256(body).digest())


async def test_a_client_that_is_slow_at_the_end_of_its_answer_holds_up_no_other_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, answered, body, pause_writing = asyncio.Event(), asyncio.Semaphore(0), b"x" * 6_000, Connection.pause_writing

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            answered.release()

    def pausing(self: Connection) -> None:
        pause_writing(self)
        slow.set()

    monkeypatch.setattr(Connection, "pause_writing", pausing)
    async with app_that(answer) as app, gateway(tenant(app.url)) as server, asyncio.timeout(20):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setblocking(False)
            while not slow.is_set():
                client.send(plain(VALUE))
                ends = [asyncio.create_task(slow.wait()), asyncio.create_task(answered.acquire())]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for end in ends:
                    end.cancel()
            assert body_of(await one(*await server.connect(), plain(VALUE))) == body
            assert app.connections == 1
