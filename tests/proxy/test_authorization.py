"""Tests of the decisions: forward, sign in, step up, or refuse."""

from dataclasses import replace

import pytest

from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import AllowedUsers, Tenant
from gateway.proxy.authorization import (
    AnswerPreflight,
    Decision,
    Deny,
    DenyApp,
    Forward,
    RedirectHome,
    RedirectToSignIn,
    RedirectToStepUp,
    UnregisterWorker,
    authorize,
    is_navigation,
)
from gateway.proxy.routing import find
from gateway.web.request_check import Checked
from tests.fixtures.proxy_server import checked, session, tenant
from tests.web.test_request_check import HANDSHAKE

FRIEND = "https://friend.example"
TENANT = tenant(
    origins=frozenset({FRIEND}), hosts=("other.example",), public_paths=frozenset({"/unified-admin/logo.svg"})
)
OWN = "https://cc.example"
SIBLING = "https://evil.cc.example"
FRAME = (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe"))
IMAGE = (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image"))


def of(request: Checked, with_session: Session | None = None, site: Tenant = TENANT) -> Decision:
    """Returns the decision about `request`."""
    return authorize(request, site, find(request, site, "/-/"), with_session, "/-/")


def signed_in(*fields: tuple[str, str], method: str = "GET") -> Decision:
    """Returns the decision about a request of a signed-in user."""
    return of(checked("/unified-admin/x", *fields, method=method), session())


def test_a_session_opens_the_app() -> None:
    decision = signed_in()
    assert isinstance(decision, Forward)
    assert decision.session == session()


def test_a_request_without_a_session_is_redirected_to_the_login_with_its_return_path() -> None:
    assert of(checked("/unified-admin/a?b=c&d=%20")) == RedirectToSignIn(
        "/-/login?to=/unified-admin/a%3Fb%3Dc%26d%3D%2520", True
    )


def test_a_session_of_another_tenant_counts_as_no_session() -> None:
    assert isinstance(of(checked(), session(tenant="other")), RedirectToSignIn)


def test_a_session_without_the_routes_factor_steps_up() -> None:
    decision = of(checked("/agent-manager/x"), session(routes=("/unified-admin",)))
    assert decision == RedirectToStepUp("/-/login?purpose=step-up&to=/agent-manager/x", True)


def test_a_session_with_the_routes_factor_opens_the_route() -> None:
    assert isinstance(of(checked("/unified-admin/x"), session(routes=("/unified-admin",))), Forward)


def test_a_handshake_without_a_session_has_no_return_path() -> None:
    assert of(checked("/unified-admin/x", *HANDSHAKE)) == RedirectToSignIn("/-/login", False)


def test_a_form_posted_without_a_session_has_no_return_path() -> None:
    decision = of(checked("/unified-admin/x", ("Sec-Fetch-Mode", "navigate"), method="POST"))
    assert decision == RedirectToSignIn("/-/login", True)


@pytest.mark.parametrize(
    ("referer", "login"),
    [
        (f"{OWN}/unified-admin/form?id=7#top", "/-/login?to=/unified-admin/form%3Fid%3D7"),
        ("https://other.example/agent-manager/", "/-/login?to=/agent-manager/"),
        (f"{OWN}/", "/-/login"),
        (f"{OWN}/elsewhere", "/-/login"),
        (f"{OWN}/-/account", "/-/login"),
        (OWN, "/-/login"),
        (f"{OWN}.evil.example/unified-admin/", "/-/login"),
        (f"{SIBLING}/unified-admin/", "/-/login"),
        ("http://cc.example/unified-admin/", "/-/login"),
        ("", "/-/login"),
    ],
)
def test_a_form_that_was_sent_without_a_session_leads_back_to_its_page(referer: str, login: str) -> None:
    fields = (("Sec-Fetch-Mode", "navigate"), ("Referer", referer))
    assert of(checked("/unified-admin/x", *fields, method="POST")) == RedirectToSignIn(login, True)


@pytest.mark.parametrize(
    ("page", "login"),
    [
        ("/agent-manager/x", "/-/login?purpose=step-up&to=/agent-manager/x"),
        ("/unified-admin/x", "/-/login?purpose=step-up"),
    ],
)
def test_a_step_up_for_a_form_leads_back_to_its_page_only_if_that_needs_the_proof_too(page: str, login: str) -> None:
    request = checked("/agent-manager/save", ("Referer", f"{OWN}{page}"), method="POST")
    decision = of(request, session(routes=("/unified-admin",)))
    assert isinstance(decision, RedirectToStepUp)
    assert decision.location == login


def test_a_script_that_posts_without_a_session_learns_the_login_that_leads_back_to_its_page() -> None:
    fields = (("Sec-Fetch-Mode", "cors"), ("Referer", f"{OWN}/agent-manager/"))
    decision = of(checked("/agent-manager/api", *fields, method="PUT"))
    assert decision == RedirectToSignIn("/-/login?to=/agent-manager/", False)


@pytest.mark.row("GW-12")
@pytest.mark.parametrize(
    ("method", "fields", "navigation"),
    [
        ("GET", (), True),
        ("GET", (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),), True),
        ("GET", (("Accept", "Text/HTML"),), True),
        ("GET", (("Accept", "*/*"),), True),
        ("HEAD", (("Accept", "*/*"),), True),
        ("GET", (("Sec-Fetch-Mode", "navigate"), ("Accept", "*/*")), True),
        ("POST", (("Accept", "text/html"),), True),
        ("GET", (("Sec-Fetch-Mode", "cors"), ("Accept", "*/*")), False),
        ("GET", (("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")), False),
        ("GET", (("Sec-Fetch-Mode", "same-origin"), ("Accept", "text/html")), False),
        ("GET", (("X-Requested-With", "XMLHttpRequest"), ("Accept", "text/html")), False),
        ("GET", (("Accept", "application/json"),), False),
        ("GET", (("Accept", "application/json, text/plain, */*"),), False),
        ("GET", (("Accept", "text/event-stream"),), False),
        ("GET", (("Accept", "image/avif,image/webp"),), False),
        ("POST", (("Accept", "*/*"),), False),
        ("POST", (), False),
        ("OPTIONS", (), False),
        ("GET", HANDSHAKE, False),
    ],
)
def test_scripts_without_a_session_get_401_and_browsers_get_the_login(
    method: str, fields: tuple[tuple[str, str], ...], navigation: bool
) -> None:
    assert is_navigation(checked("/unified-admin/x", *fields, method=method)) is navigation


@pytest.mark.row("GW-28")
@pytest.mark.attack("F7")
@pytest.mark.parametrize(
    ("method", "fields", "passes"),
    [
        ("GET", (("Sec-Fetch-Site", "same-origin"),), True),
        ("POST", (("Sec-Fetch-Site", "same-origin"), ("Origin", OWN)), True),
        ("POST", (("Sec-Fetch-Site", "same-origin"), ("Origin", "null")), True),
        ("GET", (("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")), True),
        (
            "GET",
            (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")),
            True,
        ),
        ("GET", (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "navigate")), True),
        (
            "GET",
            (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")),
            False,
        ),
        ("GET", (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors"), ("Origin", SIBLING)), False),
        ("GET", (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors")), False),
        ("POST", (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "navigate"), ("Origin", SIBLING)), False),
        ("GET", (*FRAME, ("Referer", f"{FRIEND}/")), True),
        ("GET", (*FRAME, ("Referer", f"{FRIEND}/page?x=1")), True),
        ("HEAD", (*IMAGE, ("Referer", f"{FRIEND}/")), True),
        ("GET", (*IMAGE, ("Referer", f"{FRIEND}/")), True),
        ("GET", (*IMAGE, ("Referer", f"{FRIEND}.evil.example/")), False),
        ("GET", (*IMAGE, ("Referer", f"{SIBLING}/?{FRIEND}/")), False),
        ("GET", (*IMAGE, ("Referer", f"{FRIEND}/"), ("Origin", "null")), False),
        ("GET", (("Sec-Fetch-Site", "cross-site"), *IMAGE[1:], ("Referer", f"{FRIEND}/")), False),
        ("POST", (*FRAME, ("Referer", f"{FRIEND}/")), False),
        ("POST", (("Sec-Fetch-Site", "cross-site"), ("Origin", "null")), False),
        ("POST", (("Sec-Fetch-Site", "cross-site"), ("Origin", FRIEND)), True),
        ("POST", (("Sec-Fetch-Site", "cross-site"), ("Origin", "https://other.example")), True),
        ("GET", (("Sec-Fetch-Site", "nonsense"),), False),
        ("GET", (("Sec-Fetch-Site", ""),), False),
        ("GET", (("Origin", OWN),), True),
        ("POST", (("Origin", OWN),), True),
        ("POST", (("Origin", FRIEND),), True),
        ("POST", (("Origin", "https://other.example"),), True),
        ("POST", (("Origin", SIBLING),), False),
        ("GET", (("Origin", SIBLING),), False),
        ("POST", (("Origin", "http://cc.example"),), False),
        ("POST", (("Origin", "https://cc.example:8443"),), False),
        ("POST", (("Origin", "null"),), False),
        ("POST", (("Origin", ""),), False),
        ("GET", (), True),
        ("HEAD", (), True),
        ("POST", (), False),
        ("PUT", (), False),
        ("PATCH", (), False),
        ("DELETE", (), False),
        ("GET", HANDSHAKE, False),
        ("GET", (*HANDSHAKE, ("Origin", OWN)), True),
        ("GET", (*HANDSHAKE, ("Origin", FRIEND)), True),
        ("GET", (*HANDSHAKE, ("Origin", SIBLING)), False),
        ("GET", (*HANDSHAKE, ("Origin", SIBLING), ("Sec-Fetch-Site", "same-origin")), False),
        ("GET", (*HANDSHAKE, ("Origin", OWN), ("Sec-Fetch-Site", "same-origin")), True),
        ("GET", (*HANDSHAKE, ("Sec-Fetch-Site", "none")), False),
        ("GET", (*HANDSHAKE, ("Sec-Fetch-Site", "same-origin")), True),
        ("OPTIONS", (), True),
    ],
)
def test_credentials_are_accepted_only_from_the_gateways_own_pages_and_direct_navigation(
    method: str, fields: tuple[tuple[str, str], ...], passes: bool
) -> None:
    decision = signed_in(*fields, method=method)
    assert isinstance(decision, Forward) if passes else decision == Deny(Problem.ORIGIN_REFUSED)


@pytest.mark.row("GW-12")
@pytest.mark.parametrize(("origin", "answered"), [(FRIEND, True), (SIBLING, False), (OWN, False)])
def test_preflights_of_configured_origins_are_answered_by_the_gateway(origin: str, answered: bool) -> None:
    request = checked(
        "/agent-manager/x", ("Origin", origin), ("Access-Control-Request-Method", "PUT"), method="OPTIONS"
    )
    assert isinstance(of(request), AnswerPreflight) if answered else isinstance(of(request), RedirectToSignIn)


@pytest.mark.row("GW-12")
@pytest.mark.parametrize(
    ("method", "fields"), [("OPTIONS", ()), ("GET", (("Access-Control-Request-Method", "PUT"),)), ("POST", ())]
)
def test_a_request_that_is_no_preflight_needs_a_session(method: str, fields: tuple[tuple[str, str], ...]) -> None:
    request = checked("/agent-manager/x", ("Origin", FRIEND), *fields, method=method)
    assert isinstance(of(request), RedirectToSignIn)
    assert isinstance(of(request, session()), Forward)


@pytest.mark.attack("A4")
def test_a_public_path_accepts_no_upgrade() -> None:
    assert isinstance(of(checked("/unified-admin/logo.svg", *HANDSHAKE)), RedirectToSignIn)


def test_a_public_path_needs_no_session_and_receives_no_identity() -> None:
    for with_session in (None, session()):
        decision = of(checked("/unified-admin/logo.svg"), with_session)
        assert isinstance(decision, Forward)
        assert decision.session is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_public_path_is_public_only_for_reading(method: str) -> None:
    assert isinstance(of(checked("/unified-admin/logo.svg", method=method)), RedirectToSignIn)


@pytest.mark.parametrize(
    "target",
    [
        "/unified-admin/logo.svg/",
        "/unified-admin/logo.svg/x",
        "/unified-admin/logo.svgx",
        "/unified-admin/LOGO.svg",
        "/unified-admin/logo%2esvg",
        "/unified-admin/logo.svg;x",
        "/unified-admin/x?/unified-admin/logo.svg",
        "/agent-manager/logo.svg",
    ],
)
def test_a_public_path_is_public_in_no_other_spelling(target: str) -> None:
    assert isinstance(of(checked(target)), RedirectToSignIn)


@pytest.mark.parametrize(
    ("target", "fields", "decision"),
    [
        ("/", (), RedirectHome(TENANT.home)),
        ("/", (("Sec-Fetch-Mode", "cors"),), Deny(Problem.NOT_FOUND)),
        ("/nothing", (), Deny(Problem.NOT_FOUND)),
        ("/unified-admin//x", (), Deny(Problem.BAD_REQUEST)),
        ("/unified-admin/keycloakLogin", (), Deny(Problem.SIGN_IN_HERE)),
    ],
)
def test_on_a_path_without_an_app_a_user_is_redirected_to_the_start_page_and_other_requests_are_denied(
    target: str, fields: tuple[tuple[str, str], ...], decision: Decision
) -> None:
    assert of(checked(target, *fields), session()) == decision


def test_a_service_worker_script_that_the_app_may_not_serve_is_replaced() -> None:
    update = ("Service-Worker", "script")
    route = TENANT.routes[0]
    assert of(checked("/unified-admin/sw.js", update)) == UnregisterWorker("no session", route)
    assert of(checked("/nothing/sw.js", update)) == UnregisterWorker("not-found", None)
    assert isinstance(of(checked("/unified-admin/sw.js", update), session()), Forward)


ADMINS = replace(TENANT.routes[0], allow=AllowedUsers(roles=frozenset({"admin"})))
RESTRICTED = replace(TENANT, routes=(ADMINS, *TENANT.routes[1:]))


@pytest.mark.row("GW-40")
def test_only_users_with_a_role_of_the_route_reach_its_app() -> None:
    agent, admin = session(roles=("agent",)), session(roles=("agent", "admin"))
    decisions = [of(checked("/unified-admin/x"), user, RESTRICTED) for user in (agent, admin)]
    assert decisions[0] == DenyApp(ADMINS, agent)
    assert isinstance(decisions[1], Forward)
    assert isinstance(of(checked("/agent-manager/x"), agent, RESTRICTED), Forward)


@pytest.mark.row("GW-40")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_no_method_reaches_an_app_that_the_user_may_not_use(method: str) -> None:
    request = checked("/unified-admin/x", ("Sec-Fetch-Site", "same-origin"), method=method)
    assert isinstance(of(request, session(), RESTRICTED), DenyApp)


@pytest.mark.row("GW-40")
def test_no_websocket_reaches_an_app_that_the_user_may_not_use() -> None:
    assert isinstance(of(checked("/unified-admin/x", *HANDSHAKE), session(), RESTRICTED), DenyApp)


@pytest.mark.row("GW-40")
def test_a_stranger_is_asked_to_sign_in_before_an_app_is_denied() -> None:
    assert isinstance(of(checked("/unified-admin/x"), None, RESTRICTED), RedirectToSignIn)


@pytest.mark.row("GW-40")
def test_a_user_is_not_asked_for_a_proof_that_opens_nothing() -> None:
    assert isinstance(of(checked("/unified-admin/x"), session(routes=("/agent-manager",)), RESTRICTED), DenyApp)


@pytest.mark.row("GW-40")
def test_a_public_path_of_an_app_for_some_users_stays_public() -> None:
    for user in (None, session()):
        decision = of(checked("/unified-admin/logo.svg"), user, RESTRICTED)
        assert isinstance(decision, Forward)
        assert decision.session is None


@pytest.mark.row("GW-40")
def test_the_service_worker_of_an_app_is_unregistered_for_users_who_may_not_use_it() -> None:
    update = checked("/unified-admin/sw.js", ("Service-Worker", "script"))
    assert of(update, session(), RESTRICTED) == UnregisterWorker("app-not-allowed", ADMINS)
