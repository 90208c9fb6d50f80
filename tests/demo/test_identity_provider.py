"""Tests of the stand-in's switches; the contract suite tests what it shares with the real Keycloak."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from aiohttp import web

from gateway.demo.identity_provider import Fault, Realm, StandInClient, StandInUser, build
from tests.fixtures.clock import FakeClock
from tests.fixtures.ports import free_port


class ProviderHarness:
    """A stand-in and an HTTP client for it."""

    def __init__(self, realm: Realm, http: httpx2.AsyncClient) -> None:
        self.realm, self.http = realm, http
        self.user = realm.users[0]

    async def token(self, **form: str) -> httpx2.Response:
        client = {"client_id": "app", "client_secret": "made up", "grant_type": "password"}
        path = f"realms/{self.realm.name}/protocol/openid-connect/token"
        return await self.http.post(path, data=client | form)

    async def grant(self, password: str | None = None) -> httpx2.Response:
        return await self.token(username="agent1", password=password or self.user.password)

    async def admin(self, method: str, path: str, **more: Any) -> httpx2.Response:
        form = {"client_id": "service", "grant_type": "client_credentials", "client_secret": "made up too"}
        bearer = {"Authorization": f"Bearer {(await self.token(**form)).json()['access_token']}"}
        return await self.http.request(method, f"admin/realms/{self.realm.name}/{path}", headers=bearer, **more)


@pytest.fixture
async def provider(clock: FakeClock) -> AsyncIterator[ProviderHarness]:
    realm = Realm(
        "demo",
        clients=[
            StandInClient("app", "made up", direct_access=True),
            StandInClient("service", "made up too", management=("manage-users", "realm-admin")),
        ],
        users=[StandInUser("agent1", secrets.token_urlsafe(), email="agent1@example.com")],
        clock=clock,
        failure_factor=3,
    )
    port = free_port()
    runner = web.AppRunner(build([realm]), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/auth/", trust_env=False) as http:
        yield ProviderHarness(realm, http)
    await runner.cleanup()


@pytest.mark.parametrize(("old", "status"), [(False, 400), (True, 401)])
async def test_a_wrong_password_has_the_status_of_the_simulated_version(
    provider: ProviderHarness, old: bool, status: int
) -> None:
    provider.realm.behaviour.old_statuses = old
    answer = await provider.grant("wrong")
    assert (answer.status_code, answer.json()["error_description"]) == (status, "Invalid user credentials")


async def test_a_second_grant_of_one_user_is_refused_during_the_first(provider: ProviderHarness) -> None:
    provider.realm.behaviour.gate = asyncio.Semaphore(0)
    first = asyncio.create_task(provider.grant())
    while not provider.realm.grants_under_way:  # noqa: ASYNC110 - what is waited for is plain data
        await asyncio.sleep(0)
    assert (await provider.grant()).status_code == 400
    provider.realm.behaviour.gate.release()
    assert (await first).status_code == 200


async def test_parallel_grants_are_accepted_where_the_check_is_switched_off(provider: ProviderHarness) -> None:
    provider.realm.behaviour.refuse_parallel = False
    answers = await asyncio.gather(*(provider.grant() for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_user_is_locked_by_failures_and_unlocked_by_the_administrator(provider: ProviderHarness) -> None:
    for _ in range(3):
        await provider.grant("wrong")
    assert (await provider.grant()).status_code == 400
    path = f"attack-detection/brute-force/users/{provider.user.id}"
    assert (await provider.admin("GET", path)).json()["disabled"] is True
    assert (await provider.admin("DELETE", path)).status_code == 204
    assert (await provider.grant()).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.ERROR, 500),
        (Fault.HTML_ERROR, 502),
        (Fault.HTML_DENIED, 401),
        (Fault.NOT_JSON, 200),
        (Fault.REDIRECT, 302),
    ],
)
async def test_each_simulated_fault_has_its_status(provider: ProviderHarness, fault: Fault, status: int) -> None:
    provider.realm.behaviour.token_fault = fault
    assert (await provider.grant()).status_code == status


async def test_tokens_name_the_requested_issuer_unless_one_is_set(provider: ProviderHarness) -> None:
    document = f"realms/{provider.realm.name}/.well-known/openid-configuration"
    asked = (await provider.http.get(document, headers={"Host": "sso.example"})).json()["issuer"]
    provider.realm.behaviour.issuer = "https://fixed.example/auth/realms/demo"
    fixed = (await provider.http.get(document)).json()["issuer"]
    assert (asked, fixed) == ("http://sso.example/auth/realms/demo", "https://fixed.example/auth/realms/demo")


async def test_an_attribute_is_kept_once_the_user_profile_allows_it(provider: ProviderHarness) -> None:
    body = {"username": "agent1", "attributes": {"team": ["red"]}}
    await provider.admin("PUT", f"users/{provider.user.id}", json=body)
    assert provider.user.attributes == {}
    profile = {**provider.realm.profile, "unmanagedAttributePolicy": "ADMIN_EDIT"}
    assert (await provider.admin("PUT", "users/profile", json=profile)).status_code == 200
    await provider.admin("PUT", f"users/{provider.user.id}", json=body)
    assert provider.user.attributes == {"team": ["red"]}


async def test_attributes_are_hidden_and_not_lost_while_the_user_profile_forbids_them(
    provider: ProviderHarness,
) -> None:
    provider.user.attributes = {"team": ["red"]}
    assert "attributes" not in (await provider.admin("GET", f"users/{provider.user.id}")).json()
    provider.realm.profile["unmanagedAttributePolicy"] = "ADMIN_VIEW"
    assert (await provider.admin("GET", f"users/{provider.user.id}")).json()["attributes"] == {"team": ["red"]}


async def test_a_user_is_found_by_an_attribute(provider: ProviderHarness) -> None:
    provider.user.attributes = {"team": ["red"]}
    assert [one["username"] for one in (await provider.admin("GET", "users?q=team:red")).json()] == ["agent1"]
    assert (await provider.admin("GET", "users?q=team:blue")).json() == []


async def test_a_part_of_a_username_finds_users_unless_the_search_is_exact(provider: ProviderHarness) -> None:
    assert len((await provider.admin("GET", "users?username=gent")).json()) == 1
    assert (await provider.admin("GET", "users?username=gent&exact=true")).json() == []


async def test_a_revoked_refresh_token_ends_its_session(provider: ProviderHarness) -> None:
    tokens = (await provider.grant()).json()
    path = f"realms/{provider.realm.name}/protocol/openid-connect/revoke"
    form = {"client_id": "app", "client_secret": "made up", "token": tokens["refresh_token"]}
    assert (await provider.http.post(path, data=form)).status_code == 200
    assert provider.realm.sessions == {}


async def test_userinfo_is_available_only_for_open_sessions(provider: ProviderHarness) -> None:
    tokens = (await provider.grant()).json()
    path = f"realms/{provider.realm.name}/protocol/openid-connect/userinfo"
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await provider.http.get(path, headers=bearer)).json()["preferred_username"] == "agent1"
    provider.realm.end_all(provider.user)
    assert (await provider.http.get(path, headers=bearer)).status_code == 401


async def test_one_session_is_ended_by_its_id(provider: ProviderHarness) -> None:
    await provider.grant()
    (session,) = (await provider.admin("GET", f"users/{provider.user.id}/sessions")).json()
    assert (await provider.admin("DELETE", f"sessions/{session['id']}")).status_code == 204
    assert (await provider.admin("DELETE", f"sessions/{session['id']}")).status_code == 404


async def test_the_token_of_a_user_has_no_administrator_rights(provider: ProviderHarness) -> None:
    bearer = {"Authorization": f"Bearer {(await provider.grant()).json()['access_token']}"}
    answer = await provider.http.get(f"admin/realms/{provider.realm.name}/users", headers=bearer)
    assert answer.status_code == 403


def test_the_repr_of_a_user_or_client_shows_no_password() -> None:
    secret = secrets.token_urlsafe()
    assert secret not in repr(StandInUser("a", secret)) + repr(StandInClient("b", secret))
