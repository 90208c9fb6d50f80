"""Tests that a login redirects only to a path of the tenant's origin."""

import itertools
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import strategies as st
from playwright.async_api import Page

from gateway.web.return_to import check
from tests.fixtures.properties import Reached, nearly, property_test
from tests.fixtures.sample_tenants import tenant

TENANT = tenant()
HOME = TENANT.home

_SLASHES = [
    "",
    "/",
    "//",
    "///",
    "\\",
    "/\\",
    "\\/",
    "/%2f",
    "/%5c",
    "%2f%2f",
    "/%2F%2F",
    "/./",
    "/.//",
    "/../",
    "/%2e/",
    "/%2e%2e//",
    "/;/",
    "/@",
    "/:",
    "/?//",
    "/#//",
    "/-/",
    "/%2d/",
]
_WHITE = ["", "\t", "\n", "\r\n", " ", "\x00", "\x1f", "\x0b", "\u2028", "\u00a0", "\ufeff", "%09", "%0d%0a"]
_REST = [
    "evil.example",
    "evil.example/",
    "user@evil.example",
    "//evil.example",
    "\\evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "..//evil.example",
    "ｅvil。example",
]
PAYLOADS = sorted(
    {a + b + c for a, b, c in itertools.product(_SLASHES, _WHITE, _REST)}
    | {b + a + c for a, b, c in itertools.product(_SLASHES, _WHITE, _REST)}
)


def test_the_corpus_has_two_thousand_payloads() -> None:
    assert len(PAYLOADS) > 2000


@pytest.mark.parametrize(
    "target",
    [
        "/unified-admin/",
        "/agent-manager/a/b?x=1&y=%2F#here",
        "/a%2Fb",
        "/a;b=c/d",
        "/?next=https://elsewhere.example//x",
        "/a..b/.c/...",
        "/-/account",
        "/-/account?tab=1",
        "/-/admin/people",
        "/-x/",
        "/-/account/a/b",
        "/a?b//c#d?e//f",
        "/" + "x" * 4095,
    ],
)
def test_a_path_of_the_same_origin_is_accepted_unchanged(target: str) -> None:
    assert check(target, TENANT) == target


@pytest.mark.parametrize("target", [None, "", "x", "/" + "x" * 4096, "*", "?x", "#x", "unified-admin/"])
def test_without_a_valid_return_path_a_login_redirects_to_the_start_page(target: str | None) -> None:
    assert check(target, TENANT) == HOME


@pytest.mark.parametrize(
    "target",
    [
        "/-/login",
        "/-/login/verify?to=/",
        "/-/logout",
        "/-/",
        "/-",
        "/%2d/logout",
        "/%252d/logout",
        "/-/LOGOUT",
        "/-/accountx",
        "/-/oidc/callback",
        "/-/auth",
        "/-%2flogout",
        "/-/account/../logout",
    ],
)
def test_the_gateways_own_pages_are_no_return_path(target: str) -> None:
    assert check(target, TENANT) == HOME


def test_a_different_gateway_prefix_is_recognised_in_any_spelling() -> None:
    assert check("/GW/%6cogout", TENANT, "/gw/") == HOME
    assert check("/-/logout", TENANT, "/gw/") == "/-/logout"


def test_a_path_in_another_script_is_percent_encoded() -> None:
    assert check("/غرفة?q=ä", TENANT) == "/%D8%BA%D8%B1%D9%81%D8%A9?q=%C3%A4"


def test_an_unpaired_surrogate_redirects_to_the_start_page() -> None:
    assert check("/\ud800", TENANT) == HOME


@pytest.mark.parametrize(
    "payload",
    ["//e", "/\\e", "/\t/e", "https:e", "/%2f%2fe", "/\r\nX: y", "//user@e", "javascript:x", "/%5Ce", "/a\\e", "/a//e"],
)
def test_a_return_path_that_a_parser_could_read_as_another_host_redirects_to_the_start_page(payload: str) -> None:
    assert check(payload, TENANT) == HOME


def test_no_payload_leaves_the_origin_by_the_rules_of_rfc_3986() -> None:
    left = [
        p
        for p in PAYLOADS
        if urlsplit(urljoin("https://cc.example/x", check(p, TENANT)))[:2] != ("https", "cc.example")
    ]
    assert left == []


_ODD = st.one_of(st.sampled_from(["//", "\\", "\t", "\r\n", "%2f", "%5c", "@e", ":", "ü", " "]), st.text(max_size=3))


@property_test(nearly(st.from_regex(r"/app(/[a-z0-9.~-]{1,8}){0,3}(\?[a-z=&]{0,8})?", fullmatch=True), _ODD), least=0.4)
def test_an_accepted_return_path_is_one_line_of_ascii(reached: Reached, target: str) -> None:
    taken = check(target, TENANT)
    if taken != HOME:
        reached()
    assert taken.isascii()
    assert taken.isprintable()
    assert " " not in taken


@pytest.mark.browser
async def test_no_payload_leaves_the_origin_in_a_real_browser(page: Page) -> None:
    targets = sorted({check(payload, TENANT) for payload in PAYLOADS})
    left = await page.evaluate(
        "targets => targets.filter(t => new URL(t, 'https://cc.example/-/login').origin !== 'https://cc.example')",
        targets,
    )
    assert left == []


@pytest.mark.browser
async def test_without_the_check_the_payloads_leave_the_origin_in_a_real_browser(page: Page) -> None:
    """Shows that many of the payloads are dangerous; otherwise the test above shows nothing."""
    left = await page.evaluate(
        """payloads => payloads.filter(p => { try { return new URL(p, 'https://cc.example/-/login').origin
           !== 'https://cc.example' } catch { return true } }).length""",
        PAYLOADS,
    )
    assert left > 500
