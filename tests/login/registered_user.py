"""Anna, who has a mailbox, and her browser."""

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method, Policy
from gateway.login.state_machine import Step
from tests.login.full_login_harness import CHANNEL, LoginBrowser, LoginHarness

EMAIL = Method(FactorKind.EMAIL, CHANNEL.service_identifier)
MAILBOX = Enrolment(FactorKind.EMAIL, "anna@example.com")


async def with_mailbox(policy: Policy, seed: int = 1) -> LoginHarness:
    """Returns a harness in which Anna has enrolled her mailbox, and no other user has enrolled anything."""
    login_harness = LoginHarness(policy, seed)
    await login_harness.start()
    await login_harness.enrolments.add(login_harness.tenant, "id-anna", login_harness.enrolled("anna"), MAILBOX)
    return login_harness


async def at_the_code(login_harness: LoginHarness) -> LoginBrowser:
    """Returns Anna's browser after a correct password."""
    browser = LoginBrowser(login_harness, "laptop")
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
    return browser
