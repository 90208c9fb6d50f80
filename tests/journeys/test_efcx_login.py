"""EFCX's own login uses the gateway as its otp-manager by nothing but `Otp_Manager_Url`, on a real Keycloak."""

import asyncio
import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli.serve import otp_manager
from gateway.proxy.connection_limits import ConnectionLimits
from tests.fixtures.efcx_login import GENERAL, TEXTS, EfcxLogin
from tests.fixtures.efcx_registrations import efcx
from tests.fixtures.installation import folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for, wrong
from tests.fixtures.ports import free_port
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

__all__ = ["efcx"]
pytestmark = [pytest.mark.keycloak, pytest.mark.row("NX-07"), pytest.mark.attack("F9")]
SECRET = "0123456789abcdef" * 2


@dataclass
class EfcxSite:
    """EFCX, the gateway, and the realm of both."""

    login: EfcxLogin
    site: Site

    def user(self) -> User:
        """Makes a user of the realm."""
        return self.site.keycloak.admin.create_user(realm_name=self.site.keycloak.realm)

    async def code(self, address: str, count: int = 1) -> str:
        """Returns the code of that number to an address."""
        return await code_for(self.site.mail, address, count)


@pytest.fixture
async def efcx_site(
    tmp_path: Path, efcx: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[EfcxSite]:
    """Yields EFCX with the tenant object that the gateway has too."""
    settings = folder(tmp_path, keycloak=efcx, mail=mail_server, app=echo_upstream.url)
    port = free_port()
    settings.gateway["otp_manager_server"] = {
        "listen": f"127.0.0.1:{port}",
        "secret": SECRET,
        "clients": ["127.0.0.1"],
    }
    settings.tenant["tenantSettings"]["keyCloak"]["Otp_Manager_Url"] = f"http://127.0.0.1:{port}/{SECRET}/"
    admin = efcx.admin

    async def register(username: str, contact: str) -> None:
        user_id = await asyncio.to_thread(admin.user_id, username, efcx.realm)
        name = "customerChannelIdentifier"
        await asyncio.to_thread(admin.set_attribute, user_id, [contact], name, efcx.realm)

    async with whole(settings, efcx, mail_server, echo_upstream) as site:
        served = site.configuration.gateway.otp_manager_server
        assert served
        async with otp_manager(site.services, served, ConnectionLimits()):
            yield EfcxSite(EfcxLogin(copy.deepcopy(settings.tenant), register), site)


async def test_a_user_registers_at_efcx_and_signs_in_by_codes_of_the_gateway(efcx_site: EfcxSite) -> None:
    user, contact = efcx_site.user(), f"new-{efcx_site.site.settings.port}@example.org"
    assert await efcx_site.login.begin(user.username, contact) == "OTP required."
    code = await efcx_site.code(contact)
    assert await efcx_site.login.enter(user.username, wrong(code)) == TEXTS["OTP_INVALID"]
    assert await efcx_site.login.enter(user.username, code) == "Signed in."
    assert await efcx_site.login.begin(user.username) == "OTP required."
    assert await efcx_site.login.enter(user.username, await efcx_site.code(contact, 2)) == "Signed in."


async def test_a_contact_that_no_user_has_gets_no_code(efcx_site: EfcxSite) -> None:
    efcx_site.login.contacts["nobody"] = "nobody@example.net"
    assert await efcx_site.login.begin("nobody") == GENERAL
    assert efcx_site.site.mail.to("nobody@example.net") == []


async def test_codes_of_efcx_and_of_the_gateway_are_worth_nothing_at_the_other_one(efcx_site: EfcxSite) -> None:
    """The same user and mailbox: neither code is worth anything at the other one."""
    user = efcx_site.user()
    address = user.email or ""
    async with efcx_site.site.person() as agent:
        assert (await agent.to_code(user.username, user.password, address)).step == "verify"
        own = await efcx_site.code(address)
        await efcx_site.login.begin(user.username, address)
        theirs = await efcx_site.code(address, 2)
        assert await efcx_site.login.enter(user.username, own) == TEXTS["OTP_INVALID"]
        assert (await agent.do("verify", code=theirs)).problem == "wrong-code"
        assert await efcx_site.login.enter(user.username, theirs) == "Signed in."
        assert (await agent.do("verify", code=own)).step == "done"
