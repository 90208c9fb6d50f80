"""A form counts only in the browser it was given to, and from our own pages."""

import pytest

from gateway.crypto.sealing import Key, KeyRing
from gateway.crypto.signing import Signer
from gateway.web.csrf import PURPOSE, Csrf, of_own_page, same_origin
from tests.web.sample import tenant

OLD, NEW = Key("00000001", b"o" * 32), Key("00000002", b"n" * 32)
CSRF = Csrf(Signer(KeyRing((OLD,)), PURPOSE))
TENANT = tenant(hosts=("www.cc.example",))


@pytest.mark.row("GW-13")
def test_one_token_is_good_in_every_tab_of_its_browser() -> None:
    assert CSRF.token(TENANT, "tag") == CSRF.token(TENANT, "tag")
    assert CSRF.verify(TENANT, "tag", CSRF.token(TENANT, "tag"))


def test_the_token_of_another_browser_is_worth_nothing() -> None:
    assert not CSRF.verify(TENANT, "tag", CSRF.token(TENANT, "other"))


@pytest.mark.row("GW-11")
def test_the_token_of_another_tenant_is_worth_nothing() -> None:
    assert not CSRF.verify(TENANT, "tag", CSRF.token(tenant(id="other"), "tag"))


@pytest.mark.parametrize("token", [None, "", ".", "x", "tag", "tag.", "ü.ü", "A" * 43, "tag." + "A" * 43, "\x00"])
def test_a_missing_or_made_up_token_is_refused(token: str | None) -> None:
    assert not CSRF.verify(TENANT, "tag", token)
    assert CSRF.tag_of(TENANT, token) is None


def test_a_token_says_which_cookie_it_was_made_for_at_its_tenant_alone() -> None:
    assert CSRF.tag_of(TENANT, CSRF.token(TENANT, "other")) == "other"
    assert CSRF.tag_of(TENANT, CSRF.token(tenant(id="other"), "tag")) is None


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://cc.example"}, False),
        ({"Origin": "https://cc.example"}, True),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_that_a_page_of_ours_posted_it_must_be_said_by_the_browser(headers: dict[str, str], own: bool) -> None:
    assert of_own_page(headers, TENANT) is own


@pytest.mark.parametrize("tag", [None, ""])
def test_without_a_login_cookie_no_token_is_right(tag: str | None) -> None:
    assert not CSRF.verify(TENANT, tag, CSRF.token(TENANT, ""))


def test_a_page_given_out_before_the_keys_were_rotated_still_posts() -> None:
    rotated = Csrf(Signer(KeyRing((NEW, OLD)), PURPOSE))
    assert rotated.verify(TENANT, "tag", CSRF.token(TENANT, "tag"))


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://cc.example"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "https://cc.example"}, True),
        ({"Origin": "https://www.cc.example"}, True),
        ({"Origin": "https://CC.example"}, True),
        ({"Origin": "https://cc.example.evil"}, False),
        ({"Origin": "http://cc.example"}, False),
        ({"Origin": "https://cc.example:8443"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({}, True),
    ],
)
def test_what_the_browser_says_of_the_posting_page_decides(headers: dict[str, str], own: bool) -> None:
    assert same_origin(headers, TENANT) is own


@pytest.mark.parametrize(
    ("origin", "own"), [("null", True), ("http://cc.example", True), ("http://evil.example", False)]
)
def test_by_plain_http_a_page_without_referrer_still_posts_to_itself(origin: str, own: bool) -> None:
    assert same_origin({"Origin": origin}, tenant(public_url="http://cc.example")) is own
