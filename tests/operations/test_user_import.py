"""Tests of the import of EFCX's own registrations, on the stand-in identity provider."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.identity_provider import Fault, Realm
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import FactorKind
from gateway.operations.user_import import PAGE, UserImport
from gateway.services import open_services
from tests.fixtures.efcx_registrations import Attributes, new_secret, registered, with_app
from tests.fixtures.installation import CHANNEL, folder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.site import Site, stand_in, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream
from tests.fixtures.vendor_sites import CLOUDCX

__all__ = ["stand_in"]
pytestmark = pytest.mark.row("NX-06")
SMS = {"channelType": "SMS", "channelServiceIdentifier": "sms"}
TEXTS = {"sms_http": {"url": "http://127.0.0.1:1/?to={number}&text={text}", "method": "GET"}}
BY = "Sara of operations"
TENANT = "expertflow"


@pytest.fixture
def realm(stand_in: StandIn) -> Iterator[Realm]:
    """Yields a realm where only administrators may write undeclared attributes, without other tests' registrations."""
    realm = stand_in.realms[TENANT]
    for user in realm.users:
        user.attributes = {}
    realm.profile["unmanagedAttributePolicy"] = "ADMIN_EDIT"
    yield realm
    realm.profile.pop("unmanagedAttributePolicy", None)


@pytest.fixture
async def site(
    tmp_path: Path, realm: Realm, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields a gateway that offers app and e-mail."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    settings.two_factor.clear()
    settings.two_factor.update(CLOUDCX, registrationContact="any")
    settings.two_factor["methods"] = [*settings.two_factor["methods"], SMS]
    settings.gateway["channels"].append({"serviceIdentifier": "sms", "type": "SMS", "kind": "sms-http", **TEXTS})
    settings.tenant["gateway"]["phone_numbers"] = {"region": "PK", "countries": ["PK", "DE"]}
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        yield site


async def imported(site: Site, *, write: bool = True) -> dict[str, dict[str, Any]]:
    """Runs the import over all pages; returns the lines of the report by user name."""
    users: dict[str, dict[str, Any]] = {}
    first: int | None = 0
    while first is not None:
        page = await UserImport(site.services).take_over(TENANT, BY, str(first), "yes" if write else "")
        users |= {one["username"]: one for one in page["users"]}
        first = page["next"]
    return users


def user(site: Site, attributes: Attributes, **more: Any) -> User:
    """Makes a user whom EFCX registered."""
    return site.user(attributes=attributes, **more)


async def enrolled(site: Site, one: User) -> EnrolmentSet:
    """Returns what the gateway reads of a user's enrolments."""
    found = await site.services.enrolments.read(site.configuration.tenants[0], one.id)
    assert isinstance(found, EnrolmentSet)
    return found


async def test_an_app_and_an_address_are_taken_over_as_enrolments(site: Site) -> None:
    secret = new_secret()
    app, mail = user(site, with_app(secret.lower())), user(site, registered("EMAIL", "Old@Example.COM"))
    found = await imported(site)
    assert [found[one.username]["outcome"] for one in (app, mail)] == ["taken-over", "taken-over"]
    assert [(e.factor, e.secret) for e in (await enrolled(site, app)).enrolments] == [(FactorKind.TOTP, secret)]
    assert [(e.factor, e.address) for e in (await enrolled(site, mail)).enrolments] == [
        (FactorKind.EMAIL, "Old@example.com")
    ]


async def test_a_dry_run_says_the_same_and_writes_nothing(site: Site) -> None:
    one = user(site, with_app(new_secret()))
    dry = await imported(site, write=False)
    assert site.keycloak.admin.attribute(one.id) == []
    assert site.audit.lines == []
    assert await imported(site) == dry


async def test_each_import_is_audited_with_operator_and_masked_address(site: Site) -> None:
    one = user(site, registered("EMAIL", "anna@example.com"))
    await imported(site)
    (line,) = site.audit.of("enrolment_imported")
    assert (line["username"], line["factor"], line["to"]) == (one.username, "email", "a***@e***.com")
    assert line["by"] == f"command line: {BY}"


async def test_no_secret_and_no_full_address_leaves_the_import(site: Site) -> None:
    secret = new_secret()
    user(site, with_app(secret))
    user(site, registered("EMAIL", "anna@example.com"))
    told = f"{await imported(site)} {site.audit.lines} {site.audit.log}"
    assert secret not in told
    assert "anna@" not in told


async def test_a_second_run_takes_nothing_over(site: Site) -> None:
    one = user(site, with_app(new_secret()))
    await imported(site)
    sealed = site.keycloak.admin.attribute(one.id)
    again = await imported(site)
    assert (again[one.username]["outcome"], again[one.username]["why"]) == ("skipped", "already enrolled")
    assert site.keycloak.admin.attribute(one.id) == sealed


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        (registered("PIGEON", "x"), "the channel 'PIGEON' is unknown"),
        (registered("EXTERNAL", "x"), "the channel 'EXTERNAL' is unknown"),
        (registered("", "x"), "the channel '' is unknown"),
        (registered("EMAIL", "not an address"), "the address is invalid"),
        (registered("EMAIL"), "the address is invalid"),
        (registered("EMAIL", phoneNumber="491701234567"), "the address is invalid"),
        (registered("APP"), "the secret is invalid"),
        (registered("APP", tempOTPSecret=new_secret()), "the secret is invalid"),
        (with_app("not base32!"), "the secret is invalid"),
        (with_app("MFRGGZDF"), "the secret is invalid"),
        (with_app("A" * 400), "the secret is invalid"),
        (with_app("é" * 32), "the secret is invalid"),
        ({**with_app(new_secret()), "otpSecret": [new_secret(), new_secret()]}, "otpSecret has several values"),
        ({**with_app(new_secret()), "is2FARegistered": ["false", "true"]}, "is2FARegistered has several values"),
    ],
)
async def test_a_registration_that_cannot_be_taken_over_needs_attention(
    site: Site, attributes: Attributes, why: str
) -> None:
    one = user(site, attributes)
    line = (await imported(site))[one.username]
    assert line["outcome"] == "needs-attention"
    assert why in line["why"]
    assert site.keycloak.admin.attribute(one.id) == []


