"""How a session reaches a browser: only in the answer to the last proof, to the person who gave it.

Mallory knows Anna's password and copies every cookie of her browser up to, not including, those of the answer to her
last proof.
"""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import ChoosePage, EnrolmentRule, FactorKind, Method, Policy, Registration
from gateway.domain.problem import Problem
from gateway.domain.session import Satisfied
from gateway.login.flow import FlowResult
from gateway.login.record import Act, ActKind
from gateway.login.state_machine import Step
from gateway.rendering.step_view import as_json
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from tests.login.full_login_harness import LoginBrowser, LoginHarness
from tests.login.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=300)
APP = Method(FactorKind.TOTP)
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=(EMAIL, APP), backup_codes=10)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox."""
    return await with_mailbox(EFCX)


async def signs_in(browser: LoginBrowser) -> FlowResult:
    """Anna's name and password."""
    return await browser.act(Step.PASSWORD, username="anna", password="right")


async def types_the_code(login_harness: LoginHarness, browser: LoginBrowser) -> Step:
    """Anna enters the newest code of her mailbox."""
    return (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step


async def nothing_for(mallory: LoginBrowser, page: Step = Step.VERIFY) -> None:
    """Whatever Mallory's browser tries with its cookies brings it no session and no trusted browser."""
    for tries in (mallory.look(), mallory.enter(), mallory.act(page), mallory.act(page, code="000000")):
        await tries
    assert (mallory.session, mallory.trust) == ("", "")


# ------------------------------------------------------------------ the four orders of login fixation


@pytest.mark.attack("S1")
async def test_a_password_that_mallory_entered_first_leads_nobody_into_their_login(login_harness: LoginHarness) -> None:
    anna = LoginBrowser(login_harness, "laptop")
    mallory = anna.copy("den")
    await signs_in(mallory)
    login_harness.clock.advance(61)
    await signs_in(anna)
    theirs, hers = await mallory.login(), await anna.login()
    assert theirs
    assert hers
    assert theirs.id != hers.id
    assert await types_the_code(login_harness, anna) is Step.DONE
    assert await anna.current()
    await nothing_for(mallory)


@pytest.mark.attack("S1")
async def test_joining_a_login_under_way_by_its_password_takes_it_from_no_one(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    await signs_in(mallory)  # goes on with her login, under a secret of Mallory's
    assert await anna.login() is None
    await nothing_for(mallory)
    login_harness.clock.advance(61)
    await signs_in(anna)
    assert await types_the_code(login_harness, anna) is Step.DONE
    await nothing_for(mallory)


@pytest.mark.attack("S1")
@pytest.mark.parametrize("seconds", [0, 1, 29, 31])
async def test_the_old_cookie_brings_nothing_after_the_last_proof(login_harness: LoginHarness, seconds: int) -> None:
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    code = login_harness.mailed(MAILBOX.address)
    assert await types_the_code(login_harness, anna) is Step.DONE
    login_harness.clock.advance(seconds)
    await nothing_for(mallory)
    went = await mallory.act(Step.VERIFY, code=code)  # even the right code, seen over Anna's shoulder
    assert (went.step, mallory.session) == (Step.PASSWORD, "")


@pytest.mark.attack("S1")
async def test_a_planted_login_gives_its_session_to_who_proves_it(login_harness: LoginHarness) -> None:
    mallory = LoginBrowser(login_harness, "den")
    await signs_in(mallory)
    anna = mallory.copy("laptop")
    assert await types_the_code(login_harness, anna) is Step.DONE
    session = await anna.current()
    assert session
    assert session.username == "anna"
    await nothing_for(mallory)


@pytest.mark.attack("S1")
@pytest.mark.parametrize("seed", range(6))
async def test_whoever_is_faster_the_session_goes_to_the_browser_that_proved(seed: int) -> None:
    login_harness = await with_mailbox(EFCX, seed)
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    acts = [types_the_code(login_harness, anna), signs_in(mallory), mallory.act(Step.VERIFY, code="1")]
    acts = acts[seed % 3 :] + acts[: seed % 3]
    await asyncio.gather(*acts)
    await nothing_for(mallory)


# ------------------------------------------------------------------ secrets


@pytest.mark.attack("S1")
async def test_each_accepted_proof_is_answered_with_a_new_secret(login_harness: LoginHarness) -> None:
    anna = LoginBrowser(login_harness, "laptop")
    seen = [anna.secret]
    await signs_in(anna)
    seen.append(anna.secret)
    await anna.act(Step.VERIFY, code="000000")
    assert anna.secret == seen[-1], "a wrong code is no proof"
    await types_the_code(login_harness, anna)
    seen.append(anna.secret)
    assert len(set(seen)) == 3


@pytest.mark.attack("S1")
async def test_the_store_holds_no_secret_of_a_login_session_or_trusted_browser(login_harness: LoginHarness) -> None:
    login_harness.tenant = replace(login_harness.tenant, policy=replace(EFCX, trust_browser_days=30))
    anna = await at_the_code(login_harness)
    secrets = [anna.secret]
    await anna.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address), remember="1")
    secrets += [anna.secret, anna.session.partition(".")[2], anna.trust.partition(".")[2]]
    assert all(secrets)
    raw = repr(login_harness.store.__dict__).encode()
    assert not any(secret.encode() in raw for secret in secrets if secret)
    for record in anna.opened:
        assert not any(secret in repr(record.login) for secret in secrets if secret)


