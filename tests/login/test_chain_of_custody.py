"""Tests that only the answer to the last proof sets a session, in the browser that gave it.

Mallory knows Anna's password and copies every cookie of her browser up to, not including, those of the answer to her
last proof.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import ChoosePage, EnrolmentRule, FactorKind, Method, Policy, Registration
from gateway.domain.problem import Problem
from gateway.domain.session import Satisfied
from gateway.domain.tenant import Tenant
from gateway.login.begin_in_session import AccountForm
from gateway.login.flow import FlowResult
from gateway.login.record import Act, ActKind
from gateway.login.state_machine import Step
from gateway.rendering.step_view import as_json
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from gateway.web import endpoint
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=300)
APP = Method(FactorKind.TOTP)
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=(EMAIL, APP), backup_codes=10)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox."""
    return await with_mailbox(EFCX)


async def signs_in(browser: LoginBrowser) -> FlowResult:
    """Enters Anna's username and password."""
    return await browser.act(Step.PASSWORD, username="anna", password="right")


async def types_the_code(login_harness: LoginHarness, browser: LoginBrowser) -> Step:
    """Enters the newest code of Anna's mailbox."""
    return (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step


async def nothing_for(mallory: LoginBrowser, page: Step = Step.VERIFY) -> None:
    """Asserts that no request with the cookies of Mallory's browser gets a session or a trusted browser."""
    for tries in (mallory.look(), mallory.enter(), mallory.act(page), mallory.act(page, code="000000")):
        await tries
    assert (mallory.session, mallory.trust) == ("", "")


# ------------------------------------------------------------------ the four orders of login fixation


@pytest.mark.attack("S1")
async def test_an_attackers_earlier_password_does_not_lead_the_user_into_the_attackers_login(
    login_harness: LoginHarness,
) -> None:
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
async def test_an_attacker_who_joins_a_login_by_password_does_not_take_it_from_the_user(
    login_harness: LoginHarness,
) -> None:
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    await signs_in(mallory)  # continues Anna's login, with a secret of Mallory's
    assert await anna.login() is None
    await nothing_for(mallory)
    login_harness.clock.advance(61)
    await signs_in(anna)
    assert await types_the_code(login_harness, anna) is Step.DONE
    await nothing_for(mallory)


@pytest.mark.attack("S1")
@pytest.mark.parametrize("seconds", [0, 1, 29, 31])
async def test_the_old_cookie_opens_nothing_after_the_last_proof(login_harness: LoginHarness, seconds: int) -> None:
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    code = login_harness.mailed(MAILBOX.address)
    assert await types_the_code(login_harness, anna) is Step.DONE
    login_harness.clock.advance(seconds)
    await nothing_for(mallory)
    result = await mallory.act(Step.VERIFY, code=code)  # even with the correct code, seen over Anna's shoulder
    assert (result.step, mallory.session) == (Step.PASSWORD, "")


@pytest.mark.attack("S1")
async def test_the_session_of_a_planted_login_is_given_to_the_browser_that_proves(login_harness: LoginHarness) -> None:
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
async def test_with_parallel_requests_the_session_is_given_to_the_browser_that_proved(seed: int) -> None:
    login_harness = await with_mailbox(EFCX, seed)
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    acts = [types_the_code(login_harness, anna), signs_in(mallory), mallory.act(Step.VERIFY, code="1")]
    acts = acts[seed % 3 :] + acts[: seed % 3]
    await asyncio.gather(*acts)
    await nothing_for(mallory)


# ------------------------------------------------------------------ secrets


@pytest.mark.attack("S1")
async def test_each_accepted_proof_replaces_the_login_secret(login_harness: LoginHarness) -> None:
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
async def test_the_same_form_gets_the_same_answer(login_harness: LoginHarness, together: bool) -> None:
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
async def test_a_different_form_entry_or_later_request_does_not_get_the_answer_again(
    login_harness: LoginHarness, seconds: int, code: str, same_form: bool
) -> None:
    anna = await at_the_code(login_harness)
    form, right, second = await anna.form(), login_harness.mailed(MAILBOX.address), anna.copy()
    await anna.act(Step.VERIFY, form=form, code=right)
    login_harness.clock.advance(seconds)
    await second.act(Step.VERIFY, form=form if same_form else None, code=right if code == "right" else code)
    assert second.session == ""


@pytest.mark.attack("S1")
async def test_a_lost_answer_is_sent_again_after_a_restart_of_the_process(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    form, code, second = await anna.form(), login_harness.mailed(MAILBOX.address), anna.copy()
    await anna.act(Step.VERIFY, form=form, code=code)
    login_harness.replicas = [login_harness._replica() for _ in range(2)]  # nothing is left but the store
    await second.act(Step.VERIFY, form=form, code=code)
    assert second.session == anna.session


@pytest.mark.attack("S1")
async def test_a_form_of_another_login_or_round_costs_no_attempt(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    form = await anna.form()
    for other in (
        replace(form, login="another"),
        replace(form, round="1"),
        replace(form, login=""),
        replace(form, round=""),
    ):
        result = await anna.act(Step.VERIFY, form=replace(other, id="x"), code="000000")
        assert (result.step, result.problem_detail) == (Step.VERIFY, None)
    assert not [one for one in login_harness.limit_oracle.seen if one.typed]
    assert await types_the_code(login_harness, anna) is Step.DONE


@pytest.mark.attack("S1")
@pytest.mark.row("GW-13")
async def test_five_tabs_that_enter_the_code_in_parallel_all_get_in(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    code = login_harness.mailed(MAILBOX.address)
    await asyncio.gather(*(anna.act(Step.VERIFY, code=code) for _ in range(5)))
    assert await anna.current()
    assert len({r.session.id for r in anna.opened}) == 1


@pytest.mark.row("GW-13")
async def test_a_password_in_another_tab_continues_the_login_and_sends_no_second_code(
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
async def test_a_password_in_a_signed_in_browser_opens_the_app_and_begins_no_login(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    await types_the_code(login_harness, anna)
    result = await signs_in(anna)
    assert (result.signed_in, result.login, len(login_harness.mails.messages)) == (True, None, 1)
    assert len(set(login_harness.realm.grants) - set(login_harness.realm.ended)) == 1


@pytest.mark.attack("S1")
async def test_a_cancel_with_an_old_secret_ends_nothing(login_harness: LoginHarness) -> None:
    anna = await at_the_code(login_harness)
    old = anna.copy("den")
    await signs_in(anna)
    ended = list(login_harness.realm.ended)
    await old.act(Step.VERIFY, "cancel")
    assert login_harness.realm.ended == ended
    assert await types_the_code(login_harness, anna) is Step.DONE


@pytest.mark.attack("S1")
async def test_after_a_failed_opening_only_the_request_that_uses_the_secret_gets_the_session(
    login_harness: LoginHarness,
) -> None:
    anna = await at_the_code(login_harness)
    mallory = anna.copy("den")
    real = login_harness.realm.account

    async def away(*_: object) -> None:
        raise errors.Unreachable("keycloak", "timeout")

    old = anna.secret
    setattr(login_harness.realm, "account", away)  # noqa: B010  # Keycloak fails after the code was judged
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
async def test_a_new_password_entry_replaces_an_app_secret_that_an_attacker_has_seen() -> None:
    login_harness = LoginHarness(required())
    await login_harness.start()
    mallory = LoginBrowser(login_harness, "den")
    result = await signs_in(mallory)
    assert result.login
    assert result.login.enrolling.draft
    anna = mallory.copy("laptop")  # planted
    shown = await anna.enter()
    assert shown.login
    assert shown.login.enrolling.draft
    assert shown.login.enrolling.draft.secret != result.login.enrolling.draft.secret
    assert await mallory.login() is None, "the old login secret shows the new app secret to no one"
    await anna.act(Step.REGISTER, code=login_harness.code_of(shown.login.enrolling.draft.secret))
    assert (await anna.act(Step.BACKUP_CODES)).step is Step.DONE
    assert await anna.current()
    await nothing_for(mallory, Step.REGISTER)


@pytest.mark.attack("S1")
async def test_a_code_of_the_replaced_app_secret_enrols_nothing() -> None:
    login_harness = LoginHarness(required())
    await login_harness.start()
    anna = LoginBrowser(login_harness, "laptop")
    result = await signs_in(anna)
    assert result.login
    assert result.login.enrolling.draft
    form = await anna.form()
    await anna.enter()
    again = await anna.act(Step.REGISTER, form=form, code=login_harness.code_of(result.login.enrolling.draft.secret))
    assert (again.step, again.out_of_order or again.problem_detail is None) == (Step.REGISTER, True)
    assert login_harness.enrolled("anna").enrolments == ()


# ------------------------------------------------------------------ what is required when the session opens


@pytest.mark.attack("S20")
async def test_a_factor_turned_on_during_a_login_is_requested() -> None:
    login_harness = LoginHarness(replace(EFCX, enabled=False))
    await login_harness.start()
    login_harness.realm.people["anna"].due = True
    anna = LoginBrowser(login_harness, "laptop")
    assert (await signs_in(anna)).step is Step.NEW_PASSWORD
    login_harness.tenant = replace(login_harness.tenant, policy=EFCX)
    result = await anna.act(Step.NEW_PASSWORD, new_password="another")
    assert (result.step, await anna.current()) == (Step.STOPPED, None)


@pytest.mark.attack("S20")
async def test_an_older_login_cannot_skip_a_factor_that_the_user_set_up_since() -> None:
    login_harness = LoginHarness(CLOUDCX)
    await login_harness.start()
    login_harness.realm.people["anna"].due = True
    old = LoginBrowser(login_harness, "den")
    assert (await signs_in(old)).step is Step.NEW_PASSWORD
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX)
    result = await old.act(Step.NEW_PASSWORD, new_password="another")
    assert (result.step, login_harness.realm.people["anna"].password) == (Step.STOPPED, "right")


@pytest.mark.attack("S20")
async def test_an_open_password_page_does_not_overwrite_a_password_set_since(
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
    result = await old.act(Step.NEW_PASSWORD, new_password="mallory's")
    assert result.step is Step.STOPPED
    assert login_harness.realm.people["anna"].password == "the owner's"
    assert await types_the_code(login_harness, owner) is Step.DONE


@pytest.mark.attack("S20")
@pytest.mark.parametrize("seed", range(6))
async def test_one_of_two_parallel_new_passwords_is_set(seed: int) -> None:
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
async def test_without_a_password_date_the_current_password_is_requested(
    login_harness: LoginHarness, current: str, step: Step, problem: Problem | None
) -> None:
    anna = login_harness.realm.people["anna"]
    anna.due, anna.credential_date = True, None
    browser = LoginBrowser(login_harness, "laptop")
    await signs_in(browser)
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.state
    view = await login_harness.flow.pages[Step.NEW_PASSWORD].view(await browser.visit(result.login), result.state, {})
    assert as_json(view, None)["asks_current"]
    result = await browser.act(Step.NEW_PASSWORD, new_password="another", current_password=current)
    assert (result.step, result.problem_detail.problem if result.problem_detail else None) == (step, problem)


async def test_wrong_current_passwords_on_the_new_password_page_are_counted(login_harness: LoginHarness) -> None:
    anna = login_harness.realm.people["anna"]
    anna.due, anna.credential_date = True, None
    browser = LoginBrowser(login_harness, "laptop")
    await signs_in(browser)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    problems = []
    for _ in range(11):
        found = await browser.act(Step.NEW_PASSWORD, new_password="another", current_password="nonsense")
        problems.append(found.problem_detail.problem if found.problem_detail else None)
    assert problems == [Problem.WRONG_PASSWORD] * 10 + [Problem.TOO_MANY_PASSWORDS]


@pytest.mark.attack("S20")
async def test_without_a_password_date_a_password_that_is_no_longer_due_is_not_overwritten(
    login_harness: LoginHarness,
) -> None:
    anna = login_harness.realm.people["anna"]
    anna.due, anna.credential_date = True, None
    browser = LoginBrowser(login_harness, "laptop")
    await signs_in(browser)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    anna.due, anna.password = False, "the owner's"
    result = await browser.act(Step.NEW_PASSWORD, new_password="mallory's", current_password="right")
    assert (result.step, anna.password) == (Step.STOPPED, "the owner's")


@pytest.mark.attack("S19")
@pytest.mark.row("GW-27")
@pytest.mark.parametrize("registration", [Registration.GUARDED, Registration.ADMIN_CODE])
@pytest.mark.parametrize("seed", range(8))
async def test_one_code_posted_twice_in_parallel_enrols_nothing_without_approval(
    registration: Registration, seed: int
) -> None:
    login_harness = LoginHarness(replace(required(), registration=registration, backup_codes=0), seed)
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    result = await signs_in(browser)
    assert result.login
    assert result.login.enrolling.draft
    code = login_harness.code_of(result.login.enrolling.draft.secret)
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
@pytest.mark.parametrize("kind", sorted(set(ActKind) - {ActKind.END_TRUST}, key=str), ids=lambda kind: kind.value)
async def test_each_act_right_after_the_sign_in_needs_a_separate_proof(kind: ActKind) -> None:
    login_harness, browser = await signed_in_with_codes()
    session = await browser.current()
    assert session
    act = Act(
        kind,
        FactorKind.EMAIL if kind is ActKind.TURN_OFF else None,
        session.id if kind is ActKind.END_SESSION else "",
    )
    before = login_harness.enrolled("anna")
    result = await browser.begin(act)
    assert result
    assert result.step is Step.VERIFY
    assert login_harness.enrolled("anna") == before


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_in_a_trusted_browser_each_act_needs_a_proof() -> None:
    login_harness, browser = await signed_in_with_codes()
    login_harness.tenant = replace(login_harness.tenant, policy=replace(CLOUDCX, trust_browser_days=30))
    await login_harness.sessions.leave(login_harness.tenant, browser.session)
    browser.session = ""
    login_harness.clock.advance(61)
    await signs_in(browser)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address), remember="1")
    assert browser.trust
    result = await browser.begin(Act(ActKind.SHOW_CODES))
    assert result
    assert result.step is Step.VERIFY


@pytest.mark.row("GE-21")
@pytest.mark.attack("S2")
async def test_a_session_of_the_password_alone_skips_no_second_factor() -> None:
    login_harness = LoginHarness(replace(CLOUDCX, skip_when_verified=True))
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    await signs_in(browser)  # nothing set up
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX)
    result = await browser.step_up()
    assert result
    assert result.step is Step.VERIFY


@pytest.mark.row("GW-46")
async def test_the_same_form_at_two_replicas_begins_one_login() -> None:
    login_harness, browser = await signed_in_with_codes()
    session = await browser.current()
    assert session
    slot, visit, form = await browser.find(), await browser.visit(), AccountForm("form")
    begun = [
        await replica.in_session.begin(visit, slot, session, form, act=Act(ActKind.SHOW_CODES))
        for replica in login_harness.replicas
    ]
    assert [one.step for one in begun] == [Step.VERIFY] * 2
    assert len({one.login.id for one in begun if one.login}) == 1


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
@pytest.mark.parametrize("posted", [True, False])
async def test_only_the_answer_to_a_form_shows_backup_codes(posted: bool) -> None:
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.SHOW_CODES))
    visit = replace(await browser.visit(), posted=posted)
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.login
    assert result.login.opened
    answer = await login_harness.replicas[0].responses.go_on(visit, result)
    assert isinstance(answer.body, endpoint.Page if posted else endpoint.Redirect)


@pytest.mark.row("GW-46", "CC-21")
@pytest.mark.attack("S2")
async def test_the_proof_of_an_act_authorises_only_that_act() -> None:
    login_harness, browser = await signed_in_with_codes()
    codes = login_harness.enrolled("anna").backup_codes
    await browser.begin(Act(ActKind.NEW_CODES))
    result = await browser.act(Step.VERIFY, code=codes[0])
    assert result.step is Step.DONE
    after = login_harness.enrolled("anna")
    assert (len(after.backup_codes), set(after.backup_codes) & set(codes)) == (10, set())
    assert after.of(FactorKind.EMAIL)


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_form_of_one_act_is_void_for_another_act_begun_since() -> None:
    """A script begins another act while the user types; the user's form names the earlier login."""
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.SHOW_CODES))
    form = await browser.form()
    await browser.begin(Act(ActKind.TURN_OFF, FactorKind.EMAIL))
    code = login_harness.enrolled("anna").backup_codes[0]
    result = await browser.act(Step.VERIFY, form=form, code=code)
    assert (result.step, login_harness.enrolled("anna").backup_codes[0]) == (Step.VERIFY, code)
    assert login_harness.enrolled("anna").of(FactorKind.EMAIL)


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_an_act_is_refused_if_the_enrolments_changed_since_it_began() -> None:
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.NEW_CODES))
    app = Enrolment(FactorKind.TOTP, secret="JBSWY3DPEHPK3PXP")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), app)
    codes = login_harness.enrolled("anna").backup_codes
    result = await browser.act(Step.VERIFY, code=codes[0])
    assert result.step is Step.STOPPED
    assert set(login_harness.enrolled("anna").backup_codes) == set(codes[1:])


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_an_act_is_carried_out_once_although_its_form_is_sent_several_times() -> None:
    login_harness, browser = await signed_in_with_codes()
    await browser.begin(Act(ActKind.NEW_CODES))
    form, code = await browser.form(), login_harness.enrolled("anna").backup_codes[0]
    version = login_harness.enrolled("anna").version
    copies = [browser, browser.copy(), browser.copy()]
    await asyncio.gather(*(b.act(Step.VERIFY, form=form, code=code) for b in copies))
    assert login_harness.enrolled("anna").version == version + 2  # the backup code was used, new codes were made


