"""What counts against a client address that many people share: who types a wrong password there, and nobody else."""

from dataclasses import replace

import pytest

from gateway.domain.policy import FactorKind, Method
from gateway.domain.problem import Problem
from gateway.domain.user import User
from gateway.login.flow import Went
from gateway.login.record import Step
from gateway.settings.presets import PRESETS
from gateway.settings.snapshot import Configuration
from tests.login.world import CHANNEL, Browser, Person, World

EMAIL = Method(FactorKind.EMAIL, CHANNEL.service_identifier)
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60)
MOST = 3


class Strict(World):
    """So few wrong passwords of one address that a test can type them."""

    @property
    def configuration(self) -> Configuration:
        found = super().configuration
        limits = replace(found.gateway.limits, password_failures_per_client=MOST)
        return replace(found, gateway=replace(found.gateway, limits=limits))


@pytest.fixture
def world() -> World:
    """More people than one address may mistype."""
    world = Strict(EFCX)
    for number in range(2 * MOST):
        name = f"agent{number}"
        world.realm.people[name] = Person(User(f"id-{name}", name, f"{name}@example.com", True))
    return world


async def signs_in(world: World, number: int, password: str, place: str = "desk") -> Went:
    """From a browser of its own; browsers of one place have one address."""
    return await Browser(world, f"{place}{number}").act(Step.PASSWORD, username=f"agent{number}", password=password)


@pytest.mark.attack("F20")
async def test_right_passwords_never_count_against_the_address_of_a_contact_centre(world: World) -> None:
    await signs_in(world, 0, "wrong")
    for number in range(2 * MOST):
        assert (await signs_in(world, number, "right")).step is Step.REGISTER


@pytest.mark.attack("F20")
async def test_wrong_passwords_for_many_names_hold_their_address_and_no_other(world: World) -> None:
    for number in range(MOST):
        await signs_in(world, number, "wrong")
    held = await signs_in(world, MOST, "right")
    assert held.trouble
    assert held.trouble.problem is Problem.TOO_MANY_LOGINS
    assert (await signs_in(world, MOST, "right", place="elsewhere")).step is Step.REGISTER


async def test_a_right_password_forgives_the_wrong_ones_of_its_user(world: World) -> None:
    most = world.configuration.gateway.limits.password_failures_per_user
    for _ in range(2):
        for number in range(most - 1):
            told = await Browser(world, f"{number}").act(Step.PASSWORD, username="agent0", password="wrong")
            assert told.trouble
            assert told.trouble.problem is Problem.WRONG_PASSWORD
        assert (await signs_in(world, 0, "right")).step is Step.REGISTER
