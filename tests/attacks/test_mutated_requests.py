"""Only whole requests of a session arrive of changed, joined and cut ones; `make attacks` sends a million."""

import asyncio
import os

import pytest

from tests.attacks.mutated_requests import Closed, closed
from tests.attacks.reference_readers import as_browser, as_server, by_grammar, by_h11

IN_MEMORY = int(os.environ.get("IN_MEMORY", "50000"))
SEEDS = 4


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.row("EF-01")
@pytest.mark.attack("D1", "F12")
@pytest.mark.parametrize("fast", [True, False], ids=["fast path", "usual way"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_byte_at_an_app_belongs_to_one_authorised_request(seed: int, fast: bool) -> None:
    found: Closed = asyncio.run(closed(IN_MEMORY // SEEDS // 2, seed * 10**6, fast=fast))
    assert found.findings == []
    assert {200, 303, 400, 401, 404} <= set(found.statuses), "or nothing was shown"
    assert found.arrived > found.requests // 10
    assert (found.taken > found.arrived // 10) is fast


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxyGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\nx\r\n1\r\ny\r\n0\r\nT: x\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nxy",
    ],
)
def test_both_readers_of_the_framing_know_a_legal_request(raw: bytes) -> None:
    one, other = by_grammar(raw), by_h11(raw)
    assert [(r.method, r.target, r.body, r.whole) for r in one] == [
        (r.method, r.target, r.body, r.whole) for r in other
    ]
    assert one


@pytest.mark.parametrize(
    ("path", "browser", "server"),
    [
        (b"/a/b%20c", b"/a/b c", b"/a/b c"),
        (b"/a/%2e%2e/b", b"/b", b"/b"),
        (b"/a/%252e%252e/b", b"/a/%2e%2e/b", b"/b"),
        (b"/a/..;x/b", b"/a/..;x/b", b"/b"),
        (b"/a//b", b"/a//b", b"/a/b"),
        (b"/a%2fb", b"/a/b", b"/a/b"),
        (b"/a%5c..%5cb", b"/a\\..\\b", b"/b"),
    ],
)
def test_the_readers_of_paths_resolve_dots_as_browsers_and_as_lenient_servers_do(
    path: bytes, browser: bytes, server: bytes
) -> None:
    assert (as_browser(path), as_server(path)) == (browser, server)
