"""The designs that can be compared, by name."""

import shutil
from collections.abc import Callable
from functools import partial

from bench.designs import Kind, gateway, naive, plain_nginx
from bench.forward_auth import asking_nginx, endpoint, naive_endpoint
from bench.peers import apache, oauth2_proxy, without_apache


def _without(program: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(program) else f"{program} is not installed"


_NO_REDIS = _without("redis-server")
_EACH = partial(gateway, name="gateway-each", redis=True, store={"session_copies": 0})
KINDS: dict[str, Kind] = {
    "nginx": Kind("nginx, no sign-in", plain_nginx),
    "gateway": Kind("**gateway**, memory store", partial(gateway, name="gateway")),
    "gateway-redis": Kind("**gateway**, Redis", partial(gateway, name="gateway-redis", redis=True), _NO_REDIS),
    "gateway-each": Kind("**gateway**, Redis read for each request", _EACH, _NO_REDIS),
    "nginx-gateway": Kind("nginx that asks the **gateway**, Redis", asking_nginx, _NO_REDIS),
    "naive": Kind("aiohttp proxy, no sign-in", naive),
    "oauth2-proxy": Kind("oauth2-proxy, Redis", oauth2_proxy, _without("oauth2-proxy")),
    "apache": Kind("Apache mod_auth_openidc, Redis", apache, without_apache),
    "gateway-auth": Kind("**gateway**, Redis", endpoint, _NO_REDIS, endpoint=True),
    "naive-auth": Kind("aiohttp application with redis-py", naive_endpoint, _NO_REDIS, endpoint=True),
}
