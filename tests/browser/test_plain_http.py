"""Tests of plain http on a host name that is not loopback.

There browsers send no `Sec-Fetch-Site`, and the gateway's forms must still work.
"""

import pytest

from tests.browser.conftest import NewAgent, Site
from tests.fixtures.installation import Folder

pytestmark = [pytest.mark.browser, pytest.mark.keycloak]
HOST = "cc.gateway.test"


@pytest.fixture
def settings(settings: Folder) -> Folder:
    """A tenant that browsers reach by http on a name that is no loopback name."""
    settings.gateway["insecure_http"] = True
    settings.tenant["tenantSettings"]["fqdn"] = HOST
    settings.tenant["gateway"]["public_url"] = f"http://{HOST}:{settings.port}"
    return settings


async def test_a_whole_login_works_over_plain_http_on_a_host_name_that_is_not_loopback(
    site: Site, new_agent: NewAgent
) -> None:
    agent = await new_agent()
    agent.base = f"http://{HOST}:{site.settings.port}"
    await agent.first_login("http@example.com")
    # Over http browsers ignore Cross-Origin-Opener-Policy and report it; they must report nothing else.
    loud = [said for said in agent.complaints.said if "Cross-Origin-Opener-Policy" not in said]
    agent.complaints.said[:] = loud
