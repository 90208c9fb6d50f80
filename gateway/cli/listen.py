"""Serves an application on an address, and ends it again.

aiohttp's limits are wider than the gateway's own. So the gateway's check answers a request that is too large, with a
page instead of aiohttp's bare 400.
"""

from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.domain.configuration import Address
from gateway.domain.errors import Misconfigured
from gateway.proxy.connection_limits import Network, Runner
from gateway.proxy.handler import server_options

LAST_WAIT = 0.5
"""Seconds that `cleanup` waits for running requests. `end` has already waited for those of browsers."""


async def listen(app: web.Application, address: Address, *, trusted: Callable[[], Sequence[Network]] = tuple) -> Runner:
    """Serve `app`; call `end` and `cleanup` of the returned runner to end it.

    Connections from `trusted` networks (read anew for each connection) are not counted.

    Raises `errors.Misconfigured` if the address is not available.
    """
    runner = Runner(app, trusted=trusted, handle_signals=False, shutdown_timeout=LAST_WAIT, **server_options())
    try:
        await runner.setup()
        await web.TCPSite(runner, address.host or None, address.port, backlog=1024).start()
    except BaseException as error:  # also on cancellation: the runner may already have tasks
        await runner.cleanup()
        if isinstance(error, OSError):
            raise Misconfigured(f"{address.host}:{address.port}", f"cannot listen here: {error.strerror}") from error
        raise
    return runner


def url_of(runner: web.AppRunner) -> str:
    """The URL on which `runner` really listens: port 0 becomes the port that the system chose."""
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
