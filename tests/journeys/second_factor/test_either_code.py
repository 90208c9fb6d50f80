"""CloudCX: one page after the password accepts any code, and helps a user who lost their phone."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.fixtures.installation import Folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Answer, Person, code_for, codes_to, listed
from tests.fixtures.phone import both, first_app, next_step, set_up_app, set_up_mail
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream
from tests.fixtures.vendor_sites import CLOUDCX

pytestmark = pytest.mark.keycloak
MINUTE = 60


async def asked(site: Site, agent: Person, user: User) -> Answer:
    """Opens a new browser at the page after the password."""
    shown = await agent.password(user.username, user.password)
    assert shown.step == "verify", shown.body
    return shown


@pytest.mark.row("CC-13")
async def test_the_combined_page_accepts_the_app_code_and_sends_no_mail_unless_requested(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
    sent = len(cloud.mail.messages)
    async with cloud.person() as again:
        shown = await asked(cloud, again, user)
        assert set(shown.body["any_of"]) == {"email", "totp", "backup-code", "admin-code"}
        page = await again.page()
        assert page.count('name="code"') == 1
        assert (await again.do("verify", code=phone.code())).step == "done"
    assert len(cloud.mail.messages) == sent


@pytest.mark.row("CC-13")
async def test_the_combined_page_mails_a_code_on_request_and_accepts_it(cloud: Site) -> None:
    user = cloud.user()
    assert user.email
    async with cloud.person() as agent:
        await both(cloud, agent, user)
    sent = len(codes_to(cloud.mail, user.email))
    cloud.clock.advance(61)
    async with cloud.person() as again:
        await asked(cloud, again, user)
        assert (await again.do("verify", "send")).problem is None
        code = await code_for(cloud.mail, user.email, sent + 1)
        assert (await again.do("verify", code=code)).step == "done"


@pytest.mark.row("CC-13")
async def test_a_requested_mail_leaves_the_app_code_valid_and_the_app_code_leaves_the_mailed_code_unused(
    cloud: Site,
) -> None:
    user = cloud.user()
    assert user.email
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
    cloud.clock.advance(61)
    async with cloud.person() as again:
        await asked(cloud, again, user)
        await again.do("verify", "send")
        assert (await again.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("CC-13")
async def test_with_mail_as_the_only_method_the_code_is_sent_at_once(cloud: Site) -> None:
    user = cloud.user()
    assert user.email
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await set_up_mail(cloud, agent, user)
        await agent.do("backup-codes")
    async with cloud.person() as again:
        assert (await again.login(user.username, user.password, user.email, cloud.mail)).step == "done"


@pytest.mark.row("CC-06", "CC-13")
async def test_each_backup_code_works_once_on_the_combined_page_and_is_marked_as_used(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, codes = await both(cloud, agent, user)
        used = codes[0].lower().replace("-", " ")
        async with cloud.person() as lost:
            await asked(cloud, lost, user)
            assert (await lost.do("verify", code=used)).step == "done"
        async with cloud.person() as thief:
            await asked(cloud, thief, user)
            refused = await thief.do("verify", code=codes[0])
            assert (refused.status, refused.step, refused.problem) == (422, "verify", "wrong-code")
            assert (await thief.do("verify", code=codes[1])).step == "done"
        assert "8 of 10 codes left" in await agent.page("/-/account")
        tab = await (await agent.tab("/-/account")).press("show-codes")
        page = (await tab.send("verify", code=phone.code())).text
        assert (listed(page), [f"<s>{code}</s>" in page for code in codes[:2]]) == (codes[2:], [True, True])


@pytest.mark.row("CC-06")
async def test_after_the_last_backup_code_the_page_says_that_all_are_used(cloud: Site) -> None:
    cloud.change(backupCodes=1)
    user = cloud.user()
    async with cloud.person() as agent:
        phone, (only,) = await both(cloud, agent, user)
        async with cloud.person() as lost:
            await asked(cloud, lost, user)
            assert (await lost.do("verify", code=only)).step == "done"
        assert "All codes are used" in await agent.page("/-/account")
    async with cloud.person() as again:
        await asked(cloud, again, user)
        assert "All your backup codes are used" in await again.page()
        assert (await again.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("CC-06")
async def test_the_page_does_not_say_that_all_codes_are_used_to_a_user_who_never_had_any(cloud: Site) -> None:
    cloud.change(backupCodes=0)
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await set_up_app(cloud, agent, user)
        cloud.change(backupCodes=10)
        assert "You have none yet." in await agent.page("/-/account")
    async with cloud.person() as again:
        await asked(cloud, again, user)
        assert "All your backup codes are used" not in await again.page()


@pytest.mark.row("CC-08")
async def test_the_code_page_says_that_only_an_administrator_can_help_a_user_without_any_code(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await both(cloud, agent, user)
    async with cloud.person() as lost:
        await asked(cloud, lost, user)
        assert "Only your administrator can help." in await lost.page()


Issue = Callable[[User], Awaitable[str]]


@pytest.fixture
async def shared(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> AsyncIterator[Site]:
    """CloudCX on Redis, so that the command line reads the gateway's records."""
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(CLOUDCX)
    settings.gateway["store"] = {"url": redis_url}
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        next_step(site)
        yield site


