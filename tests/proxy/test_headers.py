"""Tests of the header fields that apps and browsers receive."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import strategies as st

from gateway.domain.session import Session
from gateway.domain.tenant import IdentityDelivery, Route, Tenant, TokenCookie
from gateway.proxy.headers import (
    ORIGIN_WIDE,
    HeaderFields,
    may_set_cookie,
    request_head,
    response_fields,
)
from gateway.proxy.routing import RouteMatch, find
from tests.fixtures.properties import Reached, property_test
from tests.fixtures.proxy_server import TOKEN, checked, session, tenant, values

APP = "http://app.internal:3000"
EVERY_WAY = frozenset(IdentityDelivery)


def sent(
    *fields: tuple[str, str], of_session: Session | None = None, site: Tenant | None = None, **route: object
) -> HeaderFields:
    """Returns the fields that the app receives of a signed-in user's request with `fields`."""
    site = site or tenant(routes=(replace(Route("/app", APP, identity=EVERY_WAY), **route),))  # type: ignore[arg-type]
    request = checked("/app/x", *fields)
    found = find(request, site, "/-/")
    assert isinstance(found, RouteMatch)
    return request_head(request, found, site, of_session or session(), "192.0.2.7").fields


def answered(
    *fields: tuple[str, str], asked: tuple[tuple[str, str], ...] = (), site: Tenant | None = None
) -> HeaderFields:
    """Returns the fields that the browser receives of an answer with `fields`."""
    site = site or tenant(APP)
    return response_fields(fields, checked("/unified-admin/x", *asked), site.routes[0], site, "/-/")


@pytest.mark.row("GW-08")
def test_an_app_receives_the_user_by_bearer_token_cookie_and_headers() -> None:
    fields = sent(of_session=session(user_id="u1", username="anna", email="anna@example.com", roles=("agent", "admin")))
    assert values(fields, "authorization") == [f"Bearer {TOKEN}"]
    assert values(fields, "cookie") == [f"token={TOKEN}"]
    assert [values(fields, f"x-auth-{name}") for name in ("user-id", "username", "email", "roles")] == [
        ["u1"],
        ["anna"],
        ["anna@example.com"],
        ["agent,admin"],
    ]


def test_a_name_with_an_underscore_passes_only_if_no_server_reads_it_as_another_field() -> None:
    ours = ("X_Auth_User_Id", "X_Forwarded_For", "Content_Length", "Content_Type", "Sec_Fetch_Site", "X_Known")
    odd = [(name, "odd") for name in ("X_Any", "Origin_", "_Origin", *ours)]
    fields = sent(*odd, ("X-Known", "1"), underscore_headers=True)
    assert {name for name, value in fields if value == "odd"} == {"X_Any", "Origin_", "_Origin"}


@pytest.mark.row("GW-08")
def test_identity_is_sent_only_by_the_deliveries_of_the_route() -> None:
    for way in IdentityDelivery:
        fields = sent(identity=frozenset({way}))
        present = {
            IdentityDelivery.BEARER: bool(values(fields, "authorization")),
            IdentityDelivery.COOKIE: bool(values(fields, "cookie")),
            IdentityDelivery.HEADERS: bool(values(fields, "x-auth-username")),
        }
        assert present == {each: each is way for each in IdentityDelivery}


def test_identity_headers_are_set_even_when_empty_and_always_in_ascii() -> None:
    fields = sent(of_session=session(username="Ünal, 50%\r\nX: y", email="", roles=("a,b", "c")))
    assert values(fields, "x-auth-email") == [""]
    assert values(fields, "x-auth-username") == ["%C3%9Cnal, 50%25%0D%0AX: y"]
    assert values(fields, "x-auth-roles") == ["a%2Cb,c"]
    assert values(sent(of_session=session(username=" a b ")), "x-auth-username") == ["a b"]


def test_a_public_path_sends_no_identity() -> None:
    site = tenant(APP, public_paths=frozenset({"/unified-admin/x"}))
    request = checked("/unified-admin/x", ("Authorization", "Bearer x"), ("Cookie", "token=x; a=1"))
    found = find(request, site, "/-/")
    assert isinstance(found, RouteMatch)
    fields = request_head(request, found, site, None, "192.0.2.7").fields
    assert values(fields, "authorization") == []
    assert values(fields, "cookie") == ["a=1"]


