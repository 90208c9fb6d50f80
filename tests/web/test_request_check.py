"""Tests of the strict check of every request."""

import pytest

from gateway.domain.problem import Problem
from gateway.domain.tenant import ExtraMethod, Route
from gateway.web.request_check import Checked, InvalidRequest, RequestHead, check, fully_decoded, refusal
from tests.fixtures.proxy_server import HOST, checked, head

KEY = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
HANDSHAKE = (("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"), ("Sec-WebSocket-Version", "13"), KEY)


def status(request: RequestHead) -> int:
    """Returns the status of the refusal; 200 if it passes."""
    result = check(request)
    return result.status if isinstance(result, InvalidRequest) else 200


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/unified-admin",
        "/unified-admin/a/b/",
        "/a?b=c&d=/e",
        "/a?",
        "/a?q=100%",
        "/a?x=\\|{}^[]`",
        "/a/%C3%BC",
        "/a;v=1/b",
        "/a/...",
        "/a/.well-known/b",
        "/a%20b",
        "/a/b:c@d,e!$&'()*+=~",
    ],
)
def test_an_ordinary_target_passes_unchanged(target: str) -> None:
    assert checked(target).target == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "a",
        "http://cc.example/a",
        "cc.example:443",
        "//cc.example/a",
        "/a#b",
        "/a b",
        "/a\tb",
        "/a\x00b",
        "/a\x7f",
        "/\xfc",
        "/a/..",
        "/a/../b",
        "/./a",
        "/a/.",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a/%252e%252e/b",
        "/a/%25252e./b",
        "/a/..;x/b",
        "/a/..;/b",
        "/a/.;/b",
        "/a/..%20/b",
        "/a/..%2fb",
        "/a/%2e%2e%2fb",
        "/a\\b",
        "/a\\..\\b",
        "/a%5cb",
        "/a%5C..%5Cb",
        "/a%255c..",
        "/a%00",
        "/a%2500",
        "/a%0d%0ab",
        "/a%0a",
        "/a%7f",
        "/a%ff",
        "/a%c0%ae",
        "/a%c0%af",
        "/a%e0%80%ae",
        "/a%ed%a0%80",
        "/a%c2%85",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002e",
        "/a/%25c0%25ae%25c0%25ae/b",
        "/a/%25e0%2580%25ae./b",
        "/a/%25f0%2580%2580%25ae./b",
        "/a/50%25CB/%2e%2e/b",
        "/a/%25f8%2580%2580%2580%25ae./b",
        "/a/%25fc%2580%2580%2580%2580%25ae./b",
        "/a/50%25CB%252f%252e%252e%252fb",
    ],
)
@pytest.mark.attack("F12")
def test_an_ambiguous_target_is_refused(target: str) -> None:
    assert status(head(target)) == 400


@pytest.mark.parametrize("target", ["/a/50%25CBD.pdf", "/a/100%25", "/a/%25zz", "/a/%2541", "/a/%25ff%25fe"])
def test_a_name_with_an_encoded_percent_sign_passes(target: str) -> None:
    assert checked(target).target == target


@pytest.mark.parametrize("target", ["/a//b", "/a%2fb", "/a%2Fb", "/a%252fb", "/a/"])
def test_unusual_slashes_are_marked_for_routes_that_allow_them(target: str) -> None:
    assert checked(target).odd_slashes is (target != "/a/")


def test_a_target_longer_than_8_kib_is_refused() -> None:
    assert status(head("/" + "a" * 8192)) == 414


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_the_methods_that_apps_use_pass(method: str) -> None:
    assert checked(method=method).method == method


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "FOO", "propfind", "", "G\xcbT"])
def test_any_other_method_is_a_405(method: str) -> None:
    assert check(head(method=method)) == InvalidRequest(Problem.METHOD_NOT_ALLOWED, 405)


@pytest.mark.parametrize(
    ("version", "expected"), [((1, 1), 200), ((1, 0), 200), ((0, 9), 400), ((1, 2), 400), ((2, 0), 400)]
)
def test_only_http_1_0_and_1_1_are_accepted(version: tuple[int, int], expected: int) -> None:
    assert status(head(version=version)) == expected


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("cc.example", "cc.example"),
        ("CC.Example", "cc.example"),
        ("cc.example:8443", "cc.example"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
    ],
)
def test_a_host_is_normalised_to_lower_case_without_a_port(host: str, name: str) -> None:
    result = check(head(host=host))
    assert isinstance(result, Checked)
    assert result.host == name


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a, b",
        "a@b",
        "a/b",
        "a b",
        "a:b",
        "a:",
        "a:123456",
        "cc.example.",
        ".cc.example",
        "a..b",
        "[::1",
        "a_b",
        "\xfc",
    ],
)
def test_an_invalid_host_is_refused(host: str) -> None:
    assert status(head(host=host)) == 400


