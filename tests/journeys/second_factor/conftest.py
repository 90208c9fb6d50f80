"""Gateways as two vendors document them: EFCX with an app, and CloudCX."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract.stand_in import StandIn
from tests.dependencies.keycloak import Keycloak
from tests.dependencies.mail import MailServer
from tests.dependencies.upstream import EchoUpstream
from tests.journeys.conftest import Site, whole
from tests.journeys.installation import CHANNEL, Folder, folder
from tests.journeys.second_factor.phone import next_step

EFCX_APP = {"is2FAEnabled": True, "channelType": "APP", "otpExpiry": 120, "otpMaxAttempts": 5}
CLOUDCX = {
    "is2FAEnabled": True,
    "preset": "cloudcx",
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}, {"channelType": "APP"}],
}
HOURS = 36_000
"""Lifetime of a token of `patient_client` in seconds: Keycloak's clock does not follow the test's."""


@pytest.fixture(scope="session")
def patient_client(keycloak: Keycloak) -> Iterator[tuple[str, str]]:
    """Returns id and secret of a client whose tokens last as long as a session may."""
    name, secret = f"gateway-login-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    body = {
        "clientId": name,
        "secret": secret,
        "publicClient": False,
        "directAccessGrantsEnabled": True,
        "standardFlowEnabled": False,
        "attributes": {"access.token.lifespan": str(HOURS)},
    }
    made = keycloak.admin.request("POST", "clients", json=body)
    yield name, secret
    keycloak.admin.request("DELETE", f"clients/{made.headers['Location'].rpartition('/')[2]}")


@pytest.fixture
def settings(settings: Folder, patient_client: tuple[str, str]) -> Folder:
    """Returns the settings of `site`, with that client."""
    name, secret = patient_client
    settings.tenant["gateway"]["keycloak"].update(client_id=name, client_secret=secret)
    return settings


@pytest.fixture
async def app_site(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """EFCX with an app as its channel."""
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(EFCX_APP)
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        next_step(site)  # codes of the 30 seconds in which a store began are rejected
        yield site


@pytest.fixture
async def cloud(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """CloudCX: each user may set up e-mail and app."""
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(CLOUDCX)
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        next_step(site)
        yield site


@pytest.fixture
async def cloud_for_days(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """CloudCX on the stand-in identity provider, whose clock follows the test's."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(CLOUDCX)
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        stand_in.realms[stand_in.server.realm].clock = site.clock
        next_step(site)
        yield site