@pytest.mark.attack("S1")
@pytest.mark.row("GW-13")
@pytest.mark.parametrize("together", [True, False])
async def test_the_very_same_form_gets_the_very_same_answer(login_harness: LoginHarness, together: bool) -> None:
    anna = await at_the_code(login_harness)
    form, code, second = await anna.form(), login_harness.mailed(MAILBOX.address), anna.copy()
    acts = [b.act(Step.VERIFY, form=form, code=code) for b in (anna, second)]
    if together:
        await asyncio.gather(*acts)
    else:
        await acts[0]
        login_harness.clock.advance(29)
        await acts[1]
    assert anna.session
    assert (second.session, second.secret) == (anna.session, anna.secret)


@pytest.mark.attack("S1")
@pytest.mark.parametrize(
    ("seconds", "code", "same_form"), [(31, "right", True), (1, "000000", True), (1, "right", False)]
)
async def test_another_form_entry_or_moment_gets_no_answer_again(
    login_harness: LoginHarness, seconds: int, code: str, same_form: bool
) -> None:
    anna = await at_the_code(login_harness)
    form, right, second = await anna.form(), login_harness.mailed(MAILBOX.address), anna.copy()
    await anna.act(Step.VERIFY, form=form, code=right)
    login_harness.clock.advance(seconds)
    await second.act(Step.VERIFY, form=form if same_form else None, code=right if code == "right" else code)
    assert second.session == ""


