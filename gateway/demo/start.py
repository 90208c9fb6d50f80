"""What does `make demo` start, and with which configuration?

Its neighbours, each on loopback and on a port of its own: a stand-in identity provider, an inbox, two sample apps.
Then the gateway itself, the same one that `serve` runs, with a configuration made here, random keys and the demo's
pages as extra routes. Nothing of it outlives the process, except what a store given by `--store` keeps under `demo:`.
"""

import asyncio
import json
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from gateway.app import build
from gateway.crypto.sealing import KEY_BYTES, Key, KeyRing, Sealer
from gateway.demo import identity_provider, samples
from gateway.demo.identity_provider import Realm, StandInClient, StandInUser
from gateway.demo.inbox import LOOPBACK, Inbox
from gateway.demo.loopback import NAMES, loopback_only
from gateway.demo.pages import DemoApp, DemoPages, DemoUser
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, SystemChance, SystemClock
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from gateway.keycloak.connection import Connections
from gateway.keycloak.profile import Profile
from gateway.keycloak.realm import WANTED
from gateway.observe import logs
from gateway.proxy.gate import server_options
from gateway.second_factor.enrolments import Enrolments
from gateway.settings.load import load
from gateway.settings.snapshot import Configuration, StoreSettings
from gateway.store.locks import StoreLock
from gateway.store.memory import MemoryStore

TENANT = "expertflow"
CHANNEL = "otp@example.com"
SIGN_IN, SERVICE = "gateway-login", "gateway-service"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. `upstream` puts the login in front of an app of one's own, at `/`."""

    port: int = 8080
    upstream: str | None = None
    store: str | None = None
    remote_upstream: bool = False


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


Serve = Callable[[Configuration, KeyRing, Sequence[web.RouteDef], Callable[[], None]], Awaitable[None]]
"""Serves the gateway until it is told to end, and says when it is ready."""


async def serve_gateway(
    configuration: Configuration, ring: KeyRing, routes: Sequence[web.RouteDef], ready: Callable[[], None]
) -> None:
    """The same gateway that `serve` runs, on loopback, until SIGINT or SIGTERM."""
    app = build(lambda: configuration, ring, extra_routes=routes)
    app.middlewares.insert(0, loopback_only)
    runner = web.AppRunner(app, **server_options())
    await runner.setup()
    loop, ended, signals = asyncio.get_running_loop(), asyncio.Event(), (signal.SIGINT, signal.SIGTERM)
    try:
        await web.TCPSite(runner, LOOPBACK, configuration.gateway.listen.port).start()
        for number in signals:
            loop.add_signal_handler(number, ended.set)
        ready()
        await ended.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        await runner.cleanup()


async def run(options: Options, serve: Serve = serve_gateway, say: Callable[[str], None] = print) -> int:
    """Start everything and serve until it is ended; the exit code. What is wrong with `options` is said in one line."""
    fault = fault_of(options)
    if fault:
        say(fault)
        return 2
    clock = SystemClock()
    ring = new_ring(clock)
    say("starting the identity provider, the inbox and the sample apps")
    async with neighbours(clock) as around:
        configuration = configure(options, around)
        tenant = configuration.tenants[0]
        await register(tenant, around, ring, clock)
        pages = DemoPages(
            users=users_of(around), apps=apps_of(options), inbox=around.inbox, prefix=configuration.gateway.prefix
        )

        def ready() -> None:
            for line in introduction(options, around):
                say(line)

        await serve(configuration, ring, pages.routes(), ready)
    return 0


def fault_of(options: Options) -> str:
    """What keeps the demo from starting, in one line; "" when nothing does."""
    if options.upstream is not None:
        url = urlsplit(options.upstream)
        if url.scheme not in ("http", "https") or not url.hostname:
            return f"--upstream must be an address as http://127.0.0.1:9000, not {options.upstream}"
        if url.hostname not in NAMES and not options.remote_upstream:
            return f"--upstream {options.upstream} is not on this machine; add --remote-upstream if that is meant"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, options.port))
        except (OSError, OverflowError):
            return f"port {options.port} is taken or not allowed; choose another one: PORT=8081 make demo"
    return ""


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
        TENANT,
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


