"""Tests of the numbers on the code page, of the longest entries, and of a cancel that comes too late."""

from dataclasses import replace

import pytest

from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import ChoosePage, FactorKind, Method, RegistrationContact
from gateway.domain.problem import Problem
from gateway.login.state_machine import Step, state_of
from gateway.login.steps.password import PasswordPage, PasswordView
from gateway.login.steps.register import RegisterView
from gateway.login.steps.verify import VerifyView
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from tests.fixtures.event_scripts import after, begun, password, waiting, with_policy
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

METHODS = (EMAIL, Method(FactorKind.TOTP))
POLICY = replace(PRESETS["efcx"].policy, methods=METHODS, otp_expiry=120, backup_codes=True)


@pytest.fixture
async def login_harness() -> LoginHarness:
    """Anna has a mailbox, Ben has no factor."""
    return await with_mailbox(POLICY)


async def page_of(browser: LoginBrowser) -> VerifyView:
    """Returns the values of the code page."""
    result = await browser.look()
    assert result.state
    view = await browser.login_harness.flow.pages[Step.VERIFY].view(await browser.visit(result.login), result.state, {})
    assert isinstance(view, VerifyView)
    return view


@pytest.mark.parametrize(("later", "life", "wait"), [(0, 120, 60), (20, 100, 40), (60, 60, 0), (121, 0, 0)])
async def test_the_page_counts_the_seconds_of_the_code_and_of_the_cooldown(
    login_harness: LoginHarness, later: int, life: int, wait: int
) -> None:
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(later)
    page = await page_of(browser)
    assert (page.expires_in, page.resend_in) == (life, wait)


@pytest.mark.parametrize("fails", ["", "down"])
async def test_the_page_says_whether_a_code_was_sent(login_harness: LoginHarness, fails: str) -> None:
    login_harness.mails.refuses = fails
    browser = await at_the_code(login_harness)
    assert (await page_of(browser)).sent_already is (fails == "")


@pytest.mark.parametrize(
    ("name", "password", "problem"),
    [
        ("a" * 255, "x" * 1024, Problem.WRONG_PASSWORD),
        ("a" * 256, "x", Problem.BAD_INPUT),
        ("a", "x" * 1025, Problem.BAD_INPUT),
        ("a", "", Problem.BAD_INPUT),
    ],
)
async def test_a_name_has_at_most_255_characters_and_a_password_1024(
    login_harness: LoginHarness, name: str, password: str, problem: Problem
) -> None:
    result = await LoginBrowser(login_harness, "laptop").act(Step.PASSWORD, username=name, password=password)
    assert result.problem_detail
    assert result.problem_detail.problem is problem


async def to_the_address(login_harness: LoginHarness) -> LoginBrowser:
    """Returns the browser of Ben, who sets up e-mail."""
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="ben", password="right")
    await browser.act(Step.REGISTER, factor="email")
    return browser


@pytest.mark.parametrize(("length", "step"), [(254, Step.VERIFY), (255, Step.REGISTER)])
async def test_an_address_has_at_most_254_characters(login_harness: LoginHarness, length: int, step: Step) -> None:
    browser = await to_the_address(login_harness)
    name, part = "b" * 60, "c" * 60
    rest = length - len(f"{name}@{part}.{part}..example")
    result = await browser.act(Step.REGISTER, address=f"{name}@{part}.{part}.{'d' * rest}.example")
    if result.step is Step.CONFIRM:
        result = await browser.act(Step.CONFIRM)
    assert result.step is step


async def test_a_cancel_with_a_replaced_secret_does_not_end_the_login(
    login_harness: LoginHarness,
) -> None:
    browser = await to_the_address(login_harness)
    result = await browser.act(Step.REGISTER, address=MAILBOX.address)
    if result.step is Step.CONFIRM:
        await browser.act(Step.CONFIRM)
    older = browser.copy()
    login = await older.login()
    assert login
    visit = await older.visit(login)
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.BACKUP_CODES
    await login_harness.flow.logins.end(visit, login)
    assert await browser.login()
    assert login_harness.realm.ended == []


@pytest.mark.parametrize(
    ("contact", "problem"), [(RegistrationContact.ANY, None), (RegistrationContact.PROFILE, Problem.UNKNOWN_ADDRESS)]
)
async def test_inside_a_session_an_address_outside_the_profile_is_enrolled_only_if_the_tenant_takes_any(
    contact: RegistrationContact, problem: Problem | None
) -> None:
    login_harness = await with_mailbox(replace(POLICY, registration_contact=contact))
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    login_harness.clock.advance(600)
    result = await browser.enrol(FactorKind.EMAIL)
    assert result
    if result.step is Step.VERIFY:
        result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.step is Step.REGISTER
    result = await browser.act(Step.REGISTER, address="elsewhere@example.com")
    assert (result.problem_detail.problem if result.problem_detail else None) is problem


