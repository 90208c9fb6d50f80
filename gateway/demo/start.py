"""Starts the demo: its dependencies, then the gateway.

The gateway is the one that `serve` runs, with the demo's configuration, random keys and the demo's pages as extra
routes. Nothing outlives the process, except what a store given by `--store` keeps under `demo:`.
"""

import asyncio
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from aiohttp import web

from gateway.app import build
from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.demo import sample_apps
from gateway.demo.configuration import Options, configure, origin
from gateway.demo.dependencies import Dependencies, dependencies, register
from gateway.demo.inbox import LOOPBACK
from gateway.demo.loopback import NAMES, loopback_only
from gateway.demo.pages import DemoApp, DemoPages, DemoPhone, DemoSite, DemoUser
from gateway.demo.tenants import DemoTenant
from gateway.domain.configuration import Configuration
from gateway.domain.ports import Clock, SystemClock
from gateway.observe import logs
from gateway.proxy.handler import server_options
from gateway.proxy.runner import Runner
from gateway.second_factor.factors import backup_code
from gateway.services import Services, open_services

__all__ = ["Options", "fault_of", "main", "run", "serve_gateway"]

Serve = Callable[[Services, Sequence[web.RouteDef], Callable[[], None]], Awaitable[None]]
"""Serves the gateway until it is told to end, and says when it is ready."""


async def serve_gateway(services: Services, routes: Sequence[web.RouteDef], ready: Callable[[], None]) -> None:
    """The same gateway that `serve` runs, on loopback, until SIGINT or SIGTERM."""
    app = build(services, routes)
    app.middlewares.insert(0, loopback_only)
    runner = Runner(app, **server_options())
    await runner.setup()
    loop, ended, signals = asyncio.get_running_loop(), asyncio.Event(), (signal.SIGINT, signal.SIGTERM)
    try:
        await web.TCPSite(runner, LOOPBACK, services.configuration().gateway.listen.port).start()
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
    say("starting the identity provider, the inbox and the sample apps")
    async with dependencies(clock) as around:
        configuration = configure(options, around)
        sites = sites_of(options, around, configuration)

        def ready() -> None:
            for line in introduction(options, sites):
                say(line)

        async with open_services(lambda: configuration, new_ring(clock), clock=clock) as services:
            for tenant in configuration.tenants:
                await register(tenant, around, services.enrolments)
            pages = DemoPages(
                sites=sites,
                apps=apps_of(options),
                inbox=around.inbox,
                prefix=configuration.gateway.prefix,
                clock=clock,
                admin_codes=services.admin_codes,
            )
            await serve(services, pages.routes(), ready)
    return 0


def fault_of(options: Options) -> str:
    """What keeps the demo from starting, in one line; "" when nothing does."""
    if options.upstream is not None:
        url = urlsplit(options.upstream)
        if url.scheme not in ("http", "https") or not url.hostname:
            return f"--upstream must be an address such as http://127.0.0.1:9000, not {options.upstream}"
        if url.hostname not in NAMES and not options.remote_upstream:
            return f"--upstream {options.upstream} is not on this machine; add --remote-upstream to allow it"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, options.port))
        except (OSError, OverflowError):
            return f"port {options.port} is in use or not allowed; choose another one: PORT=8081 make demo"
    return ""


def new_ring(clock: Clock) -> KeyRing:
    """A ring that lives as long as the demo."""
    return KeyRing((Key(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), clock.now()),))


def sites_of(options: Options, around: Dependencies, configuration: Configuration) -> tuple[DemoSite, ...]:
    """What `/-/demo` tells of each tenant, the default one first."""
    return tuple(_site(options, around, configuration, tenant) for tenant in around.tenants)


def _site(options: Options, around: Dependencies, configuration: Configuration, tenant: DemoTenant) -> DemoSite:
    people, configured = around.people[tenant.id], configuration.tenant(tenant.id)
    helps = configured is not None and configured.policy.admin_codes
    return DemoSite(
        tenant_id=tenant.id,
        host=tenant.host,
        origin=origin(options, tenant),
        name=tenant.file["gateway"]["branding"]["name"],
        logo=tenant.logo,
        title=tenant.title,
        story=tenant.story,
        users=tuple(DemoUser(p.user.username, p.user.password, p.about) for p in people),
        addresses={p.user.username: p.user.email for p in people},
        phones=tuple(DemoPhone(p.user.username, e.secret) for p in people for e in p.enrolments if e.secret),
        backup_codes=tuple(
            (p.user.username, tuple(map(backup_code.shown, p.backup_codes))) for p in people if p.backup_codes
        ),
        ids=tuple((p.user.username, p.user.id) for p in people if p.user.enabled) if helps else (),
    )


def apps_of(options: Options) -> tuple[DemoApp, ...]:
    """The apps behind the gateway."""
    if options.upstream is not None:
        return (DemoApp("Your app", "/", f"at {options.upstream}"),)
    about = {"/unified-admin": "shows the user and the request", "/agent-manager": "live data over a WebSocket"}
    return tuple(DemoApp(sample.name, f"{sample.prefix}/", about[sample.prefix]) for sample in sample_apps.SAMPLES)


def introduction(options: Options, sites: Sequence[DemoSite]) -> tuple[str, ...]:
    """What the terminal says once all is ready to be opened."""
    default, *others = sites
    users = default.users
    wide = max(len(user.username) for user in users), max(len(user.password) for user in users)
    home = apps_of(options)[0].path
    return (
        "",
        *(f"  {app.name:<14} {default.origin}{app.path}" for app in apps_of(options)),
        f"  {'Inbox, users':<14} {default.origin}/-/demo",
        "",
        *(f"  {user.username:<{wide[0]}}  {user.password:<{wide[1]}}  {user.about}" for user in users),
        "",
        "  Other tenants, with the same users and passwords (each has its own page /-/demo):",
        *(f"  {site.origin}{home}  {site.title}" for site in others),
        "",
    )


def main(options: Options) -> int:
    """`run` in an event loop of its own, for the command line; the exit code."""
    logs.configure("info")
    try:
        return asyncio.run(run(options))
    except KeyboardInterrupt:  # before the gateway was up
        return 130