@pytest.mark.attack("S1")
async def test_an_answer_lost_on_its_way_comes_again_after_the_process_died(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    form, code, second = await anna.form(), login_harness.mailed(MAILBOX.address), anna.copy()
    await anna.act(Step.VERIFY, form=form, code=code)
    login_harness.replicas = [login_harness._replica() for _ in range(2)]  # nothing is known but what the store holds
    await second.act(Step.VERIFY, form=form, code=code)
    assert second.session == anna.session


@pytest.mark.attack("S1")
async def test_a_form_of_another_login_or_round_costs_nothing(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    form = await anna.form()
    for other in (
        replace(form, login="another"),
        replace(form, round="1"),
        replace(form, login=""),
        replace(form, round=""),
    ):
        went = await anna.act(Step.VERIFY, form=replace(other, id="x"), code="000000")
        assert (went.step, went.problem_detail) == (Step.VERIFY, None)
    assert not [one for one in login_harness.limit_oracle.seen if one.typed]
    assert await types_the_code(login_harness, anna) is Step.DONE


@pytest.mark.attack("S1")
@pytest.mark.row("GW-13")
async def test_five_tabs_that_enter_the_code_at_once_get_in(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    code = login_harness.mailed(MAILBOX.address)
    await asyncio.gather(*(anna.act(Step.VERIFY, code=code) for _ in range(5)))
    assert await anna.current()
    assert len({r.session.id for r in anna.opened}) == 1


@pytest.mark.row("GW-13")
async def test_a_password_in_another_tab_goes_on_with_the_login_and_sends_no_second_code(
    login_harness: LoginHarness,
) -> None:
    anna = await at_the_code(login_harness)
    before = await anna.login()
    await signs_in(anna)
    after = await anna.login()
    assert before
    assert after
    assert (after.id, len(login_harness.mails.messages)) == (before.id, 1)
    assert await types_the_code(login_harness, anna) is Step.DONE


@pytest.mark.row("GW-13")
async def test_a_password_in_a_signed_in_browser_leads_on_and_begins_nothing(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    await types_the_code(login_harness, anna)
    went = await signs_in(anna)
    assert (went.signed_in, went.login, len(login_harness.mails.messages)) == (True, None, 1)
    assert len(set(login_harness.realm.grants) - set(login_harness.realm.ended)) == 1


@pytest.mark.attack("S1")
async def test_cancelling_with_an_old_secret_ends_nothing(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    old = anna.copy("den")
    await signs_in(anna)
    ended = list(login_harness.realm.ended)
    await old.act(Step.VERIFY, "cancel")
    assert login_harness.realm.ended == ended
    assert await types_the_code(login_harness, anna) is Step.DONE


@pytest.mark.attack("S1")
async def test_a_session_that_could_not_be_opened_comes_to_the_one_request_that_spends_the_secret(
    login_harness: LoginHarness,
) -> None:
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    real = login_harness.realm.account

    async def away(*_: object) -> None:
        raise errors.Unreachable("keycloak", "timeout")

    old = anna.secret
    setattr(login_harness.realm, "account", away)  # noqa: B010  # Keycloak goes away after the code was judged
    with pytest.raises(errors.Unreachable):
        await types_the_code(login_harness, anna)
    assert (anna.secret != old, anna.session) == (True, "")
    setattr(login_harness.realm, "account", real)  # noqa: B010
    await nothing_for(mallory)
    both = await asyncio.gather(anna.look(), anna.copy().look())
    assert sorted(one.given.session != "" for one in both) == [False, True]


# ------------------------------------------------------------------ app secrets that were shown


def required(policy: Policy = CLOUDCX) -> Policy:
    return replace(policy, methods=(APP,), enrolment=EnrolmentRule.REQUIRED, choose_page=ChoosePage.NEVER)


@pytest.mark.attack("S1")
async def test_entering_replaces_an_app_secret_that_mallory_has_seen() -> None:
    login_harness = LoginHarness(required())
    await login_harness.start()
    mallory = LoginBrowser(login_harness, "den")
    went = await signs_in(mallory)
    assert went.login
    assert went.login.enrolling.draft
    anna = mallory.copy("laptop")  # planted
    shown = await anna.enter()
    assert shown.login
    assert shown.login.enrolling.draft
    assert shown.login.enrolling.draft.secret != went.login.enrolling.draft.secret
    assert await mallory.login() is None, "the old login secret shows the new app secret to no one"
    await anna.act(Step.REGISTER, code=login_harness.code_of(shown.login.enrolling.draft.secret))
    assert (await anna.act(Step.BACKUP_CODES)).step is Step.DONE
    assert await anna.current()
    await nothing_for(mallory, Step.REGISTER)


@pytest.mark.attack("S1")
async def test_a_code_of_the_replaced_secret_enrols_nothing() -> None:
    login_harness = LoginHarness(required())
    await login_harness.start()
    anna = LoginBrowser(login_harness, "laptop")
    went = await signs_in(anna)
    assert went.login
    assert went.login.enrolling.draft
    form = await anna.form()
    await anna.enter()
    again = await anna.act(Step.REGISTER, form=form, code=login_harness.code_of(went.login.enrolling.draft.secret))
    assert (again.step, again.out_of_order or again.problem_detail is None) == (Step.REGISTER, True)
    assert login_harness.enrolled("anna").enrolments == ()


# ------------------------------------------------------------------ what is required when the session opens


@pytest.mark.attack("S20")
async def test_a_factor_switched_on_while_a_login_was_under_way_is_asked_for() -> None:
    login_harness = LoginHarness(replace(EFCX, enabled=False))
    await login_harness.start()
    login_harness.realm.people["anna"].due = True
    anna = LoginBrowser(login_harness, "laptop")
    assert (await signs_in(anna)).step is Step.NEW_PASSWORD
    login_harness.tenant = replace(login_harness.tenant, policy=EFCX)
    went = await anna.act(Step.NEW_PASSWORD, new_password="another")
    assert (went.step, await anna.current()) == (Step.STOPPED, None)


@pytest.mark.attack("S20")
async def test_a_factor_that_the_owner_set_up_meanwhile_is_skipped_by_no_older_login() -> None:
    login_harness = LoginHarness(CLOUDCX)
    await login_harness.start()
    login_harness.realm.people["anna"].due = True
    old = LoginBrowser(login_harness, "den")
    assert (await signs_in(old)).step is Step.NEW_PASSWORD
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX)
    went = await old.act(Step.NEW_PASSWORD, new_password="another")
    assert (went.step, login_harness.realm.people["anna"].password) == (Step.STOPPED, "right")


@pytest.mark.attack("S20")
async def test_a_page_left_open_does_not_overwrite_the_password_that_the_owner_set_since(
    login_harness: LoginHarness,
) -> None:
    login_harness.realm.people["anna"].due = True
    pages = [LoginBrowser(login_harness, "den"), LoginBrowser(login_harness, "laptop")]
    for browser in pages:
        await signs_in(browser)
        assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.NEW_PASSWORD
        login_harness.clock.advance(61)
    old, owner = pages
    assert (await owner.act(Step.NEW_PASSWORD, new_password="the owner's")).step is Step.VERIFY
    went = await old.act(Step.NEW_PASSWORD, new_password="mallory's")
    assert went.step is Step.STOPPED
    assert login_harness.realm.people["anna"].password == "the owner's"
    assert await types_the_code(login_harness, owner) is Step.DONE


@pytest.mark.attack("S20")
@pytest.mark.parametrize("seed", range(6))
async def test_of_two_new_passwords_at_once_one_is_set(seed: int) -> None:
    login_harness = await with_mailbox(EFCX, seed)
    login_harness.realm.people["anna"].due = True
    pages = [LoginBrowser(login_harness, "den"), LoginBrowser(login_harness, "laptop")]
    for browser in pages:
        await signs_in(browser)
        await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
        login_harness.clock.advance(61)
    await asyncio.gather(*(b.act(Step.NEW_PASSWORD, new_password=f"{b.name}'s") for b in pages))
    assert not login_harness.violations
    assert len(login_harness.set_by) == 1


@pytest.mark.attack("S20")
@pytest.mark.parametrize(
    ("current", "step", "problem"),
    [("right", Step.VERIFY, None), ("nonsense", Step.NEW_PASSWORD, Problem.WRONG_PASSWORD)],
)
async def test_without_a_date_of_the_password_the_current_one_is_asked_for(
    login_harness: LoginHarness, current: str, step: Step, problem: Problem | None
) -> None:
    anna = login_harness.realm.people["anna"]
    anna.due, anna.credential_date = True, None
    browser = LoginBrowser(login_harness, "laptop")
    await signs_in(browser)
    went = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert went.state
    view = await login_harness.flow.pages[Step.NEW_PASSWORD].view(await browser.visit(went.login), went.state, {})
    assert as_json(view, None)["asks_current"]
    went = await browser.act(Step.NEW_PASSWORD, new_password="another", current_password=current)
    assert (went.step, went.problem_detail.problem if went.problem_detail else None) == (step, problem)


@pytest.mark.attack("S20")
async def test_without_a_date_a_password_that_is_due_no_more_is_not_overwritten(login_harness: LoginHarness) -> None:
    anna = login_harness.realm.people["anna"]
    anna.due, anna.credential_date = True, None
    browser = LoginBrowser(login_harness, "laptop")
    await signs_in(browser)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    anna.due, anna.password = False, "the owner's"
    went = await browser.act(Step.NEW_PASSWORD, new_password="mallory's", current_password="right")
    assert (went.step, anna.password) == (Step.STOPPED, "the owner's")


@pytest.mark.attack("S19")
@pytest.mark.row("GW-27")
@pytest.mark.parametrize("registration", [Registration.GUARDED, Registration.ADMIN_CODE])
@pytest.mark.parametrize("seed", range(8))
async def test_one_code_posted_twice_at_once_enrols_nothing_without_approval(
    registration: Registration, seed: int
) -> None:
    login_harness = LoginHarness(replace(required(), registration=registration, backup_codes=0), seed)
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    went = await signs_in(browser)
    assert went.login
    assert went.login.enrolling.draft
    code = login_harness.code_of(went.login.enrolling.draft.secret)
    await asyncio.gather(*(browser.act(Step.REGISTER, code=code) for _ in range(3)))
    assert await browser.current() is None
    assert login_harness.enrolled("anna").enrolments == ()


# ------------------------------------------------------------------ inside a session


async def signed_in_with_codes(seed: int = 1) -> tuple[LoginHarness, LoginBrowser]:
    """Anna has a mailbox and backup codes, and has just proved her mailbox."""
    login_harness = LoginHarness(CLOUDCX, seed)
    await login_harness.start()
    codes = backup_code.make(10, login_harness.random)
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX, codes)
    browser = await at_the_code(login_harness)
    await types_the_code(login_harness, browser)
    assert await browser.current()
    return login_harness, browser


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
@pytest.mark.parametrize("act", [Act(kind, FactorKind.EMAIL if kind is ActKind.TURN_OFF else None) for kind in ActKind])
async def test_right_after_the_sign_in_each_act_asks_for_a_proof_of_its_own(act: Act) -> None:
    login_harness, browser = await signed_in_with_codes()
    before = login_harness.enrolled("anna")
    went = await browser.begin(act)
    assert went
    assert went.step is Step.VERIFY
    assert login_harness.enrolled("anna") == before


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_trusted_browser_is_asked_for_each_act() -> None:
    login_harness, browser = await signed_in_with_codes()
    login_harness.tenant = replace(login_harness.tenant, policy=replace(CLOUDCX, trust_browser_days=30))
    await login_harness.sessions.leave(login_harness.tenant, browser.session)
    browser.session = ""
    login_harness.clock.advance(61)
    await signs_in(browser)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address), remember="1")
    assert browser.trust
    went = await browser.begin(Act(ActKind.SHOW_CODES))
    assert went
    assert went.step is Step.VERIFY


@pytest.mark.row("GW-46", "CC-21")
@pytest.mark.attack("S2")
async def test_the_proof_of_one_act_carries_out_that_act_and_no_other() -> None:
    login_harness, browser = await signed_in_with_codes()
    codes = login_harness.enrolled("anna").backup_codes
    await browser.begin(Act(ActKind.NEW_CODES))
    went = await browser.act(Step.VERIFY, code=codes[0])
    assert went.step is Step.DONE
    after = login_harness.enrolled("anna")
    assert (len(after.backup_codes), set(after.backup_codes) & set(codes)) == (10, set())
    assert after.of(FactorKind.EMAIL)


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_form_of_one_act_counts_for_no_other_act_begun_meanwhile() -> None:
    """A script begins another act while the user types: their form names the login that it was made for."""
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.SHOW_CODES))
    form = await browser.form()
    await browser.begin(Act(ActKind.TURN_OFF, FactorKind.EMAIL))
    code = login_harness.enrolled("anna").backup_codes[0]
    went = await browser.act(Step.VERIFY, form=form, code=code)
    assert (went.step, login_harness.enrolled("anna").backup_codes[0]) == (Step.VERIFY, code)
    assert login_harness.enrolled("anna").of(FactorKind.EMAIL)


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_an_act_is_refused_when_the_enrolments_changed_since_it_was_begun() -> None:
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.NEW_CODES))
    app = Enrolment(FactorKind.TOTP, secret="JBSWY3DPEHPK3PXP")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), app)
    codes = login_harness.enrolled("anna").backup_codes
    went = await browser.act(Step.VERIFY, code=codes[0])
    assert went.step is Step.STOPPED
    assert set(login_harness.enrolled("anna").backup_codes) == set(codes[1:])


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_an_act_is_carried_out_once_however_often_its_form_is_sent() -> None:
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.NEW_CODES))
    form, code = await browser.form(), login_harness.enrolled("anna").backup_codes[0]
    version = login_harness.enrolled("anna").version
    copies = [browser, browser.copy(), browser.copy()]
    await asyncio.gather(*(b.act(Step.VERIFY, form=form, code=code) for b in copies))
    assert login_harness.enrolled("anna").version == version + 2  # the backup code was used, the codes made anew