MANAGED = [
    "Authorization",
    "X-Auth-User-Id",
    "X-Auth-Username",
    "X-Auth-Email",
    "X-Auth-Roles",
    "X-Auth-Anything",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-User",
    "Forwarded",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-User-Id",
    "Remote-User",
    "X-Remote-User",
    "Proxy",
    "Via",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Scheme",
    "X-URL-Scheme",
    "X-GW-Assertion",
    "X-Gateway-User",
    "X-Pomerium-Claim-Email",
    "X-Authentik-Username",
    "X-Authenticated-User",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "HTTP2-Settings",
    "TE",
    "Trailer",
]


def spellings(name: str) -> list[str]:
    """Returns 64 spellings of one name: case, and characters that servers fold to a hyphen."""
    cased = [
        name,
        name.lower(),
        name.upper(),
        name.swapcase(),
        name.title(),
        name[:1].lower() + name[1:],
        name[:-1] + name[-1].upper(),
        name.capitalize(),
    ]
    folded = [case.replace("-", mark) for case in cased for mark in ("-", "'", "!", "~", "|", "+", "*", "^")]
    return folded[:64]


@pytest.mark.row("GW-08")
@pytest.mark.attack("F11")
@pytest.mark.parametrize("name", MANAGED)
def test_a_client_cannot_set_the_gateways_headers_in_any_spelling(name: str) -> None:
    assert len(spellings(name)) == 64
    for spelling in spellings(name):
        fields = sent((spelling, "forged"))
        assert "forged" not in [value for _, value in fields], spelling


@property_test(st.sampled_from(MANAGED), st.data(), least=1)
def test_a_forged_header_never_reaches_an_app(reached: Reached, name: str, data: st.DataObject) -> None:
    marks = st.sampled_from("-!#$%&'*+^`|~")
    letters = [data.draw(st.sampled_from([c.lower(), c.upper()])) if c != "-" else data.draw(marks) for c in name]
    reached()
    assert "forged" not in [value for _, value in sent(("".join(letters), "forged"))]


def test_the_connection_header_cannot_name_a_header_of_the_gateway() -> None:
    fields = sent(("Connection", "X-Auth-User-Id, Authorization, Cookie, X-Extra"), ("X-Extra", "1"))
    assert values(fields, "x-auth-user-id") == ["u1"]
    assert values(fields, "authorization") == [f"Bearer {TOKEN}"]
    assert values(fields, "cookie") == [f"token={TOKEN}"]
    assert values(fields, "x-extra") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "close"),
        ("Keep-Alive", "x"),
        ("Proxy-Connection", "x"),
        ("Proxy-Authorization", "x"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "x"),
        ("Content-Length", "0"),
        ("Expect", "100-continue"),
    ],
)
def test_connection_headers_are_not_forwarded(name: str, value: str) -> None:
    assert values(sent((name, value)), name) == []


def test_the_app_receives_its_host_name_and_the_browsers_in_a_separate_header() -> None:
    fields = sent()
    assert values(fields, "host") == ["app.internal:3000"]
    assert [values(fields, f"x-forwarded-{name}") for name in ("for", "proto", "host", "port")] == [
        ["192.0.2.7"],
        ["https"],
        ["cc.example"],
        ["443"],
    ]


def test_the_app_receives_the_port_of_the_public_url_too() -> None:
    fields = sent(site=tenant(public_url="http://cc.example:8080", routes=(Route("/app", APP),)))
    assert values(fields, "x-forwarded-host") == ["cc.example:8080"]
    assert values(fields, "x-forwarded-port") == ["8080"]
    plain = sent(site=tenant(public_url="http://cc.example", routes=(Route("/app", APP),)))
    assert values(plain, "x-forwarded-port") == ["80"]


def test_other_fields_keep_their_order_and_repetitions() -> None:
    fields = sent(("Accept", "a"), ("X-Mine", "1"), ("X-Mine", "2"), ("Range", "bytes=0-1"))
    kept = [(name, value) for name, value in fields if name in ("Accept", "X-Mine", "Range")]
    assert kept == [("Accept", "a"), ("X-Mine", "1"), ("X-Mine", "2"), ("Range", "bytes=0-1")]


OWN_COOKIES = ["gateway-session", "gateway-login", "gateway-trust", "gateway-browser", "gateway-language", "token"]


