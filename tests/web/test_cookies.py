"""Tests of every `Set-Cookie` of the gateway, and of reading a `Cookie` header."""

import base64
import string
from http.cookies import SimpleCookie

import pytest
from hypothesis import strategies as st

from gateway.domain.ports import SystemRandom
from gateway.domain.tenant import SameSite, TokenCookie
from gateway.web import cookies
from gateway.web.cookies import Cookie, TooLarge, new_browser_secret
from tests.fixtures.clock import SeededRandom
from tests.fixtures.properties import Reached, nearly, property_test
from tests.fixtures.sample_tenants import session, tenant

HTTPS = tenant()
HTTP = tenant(public_url="http://localhost:8080")
NOW = 1_800_000_000.0


def test_an_https_tenant_has_secure_host_cookies_without_a_domain() -> None:
    assert cookies.session(HTTPS, "v") == "__Host-Http-gateway-session=v; Secure; HttpOnly; SameSite=Lax; Path=/"


def test_an_http_tenant_has_plain_cookie_names_without_secure() -> None:
    assert cookies.login(HTTP, "v") == "gateway-login=v; HttpOnly; SameSite=Lax; Path=/"


@pytest.mark.parametrize("cookie", list(Cookie))
def test_each_cookie_of_the_gateway_is_removed_with_the_name_and_attributes_it_was_set_with(cookie: Cookie) -> None:
    gone = cookies.forget(HTTPS, cookie)
    assert gone.startswith(f"__Host-Http-{cookie.value}=; Max-Age=0; Expires=Thu, 01 Jan 1970")
    assert gone.endswith("; Secure; HttpOnly; SameSite=Lax; Path=/")


def test_session_and_login_cookies_are_removed_when_the_browser_closes() -> None:
    assert "Max-Age" not in cookies.session(HTTPS, "v") + cookies.login(HTTPS, "v")


def test_the_trust_cookie_lasts_the_given_seconds() -> None:
    assert "; Max-Age=1209600; " in cookies.trust(HTTPS, "v", 14 * 86400)


def test_the_browser_cookie_is_kept_at_the_logout() -> None:
    assert "; Max-Age=31536000; " in cookies.browser(HTTPS, "v")


def test_the_language_has_a_separate_plain_cookie() -> None:
    assert cookies.language(HTTPS, "ar").startswith("gateway-language=ar; Max-Age=31536000; ")
    assert cookies.forget_language(HTTPS).startswith("gateway-language=; Max-Age=0; ")


@pytest.mark.parametrize("evil", ["a;b", "a b", "a\r\nX: y", 'a"b', "ä", "a,b", "a\\b"])
def test_a_value_that_would_break_the_header_is_not_written(evil: str) -> None:
    with pytest.raises(ValueError, match="no cookie can hold"):
        cookies.session(HTTPS, evil)
    with pytest.raises(ValueError, match="no cookie can hold"):
        cookies.token(HTTPS, session(evil), NOW)


def test_a_cookie_is_read_from_any_of_several_header_lines() -> None:
    assert cookies.read(["a=1; gateway-login=x.y", "b=2"]).get("gateway-login") == "x.y"


@pytest.mark.row("GW-11")
@pytest.mark.parametrize(
    "lines",
    [
        ["__Host-Http-gateway-session=a; __Host-Http-gateway-session=b"],
        ["__Host-Http-gateway-session=a", "__Host-Http-gateway-session=a"],
        ["__Host-Http-gateway-session=a;x=1;  __Host-Http-gateway-session  =b"],
    ],
)
def test_a_cookie_name_sent_twice_counts_as_missing(lines: list[str]) -> None:
    assert cookies.read(lines).get("__Host-Http-gateway-session") is None


@pytest.mark.parametrize(
    "header",
    ["", ";;;", "=", "gateway-login", "Gateway-Login=x", "xgateway-login=1", "gateway-login-x=1", "\x00", "a" * 9000],
)
def test_a_malformed_cookie_header_contains_no_cookies(header: str) -> None:
    assert cookies.read([header]).get("gateway-login") is None


_PAIRS = st.lists(st.sampled_from(["gateway-login=x", "a=b", " gateway-login = y ", "c"]), max_size=3, unique=True).map(
    "; ".join
)


@property_test(nearly(_PAIRS, st.text(max_size=20)), least=0.1)
def test_reading_any_cookie_header_raises_nothing(reached: Reached, header: str) -> None:
    if cookies.read([header]).get("gateway-login") is not None:
        reached()


@pytest.mark.parametrize(
    "prefix", ["", "__Host-", "__Http-", "__Secure-", "__host-http-", "__Host-Http", "__Http-Host-"]
)
@pytest.mark.parametrize("cookie", list(Cookie))
def test_a_cookie_name_without_its_complete_prefix_is_not_recognised(prefix: str, cookie: Cookie) -> None:
    assert cookies.read([f"{prefix}{cookie.value}=planted"]).get(cookies.name_of(cookie, HTTPS)) is None


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("cookie", list(Cookie))
def test_over_https_no_script_and_no_other_host_can_set_a_cookie_of_the_gateway(cookie: Cookie) -> None:
    assert cookies.name_of(cookie, HTTPS) == f"__Host-Http-{cookie.value}"
    assert cookies.name_of(cookie, HTTP) == cookie.value


