"""Tests that a form is accepted only in its browser, and from the gateway's own pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.web.csrf import LOGIN, LOGOUT, PURPOSE, Csrf, account_act, is_navigation, of_own_page, same_origin
from tests.fixtures.sample_tenants import tenant

OLD, NEW = Key("00000001", b"o" * 32), Key("00000002", b"n" * 32)
CSRF = Csrf(Signer(KeyRing((OLD,)), PURPOSE))
TENANT = tenant(hosts=("www.cc.example",))


@pytest.mark.row("GW-13")
def test_one_token_is_valid_in_every_tab_of_its_browser() -> None:
    assert CSRF.token(TENANT, "tag", LOGIN) == CSRF.token(TENANT, "tag", LOGIN)
    assert CSRF.verify(TENANT, "tag", CSRF.token(TENANT, "tag", LOGIN), LOGIN)


def test_the_token_of_another_browser_is_rejected() -> None:
    assert not CSRF.verify(TENANT, "tag", CSRF.token(TENANT, "other", LOGIN), LOGIN)


@pytest.mark.row("GW-11")
def test_the_token_of_another_tenant_is_rejected() -> None:
    assert not CSRF.verify(TENANT, "tag", CSRF.token(tenant(id="other"), "tag", LOGIN), LOGIN)


@pytest.mark.parametrize("token", [None, "", ".", "x", "tag", "tag.", "ü.ü", "A" * 43, "tag." + "A" * 43, "\x00"])
def test_a_missing_or_forged_token_is_rejected(token: str | None) -> None:
    assert not CSRF.verify(TENANT, "tag", token, LOGIN)
    assert CSRF.tag_of(TENANT, token, LOGIN) is None


def test_a_token_names_the_cookie_it_was_made_for_only_at_its_tenant() -> None:
    assert CSRF.tag_of(TENANT, CSRF.token(TENANT, "other", LOGIN), LOGIN) == "other"
    assert CSRF.tag_of(TENANT, CSRF.token(tenant(id="other"), "tag", LOGIN), LOGIN) is None


ACTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "empty": ("",),
    "login": (LOGIN,),
    "logout": (LOGOUT,),
    "turn off": account_act("turn-off", "totp", 3),
    "of another factor": account_act("turn-off", "email", 3),
    "of no factor": account_act("turn-off", "", 3),
    "of another version": account_act("turn-off", "totp", 4),
    "of an older version": account_act("turn-off", "totp", 30),
    "enrol": account_act("enrol", "totp", 3),
    "cut otherwise": account_act("turn-offtotp", "", 3),
    "shifted": ("account", "turn-off", "totp3"),
    "joined": ("account/turn-off/totp/3",),
    "a login of that name": (LOGIN, *account_act("turn-off", "totp", 3)),
}


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("made_for", ACTS)
def test_a_token_of_one_act_is_rejected_for_another(made_for: str) -> None:
    token = CSRF.token(TENANT, "tag", *ACTS[made_for])
    assert [name for name, act in ACTS.items() if CSRF.verify(TENANT, "tag", token, *act)] == [made_for]


@pytest.mark.row("GW-46")
@given(
    st.text(max_size=8),
    st.lists(st.text(max_size=6), max_size=4),
    st.text(max_size=8),
    st.lists(st.text(max_size=6), max_size=4),
)
def test_a_token_is_valid_only_for_its_tag_and_act(
    tag: str, act: list[str], other_tag: str, other_act: list[str]
) -> None:
    token = CSRF.token(TENANT, tag, *act)
    assert CSRF.verify(TENANT, tag, token, *act) is (tag != "" and "." not in tag)
    if (tag, act) != (other_tag, other_act):
        assert not CSRF.verify(TENANT, other_tag, token, *other_act)


@pytest.mark.row("GW-46")
@given(st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True), *[st.text(max_size=6)] * 4, *[st.integers(0, 10**17)] * 2)
def test_the_token_of_an_account_act_includes_kind_factor_and_version(
    session: str, kind: str, factor: str, other_kind: str, other_factor: str, version: int, other_version: int
) -> None:
    act, other = account_act(kind, factor, version), account_act(other_kind, other_factor, other_version)
    token = CSRF.token(TENANT, session, *act)
    assert CSRF.verify(TENANT, session, token, *act)
    same = (kind, factor, version) == (other_kind, other_factor, other_version)
    assert CSRF.verify(TENANT, session, token, *other) is same


NAVIGATIONS: list[tuple[dict[str, str], bool]] = [
    ({}, True),  # a program, or a browser by plain http
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, True),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}, True),
    ({"Sec-Fetch-Mode": "navigate"}, True),
    ({"Sec-Fetch-Dest": "document"}, True),
    ({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}, False),  # fetch()
    ({"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"}, False),  # a worker's fetch
    ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, False),
    ({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, False),
    ({"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "serviceworker"}, False),
    ({"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "worker"}, False),
    ({"Sec-Fetch-Mode": "websocket", "Sec-Fetch-Dest": "websocket"}, False),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, False),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "frame"}, False),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "fencedframe"}, False),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "object"}, False),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "embed"}, False),
    ({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": ""}, False),
    ({"Sec-Fetch-Mode": "", "Sec-Fetch-Dest": "document"}, False),
    ({"Sec-Fetch-Mode": "cors"}, False),
    ({"Sec-Fetch-Dest": "empty"}, False),
    ({"Sec-Fetch-Mode": "Navigate", "Sec-Fetch-Dest": "Document"}, False),
    ({"Sec-Fetch-Mode": "nonsense", "Sec-Fetch-Dest": "document"}, False),
]


@pytest.mark.row("GW-46")
@pytest.mark.parametrize(("headers", "navigation"), NAVIGATIONS, ids=lambda value: str(value)[:60])
def test_a_page_load_by_a_browser_is_distinguished_from_a_fetch_by_a_script(
    headers: dict[str, str], navigation: bool
) -> None:
    assert is_navigation(headers) is navigation


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
def test_only_the_browsers_headers_show_that_the_gateways_own_page_posted_a_form(
    headers: dict[str, str], own: bool
) -> None:
    assert of_own_page(headers, TENANT) is own


@pytest.mark.parametrize("tag", [None, ""])
def test_without_a_login_cookie_no_token_is_valid(tag: str | None) -> None:
    assert not CSRF.verify(TENANT, tag, CSRF.token(TENANT, "", LOGIN), LOGIN)


def test_a_page_served_before_a_key_rotation_can_still_post() -> None:
    rotated = Csrf(Signer(KeyRing((NEW, OLD)), PURPOSE))
    assert rotated.verify(TENANT, "tag", CSRF.token(TENANT, "tag", LOGIN), LOGIN)


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
def test_the_origin_of_the_posting_page_is_taken_from_the_browsers_headers(headers: dict[str, str], own: bool) -> None:
    assert same_origin(headers, TENANT) is own


@pytest.mark.parametrize(
    ("origin", "own"), [("null", True), ("http://cc.example", True), ("http://evil.example", False)]
)
def test_over_plain_http_a_page_without_a_referrer_can_post_to_its_origin(origin: str, own: bool) -> None:
    assert same_origin({"Origin": origin}, tenant(public_url="http://cc.example")) is own
