"""Tests of the addresses on the pages: whole while their user types them, else masked; a known one needs no typing."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.policy import AddressHint, FactorKind, Registration, RegistrationContact
from gateway.login.flow import FlowResult
from gateway.login.state_machine import Step
from gateway.login.steps.register import RegisterView
from gateway.login.steps.verify import VerifyView
from gateway.rendering.step_view import StepView
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser, LoginHarness
from tests.fixtures.registered_user import EMAIL

POLICY = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=120)
PROFILE = {"registration_contact": RegistrationContact.PROFILE}


async def begun(**changes: Any) -> tuple[LoginHarness, LoginBrowser]:
    """Anna entered her password. She has no factor; her profile has anna@example.com, verified."""
    harness = LoginHarness(replace(POLICY, **changes))
    await harness.start()
    browser = LoginBrowser(harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    return harness, browser


async def page_of(browser: LoginBrowser) -> StepView:
    """Returns the values of the page that is due."""
    result: FlowResult = await browser.look()
    assert result.state
    visit = await browser.visit(result.login)
    return await browser.login_harness.flow.pages[result.step].view(visit, result.state, {})


async def sent_to(browser: LoginBrowser) -> str:
    """Returns the address on the code page."""
    page = await page_of(browser)
    assert isinstance(page, VerifyView)
    return page.sent_to


async def test_an_address_is_whole_in_the_login_in_which_its_user_typed_it() -> None:
    harness, browser = await begun()
    await browser.act(Step.REGISTER, address="anna.private@mail.example")
    await browser.act(Step.CONFIRM)
    assert await sent_to(browser) == "anna.private@mail.example"
    await browser.act(Step.VERIFY, code=harness.mailed("anna.private@mail.example"))
    harness.clock.advance(61)
    later = LoginBrowser(harness, "phone")
    await later.act(Step.PASSWORD, username="anna", password="right")
    assert await sent_to(later) == "an•••@mail.example"


@pytest.mark.parametrize(
    ("hint", "shown"), [(AddressHint.DOMAIN, "an•••@example.com"), (AddressHint.SHORT, "a•••@e•••.com")]
)
async def test_the_only_allowed_address_is_offered_masked_and_one_press_sends_the_code(
    hint: AddressHint, shown: str
) -> None:
    harness, browser = await begun(**PROFILE, address_hint=hint)
    page = await page_of(browser)
    assert isinstance(page, RegisterView)
    assert (page.known, page.address) == (shown, "")
    sent = await browser.act(Step.REGISTER)
    assert (sent.step, sent.problem_detail) == (Step.VERIFY, None)
    assert await sent_to(browser) == shown
    assert (await browser.act(Step.VERIFY, code=harness.mailed("anna@example.com"))).step is Step.DONE


async def test_the_only_allowed_address_is_not_shown_whole_by_a_wish_to_edit_it() -> None:
    _, browser = await begun(**PROFILE)
    await browser.act(Step.REGISTER)
    page = await page_of(browser)
    assert isinstance(page, VerifyView)
    assert not page.can_edit
    await browser.act(Step.VERIFY, "edit")
    again = await page_of(browser)
    assert isinstance(again, RegisterView)
    assert (again.known, again.address) == ("an•••@example.com", "")


async def test_a_form_without_an_address_sends_nothing_where_the_user_may_choose_one() -> None:
    harness, browser = await begun()
    assert (await browser.act(Step.REGISTER)).step is Step.REGISTER
    assert not harness.mails.messages


async def test_the_page_for_an_administrators_code_alone_expects_its_twelve_digits() -> None:
    _, browser = await begun(registration=Registration.ADMIN_CODE)
    await browser.act(Step.REGISTER, address="anna@example.com")
    await browser.act(Step.CONFIRM)
    await browser.act(Step.VERIFY, code=browser.login_harness.mailed("anna@example.com"))
    page = await page_of(browser)
    assert isinstance(page, VerifyView)
    assert (page.approving_first, page.factor, page.digits) == (True, FactorKind.ADMIN_CODE.value, 12)


@pytest.mark.parametrize(("most", "more"), [(1, False), (2, True)])
async def test_a_page_that_can_get_no_further_code_offers_none(most: int, *, more: bool) -> None:
    _, browser = await begun(max_sends=most)
    await browser.act(Step.REGISTER, address="anna@example.com")
    await browser.act(Step.CONFIRM)
    page = await page_of(browser)
    assert isinstance(page, VerifyView)
    assert (page.can_resend, page.no_more_sends is None) == (more, more)
