"""What stands around the demo's gateway? Users, an identity provider, an inbox and two sample apps.

Each on loopback, on a port that the system chooses; all of it ends with the context. Secrets between them are new each
time, the users' passwords are made up and shown to everybody.
"""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.demo import identity_provider, samples
from gateway.demo.identity_provider import Realm, StandInClient, StandInUser
from gateway.demo.inbox import LOOPBACK, Inbox
from gateway.demo.loopback import loopback_only
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, SystemChance
from gateway.domain.tenant import Tenant
from gateway.keycloak.connection import Connections
from gateway.keycloak.profile import Profile
from gateway.keycloak.realm import WANTED
from gateway.second_factor.enrolments import Enrolments
from gateway.store.locks import StoreLock
from gateway.store.memory import MemoryStore

REALM = "expertflow"
SIGN_IN, SERVICE = "gateway-login", "gateway-service"


@dataclass(frozen=True, slots=True)
class Person:
    """One user of the demo; `registered` is an address that counts as registered from the start."""

    user: StandInUser
    about: str
    registered: str = ""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What stands around the gateway, running."""

    people: tuple[Person, ...]
    inbox: Inbox
    provider: str
    apps: dict[str, str]
    secrets: dict[str, str]


def people() -> tuple[Person, ...]:
    """The demo's users; their passwords are made up and shown to everybody."""

    def person(username: str, name: str, role: str, about: str, **more: Any) -> Person:
        first, _, last = name.partition(" ")
        user = StandInUser(
            username=username,
            password=f"{username}-demo",
            email=f"{username}@example.com",
            first_name=first,
            last_name=last,
            roles=(role,),
            enabled=more.get("enabled", True),
        )
        return Person(user, about, more.get("registered", ""))

    return (
        person("anna", "Anna Lindqvist", "agent", "agent, not registered"),
        person("ben", "Ben Carter", "agent", "agent, registered", registered="ben@example.com"),
        person("sara", "Sara Malik", "supervisor", "supervisor"),
        person("adam", "Adam Novak", "admin", "administrator"),
        person("dora", "Dora Quinn", "agent", "agent, disabled", enabled=False),
    )


@asynccontextmanager
async def neighbours(clock: Clock) -> AsyncIterator[Neighbours]:
    """Start the identity provider, the inbox and the sample apps; end them afterwards."""
    everybody = people()
    keys = {client: secrets.token_urlsafe(24) for client in (SIGN_IN, SERVICE)}
    realm = Realm(
        REALM,
        clients=(
            StandInClient(SIGN_IN, keys[SIGN_IN], direct_access=True),
            StandInClient(SERVICE, keys[SERVICE], management=("manage-users", "view-users", "view-realm")),
        ),
        users=[person.user for person in everybody],
        roles=("agent", "supervisor", "admin"),
        clock=clock,
    )
    realm.profile["attributes"].append(dict(WANTED))
    async with AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(Inbox(clock))
        provider = identity_provider.build([realm])
        provider.middlewares.append(loopback_only)
        started = {
            sample.prefix: await stack.enter_async_context(serving(samples.build(sample, clock)))
            for sample in samples.SAMPLES
        }
        url = await stack.enter_async_context(serving(provider))
        yield Neighbours(everybody, inbox, url, started, keys)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve `app` on loopback, on a port the system chooses; gives its address."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, max_field_size=65536, max_line_size=65536)
    await runner.setup()
    try:
        listener = socket.create_server((LOOPBACK, 0))
        await web.SockSite(runner, listener).start()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


async def register(tenant: Tenant, around: Neighbours, ring: KeyRing, clock: Clock) -> None:
    """Write the sealed sets of the users who count as registered, as the gateway itself would."""
    chance = SystemChance()
    store = MemoryStore(clock)
    connections = Connections()
    enrolments = Enrolments(
        profile=Profile(connections),
        store=store,
        sets=Sealer(ring, "enrolments", chance),
        guards=Sealer(ring, "guards", chance),
        lock=StoreLock(store, clock, chance),
        clock=clock,
        on_unguarded=lambda _tenant, _user: None,
    )
    try:
        for person in around.people:
            if person.registered:
                enrolment = Enrolment(FactorKind.EMAIL, address=person.registered)
                await enrolments.add(tenant, person.user.id, EnrolmentSet(), enrolment)
    finally:
        await connections.close()
        await store.close()
