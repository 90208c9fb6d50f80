"""Reading the heads of one connection: a head means the same, whatever was read before it."""

import random
from ipaddress import ip_network

import pytest

from gateway.domain.tenant import Tenant
from gateway.proxy.head_lines import AnswerLines, RequestLines
from gateway.proxy.head_reader import HeadReader
from gateway.proxy.request_kinds import RequestKinds
from gateway.proxy.upstream_pool import UpstreamPool
from gateway.sessions.session_key import of_cookie
from tests.fixtures.own_pages import configuration
from tests.fixtures.proxy_server import HOST, VALUE, tenant

HEADS = 3_000
OTHER = f"{'u' * 22}.{'v' * 43}"
NAME = "__Host-Http-gateway-session"
VALUES_OF = {
    "Host": (HOST, HOST, HOST, "other.example"),
    "User-Agent": ("a", "b"),
    "Referer": (f"https://{HOST}/a", f"https://{HOST}/b", "\x01"),
    "Sec-Fetch-Site": ("same-origin", "same-origin", "none", "cross-site"),
    "Origin": (f"https://{HOST}", "https://evil.example"),
    "X-Request-ID": ("0123456789abcdef", "fedcba9876543210", "odd id"),
    "X-Forwarded-For": ("10.0.0.1", "10.0.0.2", "nonsense"),
    "X-Auth-Username": ("root", "admin"),
    "Content-Length": ("1", "2", "+3"),
    "Cookie": (f"{NAME}={VALUE}; a=b", f"{NAME}={VALUE}; a=c", f"a=b; {NAME}={OTHER}", "a=b"),
}
PATHS = ("/agent-manager/a", "/agent-manager/b?q=1", "/unified-admin/c?", "/none")


def kinds(of: Tenant) -> RequestKinds:
    """Returns the kinds of requests of a gateway with one tenant behind a trusted proxy."""
    return RequestKinds(configuration(of, trusted=(ip_network("127.0.0.0/8"),)), UpstreamPool(), AnswerLines())


def meaning(reader: HeadReader, under: RequestKinds, head: bytes) -> tuple[object, ...] | None:
    """Returns all that was read of a head."""
    if not reader.read(under, head):
        return None
    return (
        reader.method,
        reader.target,
        reader.passed,
        reader.cookies.place,
        reader.cookies.kept,
        reader.request_id,
        reader.client_line,
        reader.closes,
        reader.routed.route,
        reader.routed.kind,
        reader.length,
    )


@pytest.mark.attack("D1")
@pytest.mark.property
@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1"])
def test_a_head_means_the_same_whatever_was_read_before_it(peer: str) -> None:
    choices, under, known = random.Random(peer), kinds(tenant()), RequestLines()
    reader, read = HeadReader(known, peer), 0
    fields: dict[str, str] = {}
    for _ in range(HEADS):
        for name in choices.sample(sorted(VALUES_OF), choices.choice((0, 1, 1, 2))):
            fields[name] = choices.choice(VALUES_OF[name])
        for name in choices.sample(sorted(fields), choices.choice((0, 0, 1)) if fields else 0):
            if name not in ("Host", "Cookie"):
                del fields[name]
        lines = [f"{name}: {value}\r\n" for name, value in fields.items() if choices.random() < 0.99]
        lines = lines if choices.random() < 0.95 else []
        head = f"GET {choices.choice(PATHS)} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()
        found = meaning(reader, under, head)
        assert found == meaning(HeadReader(known, peer), under, head)
        read += found is not None
    assert read > HEADS // 100


def test_a_changed_cookie_names_another_session() -> None:
    under, reader = kinds(tenant()), HeadReader(RequestLines(), "127.0.0.1")
    places = []
    for value in (VALUE, OTHER, VALUE):
        head = f"GET /agent-manager/ HTTP/1.1\r\nHost: {HOST}\r\nCookie: {NAME}={value}\r\n\r\n"
        assert reader.read(under, head.encode())
        places.append(reader.cookies.place)
    assert places == [of_cookie("expertflow", value) for value in (VALUE, OTHER, VALUE)]


def test_a_head_that_is_not_plain_leaves_nothing_for_the_next() -> None:
    under, reader = kinds(tenant()), HeadReader(RequestLines(), "127.0.0.1")
    plain = f"GET /agent-manager/ HTTP/1.1\r\nHost: {HOST}\r\nCookie: {NAME}={VALUE}\r\n\r\n".encode()
    assert reader.read(under, plain)
    assert not reader.read(under, plain.replace(b"Host", b"Expect"))
    assert not reader.read(under, plain.replace(VALUE.encode(), b"nonsense"))
    assert not reader.read(under, b"GET /agent-manager/ HTTP/1.1\r\n\r\n")
    assert reader.read(under, plain)


@pytest.mark.attack("D1")
@pytest.mark.parametrize(
    "other",
    ["a\r\n\r\nGET /agent-manager/ HTTP/1.1\r\nHost: a", "a\r\nOrigin: b", "a\rb", "a\nb", "a\r", "\x00", " a\x7f"],
)
@pytest.mark.parametrize("place", ["target", "value"])
def test_bytes_that_are_not_one_head_like_those_before_are_not_read_as_one(place: str, other: str) -> None:
    under, reader = kinds(tenant()), HeadReader(RequestLines(), "127.0.0.1")

    def read(target: str, referer: str) -> bool:
        lines = (f"GET /agent-manager/{target} HTTP/1.1", f"Host: {HOST}", f"Referer: {referer}")
        return reader.read(under, "\r\n".join((*lines, f"Cookie: {NAME}={VALUE}", "", "")).encode())

    assert [read(str(n), str(n)) for n in range(3)] == [True] * 3
    odd = read(other, "3") if place == "target" else read("3", other)
    assert not odd or "\r\nOrigin: " in other
    assert read("4", "4")
    assert (reader.target, reader.passed) == (b"/agent-manager/4", b"Referer: 4\r\n")
