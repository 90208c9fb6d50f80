"""A form sent twice, by a double click or from two tabs: the second request undoes nothing of the first."""

import asyncio
import random
from dataclasses import replace

import pytest

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.state_machine import LoginState, Step
from gateway.rendering.step_view import StepView
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import CHANNEL, Form, LoginBrowser, LoginHarness

EMAIL = Method(FactorKind.EMAIL, CHANNEL.service_identifier)
TRUSTING = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60, trust_browser_days=30)
MAILBOX = Enrolment(FactorKind.EMAIL, "anna@example.com")


async def trusted(seed: int) -> tuple[LoginHarness, LoginBrowser]:
    """Returns Anna's browser, trusted an hour ago."""
    login_harness = LoginHarness(TRUSTING, seed)
    await login_harness.start()
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX)
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address), remember="1")
    login_harness.clock.advance(3600)
    return login_harness, browser


async def later(turns: int, browser: LoginBrowser, form: Form | None = None) -> Step:
    """Posts the password after that number of turns of other tasks."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return (await browser.act(Step.PASSWORD, form=form, username="anna", password="right")).step


@pytest.mark.row("CC-12", "GW-13")
@pytest.mark.parametrize("turns", range(0, 160, 8))
async def test_a_double_click_on_sign_in_keeps_a_trusted_browser_trusted(turns: int) -> None:
    login_harness, browser = await trusted(turns)
    second = browser.copy()  # the cookies before the first answer
    form = await browser.form()
    steps = await asyncio.gather(later(0, browser, form), later(turns, second, form))
    assert set(steps) == {Step.DONE}
    assert second.session == browser.session
    login_harness.clock.advance(3600)
    assert await later(0, browser) is Step.DONE


@pytest.mark.attack("D10")
@pytest.mark.parametrize("together", [True, False])
async def test_a_password_with_a_copied_browser_tag_does_not_join_that_browsers_login(together: bool) -> None:
    login_harness = LoginHarness(replace(TRUSTING, trust_browser_days=0))
    await login_harness.start()
    hers = LoginBrowser(login_harness, "laptop")
    copied = hers.copy("phone")
    copied.secret = "A" * 43
    acts = [b.act(Step.PASSWORD, username="anna", password="right") for b in (hers, copied)]
    both = await asyncio.gather(*acts) if together else [await act for act in acts]
    assert len({result.login.id for result in both if result.login}) == 2
    assert hers.secret != copied.secret


FIRST = replace(TRUSTING, trust_browser_days=0)


async def entered(turns: int, browser: LoginBrowser, form: Form, code: str) -> Step:
    """Posts the code after that number of turns of other tasks."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return (await browser.act(Step.VERIFY, form=form, code=code)).step


def with_uneven_delays(login_harness: LoginHarness) -> None:
    """Makes some calls of store and realm take much longer than others."""
    rng = random.Random(login_harness.rng.random())
    login_harness.rng.randrange = lambda *_: rng.choice((0, 0, 1, 2, 40, 80))  # type: ignore[method-assign]


@pytest.mark.row("GW-13")
@pytest.mark.parametrize("turns", [0, 7, 16, 49, 92, 110, 132, 177, 214, 256, 338, 408, 487, 598])
async def test_a_double_click_on_the_code_of_a_first_login_gets_the_same_answer_twice(turns: int) -> None:
    login_harness = LoginHarness(FIRST, turns)
    await login_harness.start()
    browser = LoginBrowser(login_harness, "laptop")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    await browser.act(Step.REGISTER, address=MAILBOX.address)
    await browser.act(Step.CONFIRM, "send")
    second, code, form = browser.copy(), login_harness.mailed(MAILBOX.address), await browser.form()
    with_uneven_delays(login_harness)
    steps = await asyncio.gather(entered(0, browser, form, code), entered(turns, second, form, code))
    assert set(steps) == {Step.DONE}
    assert second.session == browser.session != ""


class AnyCode:
    """The way back from Keycloak, which exchanges a code while other requests run."""

    def __init__(self) -> None:
        self.exchanged: list[str] = []

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        self.exchanged.append(fields["code"])
        await asyncio.sleep(0)
        return StepResult(problem_detail=ProblemDetail(Problem.NOT_STARTED_HERE))

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> StepView:
        raise NotImplementedError


@pytest.mark.row("SI-08")
@pytest.mark.parametrize(("codes", "exchanged"), [(["one", "one"], ["one"]), (["one", "other"], ["one", "other"])])
async def test_each_code_with_the_same_state_is_exchanged_once(codes: list[str], exchanged: list[str]) -> None:
    login_harness = LoginHarness(FIRST)
    flow, page = login_harness.replicas[0].flow, AnyCode()
    flow.pages[Step.SSO] = page  # type: ignore[index]
    browser = LoginBrowser(login_harness, "laptop")
    visit, slot = await browser.visit(), await browser.find()
    fields = {"login": "", "round": "0", "form": "f", "state": "s"}
    await asyncio.gather(*(flow.act(visit, slot, Step.SSO, "", {**fields, "code": code}) for code in codes))
    assert page.exchanged == exchanged
