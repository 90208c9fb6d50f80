"""Gateways as two vendors document them: EFCX with an app, and CloudCX."""

from collections.abc import AsyncIterator

import pytest

from tests.journeys.conftest import Site, whole
from tests.journeys.installation import CHANNEL, Folder
from tests.journeys.second.phone import next_step
from tests.neighbours.keycloak import Keycloak
from tests.neighbours.mail import MailServer
from tests.neighbours.upstream import EchoUpstream

EFCX_APP = {"is2FAEnabled": True, "channelType": "APP", "otpExpiry": 120, "otpMaxAttempts": 5}
CLOUDCX = {
    "is2FAEnabled": True,
    "preset": "cloudcx",
    "methods": [{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}, {"channelType": "APP"}],
}


@pytest.fixture
async def app_site(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """EFCX with an app as its channel."""
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(EFCX_APP)
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        next_step(site)  # codes of the 30 seconds in which a store began count for nothing
        yield site


@pytest.fixture
async def cloud(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """CloudCX: e-mail and app, set up by whoever wants to."""
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(CLOUDCX)
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        next_step(site)
        yield site
