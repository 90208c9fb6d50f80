"""The acts of `user_recovery` and `user_import` on the operations port, and their client.

Served with `memory://` only, where the command line cannot reach the state itself. A request needs the operations
token and comes from the gateway's own host. It is `POST /users/<act>` with the act's arguments as JSON. The answer is
the act's result, or 422 with `error`.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from inspect import signature
from types import MappingProxyType
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs, web

from gateway.administration.administrator_acts import AdministratorActs
from gateway.administration.user_recovery import UserRecovery
from gateway.domain.configuration import GatewaySettings
from gateway.domain.errors import GatewayError, Misconfigured
from gateway.operations.listener import has_token
from gateway.operations.user_import import UserImport
from gateway.services import Services

ACTS: Mapping[str, type[AdministratorActs]] = MappingProxyType(
    {
        "code": UserRecovery,
        "show": UserRecovery,
        "unlock": UserRecovery,
        "reset": UserRecovery,
        "restore": UserRecovery,
        "take_over": UserImport,
    }
)
"""The class that carries out each act, as a method of that name."""
TIMEOUT = 60.0


def routes(services: Services, acts: Mapping[str, type[AdministratorActs]] = ACTS) -> list[web.RouteDef]:
    """The routes of all acts."""

    async def act(request: web.Request) -> web.Response:
        token = services.configuration().gateway.operations_token
        if not _is_local(request) or not has_token(request, token):
            raise web.HTTPForbidden
        chosen = act_of(services, request.match_info["act"], acts)
        try:
            arguments = {name: str(value) for name, value in json.loads(await request.read()).items()}
            signature(chosen).bind(**arguments)
        except (ValueError, TypeError, AttributeError):  # not the arguments of this act
            raise web.HTTPBadRequest from None
        try:
            result = await chosen(**arguments)
        except GatewayError as error:
            return web.json_response({"error": str(error)}, status=422)
        return web.json_response(result, headers={hdrs.CACHE_CONTROL: "no-store"})

    return [web.post(f"/users/{{act:{'|'.join(acts)}}}", act)]


def act_of(
    services: Services, act: str, acts: Mapping[str, type[AdministratorActs]] = ACTS
) -> Callable[..., Awaitable[dict[str, Any]]]:
    """The function that carries out an act."""
    chosen: Callable[..., Awaitable[dict[str, Any]]] = getattr(acts[act](services), act)
    return chosen


async def ask(settings: GatewaySettings, act: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of an act at the serving gateway of this host; raises `errors.Misconfigured`."""
    return await answer_of(settings, "POST", f"/users/{act}", arguments)


async def answer_of(
    settings: GatewaySettings, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer of the operations port of the serving gateway of this host; raises `errors.Misconfigured`."""
    host = settings.operations.host
    if settings.operations.everywhere:
        host = "::1" if host == "::" else "127.0.0.1"
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.operations.port}{path}"
    if not settings.operations_token:
        raise Misconfigured("operations_token", "is not set; this command asks the serving gateway, which requires it")
    headers = {hdrs.AUTHORIZATION: f"Bearer {settings.operations_token.value}"}
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=TIMEOUT)) as http,
            http.request(method, url, json=body, headers=headers, allow_redirects=False) as answer,
        ):
            said = await answer.json() if answer.content_type == "application/json" else {}
    except (ClientError, TimeoutError, ValueError) as error:
        why = f"no gateway answers ({type(error).__name__}); it must be running on this host"
        raise Misconfigured(url, why) from error
    if answer.status == 422:
        raise Misconfigured(str(said.get("error")))
    if answer.status != 200:
        raise Misconfigured(url, f"answered {answer.status}; is it this gateway, with the same operations_token?")
    return dict(said)


def _is_local(request: web.Request) -> bool:
    """Whether the client is on this host: it has a loopback address, or the very address that it connected to."""
    peer, own = (request.get_extra_info(name) for name in ("peername", "sockname"))
    return bool(peer and own) and (peer[0] == own[0] or ipaddress.ip_address(peer[0]).is_loopback)
