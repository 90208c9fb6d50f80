"""Step-up: a session of the password alone opens a stricter route after a proof, and stays the same session."""

from urllib.parse import quote

import pytest

from tests.fixtures.installation import Folder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import Person, code_for, wrong
from tests.fixtures.phone import both
from tests.fixtures.site import Site

pytestmark = [pytest.mark.keycloak, pytest.mark.row("SI-01")]
SESSION = "gateway-session"


@pytest.fixture
def settings(settings: Folder) -> Folder:
    """Agent Manager needs no factor."""
    settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    return settings


async def to_agent_manager(site: Site, agent: Person, user: User) -> str:
    """Signs in where no factor is needed; returns the session's cookie."""
    agent.target = "/agent-manager/"
    assert (await agent.password(user.username, user.password)).step == "done"
    assert (await agent.get("/agent-manager/")).status == 200
    return agent.cookie(SESSION) or ""


async def open_unified_admin(agent: Person) -> str:
    """Opens the stricter app and returns the page that the browser shows."""
    agent.target = "/unified-admin/"
    sent = await agent.get("/unified-admin/")
    assert sent.status == 303
    assert sent.headers["Location"] == f"/-/login?purpose=step-up&to={quote('/unified-admin/', safe='/')}"
    await agent.page(sent.headers["Location"])
    return agent.path.partition("?")[0]


async def opens(agent: Person, session: str, path: str) -> bool:
    """Returns whether a browser with only this session cookie opens an app."""
    async with Person(agent.base) as other:
        other.set_cookie(SESSION, session)
        return (await other.get(path)).status == 200


