"""The designs that can be compared, by name."""

import shutil
from collections.abc import Callable
from dataclasses import fields
from functools import partial

from bench.designs import Kind, gateway, naive, plain_nginx
from bench.peers import apache, oauth2_proxy, without_apache
from gateway.domain.configuration import StoreSettings


def _without(program: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(program) else f"{program} is not installed"


def _without_setting(name: str) -> Callable[[], str]:
    return lambda: "" if name in {one.name for one in fields(StoreSettings)} else f"no setting store.{name}"


KINDS: dict[str, Kind] = {
    "nginx": Kind("nginx, no sign-in", plain_nginx),
    "gateway": Kind("**gateway**, memory store", partial(gateway, name="gateway")),
    "gateway-redis": Kind(
        "**gateway**, Redis", partial(gateway, name="gateway-redis", redis=True), _without("redis-server")
    ),
    "naive": Kind("aiohttp proxy, no sign-in", naive),
    "oauth2-proxy": Kind("oauth2-proxy, Redis", oauth2_proxy, _without("oauth2-proxy")),
    "apache": Kind("Apache mod_auth_openidc, Redis", apache, without_apache),
}
