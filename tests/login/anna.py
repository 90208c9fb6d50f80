"""Anna, who has a mailbox, and her browser."""

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method, Policy
from gateway.login.record import Step
from tests.login.world import CHANNEL, Browser, World

EMAIL = Method(FactorKind.EMAIL, CHANNEL.service_identifier)
MAILBOX = Enrolment(FactorKind.EMAIL, "anna@example.com")


async def with_mailbox(policy: Policy, seed: int = 1) -> World:
    """A world in which she registered her mailbox; nobody else registered anything."""
    world = World(policy, seed)
    await world.start()
    await world.factors.enrolments.add(world.tenant, "id-anna", world.enrolled("anna"), MAILBOX)
    return world


async def at_the_code(world: World) -> Browser:
    """Her browser; her password was right."""
    browser = Browser(world, "laptop")
    assert (await browser.act(Step.PASSWORD, username="anna", password="right")).step is Step.VERIFY
    return browser
