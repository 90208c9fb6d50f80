"""CloudCX: a user without a factor needs none, and the account page turns methods on and off."""

import re
from html import unescape
from urllib.parse import unquote

import pytest

from tests.fixtures.person import PAGE, Person, Tab, code_for, listed, wrong
from tests.fixtures.phone import both, next_step, proved, scan, set_up_app, set_up_mail
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


@pytest.mark.row("CC-21")
async def test_a_user_without_a_factor_needs_no_code_and_the_account_page_recommends_one(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        assert (await cloud.seen(agent))["authorization"].startswith("Bearer ")
        page = await agent.page("/-/account")
        assert "Nothing is set up yet" in page
        assert page.count("Set up:") == 2
        assert "Turn off:" not in page
    opened = cloud.audit.of("session_opened")[-1]
    assert (opened["satisfied"], opened["rule"]) == ("not-asked", "optional-and-none-enrolled")


@pytest.mark.row("CC-02", "CC-04", "CC-21")
async def test_mail_is_on_only_after_a_code_and_ten_backup_codes_are_then_shown_once(cloud: Site) -> None:
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
async def test_an_app_is_on_only_after_a_code_and_a_second_method_adds_no_backup_codes(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        codes = await set_up_mail(cloud, agent, user)
        await agent.do("backup-codes")
        phone = await scan(cloud, await proved(cloud, agent, user, "enrol", "totp"))
        page = await agent.page("/-/login/register")
        assert "<svg" in page
        assert (await agent.do("register", code=phone.wrong())).step == "register"
        assert (await agent.page("/-/account")).count("Turn off:") == 1
        assert (await agent.do("register", code=phone.code())).step == "done"
        assert (await agent.page("/-/account")).count("Turn off:") == 2
        next_step(cloud)
        tab = await act_page(agent, "show-codes")
        assert listed((await tab.send("verify", code=phone.code())).text) == codes.body["codes"]


@pytest.mark.row("CC-02", "CC-21")
async def test_only_the_user_of_the_session_may_give_the_password_for_a_fresh_proof(cloud: Site) -> None:
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
async def test_only_the_profile_address_may_be_set_up(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await agent.begin("enrol", "email")
        await agent.do("password", password=user.password)
        refused = await agent.do("register", address="elsewhere@example.com")
        assert (refused.status, refused.step, refused.problem) == (422, "register", "unknown-address")


@pytest.mark.row("CC-03", "GW-46")
async def test_setting_up_a_second_factor_needs_a_proof_of_the_first_even_right_after_the_sign_in(cloud: Site) -> None:
    user = cloud.user()
    assert user.email
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        await set_up_mail(cloud, agent, user)
        await agent.do("backup-codes")
        asked = await agent.act("enrol", "totp")
        assert (asked.step, asked.body["purpose"], asked.body["sent_to"] is not None) == ("verify", "enrol", True)
        assert "secret" not in asked.body
        phone = await scan(cloud, await agent.do("verify", code=await code_for(cloud.mail, user.email, 2)))
        assert (await agent.do("register", code=phone.code())).step == "done"


@pytest.mark.row("CC-21", "GW-46")
async def test_turning_off_each_of_both_methods_needs_a_separate_code(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
        assert (await agent.page("/-/account")).count("Turn off:") == 2
        for factor, left in (("email", 1), ("totp", 0)):
            asked = await agent.act("turn-off", factor)
            assert (asked.step, asked.body["act"], asked.body["act_on"]) == ("verify", "turn-off", factor)
            assert (await agent.page("/-/account")).count("Turn off:") == left + 1
            assert len(cloud.audit.of("enrolment_removed")) == 1 - left
            assert (await proved(cloud, agent, user, "turn-off", factor, phone=phone)).step == "done"
            assert (await agent.page("/-/account")).count("Turn off:") == left
        page = await agent.page("/-/account")
        assert "Nothing is set up yet" in page
        assert "codes left" not in page
    async with cloud.person() as again:
        assert (await again.password(user.username, user.password)).step == "done"


@pytest.mark.row("CC-21", "GW-46")
async def test_after_an_act_the_browser_returns_to_the_account_page_which_confirms_it_once(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
        await agent.act("turn-off", "email")
        tab = await agent.tab("/-/login/verify?to=/-/account")
        assert "You're about to turn off: Code by email." in tab.text
        done = await tab.post("verify", code=phone.code())
        assert (done.status, done.headers["Location"]) == (303, "/-/account?done=turn-off")
        assert "The method is turned off." in await agent.page(done.headers["Location"])
        assert "The method is turned off." not in await agent.page("/-/account")


@pytest.mark.attack("S2")
@pytest.mark.row("GW-46")
async def test_the_proof_of_one_act_does_not_authorise_another(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
        asked = await agent.act("show-codes")
        assert asked.step == "verify"
        assert (await agent.do("verify", code=phone.code(), act="turn-off", factor="totp")).step == "done"
        assert not cloud.audit.of("enrolment_removed")
        assert len(cloud.audit.of("backup_codes_shown")) == 1


@pytest.mark.row("GW-46")
async def test_a_recent_sign_in_is_no_proof_for_an_act(cloud: Site) -> None:
    cloud.change(trustBrowserDays=14)
    user = cloud.user()
    async with cloud.person() as first:
        phone, _ = await both(cloud, first, user)
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        assert (await agent.do("verify", code=phone.code(), remember="yes")).step == "done"
        for kind, factor in (("turn-off", "totp"), ("show-codes", ""), ("new-codes", ""), ("sign-out-everywhere", "")):
            assert (await agent.act(kind, factor)).step == "verify"
        assert (await agent.act("enrol", "email")).step == "verify"


@pytest.mark.row("GW-46")
async def test_without_a_factor_the_password_is_the_proof_of_an_act(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        asked = await agent.act("sign-out-everywhere")
        assert (asked.step, asked.body["act"]) == ("password", "sign-out-everywhere")
        assert (await agent.do("password", password="not-mine")).problem == "wrong-password"
        assert not cloud.audit.of("signed_out_everywhere")
        assert (await agent.do("password", password=user.password)).step == "done"
        assert len(cloud.audit.of("signed_out_everywhere")) == 1


@pytest.mark.row("GW-46")
async def test_a_button_of_an_outdated_account_page_does_nothing(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await agent.password(user.username, user.password)
        old = await agent.account_form("enrol", "totp")
        await set_up_mail(cloud, agent, user)
        await agent.do("backup-codes")
        refused = await agent.press(old)
        assert (refused.status, refused.problem) == (403, "enrolment-changed")


@pytest.mark.row("CC-21")
async def test_the_last_method_cannot_be_turned_off_where_one_is_required(cloud: Site) -> None:
    user = cloud.user()
    cloud.change(enrolment="required")
    async with cloud.person() as agent:
        offered = await agent.password(user.username, user.password)
        assert (offered.step, [m["factor"] for m in offered.body["methods"]]) == ("register", ["email", "totp"])
        phone = await scan(cloud, await agent.do("register", factor="totp"))
        assert (await agent.do("register", code=phone.code())).step == "backup-codes"
        assert (await agent.do("backup-codes")).step == "done"
        next_step(cloud)
        assert await agent.account_form("turn-off", "totp") == {}
        await set_up_mail(cloud, agent, user, phone=phone)
        assert (await proved(cloud, agent, user, "turn-off", "totp", phone=phone)).step == "done"
        assert await agent.account_form("turn-off", "email") == {}
    (off,) = cloud.audit.of("enrolment_removed")
    assert off["factor"] == "totp"


@pytest.mark.row("CC-21")
async def test_the_second_of_two_tabs_that_each_turn_off_one_method_is_refused(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as first:
        phone, _ = await both(cloud, first, user)
    cloud.change(enrolment="required")
    async with cloud.person() as one, cloud.person() as other:
        for agent in (one, other):
            await agent.password(user.username, user.password)
            assert (await agent.do("verify", code=phone.code())).step == "done"
            next_step(cloud)
        await one.act("turn-off", "email")
        await other.act("turn-off", "totp")
        assert (await one.do("verify", code=phone.code())).step == "done"
        next_step(cloud)
        late = await other.do("verify", code=phone.code())
        assert (late.step, late.problem) == ("stopped", "account-changed")
        assert len(cloud.audit.of("enrolment_removed")) == 1


@pytest.mark.row("CC-21")
async def test_a_form_with_a_wrong_token_or_field_turns_no_method_off(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await both(cloud, agent, user)
        form = await agent.account_form("turn-off", "email")
        other = await agent.account_form("turn-off", "totp")
        for changed in (
            {"csrf": "forged"},
            {"csrf": ""},
            {"csrf": agent.csrf},
            {"csrf": other["csrf"]},
            {"factor": "totp"},
            {"act": "sign-out-everywhere"},
            {"version": "0"},
            {"version": "x"},
        ):
            refused = await agent.press({**form, **changed})
            assert (refused.status, refused.problem) == (403, "form-expired"), changed
        assert (await agent.press(form)).step == "verify"
        assert not cloud.audit.of("enrolment_removed")


@pytest.mark.attack("S2")
@pytest.mark.parametrize(
    "browser_headers", [{"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Dest": "empty"}]
)
async def test_a_script_cannot_read_the_account_page_a_login_page_or_their_data(
    cloud: Site, browser_headers: dict[str, str]
) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        await both(cloud, agent, user)
        await agent.act("show-codes")
        for path in ("/-/account", "/-/login", "/-/login/verify", "/-/login/password"):
            for accept in ("text/html", "application/json"):
                headers = {**PAGE, "Sec-Fetch-Site": "same-origin", "Accept": accept, **browser_headers}
                refused = await agent.get(path, headers=headers)
                assert refused.status == 403
                assert not re.search(r'csrf(" value="|": ")[^"]', await refused.text())


@pytest.mark.row("CC-04", "GW-46")
async def test_backup_codes_are_shown_once_and_new_codes_replace_all_old_ones(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, codes = await both(cloud, agent, user)
        tab = await act_page(agent, "show-codes")
        assert (await tab.send("verify", code=phone.code())).path.startswith("/-/login/verify")
        assert listed(tab.text) == codes
        file = unescape(re.findall(r'href="data:text/plain;charset=utf-8,([^"]+)"', tab.text)[0])
        assert unquote(file).split()[-10:] == codes
        assert unquote(file).startswith("expertflow (")
        next_step(cloud)
        tab = await act_page(agent, "new-codes")
        new = listed((await tab.send("verify", code=phone.code())).text)
        assert len(set(new)) == 10
        assert not set(new) & set(codes)
        next_step(cloud)
    async with cloud.person() as again:
        await again.password(user.username, user.password)
        assert (await again.do("verify", code=codes[0])).problem == "wrong-code"
        assert (await again.do("verify", code=new[0])).step == "done"


@pytest.mark.attack("S2")
@pytest.mark.row("GW-46")
async def test_backup_codes_are_only_in_the_answer_to_the_proof(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, codes = await both(cloud, agent, user)
        tab = await act_page(agent, "show-codes")
        code, sent = phone.code(), agent.cookie("gateway-login") or ""
        first = await tab.post("verify", code=code)
        assert listed(await first.text()) == codes
        assert "no-store" in first.headers["Cache-Control"]
        reloaded = await tab.post("verify", code=code)
        assert (reloaded.status, reloaded.headers["Location"]) == (303, "/-/account")
        agent.set_cookie("gateway-login", sent)  # as if the answer had been lost
        assert listed(await (await tab.post("verify", code=code)).text()) == codes
        cloud.clock.advance(31)
        agent.set_cookie("gateway-login", sent)
        late = await tab.post("verify", code=code)
        assert (late.status, late.headers["Location"]) == (303, "/-/account")
        for path in (
            "/-/account",
            "/-/account/backup-codes",
            "/-/account/backup-codes.txt",
            "/-/login",
            "/-/login/done",
        ):
            for accept in ("text/html", "application/json"):
                text = await (await agent.get(path, headers={**PAGE, "Accept": accept})).text()
                assert not [code for code in codes if code in text]


@pytest.mark.row("CC-21")
async def test_the_account_page_requires_a_session(cloud: Site) -> None:
    async with cloud.person() as visitor:
        sent = await visitor.get("/-/account")
        assert (sent.status, sent.headers["Location"]) == (303, "/-/login?to=/-/account")
        form = {"act": "turn-off", "factor": "email", "version": "1", "csrf": "x", "to": "/-/account"}
        assert (await visitor.press(form)).step == "password"


@pytest.mark.attack("F16")
@pytest.mark.parametrize("change", ["turn-off", "sign-out-everywhere"])
async def test_a_login_ends_when_its_user_turns_off_the_app_or_signs_out_everywhere(cloud: Site, change: str) -> None:
    user = cloud.user()
    async with cloud.person() as owner, cloud.person() as thief:
        lost, _ = await both(cloud, owner, user)
        assert (await thief.password(user.username, user.password)).step == "verify"
        next_step(cloud)
        other = "totp" if change == "turn-off" else ""
        assert (await proved(cloud, owner, user, change, other, phone=lost)).step == "done"
        stopped = await thief.do("verify", code=lost.code())
        assert (stopped.status, stopped.step, stopped.problem) == (403, "stopped", "account-changed")
        assert set(thief.cookies()) <= {"gateway-login"}
    assert cloud.audit.of("login_stopped")[-1]["finding"] == "enrolments"


async def test_an_app_set_up_again_replaces_the_old_one(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        old, _ = await both(cloud, agent, user)
        await proved(cloud, agent, user, "turn-off", "totp", phone=old)
        new, done = await set_up_app(cloud, agent, user)
        assert done.step == "done"
    async with cloud.person() as again:
        await again.password(user.username, user.password)
        assert (await again.do("verify", code=old.code())).problem == "wrong-code"
        next_step(cloud)
        assert (await again.do("verify", code=new.code())).step == "done"


async def test_signing_out_everywhere_else_ends_the_other_sessions_and_all_trusted_browsers(cloud: Site) -> None:
    cloud.change(trustBrowserDays=14)
    user = cloud.user()
    async with cloud.person() as agent, cloud.person() as other:
        phone, _ = await both(cloud, agent, user)
        next_step(cloud)
        await other.password(user.username, user.password)
        assert (await other.do("verify", code=phone.code(), remember="yes")).step == "done"
        assert other.cookie("gateway-trust")
        next_step(cloud)
        answer = await (await act_page(agent, "sign-out-everywhere")).post("verify", code=phone.code())
        assert (answer.status, answer.headers["Location"]) == (303, "/-/account?done=sign-out-everywhere")
        assert "You're signed out everywhere else." in await agent.page(answer.headers["Location"])
        assert "You're signed out everywhere else." not in await agent.page("/-/account")
        assert (await agent.get("/unified-admin/")).status == 200
        assert (await other.get("/unified-admin/")).status == 303
        other.csrf = ""
        assert (await other.password(user.username, user.password)).step == "verify"
    assert cloud.audit.of("signed_out_everywhere")[0]["sessions"] == 1


async def test_signing_out_everywhere_else_needs_a_separate_proof(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
        assert (await agent.act("sign-out-everywhere")).step == "verify"
        assert (await agent.do("verify", code=phone.wrong())).problem == "wrong-code"
    assert not cloud.audit.of("signed_out_everywhere")


@pytest.mark.row("GW-45")
async def test_a_mail_informs_the_user_of_a_factor_turned_off_and_of_new_backup_codes(cloud: Site) -> None:
    user = cloud.user()
    assert user.email
    async with cloud.person() as agent:
        phone, _ = await both(cloud, agent, user)
        before = len(cloud.mail.messages)
        await proved(cloud, agent, user, "new-codes", phone=phone)
        await cloud.mail.wait(before + 1)
        await proved(cloud, agent, user, "turn-off", "email", phone=phone)
        await cloud.mail.wait(before + 2)
    reported = cloud.mail.to(user.email)[-2:]
    assert [re.search(r"backup|turned off", mail.subject, re.IGNORECASE) is not None for mail in reported] == [
        True,
        True,
    ]
    assert not [mail for mail in reported if re.search(r"(?m)^\s*\d{4,10}\s*$", mail.text)]


async def act_page(agent: Person, kind: str, factor: str = "") -> Tab:
    """Returns the page that requests the proof of an act."""
    return await (await agent.tab("/-/account")).press(kind, factor)