@pytest.mark.parametrize("name", OWN_COOKIES)
def test_the_gateways_cookies_never_reach_an_app(name: str) -> None:
    marks = ["", "__Host-", "__Secure-", "__Http-", "__Host-Http-", "__host-", "__HOST-", "__host-HTTP-"]
    coded = "".join(f"%{ord(c):02x}" for c in name)
    names = [f"{mark}{spelled}" for mark in marks for spelled in (name, name.upper(), name.title(), coded)]
    names += [f" {name}", f"{name} ", f'"{name}"', name.replace("-", "_"), name.replace("-", ".")]
    for spelled in names:
        [cookie] = values(sent(("Cookie", f"a=1; {spelled}=forged; b=2")), "cookie")
        assert cookie == f"token={TOKEN}; a=1; b=2", spelled


def test_several_cookie_fields_are_joined() -> None:
    assert values(sent(("Cookie", "a=1"), ("Cookie", "b=2;c=3")), "cookie") == [f"token={TOKEN}; a=1; b=2; c=3"]


def test_the_token_cookie_has_the_tenants_name() -> None:
    site = tenant(routes=(Route("/app", APP),), token_cookie=TokenCookie(name="cx-token"))
    assert values(sent(("Cookie", "cx-token=old; token=app"), site=site), "cookie") == [f"cx-token={TOKEN}; token=app"]


@pytest.mark.row("GW-01")
def test_several_set_cookie_fields_stay_separate() -> None:
    cookies = ["a=1; Path=/unified-admin", "b=2; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "a=3"]
    assert values(answered(*(("Set-Cookie", cookie) for cookie in cookies)), "set-cookie") == cookies


PREFIXES = ("", "__Host-", "__Secure-", "__Http-", "__Host-Http-", "__host-http-")
NAMES = ("session", "login", "trust", "browser")


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("sid=1; Path=/; HttpOnly", True),
        ("sid=1; Domain=cc.example", True),
        ("sid=1; Domain=.CC.example", True),
        ("sid=1; Domain=", True),
        ("sid=1; Domain=example", False),
        ("sid=1; domain=.example", False),
        ("sid=1; Domain=other.example", False),
        ("sid=1; Domain=cc.example; Domain=example", False),
        ("gateway-session=1", False),
        ("__Host-gateway-session=1; Secure; Path=/", False),
        ("__host-GATEWAY-trust=1", False),
        *((f"{prefix}gateway-{name}=1; Secure; HttpOnly; Path=/", False) for prefix in PREFIXES for name in NAMES),
        *((f"{prefix}token=1; Secure; HttpOnly; Path=/", False) for prefix in PREFIXES),
        ("__Host-Http-sid=1; Secure; HttpOnly; Path=/", True),
        ("gateway-language=en", False),
        ("token=1", False),
        (" token =1", False),
        ("Token=1", False),
        ("=gateway-session=1", False),
        ("gateway-session", False),
        ("a cookie of no name", False),
        (" =of a blank name", False),
        ("tokens=1", True),
    ],
)
def test_an_app_may_set_cookies_except_the_gateways(cookie: str, kept: bool) -> None:
    assert may_set_cookie(cookie, "cc.example", tenant()) is kept
    site = tenant(routes=(Route("/unified-admin", APP),))
    assert values(answered(("Set-Cookie", cookie), site=site), "set-cookie") == [cookie] * kept


@pytest.mark.parametrize(
    "name",
    [
        "Server",
        "X-Powered-By",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "Upgrade",
        "Alt-Svc",
        "Proxy-Authenticate",
        "X-Named",
    ],
)
def test_fields_for_the_app_or_its_connection_are_not_forwarded(name: str) -> None:
    assert values(answered((name, "x"), ("Connection", "X-Named")), name) == []


ORIGIN_WIDE_NAMES = [
    "Service-Worker-Allowed",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Opener-Policy-Report-Only",
    "Clear-Site-Data",
    "NEL",
    "Report-To",
    "Public-Key-Pins",
    "Public-Key-Pins-Report-Only",
    "Expect-CT",
    "Secure-Session-Registration",
    "Secure-Session-Challenge",
    "Sec-Session-Registration",
    "Sec-Session-Challenge",
    "X-Accel-Redirect",
    "X-Accel-Expires",
    "X-Accel-Limit-Rate",
    "X-Accel-Charset",
    "X-Sendfile",
    "X-Lighttpd-Send-File",
    "X-Lighttpd-Send-Tempfile",
    "X-Reproxy-URL",
    "X-Reproxy-File",
    "Alt-Svc",
]


