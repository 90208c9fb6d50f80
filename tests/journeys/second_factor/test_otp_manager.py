"""Codes that EFCX's otp-manager makes, in preset `efcx` on a real Keycloak."""

from collections.abc import AsyncIterator

import pytest

from tests.fixtures import otp_manager
from tests.fixtures.installation import CHANNEL, Folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.otp_manager import OtpManager
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.keycloak, pytest.mark.row("NX-07")]


@pytest.fixture
async def manager() -> AsyncIterator[OtpManager]:
    """Yields an otp-manager."""
    async with otp_manager.otp_manager() as made:
        yield made


@pytest.fixture
async def otp_site(
    settings: Folder, manager: OtpManager, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields EFCX with mail codes of an otp-manager."""
    settings.tenant["tenantSettings"]["keyCloak"]["Otp_Manager_Url"] = manager.url
    settings.gateway["channels"] = [
        {
            "serviceIdentifier": CHANNEL,
            "type": "EMAIL",
            "kind": "otp-manager",
            "otp_manager": {"accepted": otp_manager.ACCEPTED},
        }
    ]
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        yield site


@pytest.mark.row("EF-20", "EF-25")
async def test_a_user_registers_and_signs_in_by_codes_of_the_otp_manager(otp_site: Site, manager: OtpManager) -> None:
    user = otp_site.user()
    async with otp_site.person() as agent:
        assert (await agent.to_code(user.username, user.password, user.email or "")).step == "verify"
        assert (await agent.do("verify", code=manager.code(user.email))).step == "done"
    otp_site.clock.advance(61)
    async with otp_site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "verify"
        assert (await agent.do("verify", code=manager.code(user.email))).step == "done"
        assert (await otp_site.seen(agent))["authorization"].startswith("Bearer ")
    assert [to for to, _ in manager.sent] == [user.email] * 2


@pytest.mark.row("EF-20", "EF-25")
async def test_wrong_codes_cost_the_attempts_of_the_tenant(otp_site: Site, manager: OtpManager) -> None:
    user = otp_site.user()
    async with otp_site.person() as agent:
        await agent.to_code(user.username, user.password, user.email or "")
        right = manager.code(user.email)
        wrong = [f"{(int(right) + n) % 10**6:06}" for n in range(1, 6)]
        reported = [await agent.do("verify", code=code) for code in wrong]
        assert [answer.problem for answer in reported] == ["wrong-code"] * 4 + ["limit-exceeded"]
        assert (await agent.do("verify", code=right)).problem == "limit-exceeded"
