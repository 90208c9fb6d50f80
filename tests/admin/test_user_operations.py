"""Tests of what programs do for the users of their tenant."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.demo.identity_provider import StandInUser
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.session import Satisfied, Tokens
from gateway.domain.user import User
from gateway.sessions.sessions import NewSession
from tests.fixtures.api_site import TENANT, Answer, ApiSite

USERS = f"/tenants/{TENANT}/users"
USER_KEYS = {"id", "username", "first_name", "last_name", "enabled", "email", "email_verified", "phone"}


@pytest.fixture
async def agent(api_site: ApiSite) -> AsyncIterator[StandInUser]:
    """Yields a user with a mail address as factor, in a tenant that accepts administrator's codes."""
    api_site.settings.two_factor["adminCodes"] = True
    api_site.settings.write()
    await api_site.live.look()
    user = StandInUser("lena", "made up", email="lena@example.com", first_name="Lena", last_name="Agent")
    api_site.realm.add(user)
    yield user
    api_site.realm.users.remove(user)


async def enrol(site: ApiSite, user: StandInUser) -> None:
    tenant = site.live.current().tenants[0]
    enrolment = Enrolment(FactorKind.EMAIL, address="lena@example.com", added_at=1_800_000_000.0)
    await site.services.enrolments.add(tenant, user.id, EnrolmentSet(), enrolment)


async def sign_in(site: ApiSite, user: StandInUser, number: int = 1) -> str:
    tenant, now = site.live.current().tenants[0], site.services.clock.now()
    new = NewSession(
        user=User(user.id, user.username),
        tokens=Tokens("access", "", now + 300, now + 1800, f"keycloak-{number}"),
        password_at=now,
        satisfied=Satisfied.PROVED,
        proved_at=now,
    )
    tag, secret = (urlsafe_b64encode(secrets.token_bytes(n)).rstrip(b"=").decode() for n in (16, 32))
    opened, _ = await site.services.sessions.open(tenant, new, tag=tag, secret=secret)
    return opened.id


@pytest.mark.row("GW-16")
async def test_users_are_found_by_a_part_of_their_name_page_by_page(api_site: ApiSite, agent: StandInUser) -> None:
    found = await api_site.call("GET", f"{USERS}?search=len")
    assert [one["username"] for one in found.body["users"]] == ["lena"]
    assert found.body["users"][0].keys() == USER_KEYS
    first = await api_site.call("GET", f"{USERS}?first=0&most=2")
    then = await api_site.call("GET", f"{USERS}?first=2&most=2")
    assert (len(first.body["users"]), first.body["more"]) == (2, True)
    assert not {one["id"] for one in first.body["users"]} & {one["id"] for one in then.body["users"]}


@pytest.mark.row("GW-16")
async def test_a_user_is_shown_with_masked_factors_and_sessions(api_site: ApiSite, agent: StandInUser) -> None:
    await enrol(api_site, agent)
    session = await sign_in(api_site, agent)
    answer = await api_site.call("GET", f"{USERS}/{agent.id}")
    assert answer.status == 200, answer
    assert [one["factor"] for one in answer.body["factors"]] == ["email"]
    assert "lena@example.com" not in json.dumps(answer.body["factors"])
    assert [one["id"] for one in answer.body["sessions"]] == [session]
    assert (answer.body["locks"], answer.body["finding"], answer.body["locked_by_keycloak"]) == ([], "", "")


@pytest.mark.row("SI-16")
async def test_a_new_address_is_stored_and_is_not_verified_unless_the_program_says_so(
    api_site: ApiSite, agent: StandInUser
) -> None:
    path = f"{USERS}/{agent.id}/contact"
    answer = await api_site.call("PATCH", path, {"email": "new@example.com"})
    assert (answer.status, answer.body["email"], answer.body["email_verified"]) == (200, "new@example.com", False)
    answer = await api_site.call("PATCH", path, {"email_verified": True})
    assert (answer.body["email"], answer.body["email_verified"]) == ("new@example.com", True)
    assert agent.first_name == "Lena"
    assert [event["changed"] for event in api_site.audit.of("contact_changed")] == [["email"], []]


@pytest.mark.row("SI-16")
async def test_an_address_that_cannot_be_used_is_named_and_nothing_changes(
    api_site: ApiSite, agent: StandInUser
) -> None:
    path, taken = f"{USERS}/{agent.id}/contact", api_site.realm.named("agent1")
    assert taken
    for body in ({"email": "no address"}, {"email": taken.email}, {"email": 1}, {"fax": "1"}):
        answer = await api_site.call("PATCH", path, body)
        assert (answer.status, answer.code) == (422, "invalid")
        assert [one["path"] for one in answer.body["errors"]] == list(body)
    assert (await api_site.call("PATCH", path, {"phone": "+49301234567"})).code == "not-possible"
    assert agent.email == "lena@example.com"


@pytest.mark.row("SI-16")
async def test_users_without_an_address_are_listed(api_site: ApiSite, agent: StandInUser) -> None:
    agent.email = ""
    found = await api_site.call("GET", f"{USERS}?lacking=email&most=100")
    assert {"lena", "noemail"} <= {one["username"] for one in found.body["users"]}
    assert all(not one["email"] for one in found.body["users"])
    none = await api_site.call("GET", f"{USERS}?lacking=phone&most=100")
    assert len(none.body["users"]) > len(found.body["users"])


