"""The stand-in identity provider on a free port, with the realms, users and clients of the real one's tests."""

import asyncio
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.demo.identity_provider import Realm, StandInClient, StandInUser, build
from tests.dependencies import realm as wanted
from tests.dependencies.keycloak import Keycloak
from tests.dependencies.keycloak_admin import KeycloakAdmin, new_password
from tests.ports import free_port


@dataclass(frozen=True)
class StandIn:
    """The server with the interface of the real one; a test may change the behaviour of its realms."""

    server: Keycloak
    realms: dict[str, Realm]


@contextmanager
def running() -> Iterator[StandIn]:
    """Serves in a thread, because the tests' administrator makes blocking calls."""
    passwords = {name: new_password() for name in wanted.USERS}
    clients = {name: secrets.token_urlsafe(24) for name in wanted.CLIENTS}
    root = StandInUser("root", secrets.token_urlsafe(12), roles=("admin",))
    realms = [_realm(one) for one in wanted.realms(passwords, clients)]
    realms.append(Realm("master", clients=[StandInClient("admin-cli", direct_access=True)], users=[root]))
    port = free_port()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_serve(realms, port), loop).result(10)
    try:
        with KeycloakAdmin(f"http://127.0.0.1:{port}/auth/", root.username, root.password) as admin:
            server = Keycloak(port, clients, passwords, admin)
            yield StandIn(server, {realm.name: realm for realm in realms})
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(realms: list[Realm], port: int) -> web.AppRunner:
    runner = web.AppRunner(build(realms), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def _realm(found: dict[str, Any]) -> Realm:
    """Returns the realm that Keycloak would import from this JSON."""
    people = [one for one in found["users"] if "serviceAccountClientId" not in one]
    accounts = {one["serviceAccountClientId"]: one for one in found["users"] if "serviceAccountClientId" in one}
    (profile,) = found["components"]["org.keycloak.userprofile.UserProfileProvider"]
    clients = [
        StandInClient(
            client["clientId"],
            client["secret"],
            direct_access=client["directAccessGrantsEnabled"],
            management=tuple(accounts[client["clientId"]]["clientRoles"]["realm-management"])
            if client["clientId"] in accounts
            else None,
        )
        for client in found["clients"]
    ]
    return Realm(
        found["realm"],
        clients=clients,
        users=[_user(one) for one in people],
        roles=[role["name"] for role in found["roles"]["realm"]],
        profile=json.loads(profile["config"]["kc.user.profile.config"][0]),
        failure_factor=found["failureFactor"],
    )


def _user(found: dict[str, Any]) -> StandInUser:
    return StandInUser(
        found["username"],
        found["credentials"][0]["value"],
        email=found.get("email", ""),
        first_name=found["firstName"],
        last_name=found["lastName"],
        email_verified=found["emailVerified"],
        enabled=found["enabled"],
        roles=tuple(found["realmRoles"]),
        required_actions=list(found["requiredActions"]),
    )
