"""RSA SecurID in preset `efcx`, on a real Keycloak and an RSA Authentication Manager on loopback."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.fixtures.installation import Folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Answer, Person
from tests.fixtures.rsa_server import AGENT, KEY, NEXT_CODE_AFTER, RsaManager, Token, rsa_manager
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.keycloak, pytest.mark.row("EF-20")]


@dataclass
class RsaSite:
    """A gateway with RSA, and the RSA server."""

    site: Site
    manager: RsaManager

    def user(self) -> tuple[User, Token]:
        """Returns a new user with a token."""
        user = self.site.user()
        token = self.manager.tokens[user.username] = Token()
        return user, token

    async def sign_in(self, agent: Person, user: User) -> Answer:
        """Enters the password."""
        return await agent.password(user.username, user.password)


@pytest.fixture
async def rsa_site(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[RsaSite]:
    """Yields EFCX with RSA, by EFCX's own keys of the tenant."""
    async with rsa_manager() as manager:
        settings.tenant["tenantSettings"]["twoFAConfigs"] = {
            "is2FAEnabled": True,
            "channelType": "RSA",
            "otpExpiry": 120,
            "otpMaxAttempts": 3,
        }
        settings.tenant["tenantSettings"]["keyCloak"].update(
            RSA_Server_URL=f"{manager.http.url}/", RSA_Client_ID=AGENT, RSA_Client_Key=KEY
        )
        settings.gateway["channels"].append({"serviceIdentifier": "rsa", "type": "RSA", "kind": "rsa", "rsa": {}})
        async with whole(settings, keycloak, mail_server, echo_upstream) as site:
            yield RsaSite(site, manager)


async def test_a_user_with_a_token_signs_in_at_their_first_login_without_enrolling(rsa_site: RsaSite) -> None:
    user, token = rsa_site.user()
    async with rsa_site.site.person() as agent:
        asked = await rsa_site.sign_in(agent, user)
        assert (asked.step, asked.body["factor"]) == ("verify", "rsa")
        assert (await agent.do("verify", code=token.passcode)).step == "done"
        assert (await rsa_site.site.seen(agent))["authorization"].startswith("Bearer ")
    assert rsa_site.site.keycloak.admin.attribute(user.id) == []


async def test_the_page_hides_the_passcode_until_the_user_shows_it(rsa_site: RsaSite) -> None:
    user, _ = rsa_site.user()
    async with rsa_site.site.person() as agent:
        await rsa_site.sign_in(agent, user)
        page = await agent.page()
    field = page[page.index('<input id="code"') :]
    assert 'type="password"' in field[: field.index(">")]
    assert "data-digits" not in field[: field.index(">")]
    assert 'data-reveal="code"' in page


async def test_after_failures_the_page_asks_for_the_next_code(rsa_site: RsaSite) -> None:
    user, token = rsa_site.user()
    token.failures = NEXT_CODE_AFTER
    async with rsa_site.site.person() as agent:
        await rsa_site.sign_in(agent, user)
        more = await agent.do("verify", code=token.passcode)
        assert (more.status, more.step, more.problem) == (200, "verify", None)
        assert "enter the new code alone" in more.body["prompt"]
        assert "enter the new code alone" in await agent.page()
        assert (await agent.do("verify", code=token.next_code)).step == "done"
        account = await agent.page("/-/account")
    assert "Your organisation manages your token." in account
    assert "Set up" not in account
    assert [line["factor"] for line in rsa_site.site.audit.of("further_code_asked")] == ["rsa"]


async def test_the_last_wrong_passcode_ends_the_login(rsa_site: RsaSite) -> None:
    user, token = rsa_site.user()
    async with rsa_site.site.person() as agent:
        await rsa_site.sign_in(agent, user)
        reported = [await agent.do("verify", code=f"{token.pin}{n:06}") for n in range(3)]
        assert [answer.problem for answer in reported] == ["wrong-code", "wrong-code", "too-many-codes"]
        assert reported[-1].step == "stopped"
    assert rsa_site.manager.judged == 3


async def test_while_rsa_is_down_the_page_says_so_and_no_attempt_counts(rsa_site: RsaSite) -> None:
    user, token = rsa_site.user()
    real = rsa_site.manager.http.answer
    rsa_site.manager.http.answer = lambda _: (_ for _ in ()).throw(ConnectionResetError)
    async with rsa_site.site.person() as agent:
        await rsa_site.sign_in(agent, user)
        reported = [await agent.do("verify", code=token.passcode) for _ in range(4)]
        assert {(a.status, a.step, a.problem) for a in reported} == {(503, "verify", "check-failed")}
        rsa_site.manager.http.answer = real
        assert (await agent.do("verify", code=token.passcode)).step == "done"


async def test_a_passcode_opens_one_session(rsa_site: RsaSite) -> None:
    user, token = rsa_site.user()
    for expected in ("done", "verify"):
        async with rsa_site.site.person() as agent:
            await rsa_site.sign_in(agent, user)
            assert (await agent.do("verify", code=token.passcode)).step == expected
