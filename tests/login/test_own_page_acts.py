"""Acts of the user's own page on one of several apps, sessions and trusted browsers, and the mails about them."""

from dataclasses import replace

import pytest

from gateway.domain.enrolment import BESIDE, Enrolment
from gateway.domain.policy import EnrolmentRule, FactorKind
from gateway.domain.problem import Problem
from gateway.login.flow import FlowResult
from gateway.login.record import Act, ActKind
from gateway.login.state_machine import Step
from gateway.second_factor.factors import backup_code
from gateway.second_factor.trusted_browsers import Holder, KnownBrowser
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX

APP = replace(EMAIL, factor=FactorKind.TOTP, channel=None)
POLICY = replace(
    PRESETS["cloudcx"].policy,
    methods=(APP, EMAIL),
    enrolment=EnrolmentRule.REQUIRED,
    trust_browser_days=30,
)
PHONE = Enrolment(FactorKind.TOTP, secret="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", name="Work phone")


async def with_app(max_apps: int = 2) -> LoginHarness:
    """Anna has a mailbox, an app and ten backup codes."""
    harness = LoginHarness(replace(POLICY, max_apps=max_apps))
    await harness.start()
    codes = backup_code.make(10, harness.random)
    first = await harness.enrolments.add(harness.tenant, "id-anna", harness.enrolled("anna"), MAILBOX, codes)
    assert first
    await harness.enrolments.add(harness.tenant, "id-anna", first, PHONE)
    return harness


async def signed_in(harness: LoginHarness, name: str = "laptop", remember: str = "") -> LoginBrowser:
    """Returns a browser in which Anna signed in with a code of her app."""
    browser = LoginBrowser(harness, name)
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.VERIFY, code=harness.code_of(PHONE.secret), remember=remember)
    assert await browser.current()
    harness.clock.advance(31)
    return browser


async def proved(browser: LoginBrowser, act: Act, secret: str = PHONE.secret) -> FlowResult:
    """Begins an act and confirms it with a code of an app."""
    asked = await browser.begin(act)
    assert asked
    if asked.problem_detail:
        return asked
    done = await browser.act(Step.VERIFY, code=browser.login_harness.code_of(secret))
    browser.login_harness.clock.advance(31)
    return done


async def added(browser: LoginBrowser, target: str, name: str = "") -> Enrolment:
    """Sets up another app on Anna's own page; returns it."""
    harness = browser.login_harness
    await browser.enrol(FactorKind.TOTP, target)
    result = await browser.act(Step.VERIFY, code=harness.code_of(PHONE.secret))
    harness.clock.advance(31)
    assert result.login
    assert result.login.enrolling.draft
    secret = result.login.enrolling.draft.secret
    assert (await browser.act(Step.REGISTER, code=harness.code_of(secret), name=name)).step is Step.DONE
    harness.clock.advance(31)
    return next(one for one in harness.enrolled("anna").enrolments if one.secret == secret)


def subjects(harness: LoginHarness) -> list[str]:
    """Returns what the mails without a code say in their first line."""
    return [message.text.splitlines()[0] for message in harness.mails.messages]


# ------------------------------------------------------------------ apps


@pytest.mark.row("CC-01")
async def test_a_second_app_works_beside_the_first_and_keeps_its_name() -> None:
    harness = await with_app()
    browser = await signed_in(harness)
    tablet = await added(browser, BESIDE, "  Tablet\u200b ")
    assert [one.name for one in harness.enrolled("anna").all_of(FactorKind.TOTP)] == ["Work phone", "Tablet"]
    for secret in (PHONE.secret, tablet.secret):
        assert (await proved(browser, Act(ActKind.SHOW_CODES), secret)).step is Step.DONE


@pytest.mark.row("CC-01")
async def test_a_user_sets_up_no_more_apps_than_the_tenant_permits() -> None:
    harness = await with_app()
    browser = await signed_in(harness)
    await added(browser, BESIDE)
    refused = await browser.enrol(FactorKind.TOTP, BESIDE)
    assert refused
    assert refused.problem_detail
    assert refused.problem_detail.problem is Problem.BAD_INPUT