@pytest.mark.parametrize("name", ORIGIN_WIDE_NAMES)
def test_fields_that_affect_the_whole_origin_or_a_front_proxy_are_dropped_in_any_case(name: str) -> None:
    for spelling in (name, name.lower(), name.upper(), name.swapcase()):
        assert values(answered((spelling, "x"), (spelling, "y")), name) == [], spelling


@pytest.mark.parametrize(
    "name",
    [
        "Accept-CH",
        "Content-Security-Policy",
        "Critical-CH",
        "Cross-Origin-Embedder-Policy",
        "Origin-Agent-Cluster",
        "Permissions-Policy",
        "Reporting-Endpoints",
        "Speculation-Rules",
        "X-Accel-Buffering",
    ],
)
def test_fields_that_affect_one_answer_or_page_are_forwarded(name: str) -> None:
    assert values(answered((name, "x")), name) == ["x"]


def test_missing_security_headers_are_added_and_those_of_the_app_are_kept() -> None:
    assert values(answered(), "x-content-type-options") == ["nosniff"]
    assert values(answered(), "strict-transport-security") == ["max-age=31536000"]
    own = answered(("Content-Security-Policy", "default-src 'self'"), ("X-Content-Type-Options", "NoSniff"))
    assert values(own, "x-content-type-options") == ["NoSniff"]
    assert values(own, "content-security-policy") == ["default-src 'self'"]


@pytest.mark.parametrize("own", ["max-age=1", "max-age=0", "max-age=63072000; includeSubDomains; preload"])
def test_the_gateways_hsts_replaces_the_apps(own: str) -> None:
    assert values(answered(("strict-transport-security", own)), "strict-transport-security") == ["max-age=31536000"]
    plain = tenant(APP, public_url="http://cc.example")
    assert values(answered(("Strict-Transport-Security", own), site=plain), "strict-transport-security") == []


def test_over_http_no_hsts_is_sent() -> None:
    assert values(answered(site=tenant(APP, public_url="http://cc.example")), "strict-transport-security") == []


FRIEND = "https://friend.example"


@pytest.mark.row("GW-28")
def test_cors_headers_are_set_by_the_gateway_and_not_by_the_app() -> None:
    wild = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true"))
    site = tenant(APP, origins=frozenset({FRIEND}))
    assert values(answered(*wild, asked=(("Origin", "https://evil.example"),)), "access-control-allow-origin") == []
    friendly = answered(*wild, asked=(("Origin", FRIEND),), site=site)
    assert values(friendly, "access-control-allow-origin") == [FRIEND]
    assert values(friendly, "access-control-allow-credentials") == ["true"]
    assert "Origin" in values(friendly, "vary")


def test_a_field_that_is_not_a_url_passes_as_it_is() -> None:
    fields = answered(("location", f"{APP}/x"), ("X-Next", f"{APP}/x"))
    assert values(fields, "location") == ["https://cc.example/unified-admin/x"]
    assert values(fields, "x-next") == [f"{APP}/x"]


@pytest.mark.row("GW-28")
def test_the_headers_exposed_by_an_app_are_exposed_only_to_configured_origins() -> None:
    friend, exposed = "https://friend.example", ("access-control-expose-headers", "X-Total")
    site = tenant(APP, origins=frozenset({friend}))
    for origin, seen in ((friend, ["X-Total"]), ("https://evil.example", [])):
        fields = answered(exposed, ("X-Total", "1"), asked=(("Origin", origin),), site=site)
        assert values(fields, "access-control-expose-headers") == seen


def test_the_token_cookie_is_recognised_in_any_case() -> None:
    site = tenant(routes=(Route("/app", APP),), token_cookie=TokenCookie(name="EFCX.Token"))
    assert not any(may_set_cookie(f"{name}=1", "cc.example", site) for name in ("EFCX.Token", "efcx.token"))
    sent_on = sent(("Cookie", "efcx.token=a;; EFCX.Token=b; ; other=c;"), site=site)
    assert values(sent_on, "cookie") == [f"EFCX.Token={TOKEN}; other=c"]


def test_identity_deliveries_do_not_mix_in_any_combination() -> None:
    for size in range(len(IdentityDelivery) + 1):
        for ways in itertools.combinations(IdentityDelivery, size):
            fields = sent(("Authorization", "Bearer forged"), ("Cookie", "token=forged"), identity=frozenset(ways))
            assert "forged" not in " ".join(value for _, value in fields)