@pytest.mark.parametrize("factor", ["totp", "email"])
async def test_the_page_of_an_app_shows_its_secret_and_the_page_of_an_address_none(
    login_harness: LoginHarness, factor: str
) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="ben", password="right")
    result = await browser.act(Step.REGISTER, factor=factor)
    assert result.state
    view = await login_harness.flow.pages[Step.REGISTER].view(await browser.visit(result.login), result.state, {})
    assert isinstance(view, RegisterView)
    draft = result.state.login.enrolling.draft
    assert view.totp_secret == (draft.secret if draft else "")
    assert bool(view.totp_secret) is (factor == "totp")


async def test_the_sign_in_page_keeps_the_typed_name_up_to_255_characters(login_harness: LoginHarness) -> None:
    browser = LoginBrowser(login_harness, "laptop")
    page = login_harness.flow.pages[Step.PASSWORD]
    assert isinstance(page, PasswordPage)
    view = await page.view(await browser.visit(), None, {"username": " " + "a" * 300})
    assert isinstance(view, PasswordView)
    assert view.username == "a" * 255


@pytest.mark.parametrize(("length", "problem"), [(1024, None), (1025, Problem.BAD_INPUT), (0, Problem.BAD_INPUT)])
async def test_a_new_password_has_at_most_1024_characters(
    login_harness: LoginHarness, length: int, problem: Problem | None
) -> None:
    login_harness.realm.people["anna"].due = True
    browser = await at_the_code(login_harness)
    result = await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    assert result.step is Step.NEW_PASSWORD
    result = await browser.act(Step.NEW_PASSWORD, new_password="x" * length)
    assert (result.problem_detail.problem if result.problem_detail else None) is problem


@pytest.mark.row("CC-21")
@pytest.mark.parametrize(("used", "says"), [(1, False), (2, True)])
async def test_the_page_says_that_no_backup_codes_are_left_once_all_are_used(used: int, says: bool) -> None:
    login_harness = LoginHarness(POLICY)
    await login_harness.start()
    codes = backup_code.make(2, login_harness.random)
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX, codes)
    for code in codes[:used]:
        await (await at_the_code(login_harness)).act(Step.VERIFY, code=code)
        login_harness.clock.advance(61)
    assert (await page_of(await at_the_code(login_harness))).no_codes_left is says


@pytest.mark.parametrize(("fields", "name"), [({}, "anna"), ({"username": ""}, ""), ({"username": "ben"}, "ben")])
async def test_the_sign_in_page_has_the_last_users_name_until_another_one_is_typed(
    login_harness: LoginHarness, fields: dict[str, str], name: str
) -> None:
    browser = await at_the_code(login_harness)
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))
    page = login_harness.flow.pages[Step.PASSWORD]
    assert (await page.view(await browser.visit(), None, fields)).username == name  # type: ignore[arg-type]


@pytest.mark.parametrize(("fails", "later", "stage"), [("", 0, "alive"), ("down", 0, "failed"), ("", 121, "expired")])
async def test_the_page_names_the_state_of_the_code(
    login_harness: LoginHarness, fails: str, later: float, stage: str
) -> None:
    login_harness.mails.refuses = fails
    browser = await at_the_code(login_harness)
    login_harness.clock.advance(later)
    assert (await page_of(browser)).stage("send-failed" if fails else "").value == stage


async def test_the_page_that_takes_any_code_says_that_none_was_sent_until_one_is() -> None:
    login_harness = await with_mailbox(replace(POLICY, choose_page=ChoosePage.COMBINED))
    app = Enrolment(FactorKind.TOTP, secret="JBSWY3DPEHPK3PXP")  # made up
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), app)
    browser = await at_the_code(login_harness)
    before = (await page_of(browser)).sent_already
    await browser.act(Step.VERIFY, "send")
    assert (before, (await page_of(browser)).sent_already) == (False, True)


@pytest.mark.row("EF-20")
@pytest.mark.parametrize(("codes", "hidden"), [((), True), (("digest",), False)])
async def test_a_page_hides_a_passcode_where_it_takes_no_backup_code(
    login_harness: LoginHarness, codes: tuple[str, ...], hidden: bool
) -> None:
    login_harness.channels["rsa"] = Channel("rsa", ChannelType.RSA, ChannelKind.RSA)
    policy = with_policy(methods=(Method(FactorKind.RSA, "rsa"),), backup_codes=10)
    right = password(EnrolmentSet(1, backup_codes=codes))
    login = after(right, waiting(factor=FactorKind.RSA), login=begun(policy))
    visit = await LoginBrowser(login_harness, "laptop").visit()
    view = await login_harness.flow.pages[Step.VERIFY].view(visit, state_of(login), {})
    assert isinstance(view, VerifyView)
    assert view.hidden is hidden
