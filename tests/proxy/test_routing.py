"""Tests of the app that a path belongs to, and of the endpoints that stay blocked."""

import itertools
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from gateway.domain.problem import Problem
from gateway.domain.tenant import Route, Tenant
from gateway.proxy.routing import RouteMatch, find, upstream_target
from gateway.web.request_check import InvalidRequest, check
from tests.fixtures.properties import Reached, nearly, property_test
from tests.fixtures.proxy_server import checked, head, tenant

APP = "http://app.internal:3000"


def routes(*paths: str, strip: bool = False, to: str = APP) -> Tenant:
    """Returns a tenant with these routes."""
    return tenant(routes=tuple(Route(path, to, strip_prefix=strip) for path in paths))


def found(target: str, site: Tenant) -> RouteMatch | Problem:
    """Returns the destination of `target`."""
    return find(checked(target), site, "/-/")


def route_of(target: str, *paths: str) -> str | None:
    """Returns the path of the route that accepts `target`."""
    result = found(target, routes(*paths))
    return result.route.path if isinstance(result, RouteMatch) else None


def test_a_route_matches_whole_segments() -> None:
    targets = ("/app", "/app/", "/app/x", "/application", "/app-2/x", "/App/x", "/x/app")
    assert [route_of(target, "/app") for target in targets] == ["/app", "/app", "/app", None, None, None, None]


def test_the_longest_prefix_wins_in_any_order() -> None:
    for order in itertools.permutations(("", "/app", "/app/admin")):
        assert [route_of(target, *order) for target in ("/app/admin/x", "/app/adminx", "/y")] == [
            "/app/admin",
            "/app",
            "",
        ]


@pytest.mark.parametrize("target", ["/-/x", "/-", "/-/", "/%2d/x", "/%252d/x", "/-;x/y"])
def test_no_route_covers_the_gateways_prefix(target: str) -> None:
    assert found(target, routes("")) == Problem.NOT_FOUND


@pytest.mark.parametrize("target", ["/app//x", "/app/a%2fb", "/app/a%252Fb"])
def test_unusual_slashes_need_a_route_that_allows_them(target: str) -> None:
    strict, lenient = routes("/app"), tenant(routes=(Route("/app", APP, allow_encoded_slash=True),))
    assert found(target, strict) == Problem.BAD_REQUEST
    assert isinstance(found(target, lenient), RouteMatch)


@pytest.mark.parametrize(
    ("target", "strip", "to", "expected"),
    [
        ("/app/x?y=z", False, APP, "/app/x?y=z"),
        ("/app/x?y=z", True, APP, "/x?y=z"),
        ("/app", True, APP, "/"),
        ("/app/", True, APP, "/"),
        ("/app?q", True, APP, "/?q"),
        ("/app/x/", True, f"{APP}/base", "/base/x/"),
        ("/app/x", False, f"{APP}/base", "/base/app/x"),
        ("/%61pp/%C3%BC", True, APP, "/%C3%BC"),
    ],
)
def test_an_app_receives_the_bytes_of_the_path_without_a_stripped_prefix(
    target: str, strip: bool, to: str, expected: str
) -> None:
    assert upstream_target(Route("/app", to, strip_prefix=strip), checked(target)) == expected


_SEGMENTS = st.sampled_from(["a", "app", "admin", "2e", "x.y", "~-_", "%C3%BC", "%61", "a+b", "a;x"])
_MARKS = ["..", ".", "%2e", "%2f", "%5c", "%00", "%25", ";x", "//", "/", "\\", "#", "?", " ", "/../", "/./"]
_ODD = st.sampled_from(_MARKS)
_TARGETS = nearly(
    st.tuples(
        st.sampled_from(["/app", "/a/admin", "/app/a", "/a"]),
        st.lists(_SEGMENTS.map(lambda segment: f"/{segment}"), max_size=4).map("".join),
        st.sampled_from(["", "/", "?", "?q=1&r=%2F"]),
    ).map("".join),
    _ODD,
)


@pytest.mark.attack("F12")
@property_test(_TARGETS, least=0.3)
def test_an_accepted_path_is_on_its_route_and_is_sent_byte_for_byte(reached: Reached, target: str) -> None:
    passed = check(head(target))
    if isinstance(passed, InvalidRequest):
        return
    site = routes("/app", "/a/admin")
    result = find(passed, site, "/-/")
    if not isinstance(result, RouteMatch):
        return
    reached()
    prefix = [part for part in result.route.path.split("/") if part]
    assert list(passed.segments[: len(prefix)]) == prefix
    assert not {"..", "."} & set(passed.segments)
    assert result.target == target


