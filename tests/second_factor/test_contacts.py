"""The contacts of a user: those of the user record, or those that a contact service names."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.delivery.http_calls import HttpCalls
from gateway.delivery.web_services import WebServiceCalls
from gateway.domain.challenge import Elsewhere
from gateway.domain.channel import Channel
from gateway.domain.errors import Misconfigured, Unreachable
from gateway.domain.policy import EXTERNAL_FACTORS, FactorKind, Method, NoContact, Policy, RegistrationContact
from gateway.domain.tenant import KeycloakAccess, PhoneNumbers
from gateway.domain.user import Account, Contact, User
from gateway.domain.web_services import WebServices
from gateway.keycloak.users import Users
from gateway.second_factor.contacts import Contacts, Known
from tests.fixtures.genesys_services import CHECK, GenesysServices, genesys_services
from tests.fixtures.sample_tenants import tenant

USER = User("u1", "amira", email="amira@profile.example", email_verified=True, phone="+491701234567")
VERIFIED = replace(USER, phone_verified=True)
TENANT = tenant(phone_numbers=PhoneNumbers(countries=frozenset({"DE"})))
INTERNAL = Policy(
    preset="genesys",
    enabled=True,
    methods=(Method(FactorKind.EMAIL, "otp@example.com"), Method(FactorKind.SMS, "sms")),
    on_no_contact=NoContact.PATH,
    registration_contact=RegistrationContact.SERVICE,
    contact_service="services",
)
EXTERNAL = replace(INTERNAL, methods=tuple(Method(factor, "services") for factor in EXTERNAL_FACTORS))


class Realm(Users):
    """Knows which attributes no user may edit."""

    def __init__(self) -> None:
        """Connects to nothing."""

    async def guarded(self, access: KeycloakAccess, attributes: frozenset[str]) -> frozenset[str]:
        return attributes - {"editable"}


@pytest.fixture
async def services() -> AsyncIterator[GenesysServices]:
    """Yields the running services."""
    async with genesys_services() as running:
        yield running


@pytest.fixture
async def contacts() -> AsyncIterator[Contacts]:
    """Yields what is tested."""
    calls = HttpCalls()
    yield Contacts(WebServiceCalls(calls), Realm())
    await calls.close()


async def find(
    contacts: Contacts,
    services: GenesysServices,
    policy: Policy = INTERNAL,
    user: User = USER,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
    **settings: Any,
) -> Known | Elsewhere:
    """Returns the contacts of a user with these attributes, by these settings of the channel."""
    channel = services.channel(**settings)
    account = Account(user, True, (), None, attributes=attributes or {})
    return await contacts.find(TENANT, policy, {"services": channel}, account, user, asked=True)


def found(known: Known | Elsewhere) -> dict[FactorKind, str]:
    assert isinstance(known, Known), known
    assert all(contact.verified for contact in known.contacts)
    return {contact.factor: contact.address for contact in known.contacts}


@pytest.mark.row("GE-13")
async def test_the_addresses_of_the_service_are_written_as_codes_are_sent(
    contacts: Contacts, services: GenesysServices
) -> None:
    services.customers["amira"] = {"email": "amira@bücher.example", "SMS": "+49 (170) 7654321", "authenticator": ""}
    known = found(await find(contacts, services))
    assert known == {FactorKind.EMAIL: "amira@xn--bcher-kva.example", FactorKind.SMS: "+491707654321"}


@pytest.mark.row("GE-13", "GE-17")
async def test_a_method_without_a_value_has_the_verified_address_of_the_user_record(
    contacts: Contacts, services: GenesysServices
) -> None:
    services.customers["amira"] = {"email": "", "SMS": ""}
    assert found(await find(contacts, services, user=VERIFIED)) == {
        FactorKind.EMAIL: "amira@profile.example",
        FactorKind.SMS: "+491701234567",
    }
    unverified = replace(USER, email_verified=False)
    assert found(await find(contacts, services, user=unverified)) == {}


@pytest.mark.row("GE-17")
async def test_the_address_may_be_in_an_attribute_that_users_cannot_edit(
    contacts: Contacts, services: GenesysServices
) -> None:
    services.customers["amira"] = {"email": ""}
    given = {"second": ("second@bank.example",), "editable": ("evil@evil.example",)}
    known = await find(contacts, services, attributes=given, email_attribute="second")
    assert found(known) == {FactorKind.EMAIL: "second@bank.example"}
    assert found(await find(contacts, services, attributes=given, email_attribute="editable")) == {}


@pytest.mark.row("GE-31")
async def test_the_user_is_named_by_an_attribute_that_users_cannot_edit(
    contacts: Contacts, services: GenesysServices
) -> None:
    services.customers = {"4711": {"email": "a@bank.example"}, "amira": {"email": "wrong@bank.example"}}
    check = {"production": services.url(CHECK), "customer_parameter": "customer"}
    given = {"account": ("4711",), "editable": ("4711",)}
    known = await find(contacts, services, attributes=given, check={**check, "customer_attribute": "account"})
    assert found(known) == {FactorKind.EMAIL: "a@bank.example"}
    assert isinstance(known, Known)
    assert known.user.attribute("account") == "4711"
    for attribute in ("editable", "missing"):
        known = await find(contacts, services, attributes=given, check={**check, "customer_attribute": attribute})
        assert found(known) == {}
    assert services.count(CHECK) == 1


@pytest.mark.row("GE-13")
@pytest.mark.parametrize("value", ["no address", "a@b.example, c@d.example", "a@b.example\nc", "+49 900 1234567"])
async def test_a_value_to_which_no_code_can_be_sent_is_no_contact(
    contacts: Contacts, services: GenesysServices, value: str
) -> None:
    services.customers["amira"] = {"email": value, "SMS": value}
    assert found(await find(contacts, services)) == {}


async def test_the_methods_of_a_service_that_makes_codes_are_its_own(
    contacts: Contacts, services: GenesysServices
) -> None:
    services.customers["amira"] = {"email": "a@bank.example", "sms": "", "authenticator": "x", "fax": "1"}
    assert found(await find(contacts, services, EXTERNAL)) == {
        FactorKind.EXTERNAL_EMAIL: "a@bank.example",
        FactorKind.EXTERNAL_SMS: "",
        FactorKind.EXTERNAL_APP: "x",
    }


@pytest.mark.row("GE-13", "GE-16")
async def test_not_found_is_no_contact_and_another_status_a_path(contacts: Contacts, services: GenesysServices) -> None:
    assert found(await find(contacts, services)) == {}
    services.statuses[CHECK] = "error"
    assert await find(contacts, services) == Elsewhere("error")


@pytest.mark.attack("F8")
async def test_a_service_that_is_not_understood_gives_no_contacts(
    contacts: Contacts, services: GenesysServices
) -> None:
    services.bodies[CHECK] = b"<checkVerifiedContactMethods/>"
    with pytest.raises(Unreachable):
        await find(contacts, services)


async def test_a_service_that_is_gone_is_an_error(contacts: Contacts) -> None:
    account = Account(USER, True, (), None)
    with pytest.raises(Misconfigured):
        await contacts.find(TENANT, INTERNAL, {}, account, USER, asked=True)


@pytest.mark.parametrize(
    ("policy", "asked"),
    [(INTERNAL, False), (replace(INTERNAL, enabled=False), True), (replace(INTERNAL, contact_service=None), True)],
    ids=["route asks for none", "off", "no service"],
)
async def test_the_service_is_asked_only_where_a_factor_is_asked_for(
    contacts: Contacts, services: GenesysServices, policy: Policy, asked: bool
) -> None:
    channels: Mapping[str, Channel] = {"services": services.channel()}
    known = await contacts.find(TENANT, policy, channels, Account(VERIFIED, True, (), None), VERIFIED, asked=asked)
    assert isinstance(known, Known)
    assert Contact(FactorKind.EMAIL, "amira@profile.example", True) in known.contacts
    assert services.asked == []


def test_the_settings_need_only_the_attributes_that_they_name(services: GenesysServices) -> None:
    service = services.channel(email_attribute="mail2").service
    assert isinstance(service, WebServices)
    assert service.attributes == {"mail2"}