def test_a_request_without_a_host_is_refused_in_every_version() -> None:
    assert {status(head(host=None, version=version)) for version in ((1, 0), (1, 1))} == {400}


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ((), None, False),
        ((("Content-Length", "0"),), 0, False),
        ((("content-length", "17"),), 17, False),
        ((("Transfer-Encoding", "chunked"),), None, True),
        ((("transfer-encoding", "Chunked"),), None, True),
    ],
)
def test_a_body_has_one_framing(fields: tuple[tuple[str, str], ...], length: int | None, chunked: bool) -> None:
    result = checked("/a", *fields, method="POST")
    assert (result.length, result.chunked) == (length, chunked)


@pytest.mark.parametrize(
    "fields",
    [
        (("Transfer-Encoding", "identity, chunked"),),
        (("Transfer-Encoding", "gzip, chunked"),),
        (("Transfer-Encoding", ",chunked"),),
        (("Transfer-Encoding", "chunked, chunked"),),
        (("Transfer-Encoding", "identity"),),
        (("Transfer-Encoding", ""),),
        (("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")),
        (("Transfer-Encoding", "chunked"), ("Content-Length", "4")),
        (("Content-Length", "4"), ("Content-Length", "4")),
        (("Content-Length", "4"), ("content-length", "5")),
        (("Content-Length", "4, 4"),),
        (("Content-Length", "+4"),),
        (("Content-Length", "-4"),),
        (("Content-Length", "0x4"),),
        (("Content-Length", "1_0"),),
        (("Content-Length", ""),),
        (("Content-Length", "9" * 19),),
        (("Content-Length", "4 "),),
    ],
)
def test_ambiguous_framing_is_refused(fields: tuple[tuple[str, str], ...]) -> None:
    assert status(head("/a", *fields, method="POST")) == 400


def test_chunked_is_refused_in_http_1_0() -> None:
    assert status(head("/a", ("Transfer-Encoding", "chunked"), method="POST", version=(1, 0))) == 400


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Authorization",
        "Content-Type",
        "Origin",
        "Expect",
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Sec-Fetch-Dest",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Upgrade",
        "User-Agent",
        "ETag",
        "Max-Forwards",
        "Content-Location",
        "Content-Range",
        "Server",
    ],
)
def test_a_field_allowed_once_is_refused_twice(name: str) -> None:
    value = {"Host": HOST, "Expect": "100-continue"}.get(name, "x")
    twice = ((name, value), (name.lower(), value))
    assert status(RequestHead("GET", "/a", (1, 1), twice if name == "Host" else (("Host", HOST), *twice))) == 400


def test_several_cookie_fields_pass() -> None:
    assert checked("/a", ("Cookie", "a=1"), ("Cookie", "b=2")).all("cookie") == ("a=1", "b=2")


@pytest.mark.parametrize("name", ["X.Auth.User", "X Y", "X\xfc", "", "X:", "X(Y)", "X\x00", "X\r"])
def test_an_ambiguous_field_name_is_refused(name: str) -> None:
    assert status(head("/a", (name, "1"))) == 400


@pytest.mark.parametrize("method", [method.value for method in ExtraMethod])
def test_a_further_method_needs_a_route_that_names_it(method: str) -> None:
    request = checked(method=method)
    others = frozenset(ExtraMethod) - {ExtraMethod(method)}
    for route in (None, Route("/a", "http://app"), Route("/a", "http://app", methods=others)):
        assert refusal(request, route) == InvalidRequest(Problem.METHOD_NOT_ALLOWED, 405)
    assert refusal(request, Route("/a", "http://app", methods=frozenset({ExtraMethod(method)}))) is None


def test_a_field_name_with_an_underscore_needs_a_route_that_allows_it() -> None:
    request = checked("/a", ("X_Any", "1"))
    for route in (None, Route("/a", "http://app")):
        assert refusal(request, route) == InvalidRequest(Problem.BAD_REQUEST, 400)
    assert refusal(request, Route("/a", "http://app", underscore_headers=True)) is None