BLOCKED = [
    "/unified-admin/keycloakLogin",
    "/unified-admin/keycloakLogin/anything/below",
    "/agent-manager/agent/login",
    "/agent-manager/agent/refresh-token",
    "/agent-manager/agent/send-sms-otp",
    "/agent-manager/agent/register-phone",
    "/agent-manager/agent/validate-otp",
    "/auth/realms/expertflow/protocol/openid-connect/token",
    "/auth/realms/expertflow/protocol/openid-connect/token/introspect",
    "/auth/realms/expertflow/protocol/openid-connect/ext/ciba/auth",
    "/auth/realms/expertflow/protocol/openid-connect/revoke",
    "/auth/realms/expertflow/protocol/saml/x",
    "/auth/realms/expertflow/protocol/openid-connect/auth",
    "/auth/realms/expertflow/protocol/openid-connect/auth/device",
    "/auth/realms/expertflow/login-actions/authenticate",
    "/auth/realms/expertflow/account/credentials",
    "/auth/realms/expertflow/broker/x/login",
    "/auth/realms/expertflow/device",
    "/auth/realms/expertflow/clients-registrations/default",
    "/auth/admin/realms/expertflow/users",
    "/auth/admin/master/console",
    "/realms/expertflow/protocol/openid-connect/token",
]


def spellings(path: str) -> list[str]:
    """Returns one path in the spellings that lenient servers accept."""
    first, last = path.rsplit("/", 1)
    coded = "".join(f"%{ord(c):02x}" for c in last)
    return [
        path,
        path.upper().replace("/UNIFIED-ADMIN", "/unified-admin").replace("/AGENT-MANAGER", "/agent-manager"),
        f"{first}/{last.swapcase()}",
        f"{path}/",
        f"{path}//",
        f"{path}?x=y",
        f"{path}/?x",
        f"{path};x",
        f"{path};x=1/",
        f"{first}/;v/{last}" if first.count("/") > 1 else path,
        f"{first}//{last}",
        f"{first}%2f{last}",
        f"{first}/{coded}",
        f"{first}/{coded.upper()}",
        f"{first}/{quote(coded)}",
        f"{path}%20",
        f"{path}.",
        f"{path}%2f",
        f"{path}%3fx",
        f"{path}%23x",
        f"{path}+",
        f"{path}%e2%80%8b",
        f"{path}%ef%bb%bf/x",
        f"{first}/{last.replace('i', '%C4%B1')}",
        f"{first}/{last.replace('k', '%E2%84%AA')}",
        f"{first}/{last.replace('s', '%C5%BF')}",
        f"{first}/%ef%bd%8c{last[1:]}" if last[0] == "l" else path,
    ]


@pytest.mark.row("NX-05")
@pytest.mark.attack("F12")
@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("blocked", BLOCKED)
def test_the_apps_sign_in_endpoints_are_blocked_in_every_spelling(blocked: str, strip: bool) -> None:
    paths = ("", "/unified-admin", "/agent-manager", "/auth")
    site = tenant(routes=tuple(Route(p, APP, strip_prefix=strip, allow_encoded_slash=True) for p in paths))
    for spelling in spellings(blocked):
        for method in ("GET", "POST", "PUT", "OPTIONS"):
            request = check(head(spelling, method=method))
            assert isinstance(request, InvalidRequest) or find(request, site, "/-/") == Problem.SIGN_IN_HERE, spelling


@pytest.mark.row("NX-05")
@pytest.mark.parametrize("path", ["/x", "/x/y"])
def test_an_endpoint_is_blocked_where_the_route_or_base_path_completes_it(path: str) -> None:
    split = tenant(routes=(Route("/x", f"{APP}/agent", strip_prefix=True), Route("/agent", APP, strip_prefix=True)))
    assert found("/x/login", split) == Problem.SIGN_IN_HERE
    assert found("/agent/login", split) == Problem.SIGN_IN_HERE
    assert isinstance(found(path, split), RouteMatch)


@pytest.mark.parametrize(
    "target",
    [
        "/agent-manager/agent/state",
        "/agent-manager/agents/login-times",
        "/agent-manager/socket.io/?EIO=4",
        "/unified-admin/keycloak",
        "/unified-admin/?next=/agent/login",
        "/auth/realms/expertflow/protocol/openid-connect/certs",
        "/auth/realms/expertflow/protocol/openid-connect/logout",
        "/auth/realms/expertflow/.well-known/openid-configuration",
        "/auth/realms/expertflow",
        "/unified-admin/admin/console",
        "/auth/resources/x/login.css",
    ],
)
def test_paths_next_to_blocked_endpoints_stay_open(target: str) -> None:
    assert isinstance(found(target, routes("")), RouteMatch)