@pytest.mark.row("CC-01")
async def test_by_default_a_user_has_one_app() -> None:
    browser = await signed_in(await with_app(max_apps=1))
    refused = await browser.enrol(FactorKind.TOTP, BESIDE)
    assert refused
    assert refused.problem_detail
    assert refused.problem_detail.problem is Problem.BAD_INPUT


@pytest.mark.row("CC-01")
async def test_two_tabs_that_each_add_an_app_add_one() -> None:
    harness = await with_app()
    first, second = await signed_in(harness), await signed_in(harness, "tablet")
    await second.enrol(FactorKind.TOTP, BESIDE)
    result = await second.act(Step.VERIFY, code=harness.code_of(PHONE.secret))
    harness.clock.advance(31)
    await added(first, BESIDE)
    assert result.login
    assert result.login.enrolling.draft
    late = await second.act(Step.REGISTER, code=harness.code_of(result.login.enrolling.draft.secret))
    assert late.step is Step.STOPPED
    assert len(harness.enrolled("anna").all_of(FactorKind.TOTP)) == 2


@pytest.mark.row("CC-01")
async def test_a_new_phone_takes_the_place_of_the_app_that_was_moved_only() -> None:
    harness = await with_app()
    browser = await signed_in(harness)
    tablet = await added(browser, BESIDE, "Tablet")
    moved = await added(browser, tablet.id, "New tablet")
    assert {one.secret for one in harness.enrolled("anna").all_of(FactorKind.TOTP)} == {PHONE.secret, moved.secret}


@pytest.mark.row("CC-21")
async def test_of_two_apps_one_is_turned_off_and_its_name_is_mailed() -> None:
    harness = await with_app()
    browser = await signed_in(harness)
    tablet = await added(browser, BESIDE, "Tablet")
    assert (await proved(browser, Act(ActKind.TURN_OFF, FactorKind.TOTP, tablet.id))).step is Step.DONE
    assert [one.name for one in harness.enrolled("anna").all_of(FactorKind.TOTP)] == ["Work phone"]
    assert "Authenticator app: Tablet" in harness.mails.messages[-1].text


@pytest.mark.row("CC-21")
@pytest.mark.attack("S2")
@pytest.mark.parametrize("kind", [ActKind.TURN_OFF, ActKind.END_SESSION, ActKind.END_TRUST])
async def test_an_act_on_a_target_that_the_user_does_not_have_is_rejected(kind: ActKind) -> None:
    browser = await signed_in(await with_app())
    factor = FactorKind.TOTP if kind is ActKind.TURN_OFF else None
    refused = await browser.begin(Act(kind, factor, "another"))
    assert refused
    assert refused.problem_detail
    assert refused.problem_detail.problem is Problem.BAD_INPUT


# ------------------------------------------------------------------ sessions and trusted browsers


@pytest.mark.row("GW-45")
async def test_a_user_ends_one_of_their_sessions_and_gets_a_mail() -> None:
    harness = await with_app()
    here, there, third = [await signed_in(harness, name) for name in ("here", "there", "third")]
    other = await there.current()
    assert other
    assert (await proved(here, Act(ActKind.END_SESSION, target=other.id))).step is Step.DONE
    assert [bool(await one.current()) for one in (here, there, third)] == [True, False, True]
    assert subjects(harness)[-1].startswith("A browser was signed out of the account of anna")


