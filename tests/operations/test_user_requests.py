"""Tests of the requests by which the command line acts at a serving gateway."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.secret import Secret
from gateway.operations import user_requests
from gateway.services import open_services
from tests.fixtures.sample_tenants import TENANT

SETTINGS = GatewaySettings(Address("", 0), Address("", 0), StoreSettings(Secret("memory://")))
TOKEN = "made up for this test"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
USER = {"tenant_id": "no-such-tenant", "username": "anna", "by": "Sara"}


@pytest.mark.attack("F2")
async def test_an_act_needs_the_operations_token_and_its_arguments(
    aiohttp_client: Callable[..., Awaitable[TestClient[web.Request, web.Application]]],
) -> None:
    token = [TOKEN]

    def configuration() -> Configuration:
        return Configuration(replace(SETTINGS, operations_token=Secret(token[0])), (TENANT,), {}, "")

    async with open_services(configuration, KeyRing((Key("00000000", bytes(KEY_BYTES)),))) as services:
        app = web.Application()
        app.add_routes(user_requests.routes(services))
        client = await aiohttp_client(app)
        for act in user_requests.ACTS:
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer another"}):
                assert (await client.post(f"/users/{act}", json=USER, headers=headers)).status == 403
            arguments = {name: value for name, value in USER.items() if act != "take_over" or name != "username"}
            answer = await client.post(f"/users/{act}", json=arguments, headers=RIGHT)
            assert (answer.status, await answer.json()) == (
                422,
                {"error": "no tenant no-such-tenant; configured tenants: expertflow"},
            )
            for odd in (b"{}", b"[]", b'{"tenant_id": "a", "username": "b", "by": "c", "other": "d"}', b"\xff"):
                assert (await client.post(f"/users/{act}", data=odd, headers=RIGHT)).status == 400
            assert (await client.get(f"/users/{act}", headers=RIGHT)).status == 405
        assert (await client.post("/users/services", json=USER, headers=RIGHT)).status == 404
        token[0] = ""
        assert (await client.post("/users/reset", json=USER, headers={"Authorization": "Bearer "})).status == 403
