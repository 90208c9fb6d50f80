"""Implements `efcx-gateway serve`: runs the gateway until a signal ends it.

The gateway listens only if the settings are valid, the key ring can be read, and the HTTP parser is a tested one.
On SIGTERM it reports not ready, waits for load balancers to notice, and stops accepting connections. It closes
WebSockets and event streams, and lets running requests finish, all within `shutdown_timeout` seconds from the signal.
"""

import asyncio
import errno
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import structlog
import typer
from aiohttp import web

from gateway import __version__
from gateway.admin.api import feature as api
from gateway.admin.tenants import SettingsFiles
from gateway.app import build
from gateway.cli.explanation import ACTS
from gateway.cli.listen import limits_for, listen, raise_file_limit, url_of
from gateway.cli.shutdown import Shutdown
from gateway.crypto import tls
from gateway.crypto.key_ring import KeyRing
from gateway.domain.configuration import Configuration, OtpManagerSettings
from gateway.domain.errors import GatewayError, Misconfigured, Unreachable
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.tasks import running
from gateway.observe import logs
from gateway.observe.audit import Audit, AuditEvent
from gateway.observe.metrics import CONTENT_TYPE, Metrics
from gateway.observe.seldom import Seldom
from gateway.operations import enrolment_keys_check, key_ring_check, listener, status, user_requests
from gateway.operations.readiness import Readiness
from gateway.operations.realm_checks import RealmChecks
from gateway.operations.status import SettingsState
from gateway.proxy.connection_limits import ConnectionLimits
from gateway.proxy.handler import require_strict_parser
from gateway.services import Services, open_services
from gateway.settings import key_ring
from gateway.settings.checks import weakenings
from gateway.settings.live import Live
from gateway.settings.load import Loaded, load
from gateway.settings.replica_folders import ReplicaFolders
from gateway.settings.source.diagnostics import Diagnostic
from gateway.settings.tenant_files import TenantFiles

LEAST_AIOHTTP = (3, 14, 5)
AGAIN, RARELY = 1.0, 60.0
"""Seconds between two comparisons of the key ring with a store or Keycloak that did not respond, at first and later."""
LONGEST_LOOK = 5.0
"""Seconds for which a slow Keycloak may delay the start; then the comparison is repeated in the background."""

log = structlog.get_logger("serve")


def run(config: Path) -> int:
    """Serve until a signal; return the exit code, 1 if the settings have errors."""
    check_aiohttp()
    loaded = load(config)
    for diagnostic in loaded.diagnostics:
        typer.echo(str(diagnostic), err=True)
    if loaded.configuration is None:
        typer.echo(f"efcx-gateway: not started, {config} has errors", err=True)
        return 1
    settings = loaded.configuration.gateway
    logs.configure(settings.log_level)
    ring, made = key_ring.for_start(settings, config, SystemClock(), SystemRandom())
    if made:
        typer.echo(f"{made}: key ring created; back it up: without it, enrolments cannot be read", err=True)
    try:
        import uvloop
    except ImportError:  # not on every platform
        asyncio.run(serve(config, loaded, ring))
    else:
        uvloop.run(serve(config, loaded, ring))
    return 0


