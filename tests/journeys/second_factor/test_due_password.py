"""A due password on the real Keycloak: a code, the new password, and another code."""

import asyncio

import pytest

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.person import Answer, Person, code_for, wrong
from tests.fixtures.phone import first_app, next_step, scan
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


async def registered(site: Site) -> User:
    """Returns a user with an enrolled address, whose password has become due."""
    user = site.user()
    assert user.email
    async with site.person() as agent:
        assert (await agent.first_login(user.username, user.password, user.email, site.mail)).step == "done"
    site.keycloak.admin.change(user.id, requiredActions=["UPDATE_PASSWORD"])
    return user


async def to_new_password(site: Site, agent: Person, user: User) -> Answer:
    """Enters password and code."""
    return await agent.login(user.username, user.password, user.email or "", site.mail)


@pytest.mark.row("SI-10", "GW-05")
async def test_a_user_with_a_due_password_enters_a_code_a_new_password_and_another_code(site: Site) -> None:
    user, new = await registered(site), new_password()
    assert user.email
    async with site.person() as agent:
        due = await to_new_password(site, agent, user)
        assert (due.status, due.step) == (200, "new-password")
        assert (await agent.get("/unified-admin/")).status == 303
        asked = await agent.do("new-password", new_password=new)
        assert (asked.status, asked.step) == (200, "verify")
        first, second = (mail.text for mail in site.mail.to(user.email)[-2:])
        assert first != second
        code = await code_for(site.mail, user.email, 3)
        assert (await agent.do("verify", code=wrong(code))).problem == "wrong-code"
        assert (await agent.do("verify", code=code)).step == "done"
        assert (await site.seen(agent))["authorization"].startswith("Bearer ")
    assert site.keycloak.admin.user(user.id)["requiredActions"] == []
    assert "Invalid user credentials" in site.keycloak.grant(user.username, user.password).text
    assert site.keycloak.grant(user.username, new).status_code == 200
    assert [line["user_id"] for line in site.audit.of("password_changed")] == [user.id]


@pytest.mark.row("SI-10")
async def test_the_page_shows_why_the_realm_refused_the_new_password_and_the_user_may_retry(site: Site) -> None:
    user = await registered(site)
    async with site.person() as agent:
        await to_new_password(site, agent, user)
        refused = await agent.do("new-password", new_password="short")
        assert (refused.status, refused.step, refused.problem) == (422, "new-password", "password-refused")
        response = await agent.submit("new-password", new_password="short")
        text = await response.text()
        assert "minimum length 8" in text
        assert "short" not in text.replace("minimum length", "")
        assert (await agent.do("new-password", new_password=user.username)).problem == "password-refused"
        assert (await agent.do("new-password", new_password="")).problem == "bad-input"
        assert (await agent.do("new-password", new_password=new_password())).step == "verify"


@pytest.mark.row("SI-10")
async def test_the_code_used_before_the_new_password_is_not_accepted_after_it(site: Site) -> None:
    user = await registered(site)
    assert user.email
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        old = await code_for(site.mail, user.email, 2)
        await agent.do("verify", code=old)
        await agent.do("new-password", new_password=new_password())
        assert (await agent.do("verify", code=old)).problem == "wrong-code"


@pytest.mark.row("SI-10")
async def test_after_the_new_password_the_same_app_code_is_refused_until_the_next_code(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await first_app(app_site, agent, user)
    app_site.keycloak.admin.change(user.id, requiredActions=["UPDATE_PASSWORD"])
    async with app_site.person() as agent:
        await agent.password(user.username, user.password)
        code = phone.code()
        assert (await agent.do("verify", code=code)).step == "new-password"
        assert (await agent.do("new-password", new_password=new_password())).step == "verify"
        early = await agent.do("verify", code=code)
        assert (early.step, early.problem) == ("verify", "next-code")
        next_step(app_site)
        assert (await agent.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("SI-10")
async def test_a_new_user_with_a_due_password_proves_the_app_twice(app_site: Site) -> None:
    user = app_site.user(required_actions=("UPDATE_PASSWORD",))
    async with app_site.person() as agent:
        phone = await scan(app_site, await agent.password(user.username, user.password))
        assert (await agent.do("register", code=phone.code())).step == "new-password"
        asked = await agent.do("new-password", new_password=new_password())
        assert asked.step == "verify"
        next_step(app_site)
        assert (await agent.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("SI-10")
async def test_the_new_password_ends_all_other_sessions_of_the_user(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as before, site.person() as agent:
        assert (await before.first_login(user.username, user.password, user.email, site.mail)).step == "done"
        assert (
            site.keycloak.grant(user.username, user.password).status_code == 200
        )  # a session that is not the gateway's
        site.keycloak.admin.change(user.id, requiredActions=["UPDATE_PASSWORD"])
        await to_new_password(site, agent, user)
        assert (await before.get("/unified-admin/")).status == 200
        await agent.do("new-password", new_password=new_password())
        assert (await before.get("/unified-admin/")).status == 303
        code = await code_for(site.mail, user.email, 3)
        assert (await agent.do("verify", code=code)).step == "done"
        assert len(await asyncio.to_thread(site.keycloak.admin.sessions, user.id)) == 1
        await site.seen(agent)


@pytest.mark.row("SI-10")
@pytest.mark.attack("F18")
async def test_where_no_code_is_required_the_new_password_page_follows_the_old_password(site: Site) -> None:
    site.change(is2FAEnabled=False)
    user, new = site.user(required_actions=("UPDATE_PASSWORD",)), new_password()
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "new-password"
        assert (await agent.do("new-password", new_password=new)).step == "done"
        await site.seen(agent)
    assert site.keycloak.grant(user.username, new).status_code == 200


@pytest.mark.row("SI-10")
@pytest.mark.attack("F18")
async def test_where_a_factor_is_optional_a_user_without_one_needs_no_code_for_a_due_password(cloud: Site) -> None:
    user = cloud.user(required_actions=("UPDATE_PASSWORD",))
    async with cloud.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "new-password"
        assert (await agent.do("new-password", new_password=new_password())).step == "done"
        await cloud.seen(agent)


@pytest.mark.attack("F16")
async def test_a_password_set_by_an_administrator_during_the_login_stops_the_login(site: Site) -> None:
    user = await registered(site)
    assert user.email
    async with site.person() as agent:
        await to_new_password(site, agent, user)
        await agent.do("new-password", new_password=new_password())
        site.keycloak.admin.set_password(user.id, new_password())
        stopped = await agent.do("verify", code=await code_for(site.mail, user.email, 3))
        assert (stopped.step, stopped.problem) == ("stopped", "account-changed")


@pytest.mark.row("SI-10")
async def test_a_double_click_on_the_new_password_sets_it_once(site: Site) -> None:
    user, new = await registered(site), new_password()
    async with site.person() as agent:
        await to_new_password(site, agent, user)
        clicks = [agent.do("new-password", new_password=new) for _ in range(4)]
        answers = await asyncio.gather(*clicks)
        assert {answer.step for answer in answers} <= {"verify", "new-password"}
        assert (await agent.look()).step == "verify"
    assert len(site.audit.of("password_changed")) == 1
