"""A login that ends at a named path: the browser is redirected to its page, and nothing revives the login."""

import asyncio
import re

import pytest

from tests.fixtures.installation import Folder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import PAGE, Person, code_for, wrong
from tests.fixtures.site import Site
from tests.journeys.test_changes_meanwhile import ends

pytestmark = pytest.mark.keycloak
HELP = "https://help.example.com/agent"


@pytest.fixture
def settings(settings: Folder) -> Folder:
    """One path leads to another site, the other one to a public page of an app."""
    settings.gateway["path_addresses"] = [HELP]
    gateway = settings.tenant["gateway"]
    gateway["public_paths"] = ["/unified-admin/help"]
    gateway["paths"] = {"agent": HELP, "later": "/unified-admin/help"}
    settings.tenant["tenantSettings"]["twoFAConfigs"] |= {"otpMaxAttempts": 2, "onMaxVerify": "path:agent"}
    return settings


def address(user: User) -> str:
    """Returns the address of `user` in Keycloak."""
    assert user.email
    return user.email


async def wrong_codes(site: Site, agent: Person, user: User, times: int) -> str:
    """Enrols a user's address, signs in again and enters that number of wrong codes; returns the right code."""
    async with site.person() as first:
        await first.first_login(user.username, user.password, address(user), site.mail)
        await first.logout()
    await agent.password(user.username, user.password)
    code = await code_for(site.mail, address(user), 2)
    for _ in range(times):
        await agent.do("verify", code=wrong(code))
    return code


@pytest.mark.row("GE-20")
async def test_the_last_wrong_code_ends_the_login_and_redirects_to_the_page_of_the_path(
    site: Site,
) -> None:
    user = site.user()
    async with site.person() as agent:
        code = await wrong_codes(site, agent, user, 1)
        sent = await agent.submit("verify", code=wrong(code))
        assert (sent.status, sent.headers["Location"]) == (303, HELP)
        assert (await agent.get("/unified-admin/")).status == 303
    assert await ends(site, user)
    (stopped,) = site.audit.of("login_stopped")
    assert (stopped["problem"], stopped["path"], stopped["username"]) == ("too-many-codes", "agent", user.username)


