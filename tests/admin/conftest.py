"""Fixtures of a gateway with an API and administration pages, on the stand-in identity provider."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.admin.administrator import Administrator
from tests.fixtures.api_site import api_site
from tests.fixtures.installation import folder
from tests.fixtures.mail import MailServer
from tests.fixtures.site import Site, stand_in, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

__all__ = ["api_site", "stand_in"]


@pytest.fixture
async def admin_site(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields a gateway whose tenant has administration pages and accepts administrator's codes."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    settings.tenant["gateway"]["admin_on_app_host"] = True
    settings.two_factor["adminCodes"] = True
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        yield site


@pytest.fixture
async def sara(admin_site: Site) -> AsyncIterator[Administrator]:
    """Yields a signed-in administrator."""
    person = admin_site.user(roles=("admin",))
    async with admin_site.person() as browser:
        administrator = Administrator(admin_site, browser, person)
        await administrator.sign_in()
        yield administrator