def check_aiohttp(version: str = aiohttp.__version__) -> None:
    """Reject an aiohttp version whose request parser was not tested; raises `Misconfigured`."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < LEAST_AIOHTTP:
        least = ".".join(str(n) for n in LEAST_AIOHTTP)
        raise Misconfigured("aiohttp", f"version {version} is too old; install {least} or newer")
    require_strict_parser()


class LoopErrors:
    """Logs what no task catches. A shortage of open files is logged once in a minute, not for each connection."""

    def __init__(self) -> None:
        self._told = Seldom(period=60)

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif self._told.allows():
            log.error("open_files_exhausted", why=error.strerror, hint="raise the limit of open files (LimitNOFILE)")


@dataclass(frozen=True, slots=True)
class Watcher:
    """Writes settings changes to audit and log, and closes connections that only the old settings used."""

    services: Services
    checks: RealmChecks
    state: SettingsState

    def changed(self, old: Configuration, new: Configuration) -> None:
        """Called when the settings `new` have replaced `old`."""
        audit, tasks = self.services.audit, self.services.tasks
        self.loaded(new)
        for weaker in weakenings.weakenings(old, new):
            audit.write(AuditEvent.CONFIGURATION_WEAKENED, tenant=weaker.partition(":")[0], changes=weaker)
        if waiting := weakenings.needs_restart(old.gateway, new.gateway):
            log.warning("settings_need_a_restart", settings=waiting)
        if old.gateway.log_level != new.gateway.log_level:
            logs.configure(new.gateway.log_level)
        retaining = self.services.keycloak_clients.retain(tenant.keycloak for tenant in new.tenants)
        tasks.start(retaining, "close of unused Keycloak clients")
        self.checks.look_again()

    def loaded(self, configuration: Configuration) -> None:
        """Called when settings are in force."""
        self.state.loaded_at, self.state.rejected = self.services.clock.now(), ()
        self.services.audit.write(
            AuditEvent.CONFIGURATION_LOADED,
            tenant="*",
            fingerprint=configuration.fingerprint,
            tenants=len(configuration.tenants),
        )

    def restored(self) -> None:
        """Called when, after a rejection, the files have the settings in force again."""
        self.state.rejected = ()
        fingerprint = self.services.configuration().fingerprint
        self.services.audit.write(AuditEvent.CONFIGURATION_RESTORED, tenant="*", fingerprint=fingerprint)

    def rejected(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        """Called when changed settings have errors; the old ones stay in force."""
        told = [str(diagnostic) for diagnostic in diagnostics[:20]]
        self.state.rejected = tuple(told)
        self.services.audit.write(AuditEvent.CONFIGURATION_REJECTED, tenant="*", diagnostics=told)


async def serve(
    config: Path,
    loaded: Loaded,
    ring: KeyRing,
    *,
    say: Callable[[str], None] = typer.echo,
    leave: Callable[[int], object] = os._exit,
) -> None:
    """Serve until a signal; `loaded` must contain a configuration.

    `leave` ends the process with an exit code. It is called `shutdown_timeout` seconds after the signal, even if this
    function has returned but something else keeps the process running; and on a second signal.

    Raises `Misconfigured` if an address is not available, or if the records in the store or the enrolments in Keycloak
    belong to another key ring. If one of them did not respond at the start, the latter is raised once it responds.
    """
    configuration = loaded.configuration
    if configuration is None:
        raise ValueError("there must be a configuration")
    settings = configuration.gateway
    metrics = Metrics()
    audit = Audit(SystemClock(), Path(settings.audit_file) if settings.audit_file else None, count=metrics.count)
    live = Live(config, loaded)
    stopping = Shutdown(lambda: live.current().gateway.shutdown_timeout, leave=leave)
    stopping.follow_signals()
    limits = limits_for(raise_file_limit())
    prepare_loop(audit)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(live.current, ring, audit=audit, metrics=metrics))
        store = services.store
        checks = RealmChecks(services.token_endpoint, services.users, services.profiles, live.current)
        state = SettingsState(services.clock.now(), settings)
        watcher = Watcher(services, checks, state)
        live.on_change, live.on_rejected, live.on_restored = watcher.changed, watcher.rejected, watcher.restored
        readiness = Readiness({"store": store.check, "keycloak": checks.check, "mail": services.mailer.check})
        ring_check = RingCheck(services, key_ring.beside(config))
        accepted = await ring_check.accepted()
        with suppress(GatewayError):  # readiness reports it
            if dangers := await store.check():
                log.warning("store_has_dangers", dangers=dangers)
        files = await stack.enter_async_context(settings_files(services, live, config))
        public = await listen(
            build(services, settings=files),
            settings.listen,
            trusted=lambda: live.current().gateway.trusted_proxies,
            limits=limits,
        )
        stack.push_async_callback(public.cleanup)
        operations = await listen(operations_app(services, readiness, files, state), settings.operations)
        stack.push_async_callback(operations.cleanup)
        if settings.otp_manager_server:
            await stack.enter_async_context(otp_manager(services, settings.otp_manager_server, limits))
        following = await stack.enter_async_context(running(live.watch(stopping.asked)))
        await stack.enter_async_context(running(checks.follow()))
        await stack.enter_async_context(running(tls.follow_files()))
        asking = await stack.enter_async_context(running(ring_check.repeat(stopping.asked, accepted=accepted)))
        watcher.loaded(configuration)
        keep_for_good()
        log.info(
            "started",
            version=__version__,
            listen=url_of(public),
            operations=url_of(operations),
            key_ring=ring.fingerprint,
            connections=limits.connections,
        )
        say(f"efcx-gateway listens on {url_of(public)}, operations on {url_of(operations)}")
        await stopping.asked.wait()
        stopping.begin()
        log.info("stopping", shutdown_timeout=live.current().gateway.shutdown_timeout)
        readiness.drain()
        await asyncio.sleep(stopping.notice)
        await public.end(stopping.for_requests)  # meanwhile the operations port reports "draining"
        await following
        await asking
    log.info("stopped")


def operations_app(
    services: Services, readiness: Readiness, files: SettingsFiles, state: SettingsState
) -> web.Application:
    """Health, metrics, status and the acts of the operator."""
    settings = services.configuration().gateway
    health = listener.build(
        readiness,
        services.metrics.text,
        CONTENT_TYPE,
        token=lambda: services.configuration().gateway.operations_token,
    )
    health.add_routes(status.routes(services, readiness, state))
    health.add_routes(api.operator_routes(services, files))
    if settings.store.in_memory:  # else the commands use the store itself
        health.add_routes(user_requests.routes(services, ACTS))
    return health


@asynccontextmanager
async def settings_files(services: Services, live: Live, config: Path) -> AsyncIterator[SettingsFiles]:
    """The files that the API changes. Meanwhile this replica tells the others which folder it reads."""
    files = TenantFiles(config)
    replicas = ReplicaFolders(
        lambda: files.folder,
        store=services.store,
        events=services.replica_events,
        clock=services.clock,
        random=services.random,
        tasks=services.tasks,
    )
    async with running(replicas.follow()):
        yield SettingsFiles(files, live, replicas)


def prepare_loop(audit: Audit) -> None:
    """Set what this process does with errors that no task catches, and with SIGHUP."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors().handle)
    # By default SIGHUP kills the process. Settings need no signal: they are watched.
    loop.add_signal_handler(signal.SIGHUP, audit.follow_file)


