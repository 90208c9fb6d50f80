"""Tests of what an app receives of hostile requests."""

import pytest

from tests.attacks.corpus import CORPUS, WEBSOCKET, Odd
from tests.fixtures.proxy_server import gateway, status_of, tenant
from tests.fixtures.upstream import RawUpstream

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO"]


def same_page(cookie: str) -> str:
    """Returns the fields that a page of the tenant sends with a request of a signed-in user."""
    return f"Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n"


def test_every_request_of_the_corpus_has_a_unique_name() -> None:
    assert len({odd.name for odd in CORPUS}) == len(CORPUS) >= 100


@pytest.mark.attack("F12")
async def test_without_a_session_no_request_of_the_corpus_reaches_an_app(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        for odd in [*CORPUS, WEBSOCKET]:
            for auth in ("", f"Cookie: {stage.cookie}x\r\n", f"Cookie: {stage.cookie}; {stage.cookie}\r\n"):
                answer = await stage.send(ended(odd.bytes(auth)))
                assert status_of(answer) != 200, odd.name
                assert status_of(answer) < 500, odd.name
        for method in METHODS:
            answer = await stage.send(stage.request("/agent-manager/x", method=method, signed_in=False))
            assert status_of(answer) in (303, 400, 401, 405), method
    assert raw_upstream.connections == []


@pytest.mark.parametrize("odd", [odd for odd in CORPUS if not odd.may_pass], ids=lambda odd: odd.name)
async def test_an_ambiguous_request_is_refused_even_with_a_session(odd: Odd, raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        answer = await stage.send(ended(odd.bytes(same_page(stage.cookie))))
    assert 400 <= status_of(answer) < 500 or not answer.startswith(b"HTTP/1.")
    assert raw_upstream.connections == []


@pytest.mark.parametrize("odd", [odd for odd in CORPUS if odd.may_pass], ids=lambda odd: odd.name)
async def test_an_odd_but_legal_request_arrives_once_in_the_gateways_framing(
    odd: Odd, raw_upstream: RawUpstream
) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        await stage.send(ended(odd.bytes(same_page(stage.cookie))))
    received = raw_upstream.received
    if not received:
        return  # aiohttp's parser refuses some of them
    head, _, body = received.partition(b"\r\n\r\n")
    fields = head.decode("latin-1").lower()
    assert len(raw_upstream.connections) == 1
    assert raw_upstream.requests <= 1
    assert received.count(b"HTTP/1.1\r\n") == 1
    assert fields.count("\r\nhost: ") == 1
    assert fields.count("\r\nauthorization: bearer header.payload.signature") == fields.count("\r\nauthorization:") == 1
    assert "transfer-encoding" not in fields or "content-length" not in fields
    assert not any(word in fields for word in ("admin\r", "forged", "upgrade", "other.test", "override", "x-auth"))
    assert body in (b"", b"4\r\nabcd\r\n0\r\n\r\n"), "a body is framed anew"


@pytest.mark.parametrize("second", ["GET /agent-manager/second HTTP/1.1", "POST /agent-manager/second HTTP/1.1"])
async def test_each_of_two_requests_in_one_packet_is_judged_separately(second: str, raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        auth = same_page(stage.cookie)
        first = f"POST /agent-manager/first HTTP/1.1\r\nHost: cc.example\r\n{auth}Content-Length: 4\r\n\r\nabcd"
        await stage.send(f"{first}{second}\r\nHost: cc.example\r\nConnection: close\r\n\r\n".encode())
    assert raw_upstream.requests == 1
    assert b"/second" not in raw_upstream.received


async def test_a_request_inside_of_a_body_is_read_as_body(raw_upstream: RawUpstream) -> None:
    hidden = b"GET /agent-manager/hidden HTTP/1.1\r\nHost: cc.example\r\n\r\n"
    async with gateway(tenant(raw_upstream.url)) as stage:
        await stage.send(stage.request("/agent-manager/x", method="POST", body=hidden))
    assert raw_upstream.requests == 1
    assert raw_upstream.received.endswith(b"\r\n\r\n" + hidden)


async def test_bytes_after_a_refused_upgrade_are_not_read_as_a_request(raw_upstream: RawUpstream) -> None:
    async with gateway(tenant(raw_upstream.url)) as stage:
        smuggled = stage.request("/agent-manager/smuggled")
        await stage.send(WEBSOCKET.bytes(same_page(stage.cookie)) + smuggled)
    assert b"smuggled" not in raw_upstream.received


def ended(raw: bytes) -> bytes:
    """Returns the request with a second one after it, which ends the connection and is never part of the first."""
    return raw + b"GET /-/login HTTP/1.1\r\nHost: cc.example\r\nConnection: close\r\n\r\n"
