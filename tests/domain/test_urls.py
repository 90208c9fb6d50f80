"""Tests of host names, addresses and paths in settings."""

import pytest
from hypothesis import strategies as st

from gateway.domain import urls
from tests.fixtures.properties import Reached, nearly, property_test


@pytest.mark.parametrize(
    ("text", "path"), [("/", ""), ("/a", "/a"), ("/a/", "/a"), ("/a/b.c", "/a/b.c"), ("/A~_-", "/A~_-")]
)
def test_a_route_path_is_normalised_to_one_spelling(text: str, path: str) -> None:
    assert urls.route_path(text) == path


MARKS = ["/", "//", "..", "/../", "/.", "%2f", "?", "#", ";", " ", "\\", "\n", ".", "-", "ü"]
ODD = st.one_of(st.sampled_from(MARKS), st.text(max_size=3))
PATHS = st.lists(st.from_regex(r"/[A-Za-z0-9._~!$&'()*+,=:@-]{1,8}", fullmatch=True), max_size=4).map("".join)
LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,8}[a-z])?", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@property_test(nearly(st.tuples(PATHS, st.sampled_from(["", "/"])).map("".join), ODD), least=0.4)
def test_a_route_path_is_empty_or_whole_segments(reached: Reached, text: str) -> None:
    try:
        path = urls.route_path(text)
    except ValueError:
        return
    reached()
    assert path == "" or (path.startswith("/") and not path.endswith("/") and "//" not in path and "%" not in path)


@property_test(nearly(HOSTS, ODD), least=0.4)
def test_a_host_name_is_lower_case_and_plain(reached: Reached, text: str) -> None:
    try:
        name = urls.host_name(text)
    except ValueError:
        return
    reached()
    assert name == name.lower()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789.-")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("128.0.0.1", False),
        ("notlocalhost", False),
    ],
)
def test_loopback_names_are_recognised(host: str, loopback: bool) -> None:
    assert urls.is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("domain", "host", "sent"),
    [
        ("example.com", "example.com", True),
        ("example.com", "a.example.com", True),
        ("example.com", "badexample.com", False),
        ("0.1", "10.0.0.1", False),
    ],
)
def test_a_cookie_domain_covers_its_host_and_all_subdomains(domain: str, host: str, sent: bool) -> None:
    assert urls.covers(domain, host) is sent


@pytest.mark.parametrize(
    "text", ["http://é.example/", "http://a b/", "http://a\\b/", "http://a\n/", "http://a:x/", "http://[/"]
)
def test_invalid_addresses_are_refused(text: str) -> None:
    for check in (urls.origin, urls.base_url, urls.upstream):
        with pytest.raises(ValueError, match="must be"):
            check(text)


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("http://unified_admin:3000/", "http://unified_admin:3000"),
        ("http://_app._tcp.internal", "http://_app._tcp.internal"),
        ("http://[::1]:3000/ui/", "http://[::1]:3000/ui"),
        ("https://[2001:DB8::7]:443", "https://[2001:db8::7]"),
        ("http://10.0.0.7:3000", "http://10.0.0.7:3000"),
    ],
)
def test_an_app_may_have_an_internal_name_or_an_ipv6_address(text: str, upstream: str) -> None:
    assert urls.upstream(text) == upstream
    assert urls.base_url(text) == f"{upstream}/"


@pytest.mark.parametrize("text", ["http://app.1/", "http://-app/", "http://a..b/", "http://[::1/", "http://[app]/"])
def test_an_address_of_an_app_that_is_no_host_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="must be a URL as http://ef-cx-unified-admin-svc:3000"):
        urls.upstream(text)


@pytest.mark.parametrize("text", ["https://a_b.example", "https://[::1]"])
def test_an_origin_of_browsers_has_a_dns_name_or_an_ipv4_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be a host name alone"):
        urls.origin(text)
