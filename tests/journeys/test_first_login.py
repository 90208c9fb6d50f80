"""First and later logins of all kinds of users, and what the apps receive of them, on real parts."""

import pytest

from tests.fixtures import realm
from tests.fixtures.person import code_for, wrong
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


async def test_a_first_login_enrols_an_address_and_opens_the_app(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        done = await agent.first_login(user.username, user.password, "first@example.com", site.mail)
        assert (done.step, done.body["location"]) == ("done", "/unified-admin/")
        seen = await site.seen(agent)
        assert seen["authorization"].startswith("Bearer ")


@pytest.mark.row("EF-01")
async def test_with_2fa_off_the_password_alone_opens_the_session(site: Site) -> None:
    site.change(is2FAEnabled=False)
    user = site.user()
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        assert (await site.seen(agent))["authorization"].startswith("Bearer ")
        assert agent.cookie("token")
    assert not site.mail.messages


@pytest.mark.row("EF-01", "GW-07")
async def test_with_2fa_on_no_answer_before_the_correct_code_contains_a_token_or_session(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        steps = [
            await agent.password(user.username, user.password),
            await agent.do("register", address="first@example.com"),
            await agent.do("confirm", "send"),
            await agent.do("verify", code=wrong(await code_for(site.mail, "first@example.com"))),
        ]
        assert [answer.step for answer in steps] == ["register", "confirm", "verify", "verify"]
        assert set(agent.cookies()) == {"gateway-login"}
        for answer in steps:
            assert "eyJ" not in str(answer.body) + str(answer.headers)
        assert (await agent.get("/unified-admin/")).status == 303
    assert not site.app.requests


@pytest.mark.row("EF-02")
async def test_a_change_of_settings_takes_effect_at_the_next_login(site: Site) -> None:
    user = site.user()
    async with site.person() as early, site.person() as late:
        await early.to_code(user.username, user.password, "first@example.com")
        site.change(is2FAEnabled=False)
        assert (await early.look()).step == "verify"
        assert (await early.get("/unified-admin/")).status == 303
        assert (await late.password(user.username, user.password)).step == "done"


@pytest.mark.row("EF-08")
@pytest.mark.parametrize("role", [*realm.ROLES, "unknown", "none"])
async def test_users_with_any_role_and_without_roles_need_the_same_proof(site: Site, role: str) -> None:
    known = {"unknown": ("default-roles-expertflow",), "none": ()}.get(role, (role,))
    user = site.user(roles=known)
    async with site.person() as person:
        done = await person.first_login(user.username, user.password, f"{role}@example.com", site.mail)
        assert done.step == "done"
    async with site.person() as person:
        assert (await person.login(user.username, user.password, f"{role}@example.com", site.mail)).step == "done"


@pytest.mark.row("EF-09")
async def test_all_apps_and_further_routes_use_the_same_login(site: Site) -> None:
    apps = ("/unified-admin", "/agent-manager", "/unified-agent")
    site.settings.tenant["gateway"]["routes"].append({"path": apps[2], "to": site.app.url, "strip_prefix": True})
    site.change()
    for number, app in enumerate(apps):
        user = site.user()
        async with site.person(f"{app}/x?y=1") as agent:
            refused = await agent.get(f"{app}/x?y=1")
            assert (refused.status, refused.headers["Location"]) == (303, f"/-/login?to={app}/x%3Fy%3D1")
            done = await agent.first_login(user.username, user.password, f"app{number}@example.com", site.mail)
            assert done.body["location"] == f"{app}/x?y=1"
            for opened in apps:
                assert (await site.seen(agent, f"{opened}/"))["authorization"].startswith("Bearer ")


@pytest.mark.row("EF-10")
async def test_a_user_cannot_choose_another_method(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        code_page = await agent.to_code(user.username, user.password, "first@example.com")
        assert code_page.body["methods"] == []
        assert "Try another way" not in await agent.page()
        for action in ("other-method", "choose"):
            assert (await agent.do("verify", action)).step == "verify"
        assert (await agent.do("choose", factor="totp")).status in (404, 409)


@pytest.mark.row("EF-11")
async def test_a_later_login_sends_the_code_at_once(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, "kept@example.com", site.mail)
    async with site.person() as agent:
        code_page = await agent.password(user.username, user.password)
        assert code_page.step == "verify"
        assert code_page.body["sent_to"] == "ke•••@example.com"
        assert len(site.mail.to("kept@example.com")) == 2
        done = await agent.do("verify", code=await code_for(site.mail, "kept@example.com", 2))
        assert done.step == "done"


@pytest.mark.row("EF-11")
async def test_the_address_is_confirmed_and_can_be_edited_before_anything_is_sent(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        shown = await agent.do("register", address="mistyped@example.com")
        assert (shown.step, shown.body["address"]) == ("confirm", "mistyped@example.com")
        assert not site.mail.messages
        assert (await agent.do("confirm", "edit")).step == "register"
        await agent.do("register", address="right@example.com")
        assert (await agent.do("confirm", "send")).step == "verify"
        done = await agent.do("verify", code=await code_for(site.mail, "right@example.com"))
        assert done.step == "done"
    assert not site.mail.to("mistyped@example.com")


@pytest.mark.row("EF-11")
async def test_a_username_and_an_address_pasted_with_invisible_marks_are_right(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        assert (await agent.password(f"\u200e{user.username}\u200b", user.password)).step == "register"
        shown = await agent.do("register", address="\u2066pasted@example.com\u2069")
        assert (shown.step, shown.body["address"]) == ("confirm", "pasted@example.com")


@pytest.mark.row("EF-11", "GW-29")
async def test_the_enrolments_are_one_sealed_value_in_the_user_profile(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, "sealed@example.com", site.mail)
    (value,) = site.keycloak.admin.attribute(user.id)
    assert "sealed" not in value
    assert "@" not in value
    after = site.keycloak.admin.user(user.id)
    assert (after["email"], after["enabled"], after["firstName"]) == (user.email, True, "Test")


@pytest.mark.row("EF-11")
async def test_the_profile_address_receives_a_mail_when_another_address_is_enrolled(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, "elsewhere@example.com", site.mail)
    await site.mail.wait(2)
    assert user.email
    (reported,) = site.mail.to(user.email)
    assert "elsewhere@example.com" not in reported.text
    assert [line["user_id"] for line in site.audit.of("enrolment_added")] == [user.id]


@pytest.mark.row("EF-11")
async def test_the_profile_address_receives_no_mail_when_it_is_enrolled_itself(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, user.email, site.mail)
    assert len(site.mail.messages) == 1
    assert site.audit.of("enrolment_added")
    assert not site.audit.of("account_change_mailed")


async def test_where_only_the_profile_address_may_be_enrolled_another_is_refused(site: Site) -> None:
    site.change(registrationContact="profile")
    user = site.user()
    assert user.email
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        refused = await agent.do("register", address="elsewhere@example.com")
        assert (refused.status, refused.step, refused.problem) == (422, "register", "unknown-address")
        assert (await agent.do("register", address=user.email)).step == "confirm"
    assert not site.mail.messages


@pytest.mark.row("EF-12")
async def test_only_the_newest_code_works_for_two_users_with_one_address(site: Site) -> None:
    first, second = site.user(), site.user()
    for number, user in enumerate((first, second)):
        async with site.person() as agent:
            await agent.to_code(user.username, user.password, "shared@example.com")
            await agent.do("verify", code=await code_for(site.mail, "shared@example.com", number + 1))
    async with site.person() as one, site.person() as two:
        await one.password(first.username, first.password)
        older = await code_for(site.mail, "shared@example.com", 3)
        await two.password(second.username, second.password)
        newer = await code_for(site.mail, "shared@example.com", 4)
        rejected = await one.do("verify", code=older)
        assert (rejected.step, rejected.problem) == ("verify", "code-replaced")
        stolen = await one.do("verify", code=newer)
        assert (stolen.step, stolen.problem) == ("verify", "wrong-code")
        assert (await two.do("verify", code=newer)).step == "done"
        rejected_again = await one.do("verify", code=older)
        assert (rejected_again.step, rejected_again.problem) == ("verify", "code-replaced")
        assert "Ask your administrator whether your address is unique" in await one.page()


async def test_a_user_who_enters_the_address_of_another_one_does_not_stop_their_sign_in(site: Site) -> None:
    owner, stranger = site.user(), site.user()
    async with site.person() as agent:
        await agent.to_code(owner.username, owner.password, "shared@example.com")
        await agent.do("verify", code=await code_for(site.mail, "shared@example.com"))
    async with site.person() as one, site.person() as two:
        await one.password(owner.username, owner.password)
        code = await code_for(site.mail, "shared@example.com", 2)
        await two.to_code(stranger.username, stranger.password, "shared@example.com")
        await code_for(site.mail, "shared@example.com", 3)
        assert (await one.do("verify", code=code)).step == "done"
