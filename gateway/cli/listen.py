"""Serves an application on an address, and ends it again.

aiohttp's limits are wider than the gateway's own. So the gateway's check answers a request that is too large, with a
page instead of aiohttp's bare 400.
"""

import os
import resource
from collections.abc import Callable, Sequence
from dataclasses import replace

from aiohttp import web

from gateway.domain.configuration import Address
from gateway.domain.errors import Misconfigured
from gateway.proxy.connection_limits import ConnectionLimits
from gateway.proxy.connections_per_address import Network
from gateway.proxy.handler import server_options
from gateway.proxy.runner import Runner

LAST_WAIT = 0.5
"""Seconds that `cleanup` waits for running requests. `end` has already waited for those of browsers."""


OWN_FILES = 150
"""Open files that the process needs besides those of clients: connections to store and Keycloak, and its own files."""
MOST_FILES = 65_536
"""Open files that the process asks for, if the system allows as many."""


def raise_file_limit() -> int:
    """Raise this process's limit of open files as far as the system allows; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def limits_for(files: int) -> ConnectionLimits:
    """Limits of client connections for so many open files. Each may need a second one, to an app.

    One address has at most half of them.
    """
    most = max(2, (files - OWN_FILES) // 2)
    usual = ConnectionLimits()
    return replace(usual, connections=most, per_address=min(usual.per_address, most // 2))


async def listen(
    app: web.Application,
    address: Address,
    *,
    trusted: Callable[[], Sequence[Network]] = tuple,
    limits: ConnectionLimits | None = None,
) -> Runner:
    """Serve `app`; call `end` and `cleanup` of the returned runner to end it.

    Connections from `trusted` networks (read anew for each connection) are not counted for their address.

    Raises `errors.Misconfigured` if the address is not available.
    """
    options = server_options()
    runner = Runner(app, trusted=trusted, limits=limits, handle_signals=False, shutdown_timeout=LAST_WAIT, **options)
    try:
        await runner.setup()
        await web.TCPSite(runner, address.host or None, address.port, backlog=1024).start()
    except BaseException as error:  # also on cancellation: the runner may already have tasks
        await runner.cleanup()
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)
            advice = "end the other program, or set another address for listen or operations"
            raise Misconfigured(f"{address.host}:{address.port}", f"cannot listen here: {reason}; {advice}") from error
        raise
    return runner


def url_of(runner: web.AppRunner) -> str:
    """The URL on which `runner` really listens: port 0 becomes the port that the system chose."""
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
