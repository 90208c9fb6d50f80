"""How is an application put on a port, and taken off again?

aiohttp's limits are wider than ours, so that our own check answers what is too large with a page instead of a bare 400.
"""

from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.domain.configuration import Address
from gateway.proxy.connection_limits import Network, Runner
from gateway.proxy.handler import server_options

LAST_WAIT = 0.5
"""Seconds that `cleanup` waits for requests under way; those of browsers have had their time by then (`end`)."""


async def listen(
    app: web.Application,
    address: Address,
    *,
    trusted: Callable[[], Sequence[Network]] = tuple,
) -> Runner:
    """Serve `app`; `end` and `cleanup` of what is returned end it.

    Connections from `trusted` networks (asked at each one) are not counted.

    Raises `OSError` when the address is not to be had.
    """
    runner = Runner(app, trusted=trusted, handle_signals=False, shutdown_timeout=LAST_WAIT, **server_options())
    try:
        await runner.setup()
        await web.TCPSite(runner, address.host or None, address.port, backlog=1024).start()
    except BaseException:  # also when the start is cancelled: what has begun by then has tasks
        await runner.cleanup()
        raise
    return runner


def url_of(runner: web.AppRunner) -> str:
    """Where it really listens."""
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