@pytest.mark.row("GE-20")
async def test_a_program_reads_the_address_of_the_path(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        code = await wrong_codes(site, agent, user, 1)
        answer = await agent.do("verify", code=wrong(code))
    assert (answer.status, answer.step, answer.problem) == (403, "stopped", "too-many-codes")
    assert answer.body["location"] == HELP


@pytest.mark.attack("F29")
async def test_the_back_button_never_brings_the_login_back(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        code = await wrong_codes(site, agent, user, 2)
        for page in ("verify", "stopped", "register", "done"):
            assert (await agent.get(f"/-/login/{page}")).headers["Location"] == HELP
        again = await agent.submit("verify", code=code)
        assert (again.status, again.headers["Location"]) == (303, HELP)
        assert (await agent.submit("verify", "resend")).headers["Location"] == HELP
        assert 'name="password"' in await agent.page("/-/login")
        assert (await agent.get("/unified-admin/")).status == 303
    assert len(site.mail.to(address(user))) == 2


async def test_after_a_named_path_the_user_can_sign_in_again(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await wrong_codes(site, agent, user, 2)
        site.clock.advance(61)
        assert (await agent.password(user.username, user.password)).step == "verify"
        assert (await agent.do("verify", code=await code_for(site.mail, address(user), 3))).step == "done"


@pytest.mark.attack("F29")
@pytest.mark.parametrize("paths", [{}, {"agents": HELP}], ids=["no paths", "another name"])
async def test_without_a_path_of_that_name_the_gateway_shows_its_own_page(site: Site, paths: dict[str, str]) -> None:
    user = site.user()
    async with site.person() as agent:
        await wrong_codes(site, agent, user, 1)
        site.settings.tenant["gateway"]["paths"] = paths
        site.change(onMaxVerify="stop")
        assert (await agent.submit("verify", code="000000")).headers["Location"].startswith("/-/login/stopped")
        assert "Too many wrong codes" in await agent.page("/-/login/stopped")


@pytest.mark.row("GE-20")
async def test_with_stop_the_last_wrong_code_ends_the_login(site: Site) -> None:
    site.change(onMaxVerify="stop")
    user = site.user()
    async with site.person() as agent:
        code = await wrong_codes(site, agent, user, 1)
        answer = await agent.do("verify", code=wrong(code))
        assert (answer.step, answer.problem) == ("stopped", "too-many-codes")
        assert "location" not in answer.body
        assert (await agent.do("verify", code=code)).step == "stopped"


@pytest.mark.row("GE-20")
async def test_parallel_wrong_codes_get_no_attempt_more_before_the_path(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        code = await wrong_codes(site, agent, user, 0)
        answers = await asyncio.gather(*(agent.do("verify", code=wrong(code)) for _ in range(12)))
        assert {answer.step for answer in answers} <= {"verify", "stopped"}
        assert (await agent.do("verify", code=code)).step == "stopped"
    assert len(site.audit.of("code_rejected")) == 2


@pytest.mark.row("GE-19")
async def test_after_the_last_code_that_may_be_sent_the_browser_is_redirected_to_the_path(site: Site) -> None:
    site.change(onMaxSends="path:later", maxSends=2, resendCooldown=0, otpMaxAttempts=3, onMaxVerify="newCode")
    user = site.user()
    async with site.person() as agent:
        code = await wrong_codes(site, agent, user, 0)
        assert (await agent.do("verify", "resend")).problem is None
        refused = await agent.do("verify", "resend")
        assert (refused.step, refused.problem) == ("verify", "max-sends")
        newest = await code_for(site.mail, address(user), 3)
        for _ in range(3):
            await agent.do("verify", code=wrong(newest))
        sent = await agent.submit("verify", "resend")
        assert (sent.status, sent.headers["Location"]) == (303, "/unified-admin/help")
        assert (await agent.get("/unified-admin/help")).status == 200
        assert code != newest
    assert [line["path"] for line in site.audit.of("login_stopped")] == ["later"]


@pytest.mark.row("GE-19")
async def test_a_page_whose_last_code_expired_has_a_button_that_leads_to_the_path(site: Site) -> None:
    site.change(onMaxSends="path:later", maxSends=1)
    user = site.user()
    async with site.person() as agent:
        await wrong_codes(site, agent, user, 0)
        assert "Continue" not in await agent.page("/-/login/verify")
        site.clock.advance(121)
        page = await agent.page("/-/login/verify")
        assert re.findall(r'name="action" value="(\w+)">(?:Continue)</button>', page) == ["resend"]
        assert (await agent.submit("verify", "resend")).headers["Location"] == "/unified-admin/help"


@pytest.mark.row("GE-18")
async def test_a_user_without_an_address_is_redirected_to_the_path_after_the_password(site: Site) -> None:
    site.change(onNoContact="path:agent", registrationContact="profile")
    user = site.user(email_verified=False)
    async with site.person() as agent:
        await agent.page()
        sent = await agent.submit("password", username=user.username, password=user.password)
        assert (sent.status, sent.headers["Location"]) == (303, HELP)
        assert (await agent.get("/-/login/verify", headers=PAGE)).headers["Location"] == HELP
    assert await ends(site, user)
    (stopped,) = site.audit.of("login_stopped")
    assert (stopped["problem"], stopped["path"]) == ("no-contact", "agent")


@pytest.mark.row("SI-04")
async def test_a_refused_user_without_an_address_is_audited_and_reads_a_general_sentence(site: Site) -> None:
    site.change(onNoContact="refuse", registrationContact="profile")
    user = site.user(email_verified=False)
    async with site.person() as agent:
        answer = await agent.password(user.username, user.password)
        assert (answer.status, answer.step, answer.problem) == (403, "stopped", "no-contact")
        assert address(user) not in str(answer.body)
    assert await ends(site, user)
    (stopped,) = site.audit.of("login_stopped")
    assert stopped["problem"] == "no-contact"
    assert "path" not in stopped


@pytest.mark.row("GE-18")
async def test_a_step_up_that_ends_at_a_path_leaves_the_session_as_it_was(site: Site) -> None:
    site.settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    site.change(onNoContact="path:agent", registrationContact="profile")
    user = site.user(email_verified=False)
    async with site.person("/agent-manager/") as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        sent = await agent.get("/unified-admin/")
        assert (await agent.get(sent.headers["Location"])).headers["Location"] == HELP
        assert (await agent.get("/unified-admin/")).status == 303
        assert (await agent.get("/agent-manager/")).status == 200
    assert [line["path"] for line in site.audit.of("login_stopped")] == ["agent"]


async def test_a_form_may_lead_to_the_pages_of_paths_and_to_no_other_site(site: Site) -> None:
    async with site.person() as agent:
        policy = (await agent.get("/-/login")).headers["Content-Security-Policy"]
    assert "form-action 'self' https://help.example.com;" in policy
