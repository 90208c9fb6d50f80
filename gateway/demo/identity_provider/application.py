"""Builds the stand-in: one application for all realms."""

from collections.abc import Iterable

from aiohttp import web

from gateway.demo.identity_provider.administration import Administration
from gateway.demo.identity_provider.openid import OpenId
from gateway.demo.identity_provider.realm import Realm


def build(realms: Iterable[Realm]) -> web.Application:
    """An application with these realms below `/auth`; serve it on loopback only.

    The issuer of a realm is `http://{the Host that was asked}/auth/realms/{name}`, as Keycloak's is with
    `hostname-strict=false`.
    """
    by_name = {realm.name: realm for realm in realms}
    app = web.Application()
    app.add_routes(OpenId(by_name).routes())
    app.add_routes(Administration(by_name).routes())
    app.router.add_get("/auth/health/ready", _ready)
    return app


async def _ready(request: web.Request) -> web.Response:
    return web.json_response({"status": "UP", "checks": []})