@pytest.mark.attack("S1")
@pytest.mark.row("SI-01")
async def test_the_proof_of_the_user_does_not_raise_an_attackers_copy_of_the_session_cookie() -> None:
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
async def test_a_browser_without_the_session_cannot_use_a_login_begun_inside_it() -> None:
    _, anna = await signed_in_with_codes()
    await anna.begin(Act(ActKind.SHOW_CODES))
    mallory = anna.copy("den")
    mallory.session = ""
    assert await mallory.login() is None


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_factor_that_became_the_last_one_during_the_act_is_not_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login_harness, browser = await signed_in_with_codes()
    app = Enrolment(FactorKind.TOTP, secret="JBSWY3DPEHPK3PXP")
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), app)
    turn_off = Enrolments.turn_off

    async def after_another_tab(
        self: Enrolments, tenant: Tenant, user: str, factor: FactorKind, *may: Any, target: str
    ) -> Any:
        await turn_off(self, tenant, user, FactorKind.TOTP)
        return await turn_off(self, tenant, user, factor, *may, target=target)

    monkeypatch.setattr(Enrolments, "turn_off", after_another_tab)
    login_harness.tenant = replace(
        login_harness.tenant, policy=replace(login_harness.tenant.policy, enrolment=EnrolmentRule.REQUIRED)
    )
    await browser.begin(Act(ActKind.TURN_OFF, FactorKind.EMAIL))
    result = await browser.act(Step.VERIFY, code=login_harness.enrolled("anna").backup_codes[0])
    assert result.step is Step.STOPPED
    assert result.problem_detail
    assert result.problem_detail.problem is Problem.ENROLMENT_CHANGED
    assert login_harness.enrolled("anna").of(FactorKind.EMAIL)
