"""Back-channel logout: Keycloak tells the gateway that one of its sessions has ended."""

import asyncio
import urllib.parse
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.domain import errors
from gateway.domain.session import Session
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.logout_tokens import LogoutTokenMaker
from tests.fixtures.person import Person
from tests.fixtures.site import Site
from tests.fixtures.stand_in_keycloak import StandIn
from tests.journeys.test_sessions import signed_in

PATH = "/-/oidc/backchannel-logout"
pytestmark = pytest.mark.row("GW-10")


async def told(site: Site, token: str, **more: str) -> int:
    """Returns the status of the answer to a logout token, sent as Keycloak does: without cookie and origin."""
    async with ClientSession() as http, http.post(f"{site.base}{PATH}", data={"logout_token": token, **more}) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status


async def session_of(site: Site, user: User) -> Session:
    """Returns the newest session of the user."""
    return (await site.services.sessions.of_user(site.configuration.tenants[0], user.id))[-1]


def maker(site: Site, stand_in: StandIn, session: Session) -> LogoutTokenMaker:
    """Returns what makes logout tokens of this session."""
    access = site.configuration.tenants[0].keycloak
    return LogoutTokenMaker(
        stand_in.realms[access.realm],
        access.issuer,
        access.sign_in.client_id,
        session.user_id,
        session.tokens.session_id,
        site.clock.now(),
    )


async def is_open(agent: Person) -> bool:
    """Returns whether the browser of this user has a session."""
    return (await agent.get("/unified-admin/")).status == 200


async def test_a_logout_token_ends_its_session_and_no_other_one(light_site: Site, stand_in: StandIn) -> None:
    async with light_site.person() as one, light_site.person() as other:
        user = await signed_in(light_site, one)
        session = await session_of(light_site, user)
        light_site.clock.advance(61)
        assert user.email
        assert (await other.login(user.username, user.password, user.email, light_site.mail)).step == "done"
        assert await told(light_site, maker(light_site, stand_in, session).genuine()) == 200
        assert (await is_open(one), await is_open(other)) == (False, True)
    assert [line["reason"] for line in light_site.audit.of("session_ended")] == ["keycloak"]


async def test_a_logout_token_without_a_session_ends_every_session_of_its_user_only(
    light_site: Site, stand_in: StandIn
) -> None:
    async with light_site.person() as one, light_site.person() as other:
        user = await signed_in(light_site, one)
        await signed_in(light_site, other)
        tokens = maker(light_site, stand_in, await session_of(light_site, user))
        assert await told(light_site, tokens.genuine(sid=None)) == 200
        assert (await is_open(one), await is_open(other)) == (False, True)


async def test_a_websocket_closes_with_the_private_code_when_keycloak_ends_its_session(
    light_site: Site, stand_in: StandIn
) -> None:
    async with light_site.person() as agent:
        user = await signed_in(light_site, agent)
        tokens = maker(light_site, stand_in, await session_of(light_site, user))
        async with agent.http.ws_connect(f"{agent.base}/agent-manager/ws", origin=agent.base) as socket:
            assert await told(light_site, tokens.genuine()) == 200
            await socket.receive(timeout=10)
            assert socket.close_code == 4401


@pytest.mark.attack("E14")
async def test_no_forged_logout_token_ends_a_session(light_site: Site, stand_in: StandIn) -> None:
    async with light_site.person() as agent:
        session = await session_of(light_site, await signed_in(light_site, agent))
        forged = maker(light_site, stand_in, session).forged(session.tokens.access, session.tokens.id_token)
        answers = {name: await told(light_site, token) for name, token in forged.items()}
        assert answers == dict.fromkeys(forged, 400)
        assert len(forged) >= 40
        assert await is_open(agent)


@pytest.mark.attack("E14")
async def test_a_logout_token_counts_once(light_site: Site, stand_in: StandIn) -> None:
    async with light_site.person() as agent:
        user = await signed_in(light_site, agent)
        token = maker(light_site, stand_in, await session_of(light_site, user)).genuine(sid=None)
        assert [await told(light_site, token) for _ in range(2)] == [200, 400]


@pytest.mark.attack("E14")
async def test_a_key_that_the_realm_does_not_have_is_asked_for_once_in_half_a_minute(
    light_site: Site, stand_in: StandIn
) -> None:
    async with light_site.person() as agent:
        tokens = maker(light_site, stand_in, await session_of(light_site, await signed_in(light_site, agent)))
        unknown = [tokens.signed(tokens.claims(), kid=f"unknown {number}") for number in range(4)]
        assert [await told(light_site, token) for token in unknown] == [400, 503, 503, 503]
        assert await is_open(agent)


@pytest.mark.attack("E14")
async def test_a_logout_token_given_twice_is_not_one(light_site: Site, stand_in: StandIn) -> None:
    async with light_site.person() as agent:
        token = maker(light_site, stand_in, await session_of(light_site, await signed_in(light_site, agent))).genuine()
        body = urllib.parse.urlencode([("logout_token", token), ("logout_token", token)])
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with ClientSession() as http, http.post(f"{light_site.base}{PATH}", data=body, headers=headers) as answer:
            assert answer.status == 400
        assert await is_open(agent)


async def test_a_logout_token_of_a_session_that_has_ended_is_accepted(light_site: Site, stand_in: StandIn) -> None:
    async with light_site.person() as agent:
        tokens = maker(light_site, stand_in, await session_of(light_site, await signed_in(light_site, agent)))
        await agent.logout()
        assert await told(light_site, tokens.genuine()) == 200


async def test_a_logout_token_that_the_store_could_not_obey_is_accepted_when_it_is_sent_again(
    light_site: Site, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with light_site.person() as agent:
        tokens = maker(light_site, stand_in, await session_of(light_site, await signed_in(light_site, agent)))
        token, delete = tokens.genuine(), light_site.store.delete

        async def away(key: str) -> bool:
            raise errors.Unreachable("store", "TimeoutError")

        monkeypatch.setattr(light_site.store, "delete", away)
        assert await told(light_site, token) == 503
        monkeypatch.setattr(light_site.store, "delete", delete)
        assert await told(light_site, token) == 200
        assert not await is_open(agent)


@pytest.mark.keycloak
@pytest.mark.parametrize("ended_by", ["a logout of the user", "the removal of one session"])
async def test_a_session_that_keycloak_ends_is_over_here_before_its_token_expires(site: Site, ended_by: str) -> None:
    client = site.configuration.tenants[0].keycloak.sign_in.client_id
    before = _client(site, client)
    attributes = {"backchannel.logout.url": f"{site.base}{PATH}", "backchannel.logout.session.required": "true"}
    _change(site, before, {**before.get("attributes", {}), **attributes})
    try:
        async with site.person() as agent:
            user = await signed_in(site, agent)
            if ended_by == "a logout of the user":
                await asyncio.to_thread(site.keycloak.admin.logout, user.id)
            else:
                (session,) = await asyncio.to_thread(site.keycloak.admin.sessions, user.id)
                await asyncio.to_thread(site.keycloak.admin.request, "DELETE", f"sessions/{session['id']}")
            assert not await is_open(agent)  # Keycloak answers after it has told its clients
    finally:
        _change(site, before, {**before.get("attributes", {}), **dict.fromkeys(attributes, "")})


def _client(site: Site, client_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = site.keycloak.admin.request("GET", f"clients?clientId={client_id}").json()
    return found[0]


def _change(site: Site, client: Mapping[str, Any], attributes: Mapping[str, str]) -> None:
    site.keycloak.admin.request("PUT", f"clients/{client['id']}", json={**client, "attributes": dict(attributes)})