@pytest.mark.parametrize("value", ["\xfc", "a\x00b", "a\rb", "a\nb", "a\x7f", "a\x1bb"])
def test_a_field_value_beyond_printable_ascii_is_refused(value: str) -> None:
    assert status(head("/a", ("X-Any", value))) == 400


def test_a_cookie_set_by_a_script_in_utf_8_passes() -> None:
    assert status(head("/a", ("Cookie", "name=\xc3\xbc"))) == 200


def test_100_fields_pass_and_101_are_refused() -> None:
    fields = tuple((f"X-{n}", "1") for n in range(100))
    assert (status(head("/a", *fields[:99])), status(head("/a", *fields))) == (200, 431)


def test_fields_of_more_than_32_kib_are_refused() -> None:
    assert status(head("/a", *((f"X-{n}", "v" * 8000) for n in range(5)))) == 431


def test_a_cookie_field_of_32_kib_passes_and_a_longer_one_is_refused() -> None:
    assert [status(head("/a", ("Cookie", "c" * size))) for size in (32768, 32769)] == [200, 431]


def test_an_unknown_expectation_is_a_417() -> None:
    assert [status(head("/a", ("Expect", value))) for value in ("100-Continue", "200-ok")] == [200, 417]


@pytest.mark.row("GW-02")
def test_a_websocket_handshake_passes_as_an_upgrade() -> None:
    assert checked("/a", *HANDSHAKE).upgrade


@pytest.mark.parametrize(
    "fields",
    [
        (*HANDSHAKE, ("Content-Length", "3")),
        (*HANDSHAKE, ("Transfer-Encoding", "chunked")),
        HANDSHAKE[:3],
        (*HANDSHAKE[:3], ("Sec-WebSocket-Key", "c2hvcnQ=")),
        (*HANDSHAKE[:3], ("Sec-WebSocket-Key", "not base64 at all!!!!!!!")),
        (*HANDSHAKE[:2], KEY),
        (*HANDSHAKE[:2], ("Sec-WebSocket-Version", "8"), KEY),
    ],
)
def test_a_broken_websocket_handshake_is_refused(fields: tuple[tuple[str, str], ...]) -> None:
    assert status(head("/a", *fields)) == 400


@pytest.mark.parametrize(("method", "version"), [("POST", (1, 1)), ("HEAD", (1, 1)), ("GET", (1, 0))])
def test_only_a_get_request_of_http_1_1_upgrades(method: str, version: tuple[int, int]) -> None:
    assert status(head("/a", *HANDSHAKE, method=method, version=version)) == 400


@pytest.mark.parametrize("connection", ["keep-alive", "close, x-upgrade", "upgraded"])
def test_an_upgrade_without_the_connection_header_is_an_ordinary_request(connection: str) -> None:
    assert not checked("/a", ("Upgrade", "websocket"), ("Connection", connection)).upgrade


@pytest.mark.parametrize("protocol", ["h2c", "websocket, h2c", "TLS/1.0"])
def test_an_upgrade_to_another_protocol_is_an_ordinary_request(protocol: str) -> None:
    assert not checked("/a", ("Upgrade", protocol), ("Connection", "Upgrade")).upgrade


def test_a_path_is_decoded_until_it_no_longer_changes() -> None:
    assert [fully_decoded(text) for text in ("a", "%61", "%2561", "100%", "%" + "25" * 9 + "61")] == [
        "a",
        "a",
        "a",
        "100%",
        None,
    ]


def test_a_path_has_at_most_256_segments_and_a_request_at_most_500_cookies() -> None:
    """Each is read several times: 4,000 segments cost 25 ms, 16,000 cookies 50 ms."""
    assert not isinstance(check(head("/" + "a/" * 255)), InvalidRequest)
    assert check(head("/" + "a/" * 256)) == InvalidRequest(Problem.REQUEST_TOO_LARGE, 414)
    assert check(head("/" + "a%2f" * 256)) == InvalidRequest(Problem.REQUEST_TOO_LARGE, 414)
    assert not isinstance(check(head("/", ("Cookie", "; ".join(["a=1"] * 500)))), InvalidRequest)
    assert check(head("/", ("Cookie", ";" * 500))) == InvalidRequest(Problem.HEADERS_TOO_LARGE, 431)
