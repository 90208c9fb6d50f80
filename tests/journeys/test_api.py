"""Two processes with one Redis, one folder of tenants and a real Keycloak: a program changes a tenant by the API."""

import asyncio
import json
import secrets
import time
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.fixtures.installation import folder, replicas
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer

TOKEN, AUDIENCE, ONE = "a made-up operations token", "gateway-api", "/-/api/v1/tenants/expertflow"
SOON = 5.0
"""Seconds after which the test fails; the limit is one second, but the machine is shared."""


def new_program(keycloak: Keycloak) -> tuple[str, str]:
    """Makes a client as the guide says: a service account with the role `admin`, and the audience of the API."""
    name, secret = f"automation-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    audience = {"included.custom.audience": AUDIENCE, "access.token.claim": "true", "id.token.claim": "false"}
    mapper = {"protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper", "config": audience}
    client = {
        "clientId": name,
        "secret": secret,
        "publicClient": False,
        "standardFlowEnabled": False,
        "directAccessGrantsEnabled": True,
        "serviceAccountsEnabled": True,
        "protocolMappers": [{"name": "gateway", **mapper}],
    }
    ask = keycloak.admin.request
    ask("POST", "clients", json=client)
    [found] = ask("GET", "clients", params={"clientId": name}).json()
    account = ask("GET", f"clients/{found['id']}/service-account-user").json()
    role = ask("GET", "roles/admin").json()
    ask("POST", f"users/{account['id']}/role-mappings/realm", json=[role])
    return name, secret


async def token(http: ClientSession, keycloak: Keycloak, **form: str) -> str:
    url = f"{keycloak.base_url}realms/{keycloak.realm}/protocol/openid-connect/token"
    async with http.post(url, data=form) as answer:
        return str((await answer.json())["access_token"])


@pytest.mark.row("GW-15")
@pytest.mark.row("EF-02")
@pytest.mark.attack("F1")
@pytest.mark.keycloak
@pytest.mark.redis
async def test_a_change_by_a_program_counts_on_both_replicas(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, redis_url: str
) -> None:
    name, secret = new_program(keycloak)
    settings = folder(tmp_path, keycloak=keycloak, mail=mail_server, app="http://127.0.0.1:1", store=redis_url)
    settings.gateway |= {"operations_token": TOKEN, "tenants": str(tmp_path / "tenants")}
    settings.tenant["gateway"]["api"] = {"clients": [name]}
    settings.load()
    file = tmp_path / "tenants" / "expertflow.json"
    with replicas(settings, 2) as (first, second):
        async with ClientSession() as http:
            own = await token(http, keycloak, grant_type="client_credentials", client_id=name, client_secret=secret)
            of_user = await token(
                http,
                keycloak,
                grant_type="password",
                client_id=name,
                client_secret=secret,
                username="admin",
                password=keycloak.passwords["admin"],
            )
            patch = {"tenantSettings": {"twoFAConfigs": {"otpExpiry": 90}}}
            bearer = {"Authorization": f"Bearer {of_user}"}
            before = file.read_bytes()
            async with http.patch(f"{first.base}{ONE}", json=patch, headers=bearer) as answer:
                assert answer.status == 403, await answer.text()
            assert file.read_bytes() == before
            bearer = {"Authorization": f"Bearer {own}"}
            async with http.patch(f"{first.base}{ONE}", json=patch, headers=bearer) as answer:
                assert answer.status == 200, await answer.text()
            assert json.loads(file.read_bytes())["tenantSettings"]["twoFAConfigs"]["otpExpiry"] == 90
            operator = {"Authorization": f"Bearer {TOKEN}"}
            ports = [f"http://127.0.0.1:{one.operations}/-/api/v1/tenants" for one in (first, second)]
            off = {"tenantSettings": {"twoFAConfigs": {"is2FAEnabled": False}}}
            async with http.patch(f"{ports[0]}/expertflow", json=off, headers=operator) as answer:
                assert answer.status == 200, await answer.text()
            changed = time.monotonic()
            for url in ports:
                while True:
                    async with http.get(url, headers=operator) as answer:
                        [tenant] = (await answer.json())["tenants"]
                    if not tenant["is2FAEnabled"]:
                        break
                    assert time.monotonic() - changed < SOON
                    await asyncio.sleep(0.05)