def keep_for_good() -> None:
    """Leave what a start makes out of every collection of garbage: it lives as long as the process.

    It is not collected even once: of its 120,000 objects 2,000 are garbage, and to find them is a tenth of the start.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # sessions that pass through the local copies are no garbage to look for
    gc.enable()


@asynccontextmanager
async def otp_manager(
    services: Services, settings: OtpManagerSettings, limits: ConnectionLimits
) -> AsyncIterator[None]:
    """Answer as EFCX's otp-manager, on a listener of its own."""
    from gateway.otp_manager_server import OtpManagerServer

    runner = await listen(OtpManagerServer(services, settings).application(), settings.listen, limits=limits)
    log.info("otp_manager_listens", listen=url_of(runner))
    try:
        yield
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class RingCheck:
    """Compares the key ring with what it sealed: the store's records, and the enrolments in Keycloak.

    A store without a record takes this key ring only after Keycloak confirmed it. Otherwise a wrong ring would keep the
    right one from starting.
    """

    services: Services
    other: tuple[Path, KeyRing] | None

    async def accepted(self) -> bool:
        """Whether the key ring is the right one; False without a response. Raises `Misconfigured` for another."""
        try:
            async with asyncio.timeout(LONGEST_LOOK):
                await self._compare()
        except (Unreachable, TimeoutError) as error:
            log.warning("key_ring_not_compared", why=str(error) or f"no response within {LONGEST_LOOK:g} s")
            return False
        return True

    async def repeat(self, stop: asyncio.Event, *, accepted: bool) -> None:
        """Repeats the comparison until there is a response; with another key ring this process ends."""
        pause = AGAIN
        while not accepted and not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()
                    return
            pause = min(2 * pause, RARELY)
            try:
                await self._compare()
            except Unreachable:
                continue
            except GatewayError:
                stop.set()
                raise
            accepted = True

    async def _compare(self) -> None:
        services, ring = self.services, self.services.key_ring
        await key_ring_check.compare(services.store, ring, self.other)
        await enrolment_keys_check.check(services.profiles, services.configuration(), ring, self.other)
        await key_ring_check.check(services.store, ring, self.other)