@pytest.mark.attack("S1")
@pytest.mark.row("SI-01")
async def test_a_copied_session_cookie_is_not_raised_by_the_proof_of_another_person() -> None:
    login_harness = LoginHarness(CLOUDCX)
    await login_harness.start()
    anna = LoginBrowser(login_harness, "laptop")
    await signs_in(anna)  # nothing set up: the password alone
    session = await anna.current()
    assert session
    assert session.satisfied is Satisfied.NOT_ASKED
    mallory = anna.copy("den")
    await anna.enrol(FactorKind.EMAIL)
    await anna.act(Step.PASSWORD, password="right")
    await anna.act(Step.REGISTER, address=MAILBOX.address)
    await anna.act(Step.CONFIRM, "send")
    await types_the_code(login_harness, anna)
    await anna.act(Step.BACKUP_CODES)
    raised = await anna.current()
    assert raised
    assert (raised.id, raised.satisfied) == (session.id, Satisfied.PROVED)
    assert await mallory.current() is None


@pytest.mark.attack("S1")
async def test_a_login_inside_a_session_is_none_for_a_browser_without_that_session() -> None:
    _, anna = await signed_in_with_codes()
    await anna.begin(Act(ActKind.SHOW_CODES))
    mallory = anna.copy("den")
    mallory.session = ""
    assert await mallory.login() is None