async def test_a_step_up_lets_a_user_without_a_factor_enrol_and_keeps_the_session(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        session = await to_agent_manager(site, agent, user)
        assert await open_unified_admin(agent) == "/-/login/register"
        assert (await agent.do("register", address=user.email)).step == "confirm"
        assert (await agent.do("confirm", "send")).step == "verify"
        done = await agent.do("verify", code=await code_for(site.mail, user.email))
        assert (done.step, done.body["purpose"], done.body["location"]) == ("done", "step-up", "/unified-admin/")
        assert agent.cookie(SESSION) != session
        for path in ("/unified-admin/", "/agent-manager/"):
            assert (await agent.get(path)).status == 200
        assert not await opens(agent, session, "/agent-manager/")
    assert len(site.audit.of("session_opened")) == 1
    assert len(site.keycloak.admin.sessions(user.id)) == 1


@pytest.mark.attack("S1")
async def test_a_session_cookie_copied_before_a_step_up_opens_nothing_after_it(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent, site.person() as thief:
        copied = await to_agent_manager(site, agent, user)
        thief.set_cookie(SESSION, copied)
        assert (await thief.get("/agent-manager/")).status == 200
        await open_unified_admin(agent)
        await agent.do("register", address=user.email)
        await agent.do("confirm", "send")
        assert (await thief.get("/unified-admin/")).status == 303
        assert (await agent.do("verify", code=await code_for(site.mail, user.email))).step == "done"
        for path in ("/unified-admin/", "/agent-manager/"):
            assert (await thief.get(path)).status == 303
            assert (await agent.get(path)).status == 200
        assert thief.cookie(SESSION) == copied


async def test_an_open_websocket_stays_open_through_a_step_up(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        await to_agent_manager(site, agent, user)
        async with agent.http.ws_connect(f"{agent.base}/agent-manager/ws", origin=agent.base) as socket:
            await open_unified_admin(agent)
            await agent.do("register", address=user.email)
            await agent.do("confirm", "send")
            assert (await agent.do("verify", code=await code_for(site.mail, user.email))).step == "done"
            await socket.send_str("still here")
            assert await socket.receive_str() == "still here"


async def test_a_step_up_asks_a_user_for_their_factor(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as first, site.person() as agent:
        await first.first_login(user.username, user.password, user.email, site.mail)
        session = await to_agent_manager(site, agent, user)
        assert await open_unified_admin(agent) == "/-/login/verify"
        code = await code_for(site.mail, user.email, 2)
        assert (await agent.do("verify", code=wrong(code))).problem == "wrong-code"
        assert (await agent.get("/unified-admin/")).status == 303
        assert (await agent.do("verify", code=code)).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200
        assert not await opens(agent, session, "/agent-manager/")


async def test_cancelling_a_step_up_leaves_the_session_unchanged(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await to_agent_manager(site, agent, user)
        await open_unified_admin(agent)
        left = await agent.submit("register", "cancel")
        assert left.headers["Location"] == "/-/account"
        assert (await agent.get("/agent-manager/")).status == 200
        assert (await agent.get("/unified-admin/")).status == 303


async def test_a_proof_does_not_reopen_a_session_that_ended_during_the_step_up(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        await to_agent_manager(site, agent, user)
        await open_unified_admin(agent)
        await agent.do("register", address=user.email)
        await agent.do("confirm", "send")
        kept = agent.cookies()
        await agent.logout()
        for name, value in kept.items():
            agent.set_cookie(name, value)
        last = await agent.do("verify", code=await code_for(site.mail, user.email))
        assert last.step in ("stopped", "password")
        assert (await agent.get("/unified-admin/")).status == 303


@pytest.mark.attack("F17")
async def test_a_user_locked_at_one_app_is_locked_at_another_too(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as owner:
        phone, _ = await both(cloud, owner, user)
    async with cloud.person() as thief:
        await thief.password(user.username, user.password)
        for _ in range(5):
            locked = await thief.do("verify", code=phone.wrong())
        assert locked.problem == "locked"
    async with cloud.person() as thief:
        await to_agent_manager(cloud, thief, user)
        assert await open_unified_admin(thief) == "/-/login/verify"
        assert (await thief.do("verify", code=phone.code())).problem == "locked"
        assert (await thief.get("/unified-admin/")).status == 303


@pytest.mark.attack("F17")
async def test_failures_of_a_step_up_and_of_logins_are_counted_together(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as owner:
        phone, _ = await both(cloud, owner, user)
    async with cloud.person() as thief:
        await thief.password(user.username, user.password)
        for _ in range(3):
            await thief.do("verify", code=phone.wrong())
    async with cloud.person() as thief:
        await to_agent_manager(cloud, thief, user)
        await open_unified_admin(thief)
        assert (await thief.do("verify", code=phone.wrong())).problem == "warning"
        assert (await thief.do("verify", code=phone.wrong())).problem == "locked"


async def test_where_a_factor_is_optional_a_user_without_one_passes_the_step_up_without_a_page(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await to_agent_manager(cloud, agent, user)
        agent.target = "/unified-admin/"
        sent = await agent.get("/unified-admin/")
        assert (await agent.get(sent.headers["Location"])).headers["Location"] == "/unified-admin/"
        assert (await agent.get("/unified-admin/")).status == 200


@pytest.mark.row("CC-12")
async def test_a_trusted_browser_opens_the_stricter_route_at_once_and_stays_trusted(cloud: Site) -> None:
    cloud.change(trustBrowserDays=14)
    user = cloud.user()
    async with cloud.person() as owner:
        phone, _ = await both(cloud, owner, user)
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        assert (await agent.do("verify", code=phone.code(), remember="yes")).step == "done"
        await agent.logout()
        agent.csrf = ""
        session = await to_agent_manager(cloud, agent, user)
        agent.target = "/unified-admin/"
        sent = await agent.get("/unified-admin/")
        assert (await agent.get(sent.headers["Location"])).headers["Location"] == "/unified-admin/"
        assert (await agent.get("/unified-admin/")).status == 200
        assert not await opens(agent, session, "/agent-manager/")
        opened = cloud.audit.of("session_opened")[-1]
        assert (opened["satisfied"], opened["rule"]) == ("not-asked", "route-asks-none")
        await agent.logout()
        agent.csrf = ""
        assert (await agent.password(user.username, user.password)).step == "done"


async def test_a_trusted_browser_never_replaces_the_proof_of_an_act(cloud: Site) -> None:
    cloud.change(trustBrowserDays=14)
    user = cloud.user()
    async with cloud.person() as owner:
        phone, _ = await both(cloud, owner, user)
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await agent.do("verify", code=phone.code(), remember="yes")
        await agent.logout()
        agent.csrf = ""
        assert (await agent.password(user.username, user.password)).step == "done"
        assert (await agent.act("new-codes")).step == "verify"
        assert (await agent.act("enrol", "totp")).step == "verify"


async def test_a_session_from_before_2fa_was_switched_on_gives_the_proof_at_its_next_request(site: Site) -> None:
    user = site.user()
    assert user.email
    site.change(is2FAEnabled=False)
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200
        site.change(is2FAEnabled=True)
        assert await open_unified_admin(agent) == "/-/login/register"
        assert (await agent.do("register", address=user.email)).step == "confirm"
        assert (await agent.do("confirm", "send")).step == "verify"
        assert (await agent.do("verify", code=await code_for(site.mail, user.email))).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200


async def test_a_session_of_the_password_alone_does_not_open_a_route_that_now_asks_for_a_factor(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await to_agent_manager(site, agent, user)
        site.settings.tenant["gateway"]["routes"][1]["second_factor"] = "required"
        site.change()
        sent = await agent.get("/agent-manager/")
        assert (sent.status, sent.headers["Location"]) == (303, "/-/login?purpose=step-up&to=/agent-manager/")
