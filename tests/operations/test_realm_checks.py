"""Tests of the checks of tenants' realms."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.errors import Misconfigured, Refused
from gateway.domain.policy import RegistrationContact
from gateway.domain.ports import SystemClock
from gateway.domain.secret import Secret
from gateway.domain.tenant import KeycloakAccess, Tenant
from gateway.domain.web_services import ServiceSet, WebService, WebServices
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.token_endpoint import TokenEndpoint
from gateway.keycloak.users import UserProfiles, Users
from gateway.operations.realm_checks import Finding, RealmChecks
from tests.fixtures.installation import folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.sample_tenants import tenant


@dataclass
class Realms(Users):
    """Returns the configured answer for each realm; counts the calls."""

    refusing: set[str] = field(default_factory=set)
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    settings: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def check(self, access: KeycloakAccess) -> None:
        """Has the interface of `Users.check`."""
        self.asked.append(access.realm)
        if access.realm in self.refusing:
            raise Refused(f"realm {access.realm}", "its administrator lacks the role manage-users")

    async def guarded(self, access: KeycloakAccess, attributes: frozenset[str]) -> frozenset[str]:
        """Has the interface of `Users.guarded`: users may edit the attribute `open`."""
        return attributes - {"open"}

    async def realm_settings(self, access: KeycloakAccess) -> Mapping[str, Any]:
        """Has the interface of `Users.realm_settings`."""
        return self.settings


@dataclass
class Declarations(UserProfiles):
    """Reports the missing declaration of each realm in `realms`."""

    realms: Realms

    async def check_declared(self, access: KeycloakAccess) -> tuple[str, ...]:
        """Has the interface of `UserProfiles.check_declared`."""
        return self.realms.lacking.get(access.realm, ())


@dataclass
class SignInClients(TokenEndpoint):
    """Knows every client except those of the `unknown` realms."""

    realms: Realms

    async def check_issuer(self, access: KeycloakAccess) -> None:
        """Has the interface of `TokenEndpoint.check_issuer`."""

    async def check(self, access: KeycloakAccess) -> tuple[str, ...]:
        """Has the interface of `TokenEndpoint.check`."""
        if access.realm in self.realms.unknown:
            raise Refused(f"realm {access.realm}", "signing users in of client cim: unauthorized_client")
        return ()


def of(name: str, **changes: bool) -> Tenant:
    """Returns a tenant on the realm of that name."""
    made = tenant(**changes)
    return replace(made, id=name, keycloak=replace(made.keycloak, realm=name))


def checks_of(realms: Realms, *tenants: Tenant, channels: Mapping[str, Channel] | None = None) -> RealmChecks:
    """Returns the checks of these tenants."""
    nowhere = Address("127.0.0.1", 0)
    gateway = GatewaySettings(nowhere, nowhere, StoreSettings(Secret("memory://")))
    configuration = Configuration(gateway, tenants, channels or {})
    return RealmChecks(SignInClients(realms), realms, Declarations(realms), lambda: configuration)


@pytest.mark.row("GE-24", "GE-31")
async def test_services_for_tests_and_attributes_that_users_may_edit_are_dangers() -> None:
    def service(attribute: str) -> WebService:
        return WebService(production="https://a/", customer_parameter="no", customer_attribute=attribute)

    services = WebServices(live=ServiceSet.TEST, check=service("guarded"), code=service("open"))
    channel = Channel("services", ChannelType.EXTERNAL, ChannelKind.WEB_SERVICES, service=services)
    one = of("one")
    one = replace(one, policy=replace(one.policy, contact_service="services"))
    editable, live = await checks_of(Realms(), one, channels={"services": channel}).check()
    assert "users may edit the attribute open" in editable
    assert live.startswith("tenant one: contact service services: live: test")


def real_checks(connections: KeycloakClients, configuration: Configuration) -> RealmChecks:
    """Returns the checks as `serve` makes them."""
    sign_in = TokenEndpoint(connections, SystemClock())
    return RealmChecks(sign_in, Users(connections), UserProfiles(connections), lambda: configuration)


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    structlog.reset_defaults()
    with capture_logs() as lines:
        yield lines


async def test_a_finding_about_a_realm_is_logged_once_and_again_when_it_changes(log: list[EventDict]) -> None:
    realms = Realms(lacking={"one": ("no attribute; declare it",)})
    checks = checks_of(realms, of("one"))
    await checks.look()
    await checks.look()
    realms.lacking["one"] = ("it is not multivalued; make it so",)
    await checks.look()
    realms.lacking.clear()
    await checks.look()
    assert [(line["event"], line.get("missing")) for line in log] == [
        ("realm_not_ready", ["no attribute; declare it"]),
        ("realm_not_ready", ["it is not multivalued; make it so"]),
        ("realm_ready", None),
    ]


async def test_missing_administrator_rights_are_reported_and_hide_no_other_tenant() -> None:
    realms = Realms(refusing={"one"}, lacking={"two": ("no attribute",)})
    assert await checks_of(realms, of("one"), of("two"), of("three")).look() == (
        Finding("one", "one", ("realm one: its administrator lacks the role manage-users",)),
        Finding("two", "two", ("no attribute",)),
    )


async def test_an_unknown_sign_in_client_is_reported_together_with_the_other_findings() -> None:
    realms = Realms(unknown={"one"}, lacking={"one": ("no attribute",)})
    (found,) = await checks_of(realms, of("one")).look()
    assert found.missing == ("realm one: signing users in of client cim: unauthorized_client", "no attribute")


async def test_an_inactive_tenant_is_not_checked() -> None:
    realms = Realms(refusing={"one"})
    await checks_of(realms, of("one", active=False)).check()
    assert realms.asked == []


async def test_readiness_names_every_tenant_with_its_findings() -> None:
    realms = Realms(lacking={"one": ("no attribute",), "three": ("no rights",)})
    with pytest.raises(Misconfigured, match="tenant one: no attribute; tenant three: no rights"):
        await checks_of(realms, of("one"), of("two"), of("three")).check()


async def test_a_danger_is_a_warning_of_readiness_and_logged_once(log: list[EventDict]) -> None:
    checks = checks_of(Realms(settings={"bruteForceProtected": True, "failureFactor": 10}), of("one"))
    (warning,) = await checks.check()
    await checks.look()
    assert warning.startswith("tenant one: ")
    assert "raise Max login failures" in warning
    assert [line["event"] for line in log] == ["realm_has_dangers"]


@pytest.mark.row("SI-11")
async def test_a_number_that_users_may_edit_is_a_danger_where_profile_numbers_count() -> None:
    made = of("one")
    policy = replace(made.policy, registration_contact=RegistrationContact.PROFILE)
    editable, guarded = (
        replace(made, policy=policy, keycloak=replace(made.keycloak, phone_attribute=name))
        for name in ("open", "phoneNumber")
    )
    (warning,) = await checks_of(Realms(), editable).check()
    assert "users may edit the attribute open" in warning
    assert await checks_of(Realms(), guarded).check() == ()
    assert await checks_of(Realms(), replace(editable, policy=made.policy)).check() == ()


async def test_changed_settings_are_checked_at_once() -> None:
    realms = Realms()
    checks = checks_of(realms, of("one"))
    following = asyncio.create_task(checks.follow())
    async with asyncio.timeout(10):
        while len(realms.asked) < 3:
            checks.look_again()
            await asyncio.sleep(0)
    following.cancel()


@pytest.mark.keycloak
async def test_a_realm_without_the_attribute_is_reported_with_the_declaration(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, log: list[EventDict]
) -> None:
    settings = folder(tmp_path, keycloak=keycloak, mail=mail_server, app="http://127.0.0.1:1")
    settings.tenant["tenantSettings"]["keyCloak"]["realm"] = keycloak.bare_realm
    configuration = settings.load()
    connections = KeycloakClients()
    try:
        await real_checks(connections, configuration).look()
    finally:
        await connections.close()
    (line,) = [line for line in log if line["event"] == "realm_not_ready"]
    assert (line["tenant"], line["realm"], line["log_level"]) == ("expertflow", keycloak.bare_realm, "warning")
    (said,) = line["missing"]
    assert "the attribute efcx2fa is not declared" in said
    assert "Realm settings, User profile" in said


@pytest.mark.keycloak
async def test_a_complete_realm_has_no_findings(tmp_path: Path, keycloak: Keycloak, mail_server: MailServer) -> None:
    configuration = folder(tmp_path, keycloak=keycloak, mail=mail_server, app="http://127.0.0.1:1").load()
    connections = KeycloakClients()
    try:
        assert await real_checks(connections, configuration).look() == ()
    finally:
        await connections.close()


@pytest.mark.keycloak
async def test_a_wrong_client_secret_of_the_sign_in_client_is_reported(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer
) -> None:
    settings = folder(tmp_path, keycloak=keycloak, mail=mail_server, app="http://127.0.0.1:1")
    settings.tenant["gateway"]["keycloak"]["client_secret"] = "another"
    connections = KeycloakClients()
    try:
        (found,) = await real_checks(connections, settings.load()).look()
    finally:
        await connections.close()
    assert "signing users in of client gateway-login: unauthorized_client" in found.missing[0]