@pytest.mark.parametrize(
    "attributes",
    [
        registered("SMS", "923001234567"),
        registered("SMS", "03001234567"),
        registered("SMS", phoneNumber="+92 300 1234567"),
        registered("SMS", "923001234567", phoneNumber="491701234567"),
    ],
    ids=["international", "national", "older attribute", "both"],
)
async def test_a_number_is_taken_over_in_e164(site: Site, attributes: Attributes) -> None:
    one = user(site, attributes)
    assert (await imported(site))[one.username] == {
        "username": one.username,
        "outcome": "taken-over",
        "factor": "sms",
        "address": "***67",
        "address_key": site.services.challenges.name_of_address(TENANT, "+923001234567"),
    }
    assert [(e.factor, e.address) for e in (await enrolled(site, one)).enrolments] == [
        (FactorKind.SMS, "+923001234567")
    ]


async def test_a_number_of_another_country_needs_attention(site: Site) -> None:
    one = user(site, registered("SMS", "12025550123"))
    why = (await imported(site))[one.username]["why"]
    assert why == "the tenant sends no codes to this number (gateway.phone_numbers)"


@pytest.mark.attack("F3")
async def test_a_number_that_users_may_edit_is_not_taken_over_and_the_other_registrations_are(
    site: Site, realm: Realm
) -> None:
    older, newer = (
        user(site, registered("SMS", phoneNumber="923001234567")),
        user(site, registered("SMS", "923011234567")),
    )
    with declared(realm, "phoneNumber", view=["admin", "user"], edit=["admin", "user"]):
        found = await imported(site)
    assert found[older.username]["outcome"] == "needs-attention"
    assert "users may change the attribute phoneNumber" in found[older.username]["why"]
    assert found[newer.username]["outcome"] == "taken-over"