@pytest.mark.row("GW-45")
@pytest.mark.attack("S2")
async def test_a_user_cannot_end_the_session_of_another_user() -> None:
    harness = await with_app()
    here = await signed_in(harness)
    ben = LoginBrowser(harness, "other")
    harness.tenant = replace(harness.tenant, policy=replace(POLICY, enabled=False))
    await ben.act(Step.PASSWORD, username="ben", password="right")
    harness.tenant = replace(harness.tenant, policy=POLICY)
    other = await ben.current()
    assert other
    refused = await here.begin(Act(ActKind.END_SESSION, target=other.id))
    assert refused
    assert refused.problem_detail
    assert refused.problem_detail.problem is Problem.BAD_INPUT
    assert await ben.current()


async def trusted(harness: LoginHarness) -> tuple[KnownBrowser, ...]:
    """Returns the browsers that Anna's page lists."""
    date, epoch = harness.realm.people["anna"].credential_date, harness.enrolled("anna").trust_epoch
    holder = Holder("id-anna", date, epoch)
    return await harness.services.trusted_browsers.of_user(harness.tenant.id, holder, harness.tenant.policy)


@pytest.mark.row("CC-12")
async def test_a_new_trusted_browser_is_listed_and_mailed() -> None:
    harness = await with_app()
    await signed_in(harness, remember="yes")
    [browser] = await trusted(harness)
    assert browser.client.startswith("192.0.2.")
    assert "no longer asks for codes for the account of anna" in subjects(harness)[-1]
    assert "30 days" in subjects(harness)[-1]


@pytest.mark.row("CC-12")
async def test_a_browser_whose_trust_the_user_ends_asks_for_a_code_again() -> None:
    harness = await with_app()
    browser = await signed_in(harness, remember="yes")
    [known] = await trusted(harness)
    assert (await proved(browser, Act(ActKind.END_TRUST, target=known.id))).step is Step.DONE
    assert await trusted(harness) == ()
    await harness.sessions.leave(harness.tenant, browser.session)
    browser.session = ""
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY


# ------------------------------------------------------------------ mails


@pytest.mark.row("CC-05")
async def test_a_used_backup_code_is_kept_as_used_and_mailed_with_the_number_left() -> None:
    harness = await with_app()
    codes = harness.enrolled("anna").backup_codes
    browser = LoginBrowser(harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.VERIFY, code=codes[3])
    after = harness.enrolled("anna")
    assert (after.used_codes, len(after.backup_codes)) == ((codes[3],), 9)
    assert subjects(harness)[-1].startswith("A backup code was used for the account of anna")
    assert "\n9 codes left\n" in harness.mails.messages[-1].text


@pytest.mark.row("CC-07")
async def test_new_backup_codes_forget_the_used_ones() -> None:
    harness = await with_app()
    browser = await signed_in(harness)
    await browser.begin(Act(ActKind.SHOW_CODES))
    await browser.act(Step.VERIFY, code=harness.enrolled("anna").backup_codes[0])
    assert harness.enrolled("anna").used_codes
    await proved(browser, Act(ActKind.NEW_CODES))
    assert harness.enrolled("anna").used_codes == ()
    assert len(harness.enrolled("anna").backup_codes) == 10


@pytest.mark.row("GW-45")
async def test_a_sign_out_everywhere_is_mailed() -> None:
    harness = await with_app()
    await proved(await signed_in(harness), Act(ActKind.SIGN_OUT_EVERYWHERE))
    assert subjects(harness)[-1].startswith("All other browsers were signed out of the account of anna")


@pytest.mark.row("CC-10")
async def test_a_password_changed_during_sign_in_is_mailed() -> None:
    harness = await with_app()
    harness.realm.people["anna"].due = True
    browser = LoginBrowser(harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.VERIFY, code=harness.code_of(PHONE.secret))
    await browser.act(Step.NEW_PASSWORD, new_password="another")
    assert subjects(harness)[-1].startswith("The password of the account of anna")


@pytest.mark.row("CC-01")
async def test_the_last_use_of_an_app_is_kept() -> None:
    harness = await with_app()
    at = harness.clock.now()
    await signed_in(harness)
    assert await harness.services.factor_uses.of(harness.tenant.id, "id-anna") == {f"totp/{PHONE.id}": at}