def test_every_dropped_field_is_covered_by_the_test_of_dropped_fields() -> None:
    assert {name.lower() for name in ORIGIN_WIDE_NAMES} | {"strict-transport-security"} == ORIGIN_WIDE


def cached(*fields: tuple[str, str], private: bool = True, **route: object) -> list[str]:
    """`Cache-Control` for the browser of an answer with `fields`, in lower case and sorted."""
    site = tenant(routes=(replace(Route("/unified-admin", APP), **route),))  # type: ignore[arg-type]
    sent = response_fields(fields, checked("/unified-admin/x"), site.routes[0], site, "/-/", private=private)
    (value,) = values(sent, "cache-control") or [""]
    return sorted(part.strip() for part in value.lower().split(","))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((), ["private"]),
        (("public, max-age=600",), ["max-age=600", "private"]),
        (("s-maxage=600", "Public"), ["private"]),
        (("max-age=60, proxy-revalidate, must-revalidate",), ["max-age=60", "must-revalidate", "private"]),
        (("private",), ["private"]),
        (('private="X-Name"',), ["private"]),
        (("no-store",), ["no-store"]),
        (("no-store, public",), ["no-store"]),
        (('no-cache="Set-Cookie, X-Name"',), ['no-cache="set-cookie', "private", 'x-name"']),
        (("immutable,, ",), ["immutable", "private"]),
    ],
)
def test_only_the_browser_may_store_an_answer_to_a_session(sent: tuple[str, ...], expected: list[str]) -> None:
    assert cached(*(("Cache-Control", value) for value in sent)) == expected


@pytest.mark.parametrize(
    "name", ["CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "Edge-Control"]
)
def test_a_field_for_shared_caches_alone_is_dropped_from_an_answer_to_a_session(name: str) -> None:
    assert values(answered((name, "max-age=600")), name) == []


def test_an_answer_of_a_public_path_may_be_stored_by_shared_caches() -> None:
    assert cached(("Cache-Control", "public, s-maxage=60"), private=False) == ["public", "s-maxage=60"]


def test_a_route_can_forbid_browsers_to_store_its_pages() -> None:
    page, script = ("Content-Type", "text/html; charset=utf-8"), ("Content-Type", "text/javascript")
    assert cached(page, ("Cache-Control", "max-age=60"), no_store_pages=True) == ["no-store"]
    assert cached(script, ("Cache-Control", "max-age=60"), no_store_pages=True) == ["max-age=60", "private"]
    assert cached(page, ("Cache-Control", "max-age=60")) == ["max-age=60", "private"]
    assert cached(page, ("Cache-Control", "public"), private=False, no_store_pages=True) == ["no-store"]


def test_an_app_learns_the_prefix_that_the_gateway_strips() -> None:
    assert values(sent(strip_prefix=True), "x-forwarded-prefix") == ["/app"]
    assert values(sent(("X-Forwarded-Prefix", "/forged"), strip_prefix=True), "x-forwarded-prefix") == ["/app"]
    assert values(sent(("X-Forwarded-Prefix", "/forged")), "x-forwarded-prefix") == []


def test_an_app_gets_the_public_host_only_where_its_route_says_so() -> None:
    assert values(sent(), "host") == ["app.internal:3000"]
    assert values(sent(pass_host=True), "host") == ["cc.example"]
    port = tenant(public_url="https://cc.example:8443", routes=(Route("/app", APP, pass_host=True),))
    assert values(sent(site=port), "host") == ["cc.example:8443"]


@pytest.mark.parametrize(("public", "passed"), [(True, True), (True, False), (False, True), (False, False)])
def test_only_a_public_path_whose_route_says_so_gets_the_clients_own_authorization(public: bool, passed: bool) -> None:
    paths = frozenset({"/app/hook"}) if public else frozenset()
    site = tenant(routes=(Route("/app", APP, pass_authorization=passed, identity=frozenset()),), public_paths=paths)
    request = checked("/app/hook", ("Authorization", "Basic eDp5"))
    found = find(request, site, "/-/")
    assert isinstance(found, RouteMatch)
    fields = request_head(request, found, site, None if public else session(), "192.0.2.7").fields
    assert values(fields, "authorization") == (["Basic eDp5"] if public and passed else [])
