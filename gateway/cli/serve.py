"""The command `efcx-gateway serve`: run the gateway of a configuration until it is told to end.

Nothing is served before the settings are right, the key ring is there and the HTTP parser is the one that was tested.
On SIGTERM: not ready any more, a moment for load balancers to notice, then no new connections, running requests end.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog
import typer
from aiohttp import web

from gateway.app import KEYCLOAK, PROFILE, STORE, build
from gateway.cli.listening import listen, url_of
from gateway.crypto.sealing import KeyRing
from gateway.domain.errors import Misconfigured
from gateway.domain.ports import SystemChance, SystemClock
from gateway.observe import logs
from gateway.observe.audit import Audit, AuditEvent
from gateway.observe.metrics import CONTENT_TYPE, Metrics
from gateway.operations import listener
from gateway.operations.readiness import Readiness
from gateway.proxy.gate import require_strict_parser
from gateway.settings import changes, key_ring
from gateway.settings.faults import Fault
from gateway.settings.live import Live
from gateway.settings.load import Loaded, load
from gateway.settings.snapshot import Address, Configuration, GatewaySettings

LEAST_AIOHTTP = (3, 14, 5)
NOTICE = 2.0
"""Seconds between "not ready" and closing the port."""

log = structlog.get_logger("serve")


def run(config: Path) -> int:
    """Serve until told to end; 1 when the settings are wrong."""
    check_aiohttp()
    loaded = load(config)
    for fault in loaded.faults:
        typer.echo(str(fault), err=True)
    if loaded.configuration is None:
        typer.echo(f"efcx-gateway: not started, {config} has errors", err=True)
        return 1
    settings = loaded.configuration.gateway
    logs.configure(settings.log_level)
    ring, made = key_ring.for_start(settings, config, SystemClock(), SystemChance())
    if made:
        typer.echo(f"{made}: key ring written; back it up: registrations cannot be read without it", err=True)
    try:
        import uvloop
    except ImportError:  # not on every platform
        asyncio.run(serve(config, loaded, ring))
    else:
        uvloop.run(serve(config, loaded, ring))
    return 0


def check_aiohttp(version: str = aiohttp.__version__) -> None:
    """Refuse an aiohttp whose request parsing was not tested; raises `Misconfigured`."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < LEAST_AIOHTTP:
        least = ".".join(str(n) for n in LEAST_AIOHTTP)
        raise Misconfigured("aiohttp", f"{version} is too old; {least} or newer is needed")
    require_strict_parser()


@dataclass(frozen=True, slots=True)
class _Watcher:
    """Tells audit and log of what became of changed settings."""

    audit: Audit

    def changed(self, old: Configuration, new: Configuration) -> None:
        self.audit.write(
            AuditEvent.CONFIGURATION_LOADED, tenant="*", fingerprint=new.fingerprint, tenants=len(new.tenants)
        )
        for weaker in changes.weakenings(old, new):
            self.audit.write(AuditEvent.CONFIGURATION_WEAKENED, tenant=weaker.partition(":")[0], changes=weaker)
        if waiting := changes.needs_restart(old.gateway, new.gateway):
            log.warning("settings_need_a_restart", settings=waiting)
        if old.gateway.log_level != new.gateway.log_level:
            logs.configure(new.gateway.log_level)

    def rejected(self, faults: tuple[Fault, ...]) -> None:
        self.audit.write(AuditEvent.CONFIGURATION_REJECTED, tenant="*", faults=[str(f) for f in faults[:20]])


async def serve(
    config: Path,
    loaded: Loaded,
    ring: KeyRing,
    *,
    say: Callable[[str], None] = typer.echo,
    stop: asyncio.Event | None = None,
    notice: float = NOTICE,
) -> None:
    """Serve until `stop` is set or a signal comes; `loaded` must hold a configuration."""
    configuration = loaded.configuration
    if configuration is None:
        raise ValueError("there must be a configuration")
    settings, stop = configuration.gateway, stop or asyncio.Event()
    _until_signal(stop)
    metrics = Metrics()
    audit = Audit(SystemClock(), Path(settings.audit_file) if settings.audit_file else None, count=metrics.count)
    watcher = _Watcher(audit)
    live = Live(config, loaded, on_change=watcher.changed, on_rejected=watcher.rejected)
    app = build(live.current, ring, audit=audit)
    readiness = Readiness({"store": app[STORE].check, "keycloak": _keycloak_check(app, live.current)})
    async with AsyncExitStack() as stack:
        stack.callback(audit.close)
        public = await _listen(app, settings.listen, settings)
        stack.push_async_callback(public.cleanup)
        operations = await _listen(listener.build(readiness, metrics.text, CONTENT_TYPE), settings.operations, settings)
        stack.push_async_callback(operations.cleanup)  # ends first: what asks it sees the port close
        following = asyncio.create_task(live.watch(stop))
        audit.write(AuditEvent.CONFIGURATION_LOADED, tenant="*", fingerprint=configuration.fingerprint)
        say(f"efcx-gateway listens on {url_of(public)}, operations on {url_of(operations)}")
        await stop.wait()
        readiness.drain()
        await asyncio.sleep(notice)
        await following


async def _listen(app: web.Application, address: Address, settings: GatewaySettings) -> web.AppRunner:
    try:
        return await listen(app, address, settings)
    except OSError as error:
        raise Misconfigured(f"{address.host}:{address.port}", f"cannot be listened on: {error.strerror}") from error


def _keycloak_check(app: web.Application, current: Callable[[], Configuration]) -> Callable[[], Awaitable[None]]:
    """Every active tenant's realm can be administered and keeps registrations."""

    async def check() -> None:
        for tenant in current().tenants:
            if not tenant.active:
                continue
            await app[KEYCLOAK].check(tenant.keycloak)
            if missing := await app[PROFILE].check_declared(tenant.keycloak):
                raise Misconfigured(f"realm {tenant.keycloak.realm}", "; ".join(missing))

    return check


def _until_signal(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
