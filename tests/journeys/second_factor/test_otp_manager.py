"""Codes that EFCX's otp-manager makes, in preset `efcx` on a real Keycloak."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures import otp_manager
from tests.fixtures.installation import CHANNEL, Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.otp_manager import OtpManager
from tests.fixtures.site import Site, stand_in, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

__all__ = ["stand_in"]
pytestmark = pytest.mark.row("NX-07")


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


@pytest.mark.keycloak
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


@pytest.mark.keycloak
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


@pytest.mark.row("EF-20", "EF-25")
async def test_a_user_registers_and_signs_in_by_text_messages_of_the_otp_manager(
    tmp_path: Path, stand_in: StandIn, manager: OtpManager, mail_server: MailServer, echo_upstream: EchoUpstream
) -> None:
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    settings.tenant["tenantSettings"]["keyCloak"]["Otp_Manager_Url"] = manager.url
    settings.tenant["gateway"]["phone_numbers"] = {"countries": ["PK"]}
    settings.two_factor.update(channelType="SMS", channelServiceIdentifier="8224")
    service = {"accepted": otp_manager.ACCEPTED}
    channel = {"serviceIdentifier": "8224", "type": "SMS", "kind": "otp-manager", "otp_manager": service}
    settings.gateway["channels"] = [channel]
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        user = site.user()
        async with site.person() as agent:
            assert (await agent.to_code(user.username, user.password, "+92 300 1234567")).step == "verify"
            assert (await agent.do("verify", code=manager.code("923001234567"))).step == "done"
        site.clock.advance(61)
        async with site.person() as agent:
            assert (await agent.password(user.username, user.password)).step == "verify"
            assert (await agent.do("verify", code=manager.code("923001234567"))).step == "done"
    assert [to for to, _ in manager.sent] == ["923001234567"] * 2
