"""Tests the mapping of an app's URLs and cookie paths to public ones."""

import pytest

from gateway.domain.tenant import Route
from gateway.proxy.public_urls import PublicUrls
from tests.fixtures.proxy_server import tenant, values
from tests.proxy.test_headers import answered

APP = "http://app.internal:3000"
PUBLIC = "https://cc.example"


def urls(to: str = APP, *, strip: bool = True) -> PublicUrls:
    """The URLs of an app on `/app`, beside an app on `/other` and one on everything else."""
    route = Route("/app", to, strip_prefix=strip)
    return PublicUrls(PUBLIC, route, tenant(routes=(route, Route("/other", APP), Route("", APP))), "/-/")


@pytest.mark.parametrize(
    ("location", "strip", "expected"),
    [
        (f"{APP}/x?y=z#f", True, f"{PUBLIC}/app/x?y=z#f"),
        (f"{APP}/x", False, f"{PUBLIC}/x"),
        (f"{APP}", True, f"{PUBLIC}/app/"),
        ("http://APP.internal:3000/x", True, f"{PUBLIC}/app/x"),
        ("//app.internal:3000/x", True, f"{PUBLIC}/app/x"),
        ("https://elsewhere.example/x", True, "https://elsewhere.example/x"),
        ("http://app.internal:3001/x", True, "http://app.internal:3001/x"),
        ("x", True, "x"),
        ("../x", True, "../x"),
        ("?page=2", True, "?page=2"),
        ("", True, ""),
        ("http://[broken", True, "http://[broken"),
        ("ftp://app.internal:3000/x", True, "ftp://app.internal:3000/x"),
    ],
)
def test_a_redirect_to_the_apps_own_address_becomes_a_public_one(location: str, strip: bool, expected: str) -> None:
    assert urls(strip=strip).url(location) == expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/login?next=/x#f", "/app/login?next=/x#f"),
        ("/", "/app/"),
        ("/application", "/app/application"),
        (f"{PUBLIC}/login", f"{PUBLIC}/app/login"),
        ("http://cc.example/login", "http://cc.example/login"),
        (f"{PUBLIC}:8443/login", f"{PUBLIC}:8443/login"),
    ],
)
def test_a_path_of_an_app_whose_prefix_is_stripped_gets_the_prefix(location: str, expected: str) -> None:
    assert urls().url(location) == expected


@pytest.mark.parametrize("location", ["/ui//evil.example/x", "/ui/\\evil.example/x", "/ui///evil.example"])
def test_a_path_less_the_base_path_never_names_another_host(location: str) -> None:
    route = Route("", f"{APP}/ui")
    mapped = PublicUrls(PUBLIC, route, tenant(routes=(route,)), "/-/").url(location)
    assert mapped == f"{PUBLIC}{location.removeprefix('/ui')}"


def test_an_address_or_cookie_of_the_app_is_never_that_of_another_route() -> None:
    assert urls().url(f"{APP}/other/x") == f"{PUBLIC}/app/other/x"
    assert urls().url(f"{APP}/app/x") == f"{PUBLIC}/app/x"
    assert urls().cookie("sid=1; Path=/other") == "sid=1; Path=/app/other"


@pytest.mark.parametrize(("passed", "expected"), [(True, f"{PUBLIC}/app/login"), (False, "http://cc.example/login")])
def test_an_app_that_gets_the_public_host_need_not_know_its_scheme(passed: bool, expected: str) -> None:
    route = Route("/app", APP, strip_prefix=True, pass_host=passed)
    found = PublicUrls(PUBLIC, route, tenant(routes=(route,)), "/-/")
    assert found.url("http://cc.example/login") == expected
    assert found.url("http://cc.example:81/login") == "http://cc.example:81/login"


@pytest.mark.parametrize("location", ["/app", "/app/x", f"{PUBLIC}/app/x", "/%61pp/x", "/other/x", "/-/logout"])
def test_a_path_that_is_public_already_does_not_get_the_prefix_twice(location: str) -> None:
    assert urls().url(location) == location