@pytest.mark.row("GW-16")
async def test_a_code_is_issued_once_for_the_user_and_audited_with_the_program(
    api_site: ApiSite, agent: StandInUser
) -> None:
    answer = await api_site.call("POST", f"{USERS}/{agent.id}/code")
    assert (answer.status, answer.body["minutes"]) == (200, 30)
    (event,) = api_site.audit.of("admin_code_issued")
    assert (event["by"], event["username"]) == ("API: client automation", "lena")
    assert answer.body["code"] not in json.dumps(api_site.audit.lines)


@pytest.mark.row("GW-16")
async def test_a_tenant_without_administrators_codes_issues_none(api_site: ApiSite, agent: StandInUser) -> None:
    api_site.settings.two_factor["adminCodes"] = False
    api_site.settings.write()
    await api_site.live.look()
    answer = await api_site.call("POST", f"{USERS}/{agent.id}/code")
    assert (answer.status, answer.code) == (409, "not-possible")
    assert "adminCodes" in answer.body["detail"]


@pytest.mark.row("GW-16")
async def test_a_reset_removes_factors_and_ends_sessions(api_site: ApiSite, agent: StandInUser) -> None:
    await enrol(api_site, agent)
    await sign_in(api_site, agent)
    answer = await api_site.call("POST", f"{USERS}/{agent.id}/reset")
    assert (answer.status, answer.body["sessions"]) == (200, 1)
    shown = await api_site.call("GET", f"{USERS}/{agent.id}")
    assert (shown.body["factors"], shown.body["sessions"]) == ([], [])


@pytest.mark.row("GW-16")
async def test_an_unlock_is_audited(api_site: ApiSite, agent: StandInUser) -> None:
    assert (await api_site.call("POST", f"{USERS}/{agent.id}/unlock")).status == 204
    assert len(api_site.audit.of("user_unlocked")) == 1


@pytest.mark.row("GW-16")
async def test_one_session_or_all_are_ended(api_site: ApiSite, agent: StandInUser) -> None:
    sessions = [await sign_in(api_site, agent, number) for number in range(3)]
    assert (await api_site.call("DELETE", f"{USERS}/{agent.id}/sessions/{sessions[1]}")).status == 204
    left = await api_site.call("GET", f"{USERS}/{agent.id}/sessions")
    assert [one["id"] for one in left.body["sessions"]] == [sessions[0], sessions[2]]
    assert (await api_site.call("DELETE", f"{USERS}/{agent.id}/sessions")).body == {"sessions": 2}
    assert [event["sessions"] for event in api_site.audit.of("user_signed_out")] == [1, 2]


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
async def test_a_session_of_another_user_is_not_ended(api_site: ApiSite, agent: StandInUser) -> None:
    session = await sign_in(api_site, agent)
    other = next(one for one in api_site.realm.users if one is not agent)
    answer = await api_site.call("DELETE", f"{USERS}/{other.id}/sessions/{session}")
    assert (answer.status, answer.code) == (404, "not-found")
    shown = await api_site.call("GET", f"{USERS}/{agent.id}/sessions")
    assert len(shown.body["sessions"]) == 1


@pytest.mark.row("GW-16")
@pytest.mark.attack("F1")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/{id}"),
        ("PATCH", "/{id}/contact"),
        ("POST", "/{id}/code"),
        ("POST", "/{id}/unlock"),
        ("POST", "/{id}/reset"),
        ("GET", "/{id}/sessions"),
        ("DELETE", "/{id}/sessions"),
        ("DELETE", "/{id}/sessions/any"),
    ],
)
async def test_users_of_another_tenant_and_calls_without_the_role_are_refused(
    api_site: ApiSite, agent: StandInUser, method: str, path: str
) -> None:
    path = path.format(id=agent.id)
    foreign = await api_site.call(method, f"/tenants/second/users{path}")
    token = await api_site.token()
    client = api_site.realm.client("automation")
    assert client
    client.roles = ()
    without = await api_site.call(method, f"{USERS}{path}", token=token)
    assert [foreign.code, without.code] == ["forbidden", "forbidden"]
    assert len(api_site.audit.of("api_denied")) == 2


@pytest.mark.row("GW-16")
@pytest.mark.attack("F32")
async def test_the_audit_is_searched_for_events_of_the_own_tenant_alone(
    api_site: ApiSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = api_site.settings.path / "audit.log"
    lines: list[dict[str, Any]] = [
        {"at": "2026-11-28T08:00:00Z", "event": "session_opened", "tenant": TENANT, "username": "lena"},
        {"at": "2026-11-28T09:00:00Z", "event": "session_opened", "tenant": "second", "username": "lena"},
        {
            "at": "2026-11-28T10:00:00Z",
            "event": "logout",
            "tenant": TENANT,
            "username": "lena",
            "reference": "7KQ2MXPA",
        },
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = f"/tenants/{TENANT}/audit"
    assert (await api_site.call("GET", path)).code == "not-possible"
    api_site.settings.gateway["audit_file"] = "audit.log"
    api_site.settings.write()
    await api_site.live.look()

    async def found(query: str) -> Answer:
        return await api_site.call("GET", f"{path}?{query}")

    assert (await found("user=lena")).body["events"] == [lines[0], lines[2]]
    assert (await found("event=session_opened")).body["events"] == [lines[0]]
    assert (await found("reference=7kq2mxpa")).body["events"] == [lines[2]]
    assert (await found("since=2026-11-28T09:30:00Z&until=2026-11-28T10:30:00Z")).body["events"] == [lines[2]]
    assert (await found("event=nothing")).code == "invalid"
    assert (await found("most=0")).code == "invalid"
