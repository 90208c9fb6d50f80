"""Tests of the tenant's settings as a form: from the form to the file and the configuration in force."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.admin.administrator import Administrator, Shown
from tests.fixtures.api_site import TENANT, ApiSite
from tests.fixtures.keycloak_admin import KeycloakAdmin
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Person
from tests.fixtures.stand_in_keycloak import StandIn

pytestmark = [pytest.mark.row("GW-16", "SI-14", "EF-02"), pytest.mark.attack("F1")]
PATH = "/-/admin/settings"


class RealTime:
    """The machine's clock, which no test advances: the tenant of these tests has no wait between two codes."""

    def advance(self, seconds: float) -> None:
        """Does nothing."""


@dataclass
class Pages:
    """What an administrator needs of a site."""

    base: str
    mail: MailServer
    admin: KeycloakAdmin
    clock: RealTime


@pytest.fixture
async def sara(api_site: ApiSite, stand_in: StandIn, mail_server: MailServer) -> AsyncIterator[Administrator]:
    """Yields an administrator of a gateway that has settings files."""
    patch = {
        "gateway": {"admin_on_app_host": True},
        "tenantSettings": {"twoFAConfigs": {"resendCooldown": 0}},
    }
    assert (await api_site.operate("PATCH", f"/tenants/{TENANT}", patch)).status == 200
    pages = Pages(api_site.public, mail_server, stand_in.server.admin, RealTime())
    async with Person(api_site.public) as browser:
        user = pages.admin.create_user(roles=("admin",))
        administrator = Administrator(pages, browser, user)  # type: ignore[arg-type]
        await administrator.sign_in()
        yield administrator


def stored(site: ApiSite) -> dict[str, object]:
    """Returns `twoFAConfigs` of the file."""
    found: dict[str, object] = json.loads(site.file.read_text())["tenantSettings"]["twoFAConfigs"]
    return found


async def typed(sara: Administrator, site: ApiSite, **fields: str) -> tuple[Shown, dict[str, str]]:
    """Sends the form with these fields changed; returns the page after it, and all fields."""
    form = (await sara.confirm(PATH)).form(PATH)
    now = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in stored(site).items()}
    every = {**now, **form, **fields}
    return await sara.post(PATH, every), every


async def test_a_change_is_shown_as_a_difference_first_and_stored_only_on_save(
    api_site: ApiSite, sara: Administrator
) -> None:
    before = stored(api_site)
    page, every = await typed(sara, api_site, otpExpiry="90")
    assert "- otpExpiry: 120" in page.text
    assert "+ otpExpiry: 90" in page.text
    assert stored(api_site) == before
    saved = await sara.post(PATH, {**every, **page.form(PATH), "step": "save"})
    assert saved.path == f"{PATH}?done=saved"
    assert stored(api_site) == {**before, "otpExpiry": 90}
    tenant = api_site.live.current().tenant(TENANT)
    assert tenant
    assert tenant.policy.otp_expiry == 90
    line = api_site.audit.of("tenant_changed")[-1]
    assert line["by"] == f"administration pages: {sara.user.username}"


async def test_a_value_that_is_not_allowed_is_a_message_at_its_field_and_stores_nothing(
    api_site: ApiSite, sara: Administrator
) -> None:
    before = stored(api_site)
    page, every = await typed(sara, api_site, otpMaxAttempts="0")
    refused = await sara.post(PATH, {**every, **page.form(PATH), "step": "save"})
    assert (refused.status, stored(api_site)) == (422, before)
    assert 'id="otpMaxAttempts-wrong"' in refused.text


async def test_a_text_in_place_of_a_number_is_a_message_at_its_field(api_site: ApiSite, sara: Administrator) -> None:
    page, _ = await typed(sara, api_site, otpExpiry="soon")
    assert page.status == 422
    assert "Enter a whole number." in page.text
    assert 'value="soon"' in page.text


async def test_a_file_that_was_changed_since_the_difference_was_shown_is_not_overwritten(
    api_site: ApiSite, sara: Administrator
) -> None:
    page, every = await typed(sara, api_site, otpExpiry="90")
    other = {"tenantSettings": {"twoFAConfigs": {"otpMaxAttempts": 7}}}
    assert (await api_site.operate("PATCH", f"/tenants/{TENANT}", other)).status == 200
    refused = await sara.post(PATH, {**every, **page.form(PATH), "otpMaxAttempts": "5", "step": "save"})
    assert refused.status == 409
    assert (stored(api_site)["otpExpiry"], stored(api_site)["otpMaxAttempts"]) == (120, 7)
