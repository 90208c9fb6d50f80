"""How is an application put on a port, and taken off again?

aiohttp's limits are wider than ours, so that our own check answers what is too large with a page instead of a bare 400.
"""

from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.proxy.connections import Network, Runner
from gateway.proxy.gate import server_options
from gateway.settings.snapshot import Address


async def listen(
    app: web.Application,
    address: Address,
    *,
    trusted: Callable[[], Sequence[Network]] = tuple,
    shutdown_timeout: float = 30.0,
) -> web.AppRunner:
    """Serve `app`; `cleanup` of what is returned ends it, waiting `shutdown_timeout` seconds for running requests.

    Connections from `trusted` networks (asked at each one) are not counted.

    Raises `OSError` when the address is not to be had.
    """
    runner = Runner(app, trusted=trusted, handle_signals=False, shutdown_timeout=shutdown_timeout, **server_options())
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host or None, address.port, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def url_of(runner: web.AppRunner) -> str:
    """Where it really listens."""
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