def configure(options: Options, around: Neighbours) -> Configuration:
    """The demo's configuration, read and checked as any other; raises `Misconfigured` with all faults."""
    with tempfile.TemporaryDirectory(prefix="efcx-gateway-demo-") as name:
        folder = Path(name)
        (folder / "tenants").mkdir()
        (folder / "gateway.yaml").write_text(json.dumps(gateway_file(options, around)))
        (folder / "tenants" / f"{TENANT}.json").write_text(json.dumps(tenant_file(options, around)))
        loaded = load(folder / "gateway.yaml", environment={})
    if loaded.configuration is None:
        raise Misconfigured("the demo's configuration", "; ".join(str(fault) for fault in loaded.errors))
    configuration = loaded.configuration
    if options.store is None:
        return configuration
    # A prefix of its own for each run: the keys are new, so nothing that another run left could be opened.
    store = StoreSettings(url=Secret(options.store), prefix=f"demo:{secrets.token_hex(4)}:")
    return replace(configuration, gateway=replace(configuration.gateway, store=store))


def gateway_file(options: Options, around: Neighbours) -> dict[str, Any]:
    """`gateway.yaml` as data (JSON is YAML)."""
    relay = {"host": LOOPBACK, "port": around.inbox.port, "security": "none"}
    return {
        "listen": f"{LOOPBACK}:{options.port}",
        "operations": f"{LOOPBACK}:{_free_port()}",
        "channels": [
            {
                "serviceIdentifier": CHANNEL,
                "type": "EMAIL",
                "kind": "smtp",
                "from": CHANNEL,
                "from_name": "Expertflow CX",
                "relays": [relay],
            }
        ],
    }


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def tenant_file(options: Options, around: Neighbours) -> dict[str, Any]:
    """The tenant as EFCX would write it, with the gateway's own section."""
    routes: list[dict[str, Any]] = [
        {"path": sample.prefix, "to": around.apps[sample.prefix], "strip_prefix": True, "name": sample.name}
        for sample in samples.SAMPLES
    ]
    if options.upstream is not None:
        routes = [{"path": "/", "to": options.upstream.rstrip("/"), "name": "Your app"}]
    return {
        "tenantName": TENANT,
        "tenantId": TENANT,
        "status": "active",
        "tenantSettings": {
            "fqdn": "localhost",
            "keyCloak": {
                "realm": TENANT,
                "auth-server-url": f"{around.provider}/auth/",
                "CLIENT_ID": SIGN_IN,
                "credentials": {"secret": around.secrets[SIGN_IN]},
                "Otp_Manager_Url": f"{around.provider}/",
            },
            "twoFAConfigs": {
                "is2FAEnabled": True,
                "channelType": "EMAIL",
                "channelServiceIdentifier": CHANNEL,
                "otpExpiry": 120,
                "otpMaxAttempts": 5,
            },
        },
        "gateway": {
            "public_url": f"http://localhost:{options.port}",
            "hosts": [LOOPBACK],
            "home": "/" if options.upstream is not None else "/unified-admin/",
            "branding": {"name": "Expertflow CX", "colour": "#2f5bd7"},
            "help": {"text": "This is the demo: users, passwords and mails are on the page /-/demo."},
            "keycloak": {"service_account": {"client_id": SERVICE, "client_secret": around.secrets[SERVICE]}},
            "routes": routes,
        },
    }


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


def new_ring(clock: Clock) -> KeyRing:
    """A ring that lives as long as the demo."""
    return KeyRing((Key(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), clock.now()),))


def users_of(around: Neighbours) -> tuple[DemoUser, ...]:
    """The list of `/-/demo/users.json`."""
    return tuple(DemoUser(p.user.username, p.user.password, p.about) for p in around.people)


def apps_of(options: Options) -> tuple[DemoApp, ...]:
    """The apps behind the gateway."""
    if options.upstream is not None:
        return (DemoApp("Your app", "/", f"at {options.upstream}"),)
    about = {"/unified-admin": "shows who is signed in and what reached it", "/agent-manager": "has a live WebSocket"}
    return tuple(DemoApp(sample.name, f"{sample.prefix}/", about[sample.prefix]) for sample in samples.SAMPLES)


def introduction(options: Options, around: Neighbours) -> tuple[str, ...]:
    """What the terminal says once all is ready to be opened."""
    origin = f"http://localhost:{options.port}"
    users = users_of(around)
    wide = max(len(user.username) for user in users), max(len(user.password) for user in users)
    return (
        "",
        *(f"  {app.name:<14} {origin}{app.path}" for app in apps_of(options)),
        f"  {'Inbox, users':<14} {origin}/-/demo",
        "",
        *(f"  {user.username:<{wide[0]}}  {user.password:<{wide[1]}}  {user.about}" for user in users),
        "",
    )


def main(options: Options) -> int:
    """`run` in an event loop of its own, for the command line; the exit code."""
    logs.configure("info")
    try:
        return asyncio.run(run(options))
    except KeyboardInterrupt:  # before the gateway was up
        return 130
