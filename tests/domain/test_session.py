"""Tests of what a session opens."""

from dataclasses import replace

import pytest

from gateway.domain.policy import EnrolmentRule
from gateway.domain.session import DecidedBy, Satisfied
from gateway.domain.tenant import EVERYONE, AllowedUsers, Route, RouteFactor
from tests.fixtures.sample_tenants import session, tenant

SITE = tenant(routes=(Route("/strict", "http://app"), Route("/free", "http://app", second_factor=RouteFactor.OFF)))
STRICT = replace(SITE, policy=replace(SITE.policy, enabled=True))


@pytest.mark.parametrize(
    ("satisfied", "rule", "policy", "opened"),
    [
        (Satisfied.PROVED, "", {}, True),
        (Satisfied.NOT_ASKED, DecidedBy.OFF, {}, False),
        (Satisfied.NOT_ASKED, DecidedBy.OFF, {"enabled": False}, True),
        (Satisfied.NOT_ASKED, DecidedBy.ROUTE_ASKS_NONE, {}, False),
        (Satisfied.TRUSTED, DecidedBy.TRUSTED_BROWSER, {"trust_browser_days": 14}, True),
        (Satisfied.TRUSTED, DecidedBy.TRUSTED_BROWSER, {"trust_browser_days": 0}, False),
        (Satisfied.NOT_ASKED, DecidedBy.OPTIONAL_AND_NONE, {"enrolment": EnrolmentRule.OPTIONAL}, True),
        (Satisfied.NOT_ASKED, DecidedBy.OPTIONAL_AND_NONE, {"enrolment": EnrolmentRule.REQUIRED}, False),
        (Satisfied.NOT_ASKED, DecidedBy.VERIFIED_IN_SESSION, {"skip_when_verified": True}, True),
        (Satisfied.NOT_ASKED, DecidedBy.VERIFIED_IN_SESSION, {"skip_when_verified": False}, False),
        (Satisfied.NONE, "", {}, False),
        (Satisfied.NOT_ASKED, "a rule of another version", {}, False),
    ],
)
def test_a_session_opens_a_route_while_the_reason_for_its_proof_still_holds(
    satisfied: Satisfied, rule: DecidedBy | str, policy: dict[str, object], opened: bool
) -> None:
    name = rule.value if isinstance(rule, DecidedBy) else rule
    today = replace(STRICT, policy=replace(STRICT.policy, **policy))  # type: ignore[arg-type]
    assert replace(session(), satisfied=satisfied, rule=name).opens(today, "/strict") is opened


def test_a_route_without_a_second_factor_and_an_own_page_need_no_proof() -> None:
    alone = replace(session(), satisfied=Satisfied.NOT_ASKED, rule=DecidedBy.OFF.value)
    assert [alone.opens(STRICT, path) for path in ("/free", "/-/account", "/strict")] == [True, True, False]


def test_a_session_for_some_routes_opens_no_other() -> None:
    some = replace(session(), routes=("/free",))
    assert [some.opens(STRICT, path) for path in ("/free", "/strict", "")] == [True, False, False]


@pytest.mark.row("GW-40")
@pytest.mark.parametrize(
    ("allow", "admitted"),
    [
        (EVERYONE, True),
        (AllowedUsers(roles=frozenset({"agent"})), True),
        (AllowedUsers(roles=frozenset({"admin", "agent"})), True),
        (AllowedUsers(roles=frozenset({"admin"})), False),
        (AllowedUsers(roles=frozenset({"Agent"})), False),
        (AllowedUsers(roles=frozenset({"admin-app:operator"})), True),
        (AllowedUsers(roles=frozenset({"operator"})), False),
        (AllowedUsers(roles=frozenset({"other-app:agent"})), False),
        (AllowedUsers(groups=frozenset({"/agents/berlin"})), True),
        (AllowedUsers(groups=frozenset({"/agents"})), False),
        (AllowedUsers(groups=frozenset({"/agents/berlin/north"})), False),
        (AllowedUsers(frozenset({"admin"}), frozenset({"/agents/berlin"})), True),
        (AllowedUsers(frozenset({"agent"}), frozenset({"/other"})), True),
        (AllowedUsers(), False),
    ],
)
def test_a_role_or_group_of_the_list_admits_a_user(allow: AllowedUsers, admitted: bool) -> None:
    user = replace(session(), roles=("agent",), client_roles=("admin-app:operator",), groups=("/agents/berlin",))
    assert user.may_use(Route("/app", "http://app", allow=allow)) is admitted


@pytest.mark.row("GW-40")
def test_a_user_without_roles_and_groups_may_use_only_apps_for_everyone() -> None:
    listed = AllowedUsers(frozenset({"agent"}), frozenset({"/agents"}))
    routes = [Route("/open", "http://app"), Route("/listed", "http://app", allow=listed)]
    assert [session().may_use(route) for route in routes] == [True, False]


@pytest.mark.row("GW-40")
def test_a_realm_role_with_a_colon_is_no_role_of_a_client() -> None:
    route = Route("/app", "http://app", allow=AllowedUsers(roles=frozenset({"admin-app:operator"})))
    assert not replace(session(), roles=("admin-app:operator",)).may_use(route)