@pytest.mark.parametrize("location", ["/login", f"{PUBLIC}/login", "/app/x"])
def test_a_path_of_an_app_whose_prefix_is_not_stripped_is_not_changed(location: str) -> None:
    assert urls(strip=False).url(location) == location


@pytest.mark.parametrize(
    ("app", "location", "expected"),
    [
        ("https://app.internal", "https://app.internal:443/x", f"{PUBLIC}/app/x"),
        ("https://app.internal:443", "https://app.internal/x", f"{PUBLIC}/app/x"),
        ("http://app.internal", "http://app.internal:80/x", f"{PUBLIC}/app/x"),
        ("https://app.internal", "http://app.internal/x", "http://app.internal/x"),
        ("https://app.internal", "//app.internal/x", f"{PUBLIC}/app/x"),
    ],
)
def test_a_default_port_equals_no_port(app: str, location: str, expected: str) -> None:
    assert urls(app).url(location) == expected


@pytest.mark.parametrize(
    ("strip", "location", "expected"),
    [
        (True, f"{APP}/base/x", f"{PUBLIC}/app/x"),
        (True, f"{APP}/base", f"{PUBLIC}/app/"),
        (True, "/base/x", "/app/x"),
        (False, "/base/app/x", "/app/x"),
        (True, "/outside", "/outside"),
        (True, f"{APP}/other", f"{APP}/other"),
        (True, f"{APP}/basement", f"{APP}/basement"),
    ],
)
def test_a_base_path_of_the_app_is_removed_from_a_redirect(strip: bool, location: str, expected: str) -> None:
    assert urls(f"{APP}/base", strip=strip).url(location) == expected


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("sid=1; Path=/; HttpOnly", "sid=1; Path=/app; HttpOnly"),
        ("sid=1; path=/ui/; Secure", "sid=1; path=/app/ui; Secure"),
        ("sid=1; Path=/app/ui", "sid=1; Path=/app/ui"),
        ("sid=1", "sid=1"),
        ("sid=1; Path=", "sid=1; Path="),
        ("sid=path=/x; Path = /x", "sid=path=/x; Path =/app/x"),
        ("__Host-sid=1; Secure; Path=/", "__Host-sid=1; Secure; Path=/"),
    ],
)
def test_the_path_of_a_cookie_gets_the_stripped_prefix(cookie: str, expected: str) -> None:
    assert urls().cookie(cookie) == expected


def test_the_path_of_a_cookie_without_a_stripped_prefix_is_not_changed() -> None:
    assert urls(strip=False).cookie("sid=1; Path=/x/") == "sid=1; Path=/x/"


@pytest.mark.parametrize(
    ("strip", "path", "expected"),
    [
        (True, "/", "/app"),
        (True, "/base", "/app"),
        (True, "/base/x", "/app/x"),
        (True, "/else", "/else"),
        (False, "/base/", "/"),
        (False, "/", "/"),
        (False, "/base/x", "/x"),
    ],
)
def test_a_base_path_of_the_app_is_removed_from_a_cookie(strip: bool, path: str, expected: str) -> None:
    assert urls(f"{APP}/base", strip=strip).cookie(f"sid=1; Path={path}") == f"sid=1; Path={expected}"


def test_every_header_field_with_a_url_is_mapped() -> None:
    fields = answered(
        ("Location", "/x"),
        ("Content-Location", "/x.en"),
        ("Refresh", "5; URL='/later'"),
        ("Link", '</a.css>; rel=preload, <https://cdn.example/b.js>; rel="next"'),
        ("Set-Cookie", "sid=1; Path=/"),
    )
    assert values(fields, "location") == ["/unified-admin/x"]
    assert values(fields, "content-location") == ["/unified-admin/x.en"]
    assert values(fields, "refresh") == ["5; URL='/unified-admin/later'"]
    assert values(fields, "link") == ['</unified-admin/a.css>; rel=preload, <https://cdn.example/b.js>; rel="next"']
    assert values(fields, "set-cookie") == ["sid=1; Path=/unified-admin"]


def test_a_refresh_without_a_url_passes() -> None:
    assert urls().refresh("30") == "30"
