"""A session opens no app that is locked for its user, whichever app the login was for."""

from dataclasses import replace

import pytest

from gateway.domain.policy import AttemptsScope, LockScope, OnMaximum
from gateway.login.state_machine import Step
from gateway.settings.presets import PRESETS
from tests.fixtures.full_login_harness import LoginBrowser
from tests.fixtures.registered_user import EMAIL, MAILBOX, with_mailbox

POLICY = replace(
    PRESETS["efcx"].policy,
    methods=(EMAIL,),
    otp_expiry=300,
    otp_max_attempts=2,
    attempts_scope=AttemptsScope.USER,
    on_max_verify=OnMaximum.LOCK,
    locked_for=1800,
    lock_scope=LockScope.APP,
)


@pytest.mark.row("GE-21")
async def test_a_login_for_one_app_opens_no_app_that_is_locked_for_the_user() -> None:
    login_harness = await with_mailbox(POLICY)
    locked = LoginBrowser(login_harness, "laptop", app="/agent-manager")
    await locked.act(Step.PASSWORD, username="anna", password="right")
    for _ in range(2):
        found = await locked.act(Step.VERIFY, code="000000")
    assert found.step is Step.STOPPED
    login_harness.clock.advance(61)
    browser = LoginBrowser(login_harness, "phone", app="/unified-admin")
    await browser.act(Step.PASSWORD, username="anna", password="right")
    assert (await browser.act(Step.VERIFY, code=login_harness.mailed(MAILBOX.address))).step is Step.DONE
    session = await browser.current()
    assert session
    assert session.routes == ("/unified-admin",)