@pytest.mark.row("GW-46")
def test_over_https_every_cookie_of_the_gateway_satisfies_its_prefix() -> None:
    own = [cookies.session, cookies.login, cookies.browser]
    made = [make(HTTPS, "v") for make in own] + [cookies.trust(HTTPS, "v", 60)]
    made += [cookies.forget(HTTPS, cookie) for cookie in Cookie]
    for cookie in made:  # RFC 6265bis 4.1.3: a browser drops it otherwise
        flags = [part.strip() for part in cookie.split(";")]
        assert {"Secure", "HttpOnly", "Path=/"} <= set(flags), cookie
        assert not [flag for flag in flags if flag.lower().startswith("domain")], cookie


def test_a_browser_secret_is_read_back_from_its_cookie() -> None:
    made = cookies.new_browser_secret(SeededRandom())
    assert cookies.browser_secret(made.value) == made
    assert len(made.tag) == 22
    assert len(made.secret) == 43


def test_two_secrets_of_one_browser_share_only_the_tag() -> None:
    random = SeededRandom()
    login = cookies.new_browser_secret(random)
    session_ = cookies.new_browser_secret(random, login.tag)
    assert session_.tag == login.tag
    assert session_.secret != login.secret


def test_the_repr_of_a_browser_secret_does_not_show_it() -> None:
    made = cookies.new_browser_secret(SeededRandom())
    assert made.secret not in repr(made)


@pytest.mark.parametrize(
    "value",
    [None, "", ".", "a.b", "x" * 22 + "." + "y" * 42, "x" * 22 + "." + "y" * 44, "x" * 22 + ":" + "y" * 43,
     "x" * 22 + "." + "y" * 43 + "\n", "{}" * 11 + "." + "y" * 43, "x" * 22 + "." + "ü" * 43],
)  # fmt: skip
def test_a_browser_cookie_that_the_gateway_cannot_have_made_is_rejected(value: str | None) -> None:
    assert cookies.browser_secret(value) is None


_SECRETS = st.from_regex(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", fullmatch=True)


@property_test(nearly(_SECRETS, st.text(alphabet=string.printable, min_size=1, max_size=3)), least=0.4)
def test_any_text_is_rejected_as_browser_secret_or_read_back_unchanged(reached: Reached, value: str) -> None:
    parsed = cookies.browser_secret(value)
    if parsed is None:
        return
    reached()
    assert parsed.value == value
    assert (len(parsed.tag), len(parsed.secret)) == (22, 43)


@pytest.mark.row("GW-07")
def test_the_token_cookie_contains_the_access_token_for_its_lifetime() -> None:
    assert cookies.token(HTTPS, session("h.p.s", NOW + 300.9), NOW) == (
        "token=h.p.s; Max-Age=300; Secure; HttpOnly; SameSite=Lax; Path=/"
    )


@pytest.mark.row("GW-07")
def test_the_token_cookie_has_the_tenants_name_domain_path_and_attributes() -> None:
    settings = TokenCookie(
        "efcx", domain="cc.example", path="/agent-manager", http_only=False, same_site=SameSite.STRICT
    )
    made = cookies.token(tenant(token_cookie=settings), session("t", NOW + 60), NOW)
    assert made == "efcx=t; Max-Age=60; Domain=cc.example; Secure; SameSite=Strict; Path=/agent-manager"


@pytest.mark.row("GW-07")
def test_the_token_cookie_is_removed_with_the_same_domain_and_path() -> None:
    settings = TokenCookie("efcx", domain="cc.example", path="/agent-manager")
    gone = cookies.forget_token(tenant(token_cookie=settings))
    assert gone.startswith("efcx=; Max-Age=0; ")
    assert "Domain=cc.example" in gone
    assert gone.endswith("Path=/agent-manager")


@pytest.mark.row("GW-07")
def test_a_token_too_large_for_a_cookie_is_reported_with_its_size_and_never_truncated_or_split() -> None:
    made = cookies.token(HTTPS, session("x" * 5000), NOW)
    assert isinstance(made, TooLarge)
    assert made.name == "token"
    assert made.size > 5000


@pytest.mark.row("GW-07")
def test_a_token_cookie_of_4096_bytes_is_the_largest_allowed() -> None:
    rest = len(str(cookies.token(HTTPS, session("x"), NOW))) - 1
    fits, too_large = (cookies.token(HTTPS, session("x" * (size - rest)), NOW) for size in (4096, 4097))
    assert (len(str(fits)), isinstance(too_large, TooLarge)) == (4096, True)


def test_the_cookie_of_an_expired_token_has_expired() -> None:
    assert "; Max-Age=0; " in str(cookies.token(HTTPS, session("t", NOW - 5), NOW))


def test_a_token_cookie_for_other_sites_is_secure_even_over_http() -> None:
    made = cookies.token(
        tenant(public_url="http://localhost", token_cookie=TokenCookie(same_site=SameSite.NONE)), session(), NOW
    )
    assert isinstance(made, str)
    assert "Secure" in made


def test_the_standard_library_reads_the_gateways_cookies() -> None:
    jar = SimpleCookie()
    jar.load(cookies.session(HTTPS, cookies.new_browser_secret(SeededRandom()).value))
    assert jar["__Host-Http-gateway-session"]["samesite"] == "Lax"


def test_every_byte_of_a_new_secret_is_random() -> None:
    made = [new_browser_secret(SystemRandom()) for _ in range(60)]
    for values, length in (([one.tag for one in made], 16), ([one.secret for one in made], 32)):
        decoded = [base64.urlsafe_b64decode(value + "==") for value in values]
        assert {len(one) for one in decoded} == {length}
        assert all(len({one[at] for one in decoded}) > 20 for at in range(length))
