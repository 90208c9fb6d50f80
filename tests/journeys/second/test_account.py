"""CloudCX: nothing is asked of who set up nothing, and the account page turns methods on and off."""

import re

import pytest

from tests.journeys.conftest import Site
from tests.journeys.person import code_for, wrong
from tests.journeys.second.phone import both, next_step, scan, set_up_app, set_up_mail

pytestmark = pytest.mark.keycloak
STALE = 301
"""Seconds after which a proof is fresh no more."""


@pytest.mark.row("CC-21")
async def test_who_set_up_nothing_is_asked_for_no_code_and_the_account_page_suggests_it(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        assert (await cloud.seen(agent))["authorization"].startswith("Bearer ")
        page = await agent.page("/-/account")
        assert "Nothing is set up yet" in page
        assert page.count("Set up:") == 2
        assert "Turn off:" not in page
    opened = cloud.audit.of("session.opened")[-1]
    assert (opened["satisfied"], opened["rule"]) == ("not-asked", "optional-and-none-enrolled")


@pytest.mark.row("CC-02", "CC-04", "CC-21")
async def test_mail_is_on_only_after_its_code_and_then_ten_backup_codes_are_shown_once(cloud: Site) -> None:
    user = cloud.user()
    assert user.email
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        asked = await agent.begin("enrol", "email")
        assert (asked.step, asked.body["purpose"]) == ("password", "enrol")
        assert (await agent.do("password", password=user.password)).step == "register"
        await agent.do("register", address=user.email)
        assert (await agent.do("confirm", "send")).step == "verify"
        code = await code_for(cloud.mail, user.email)
        assert re.fullmatch(r"\d{6}", code)
        assert (await agent.do("verify", code=wrong(code))).problem == "wrong-code"
        assert cloud.keycloak.admin.attribute(user.id) == []
        shown = await agent.do("verify", code=code)
        assert shown.step == "backup-codes"
        assert len(set(shown.body["codes"])) == 10
        assert len(cloud.keycloak.admin.attribute(user.id)) == 1
        assert (await agent.do("backup-codes")).step == "done"
        page = await agent.page("/-/account")
        assert page.count("Turn off:") == 1
        assert "10 codes left" in page
        await cloud.seen(agent)


@pytest.mark.row("CC-03")
async def test_an_app_is_on_only_after_its_code_and_the_second_method_brings_no_new_codes(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        codes = await set_up_mail(cloud, agent, user)
        await agent.do("backup-codes")
        phone = await scan(cloud, await agent.begin("enrol", "totp"))
        page = await agent.page("/-/login/register")
        assert "<svg" in page
        assert (await agent.do("register", code=phone.wrong())).step == "register"
        assert (await agent.page("/-/account")).count("Turn off:") == 1
        assert (await agent.do("register", code=phone.code())).step == "done"
        assert (await agent.page("/-/account")).count("Turn off:") == 2
        seen = await agent.page("/-/account/backup-codes")
        assert all(code in seen for code in codes.body["codes"])


@pytest.mark.row("CC-02", "CC-21")
async def test_only_the_sessions_own_user_may_give_the_password_for_a_fresh_proof(cloud: Site) -> None:
    user, other = cloud.user(), cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await agent.begin("enrol", "email")
        refused = await agent.do("password", password=other.password)
        assert (refused.status, refused.step, refused.problem) == (401, "password", "wrong-password")
        named = await agent.do("password", username=other.username, password=other.password)
        assert (named.step, named.problem) == ("password", "wrong-password")
    assert cloud.keycloak.admin.attribute(other.id) == []


@pytest.mark.row("CC-02")
async def test_only_the_profiles_own_address_may_be_set_up(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await agent.begin("enrol", "email")
        await agent.do("password", password=user.password)
        refused = await agent.do("register", address="elsewhere@example.com")
        assert (refused.status, refused.step, refused.problem) == (422, "register", "unknown-address")


@pytest.mark.row("CC-03")
async def test_a_session_whose_proof_is_old_proves_a_factor_before_another_is_set_up(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await set_up_mail(cloud, agent, user)
        await agent.do("backup-codes")
        cloud.clock.advance(STALE)
        assert user.email
        asked = await agent.begin("enrol", "totp")
        assert (asked.step, asked.body["purpose"], asked.body["sent_to"] is not None) == ("verify", "enrol", True)
        fresh = await agent.do("verify", code=await code_for(cloud.mail, user.email, 2))
        phone = await scan(cloud, fresh)
        assert (await agent.do("register", code=phone.code())).step == "done"


@pytest.mark.row("CC-21")
async def test_turning_off_needs_a_fresh_proof_and_both_may_be_turned_off(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
        cloud.clock.advance(STALE)
        assert "Turn off:" not in await agent.page("/-/account")
        assert (await agent.account("turn-off", factor="email")).status == 303
        assert not cloud.audit.of("factor.off")
        assert (await agent.begin("step-up")).step == "verify"
        assert (await agent.do("verify", code=phone.code())).step == "done"
        assert (await agent.page("/-/account")).count("Turn off:") == 2
        for factor in ("email", "totp"):
            assert (await agent.account("turn-off", factor=factor)).headers["Location"] == "/-/account"
        page = await agent.page("/-/account")
        assert "Nothing is set up yet" in page
        assert "codes left" not in page
    async with cloud.person() as again:
        assert (await again.password(user.username, user.password)).step == "done"


@pytest.mark.row("CC-21")
async def test_the_last_method_stays_on_where_one_is_required(cloud: Site) -> None:
    user = cloud.user()
    cloud.change(enrolment="required")
    async with cloud.person() as agent:
        offered = await agent.password(user.username, user.password)
        assert (offered.step, [m["factor"] for m in offered.body["methods"]]) == ("register", ["email", "totp"])
        phone = await scan(cloud, await agent.do("register", factor="totp"))
        assert (await agent.do("register", code=phone.code())).step == "backup-codes"
        assert (await agent.do("backup-codes")).step == "done"
        assert "Turn off:" not in await agent.page("/-/account")
        assert (await agent.account("turn-off", factor="totp")).status == 422
        await set_up_mail(cloud, agent, user)
        assert (await agent.account("turn-off", factor="totp")).status == 303
        assert (await agent.account("turn-off", factor="email")).status == 422


@pytest.mark.row("CC-21")
async def test_a_foreign_form_turns_nothing_off(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await both(cloud, agent, user)
        agent.csrf = "forged"
        assert (await agent.account("turn-off", factor="email")).status == 403
        assert not cloud.audit.of("factor.off")


async def test_a_program_reads_as_data_why_its_form_was_refused(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await both(cloud, agent, user)
        refused = await agent.http.post(
            f"{agent.base}/-/account/turn-off", json={"factor": "email"}, headers={"Accept": "application/json"}
        )
        assert (refused.status, (await refused.json())["problem"]["code"]) == (403, "form-expired")


@pytest.mark.row("CC-04")
async def test_first_codes_come_once_and_new_ones_replace_all_of_them(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        _, codes = await both(cloud, agent, user)
        file = await agent.get("/-/account/backup-codes.txt")
        assert "attachment" in file.headers["Content-Disposition"]
        assert (await file.text()).split()[-10:] == codes
        assert (await file.text()).startswith("expertflow (")
        assert (await agent.account("backup-codes")).headers["Location"] == "/-/account/backup-codes"
        new = (await (await agent.get("/-/account/backup-codes.txt")).text()).split()[-10:]
        assert len(set(new)) == 10
        assert not set(new) & set(codes)
    async with cloud.person() as again:
        await again.password(user.username, user.password)
        assert (await again.do("verify", code=codes[0])).problem == "wrong-code"
        assert (await again.do("verify", code=new[0])).step == "done"


@pytest.mark.row("CC-21")
async def test_the_account_page_is_no_page_for_who_is_not_signed_in(cloud: Site) -> None:
    async with cloud.person() as nobody:
        sent = await nobody.get("/-/account")
        assert (sent.status, sent.headers["Location"]) == (303, "/-/login?to=/-/account")
        assert (await nobody.account("turn-off", factor="email")).status == 303


@pytest.mark.attack("F16")
@pytest.mark.parametrize("change", ["turn-off", "sign-out-everywhere"])
async def test_a_login_under_way_ends_when_its_user_turns_off_the_app_or_signs_out_everywhere(
    cloud: Site, change: str
) -> None:
    user = cloud.user()
    async with cloud.person() as owner, cloud.person() as thief:
        lost, _ = await both(cloud, owner, user)
        assert (await thief.password(user.username, user.password)).step == "verify"
        assert (await owner.account(change, factor="totp")).status == 303
        stopped = await thief.do("verify", code=lost.code())
        assert (stopped.status, stopped.step, stopped.problem) == (403, "stopped", "account-changed")
        assert set(thief.cookies()) <= {"gateway-login"}
    assert cloud.audit.of("login.refused")[-1]["finding"] == "registrations"


async def test_an_app_set_up_again_replaces_the_old_one(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        old, _ = await both(cloud, agent, user)
        await agent.account("turn-off", factor="totp")
        new, done = await set_up_app(cloud, agent, user)
        assert done.step == "done"
    async with cloud.person() as again:
        await again.password(user.username, user.password)
        assert (await again.do("verify", code=old.code())).problem == "wrong-code"
        next_step(cloud)
        assert (await again.do("verify", code=new.code())).step == "done"


async def test_signing_out_everywhere_else_ends_the_other_sessions_and_all_trust(cloud: Site) -> None:
    cloud.change(trustBrowserDays=14)
    user = cloud.user()
    async with cloud.person() as agent, cloud.person() as other:
        phone, _ = await both(cloud, agent, user)
        next_step(cloud)
        await other.password(user.username, user.password)
        assert (await other.do("verify", code=phone.code(), remember="yes")).step == "done"
        assert other.cookie("gateway-trust")
        answer = await agent.account("sign-out-everywhere")
        assert (answer.status, answer.headers["Location"]) == (303, "/-/account?done=everywhere")
        assert "You are signed out everywhere else." in await agent.page(answer.headers["Location"])
        assert "You are signed out everywhere else." not in await agent.page("/-/account")
        assert (await agent.get("/unified-admin/")).status == 200
        assert (await other.get("/unified-admin/")).status == 303
        other.csrf = ""
        assert (await other.password(user.username, user.password)).step == "verify"
    assert cloud.audit.of("session.signed_out_everywhere")[0]["sessions"] == 1


async def test_signing_out_everywhere_else_needs_a_fresh_proof(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await both(cloud, agent, user)
        cloud.clock.advance(STALE)
        await agent.account("sign-out-everywhere")
    assert not cloud.audit.of("session.signed_out_everywhere")
