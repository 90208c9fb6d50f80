"""Users whom EFCX's own second factor registered sign in through the gateway, on a real Keycloak."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from yarl import URL

from gateway.domain.errors import Misconfigured
from gateway.operations.user_import import UserImport
from tests.fixtures.efcx_registrations import Attributes, efcx, new_secret, registered, with_app
from tests.fixtures.http_service import HttpServer, http_server, says
from tests.fixtures.installation import folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for
from tests.fixtures.phone import Phone, next_step
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream
from tests.fixtures.vendor_sites import CLOUDCX

__all__ = ["efcx"]
pytestmark = [pytest.mark.keycloak, pytest.mark.row("NX-06")]
PROFILE = "users/profile"


@pytest.fixture
async def texts() -> AsyncIterator[HttpServer]:
    """Yields an SMS gateway."""
    async with http_server(lambda _: says("accepted")) as server:
        yield server


@pytest.fixture
async def site(
    tmp_path: Path, efcx: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, texts: HttpServer
) -> AsyncIterator[Site]:
    """Yields a gateway that requires a second factor and offers app, e-mail and text messages."""
    settings = folder(tmp_path, keycloak=efcx, mail=mail_server, app=echo_upstream.url)
    service = {"url": f"{texts.url}/?to={{number}}&text={{text}}", "method": "GET"}
    channel = {"serviceIdentifier": "sms", "type": "SMS", "kind": "sms-http", "sms_http": service}
    settings.gateway["channels"].append(channel)
    settings.tenant["gateway"]["phone_numbers"] = {"countries": ["PK"]}
    settings.two_factor.clear()
    settings.two_factor.update(CLOUDCX, registrationContact="any", enrolment="required")
    sms = {"channelType": "SMS", "channelServiceIdentifier": "sms"}
    settings.two_factor["methods"] = [*settings.two_factor["methods"], sms]
    async with whole(settings, efcx, mail_server, echo_upstream) as site:
        next_step(site)  # codes of the 30 seconds in which a store began are rejected
        yield site


def user(site: Site, attributes: Attributes) -> User:
    """Makes a user of the realm."""
    return site.keycloak.admin.create_user(attributes=attributes, realm_name=site.keycloak.realm)


async def imported(site: Site, one: User, *, write: bool = True) -> dict[str, Any]:
    """Runs the import and returns the line of one user."""
    page = await UserImport(site.services).take_over("expertflow", "Sara", write="yes" if write else "")
    found: dict[str, Any] = next(line for line in page["users"] if line["username"] == one.username)
    return found


async def test_a_registered_user_signs_in_with_their_old_app_and_is_not_asked_to_register(site: Site) -> None:
    secret = new_secret()
    one = user(site, with_app(secret))
    dry = await imported(site, one, write=False)
    async with site.person() as agent:
        assert (await agent.password(one.username, one.password)).step == "register"
    assert await imported(site, one) == dry
    async with site.person() as agent:
        shown = await agent.password(one.username, one.password)
        assert (shown.step, shown.body["factor"]) == ("verify", "totp")
        assert (await agent.do("verify", code=Phone(secret, site.clock).code())).step == "done"


async def test_a_registered_address_gets_the_code_although_the_profile_has_another_one(site: Site) -> None:
    one = user(site, registered("EMAIL", "registered@example.org"))
    assert (await imported(site, one))["outcome"] == "taken-over"
    async with site.person() as agent:
        assert (await agent.password(one.username, one.password)).step == "verify"
        code = await code_for(site.mail, "registered@example.org", 1)
        assert (await agent.do("verify", code=code)).step == "done"
    assert site.mail.to(str(one.email)) == []


async def test_a_registered_number_gets_the_code(site: Site, texts: HttpServer) -> None:
    one = user(site, registered("SMS", "923001234567"))
    assert (await imported(site, one))["outcome"] == "taken-over"
    async with site.person() as agent:
        shown = await agent.password(one.username, one.password)
        assert (shown.step, shown.body["factor"]) == ("verify", "sms")
        [request] = texts.requests
        query = URL(request.target).query
        assert query["to"] == "+923001234567"
        [code] = set(re.findall(r"\b\d{6}\b", query["text"]))
        assert (await agent.do("verify", code=code)).step == "done"


@pytest.mark.attack("F3")
async def test_a_value_that_is_planted_after_the_import_is_never_read(site: Site) -> None:
    secret, planted = new_secret(), new_secret()
    one = user(site, with_app(secret))
    await imported(site, one)
    site.keycloak.admin.set_attribute(one.id, [planted], "otpSecret", site.keycloak.realm)
    assert (await imported(site, one))["why"] == "already enrolled"
    async with site.person() as agent:
        assert (await agent.password(one.username, one.password)).step == "verify"
        rejected = await agent.do("verify", code=Phone(planted, site.clock).code())
        assert (rejected.step, rejected.problem) == ("verify", "wrong-code")
        assert (await agent.do("verify", code=Phone(secret, site.clock).code())).step == "done"


@pytest.mark.attack("F3")
async def test_a_registration_that_users_can_plant_in_their_own_account_is_not_imported(site: Site) -> None:
    admin, realm = site.keycloak.admin, site.keycloak.realm
    one = user(site, {})
    profile = admin.request("GET", PROFILE, realm).json()
    planted = with_app(new_secret())
    try:
        admin.request("PUT", PROFILE, realm, json={**profile, "unmanagedAttributePolicy": "ENABLED"})
        assert planted.items() <= stored(site, one, planted).items()  # users can: this is the danger
        with pytest.raises(Misconfigured, match="users may change the attribute is2FARegistered"):
            await imported(site, one)
    finally:
        admin.request("PUT", PROFILE, realm, json=profile)
    another = user(site, with_app(secret := new_secret()))
    stored(site, another, planted)
    assert admin.attribute(another.id, "otpSecret", realm) == [secret]


def stored(site: Site, one: User, attributes: Attributes) -> dict[str, list[str]]:
    """Lets a user write their own attributes by Keycloak's account API; returns those that Keycloak has then."""
    realm = site.keycloak.realm
    token = site.keycloak.grant(one.username, one.password, realm_name=realm).json()["access_token"]
    own = {"username": one.username, "email": one.email, "firstName": "Test", "lastName": "Person"}
    with httpx2.Client(trust_env=False, timeout=30) as http:
        http.post(
            f"{site.keycloak.issuer(realm)}/account/",
            json={**own, "attributes": attributes},
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        ).raise_for_status()
    found: dict[str, list[str]] = site.keycloak.admin.user(one.id, realm).get("attributes", {})
    return found


@pytest.mark.attack("F3")
@pytest.mark.parametrize("policy", [None, "ADMIN_VIEW"])
async def test_the_import_reads_what_the_real_policies_show(site: Site, policy: str | None) -> None:
    admin, realm = site.keycloak.admin, site.keycloak.realm
    one = user(site, with_app(new_secret()))
    profile = admin.request("GET", PROFILE, realm).json()
    others = {name: value for name, value in profile.items() if name != "unmanagedAttributePolicy"}
    changed = {**others, "unmanagedAttributePolicy": policy} if policy else others
    try:
        admin.request("PUT", PROFILE, realm, json=changed)
        if policy:
            assert (await imported(site, one, write=False))["outcome"] == "taken-over"
        else:
            with pytest.raises(Misconfigured, match="the realm hides the attribute is2FARegistered"):
                await imported(site, one)
    finally:
        admin.request("PUT", PROFILE, realm, json=profile)