async def test_a_channel_that_the_tenant_does_not_offer_needs_attention(site: Site) -> None:
    site.change(methods=[{"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL}])
    one = user(site, with_app(new_secret()))
    assert (await imported(site))[one.username]["why"] == "the tenant does not offer APP"


async def test_an_address_that_the_tenant_does_not_take_needs_attention(site: Site) -> None:
    site.change(registrationContact="profile")
    own = user(site, registered("EMAIL", "me@example.com"), email="me@example.com")
    other = user(site, registered("EMAIL", "else@example.com"))
    found = await imported(site)
    assert found[own.username]["outcome"] == "taken-over"
    assert found[other.username]["why"] == "the tenant takes verified addresses of the profile only"


async def test_a_user_of_rsa_securid_needs_no_import(site: Site) -> None:
    one = user(site, registered("RSA"))
    assert (await imported(site))[one.username]["outcome"] == "skipped"


@pytest.mark.parametrize("attributes", [{}, registered("APP", is2FARegistered="false", otpSecret=new_secret())])
async def test_a_user_without_a_registration_is_not_in_the_report(site: Site, attributes: Attributes) -> None:
    one = user(site, attributes)
    assert one.username not in await imported(site)


@pytest.mark.attack("F3")
async def test_a_user_who_turned_a_factor_off_is_never_imported_again_also_after_a_lost_store(site: Site) -> None:
    one, tenant = user(site, with_app(new_secret())), site.configuration.tenants[0]
    await imported(site)
    assert await site.services.enrolments.turn_off(tenant, one.id, FactorKind.TOTP)
    assert (await imported(site))[one.username]["why"] == "has removed their factors, or was reset"
    async with open_services(lambda: site.configuration, site.settings.ring()) as new:  # a new store in memory
        page = await UserImport(new).take_over(TENANT, BY, write="yes")
        assert [line["outcome"] for line in page["users"]] == ["skipped"]
    assert (await enrolled(site, one)).enrolments == ()


@pytest.mark.attack("F3")
async def test_a_value_that_is_planted_after_the_import_changes_nothing(site: Site) -> None:
    secret, planted = new_secret(), new_secret()
    one = user(site, with_app(secret))
    await imported(site)
    site.keycloak.admin.set_attribute(one.id, [planted], "otpSecret")
    await imported(site)
    assert [e.secret for e in (await enrolled(site, one)).enrolments] == [secret]


@pytest.mark.attack("F3")
async def test_a_user_who_has_enrolled_at_the_gateway_keeps_their_enrolment(site: Site) -> None:
    one, tenant = user(site, with_app(new_secret())), site.configuration.tenants[0]
    own = Enrolment(FactorKind.EMAIL, "own@example.com")
    assert await site.services.enrolments.add(tenant, one.id, EnrolmentSet(), own)
    assert (await imported(site))[one.username]["why"] == "already enrolled"
    assert [e.address for e in (await enrolled(site, one)).enrolments] == ["own@example.com"]


@pytest.mark.attack("F2", "F3")
async def test_a_user_whose_enrolments_were_removed_in_keycloak_is_not_imported(site: Site) -> None:
    one = user(site, with_app(new_secret()))
    await imported(site)
    site.keycloak.admin.set_attribute(one.id, [])
    line = (await imported(site))[one.username]
    assert (line["outcome"], line["why"]) == (
        "needs-attention",
        "the gateway rejects their enrolments (missing); see user restore",
    )


@contextmanager
def declared(realm: Realm, name: str, **permissions: list[str]) -> Iterator[None]:
    """Declares an attribute in the realm's user profile."""
    before = realm.profile["attributes"]
    realm.profile["attributes"] = [*before, {"name": name, "permissions": permissions}]
    try:
        yield
    finally:
        realm.profile["attributes"] = before


@pytest.mark.attack("F3")
@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("ENABLED", "users may change the attribute is2FARegistered; set Realm settings, General, Unmanaged"),
        ("SOME_LATER_ONE", "users may change the attribute is2FARegistered"),
        (None, "the realm hides the attribute is2FARegistered; set Realm settings, General, Unmanaged"),
    ],
)
async def test_where_users_may_write_undeclared_attributes_nothing_is_imported(
    site: Site, realm: Realm, policy: str | None, says: str, write: bool
) -> None:
    one = user(site, with_app(new_secret()))
    realm.profile["unmanagedAttributePolicy"] = policy
    with pytest.raises(Misconfigured, match=says):
        await imported(site, write=write)
    assert site.keycloak.admin.attribute(one.id) == []


@pytest.mark.attack("F3")
@pytest.mark.parametrize("name", ["is2FARegistered", "twoFAChannel", "customerChannelIdentifier", "otpSecret"])
async def test_where_users_may_edit_one_of_the_declared_attributes_nothing_is_imported(
    site: Site, realm: Realm, name: str
) -> None:
    with (
        declared(realm, name, view=["admin"], edit=["admin", "user"]),
        pytest.raises(Misconfigured, match=f"attribute {name}; set Realm settings, User profile, attribute {name}"),
    ):
        await imported(site)
    with (
        declared(realm, name, view=["user"], edit=[]),
        pytest.raises(Misconfigured, match=f"hides the attribute {name}"),
    ):
        await imported(site)
    with declared(realm, name, view=["admin", "user"], edit=["admin"]):
        assert await imported(site) == {}


async def test_all_pages_of_users_are_read(site: Site) -> None:
    made = {user(site, registered("EMAIL", f"u{number}@example.com")).username for number in range(PAGE + 1)}
    assert set(await imported(site)) == made


@pytest.mark.parametrize(
    ("broken", "why"),
    [({"otpSecret": [None]}, "the gateway failed; see the log"), ({"notes": ["x" * 3000]}, "storing enrolments: 400")],
)
async def test_a_broken_user_does_not_end_the_run(
    site: Site, realm: Realm, broken: dict[str, list[Any]], why: str
) -> None:
    names = sorted(user(site, with_app(new_secret())).username for _ in range(3))
    found = realm.named(names[0])
    assert found
    found.attributes = {**found.attributes, **broken}
    lines = await imported(site)
    assert [lines[name]["outcome"] for name in names] == ["needs-attention", "taken-over", "taken-over"]
    assert why in lines[names[0]]["why"]


async def test_while_keycloak_stores_nothing_each_user_needs_attention_and_a_later_run_takes_them_over(
    site: Site, realm: Realm
) -> None:
    one = user(site, with_app(new_secret()))
    realm.behaviour.put_fault = Fault.ERROR
    assert (await imported(site))[one.username]["outcome"] == "needs-attention"
    assert site.audit.of("enrolment_imported") == []
    realm.behaviour.put_fault = None
    assert (await imported(site))[one.username]["outcome"] == "taken-over"


async def test_two_runs_at_once_write_each_user_once(site: Site) -> None:
    made = [user(site, with_app(new_secret())) for _ in range(3)]
    runs = await asyncio.gather(imported(site), imported(site))
    for one in made:
        assert "taken-over" in {run[one.username]["outcome"] for run in runs}
        assert (await enrolled(site, one)).version == 1