@pytest.fixture
def issue(shared: Site) -> Issue:
    """Runs `efcx-gateway user code` as an operator and returns the printed code."""

    async def run(user: User) -> str:
        words = ["user", "code", user.username, "--tenant", "expertflow", "--config", str(shared.settings.file)]
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *words, "--json", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await command.communicate()
        assert command.returncode == 0
        reported = json.loads(out)
        assert (reported["username"], reported["minutes"]) == (user.username, 30)
        return str(reported["code"])

    return run


@pytest.mark.row("CC-15", "CC-16")
async def test_an_administrators_code_is_accepted_once_on_the_combined_page(shared: Site, issue: Issue) -> None:
    user = shared.user()
    async with shared.person() as agent:
        await both(shared, agent, user)
    code = await issue(user)
    async with shared.person() as lost:
        await asked(shared, lost, user)
        spoken = " ".join(code[i : i + 4] for i in range(0, 12, 4))
        assert (await lost.do("verify", code=spoken)).step == "done"
    async with shared.person() as thief:
        await asked(shared, thief, user)
        refused = await thief.do("verify", code=code)
        assert (refused.step, refused.problem) == ("verify", "wrong-code")
    assert [line["factor"] for line in shared.audit.of("code_accepted")][-1] == "admin-code"


@pytest.mark.row("CC-15")
async def test_an_administrators_code_is_invalid_after_a_newer_one(shared: Site, issue: Issue) -> None:
    user = shared.user()
    async with shared.person() as agent:
        await both(shared, agent, user)
    older, newer = await issue(user), await issue(user)
    async with shared.person() as lost:
        await asked(shared, lost, user)
        assert (await lost.do("verify", code=older)).problem == "wrong-code"
        assert (await lost.do("verify", code=newer)).step == "done"


@pytest.mark.row("CC-15")
async def test_an_administrators_code_expires_after_thirty_minutes(shared: Site, issue: Issue) -> None:
    user = shared.user()
    async with shared.person() as agent:
        await both(shared, agent, user)
    code = await issue(user)
    shared.clock.advance(28 * MINUTE)
    async with shared.person() as lost:
        await asked(shared, lost, user)
        shared.clock.advance(2 * MINUTE)
        assert (await lost.do("verify", code=code)).problem == "wrong-code"


@pytest.mark.row("CC-15")
async def test_an_administrators_code_is_rejected_for_another_user(shared: Site, issue: Issue) -> None:
    user, other = shared.user(), shared.user()
    async with shared.person() as agent, shared.person() as dependency:
        await both(shared, agent, user)
        await both(shared, dependency, other)
    code = await issue(user)
    async with shared.person() as thief:
        await asked(shared, thief, other)
        assert (await thief.do("verify", code=code)).problem == "wrong-code"
    async with shared.person() as lost:
        await asked(shared, lost, user)
        assert (await lost.do("verify", code=code)).step == "done"


@pytest.mark.row("CC-16")
async def test_an_administrators_code_does_not_replace_the_password(shared: Site, issue: Issue) -> None:
    user = shared.user()
    async with shared.person() as agent:
        await both(shared, agent, user)
    code = await issue(user)
    async with shared.person() as thief:
        assert (await thief.password(user.username, code)).problem == "wrong-password"
        assert (await thief.do("verify", code=code)).step == "password"


async def test_administrators_codes_are_rejected_where_they_are_off(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        await first_app(app_site, agent, user)
    async with app_site.person() as again:
        shown = await asked(app_site, again, user)
        assert "any_of" not in shown.body
        assert (await again.do("verify", code="123456789012")).problem == "wrong-code"
