"""One whole gateway in this process, on the real Keycloak, a real relay and an app that tells what it received."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.installation import Folder, Told, folder, running
from tests.journeys.person import Person
from tests.neighbours.keycloak import Keycloak
from tests.neighbours.keycloak_admin import Person as User
from tests.neighbours.mail import MailServer
from tests.neighbours.upstream import EchoUpstream


@dataclass
class Site:
    """The gateway and its neighbours."""

    base: str
    audit: Told
    keycloak: Keycloak
    mail: MailServer
    app: EchoUpstream

    def user(self, **fields: object) -> User:
        """A new user of the tenant's realm."""
        return self.keycloak.admin.create_user(**fields)  # type: ignore[arg-type]

    def person(self, target: str = "/unified-admin/") -> Person:
        """Somebody with an empty browser."""
        return Person(self.base, target=target)


@pytest.fixture
def settings(tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream) -> Folder:
    """The settings of `site`; change them before it is asked for."""
    return folder(tmp_path, keycloak=keycloak, mail=mail_server, app=echo_upstream.url)


@pytest.fixture
async def site(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """The gateway, running."""
    async with running(settings.load(), settings.ring()) as audit:
        yield Site(settings.base, audit, keycloak, mail_server, echo_upstream)
