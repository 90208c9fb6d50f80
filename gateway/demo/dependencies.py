"""The dependencies of the demo's gateway: users, an identity provider, an inbox and two sample apps.

Each listens on loopback, on a port that the system chooses, and ends with the context. The secrets between them are
new each time. The passwords of the users are made up and public.
"""

import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from gateway.demo import identity_provider, sample_apps
from gateway.demo.identity_provider import Realm, StandInClient
from gateway.demo.inbox import LOOPBACK, Inbox
from gateway.demo.loopback import loopback_only
from gateway.demo.sample_users import DemoPerson, people
from gateway.demo.tenants import DemoTenant, tenants
from gateway.demo.web_services import WebServices
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.ports import Clock, SystemRandom
from gateway.domain.tenant import Tenant
from gateway.keycloak.user_profile_schema import WANTED
from gateway.second_factor.enrolments import Enrolments

SIGN_IN, SERVICE = "gateway-login", "gateway-service"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What stands around the gateway, running; `people` by the tenant's id, which is also the name of its realm."""

    tenants: tuple[DemoTenant, ...]
    people: Mapping[str, tuple[DemoPerson, ...]]
    inbox: Inbox
    sms_gateway: str
    web_services: str
    provider: str
    apps: dict[str, str]
    secrets: dict[str, str]


@asynccontextmanager
async def dependencies(clock: Clock) -> AsyncIterator[Dependencies]:
    """Start the identity provider, the inbox and the sample apps; end them afterwards."""
    found, random = tenants(), SystemRandom()
    everybody = {tenant.id: people(tenant, random) for tenant in found}
    keys = {client: secrets.token_urlsafe(24) for client in (SIGN_IN, SERVICE)}
    realms = [_realm(name, users, keys, clock) for name, users in everybody.items()]
    async with AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(Inbox(clock))
        provider = identity_provider.build(realms)
        provider.middlewares.append(loopback_only)
        started = {
            sample.prefix: await stack.enter_async_context(serving(sample_apps.build(sample, clock)))
            for sample in sample_apps.SAMPLES
        }
        url = await stack.enter_async_context(serving(provider))
        texts = await stack.enter_async_context(serving(inbox.sms_gateway()))
        services = await stack.enter_async_context(serving(WebServices(inbox, random).application()))
        yield Dependencies(found, everybody, inbox, texts, services, url, started, keys)


def _realm(name: str, users: Iterable[DemoPerson], keys: Mapping[str, str], clock: Clock) -> Realm:
    realm = Realm(
        name,
        clients=(
            StandInClient(SIGN_IN, keys[SIGN_IN], direct_access=True),
            StandInClient(SERVICE, keys[SERVICE], management=("manage-users", "view-users", "view-realm")),
        ),
        users=[person.user for person in users],
        roles=("agent", "supervisor", "admin"),
        clock=clock,
    )
    realm.profile["attributes"] += [dict(WANTED), {"name": "phoneNumber", "permissions": WANTED["permissions"]}]
    return realm


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


async def register(tenant: Tenant, around: Dependencies, enrolments: Enrolments) -> None:
    """Write the enrolments of the users who are enrolled from the start, as the gateway itself would."""
    for person in around.people[tenant.id]:
        kept: EnrolmentSet | None = EnrolmentSet()
        for enrolment in person.enrolments:
            assert kept is not None  # noqa: S101 - nothing else writes these enrolments yet
            codes = () if kept.enrolments else person.backup_codes
            kept = await enrolments.add(tenant, person.user.id, kept, enrolment, codes)
