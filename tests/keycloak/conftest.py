"""The stand-in identity provider and the gateway's adapters, on one event loop."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from gateway.demo.identity_provider import Realm, StandInClient, StandInUser, build
from gateway.domain.secret import Secret
from gateway.domain.tenant import Credentials, KeycloakAccess
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.token_endpoint import TokenEndpoint
from gateway.keycloak.user_profile_schema import WANTED
from gateway.keycloak.users import UserProfiles, Users
from tests.fixtures.clock import FakeClock
from tests.fixtures.ports import free_port


@dataclass(frozen=True)
class RealmHarness:
    """A realm of the stand-in, a user in it, and the gateway's adapters."""

    realm: Realm
    user: StandInUser
    access: KeycloakAccess
    clock: FakeClock
    connections: KeycloakClients
    sign_in: TokenEndpoint
    users: Users
    profile: UserProfiles

    @property
    def password(self) -> Secret:
        return Secret(self.user.password)


@pytest.fixture
async def realm_harness(clock: FakeClock) -> AsyncIterator[RealmHarness]:
    secret, other = Secret(secrets.token_urlsafe()), Secret(secrets.token_urlsafe())
    user = StandInUser("agent1", secrets.token_urlsafe(), email="agent1@example.com", first_name="A", last_name="One")
    realm = Realm(
        "expertflow",
        clients=[
            StandInClient("gateway-login", secret.value, direct_access=True),
            StandInClient("gateway-admin", other.value, management=("manage-users",)),
        ],
        users=[user],
        clock=clock,
    )
    realm.profile["attributes"].append(dict(WANTED))
    port = free_port()
    runner = web.AppRunner(build([realm]), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    base = f"http://127.0.0.1:{port}/auth/"
    access = KeycloakAccess(
        url=base,
        realm=realm.name,
        issuer=f"{base}realms/{realm.name}",
        sign_in=Credentials("gateway-login", secret),
        administration=Credentials("gateway-admin", other),
    )
    connections = KeycloakClients()
    adapters = TokenEndpoint(connections, clock), Users(connections), UserProfiles(connections)
    yield RealmHarness(realm, user, access, clock, connections, *adapters)
    await connections.close()
    await runner.cleanup()


async def grant_client(connections: KeycloakClients, access: KeycloakAccess) -> Any:
    """authlib's client for the realm."""
    async with connections.asking(access, "a test") as clients:
        return clients.grants
