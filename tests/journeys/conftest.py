"""A whole gateway in this process, on a real Keycloak, a real relay and an app that returns the received headers."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.configuration import Configuration
from gateway.login.feature import login_records
from gateway.services import Services
from gateway.store.protocol import Store
from tests.contract.stand_in import StandIn
from tests.contract.stand_in import running as stand_in_running
from tests.dependencies.keycloak import Keycloak
from tests.dependencies.keycloak_admin import Person as User
from tests.dependencies.mail import MailServer
from tests.dependencies.upstream import EchoUpstream
from tests.journeys.installation import Folder, MovedClock, RecordedAudit, folder, running
from tests.journeys.person import Person


@dataclass
class Site:
    """The gateway and its dependencies."""

    settings: Folder
    configuration: Configuration
    audit: RecordedAudit
    keycloak: Keycloak
    mail: MailServer
    app: EchoUpstream
    clock: MovedClock

    @property
    def base(self) -> str:
        """Returns the gateway's address."""
        return self.settings.base

    @property
    def services(self) -> Services:
        """Returns the gateway's services."""
        assert self.audit.services
        return self.audit.services

    @property
    def store(self) -> Store:
        """Returns the gateway's store."""
        return self.services.store

    def change(self, **two_factor: Any) -> None:
        """Puts other `twoFAConfigs` (or other changed `settings`) into force."""
        self.settings.two_factor.update(two_factor)
        self.configuration = self.settings.load()

    def user(self, **fields: Any) -> User:
        """Makes a new user of the tenant's realm."""
        return self.keycloak.admin.create_user(**fields)

    def stranger(self, host: str, target: str = "/unified-admin/") -> Person:
        """Returns a user with an empty browser who opens `host`."""
        return self.person(target, always={"Host": f"{host}:{self.settings.port}"})

    def person(self, target: str = "/unified-admin/", **browser: Any) -> Person:
        """Returns a user with an empty browser."""
        return Person(self.base, target=target, **browser)

    async def reap(self) -> int:
        """Ends the Keycloak sessions of abandoned logins, as the gateway does every half minute."""
        return await login_records(self.services).end_abandoned()

    async def seen(self, person: Person, path: str = "/unified-admin/") -> dict[str, str]:
        """Returns the fields that the app received with a request of `person`, names in lower case."""
        response = await person.get(path)
        assert response.status == 200, await response.text()
        return {name.lower(): value for name, value in json.loads(await response.text())["headers"]}


@asynccontextmanager
async def whole(settings: Folder, keycloak: Keycloak, mail: MailServer, app: EchoUpstream) -> AsyncIterator[Site]:
    """Yields a gateway with these dependencies."""
    site = Site(settings, settings.load(), RecordedAudit(), keycloak, mail, app, MovedClock())
    async with running(lambda: site.configuration, settings.ring(), clock=site.clock) as audit:
        site.audit = audit
        yield site


@pytest.fixture
def settings(tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream) -> Folder:
    """Returns the settings of `site`."""
    return folder(tmp_path, keycloak=keycloak, mail=mail_server, app=echo_upstream.url)


@pytest.fixture
async def site(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields the running gateway."""
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        yield site


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    """Yields the stand-in identity provider, for tests that need no real Keycloak or more than it offers."""
    with stand_in_running() as server:
        yield server


@pytest.fixture
async def light_site(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields the gateway, running on the stand-in."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        yield site
