"""A phone with an authenticator app, and how users set it up and prove it."""

from dataclasses import dataclass, field

import pyotp

from gateway.domain.ports import Clock
from tests.dependencies.keycloak_admin import Person as User
from tests.journeys.conftest import Site
from tests.journeys.person import Answer, Person, code_for, codes_to

STEP = 30


@dataclass(frozen=True)
class Phone:
    """The app of one user, on the time of the test."""

    secret: str = field(repr=False)
    clock: Clock

    def code(self, steps: int = 0) -> str:
        """Returns the current code, or the one that number of 30-second steps later."""
        return pyotp.TOTP(self.secret).at(int(self.clock.now()) + steps * STEP)

    def wrong(self) -> str:
        """Returns six digits that the app does not show now or within half an hour."""
        near = {self.code(steps) for steps in range(-60, 61)}
        return next(code for n in range(1000) if (code := f"{n:06}") not in near)


def next_step(site: Site) -> None:
    """Advances to the next code of all apps."""
    site.clock.advance(STEP)


async def scan(site: Site, shown: Answer) -> Phone:
    """Returns the app that scanned the enrolment page."""
    assert shown.step == "register", shown.body
    assert shown.body["factor"] == "totp"
    return Phone(shown.body["secret"], site.clock)


async def first_app(site: Site, agent: Person, user: User) -> Phone:
    """Signs in for the first time where an app is required."""
    phone = await scan(site, await agent.password(user.username, user.password))
    assert (await agent.do("register", code=phone.code())).step == "done"
    next_step(site)
    return phone


async def proved(
    site: Site, agent: Person, user: User, kind: str, factor: str = "", *, phone: Phone | None = None
) -> Answer:
    """Presses a button of the account page and gives the requested proof: a code, or the password."""
    address = user.email or ""
    before = len(codes_to(site.mail, address))
    shown = await agent.act(kind, factor)
    if shown.step == "password":
        return await agent.do("password", password=user.password)
    assert shown.step == "verify", shown.body
    if phone is None:
        return await agent.do("verify", code=await code_for(site.mail, address, before + 1))
    answer = await agent.do("verify", code=phone.code())
    next_step(site)
    return answer


async def set_up_mail(site: Site, agent: Person, user: User, *, phone: Phone | None = None) -> Answer:
    """Turns mail on from the account page, as far as the first page after its code."""
    address = user.email or ""
    shown = await proved(site, agent, user, "enrol", "email", phone=phone)
    assert shown.step == "register", shown.body
    assert (await agent.do("register", address=address)).step == "confirm"
    before = len(codes_to(site.mail, address))
    assert (await agent.do("confirm", "send")).step == "verify"
    return await agent.do("verify", code=await code_for(site.mail, address, before + 1))


async def set_up_app(site: Site, agent: Person, user: User) -> tuple[Phone, Answer]:
    """Turns the app on from the account page, with mail on or without a method."""
    phone = await scan(site, await proved(site, agent, user, "enrol", "totp"))
    done = await agent.do("register", code=phone.code())
    next_step(site)
    return phone, done


async def both(site: Site, agent: Person, user: User) -> tuple[Phone, list[str]]:
    """Signs in where nothing is required, and turns on mail and app; returns the app and the backup codes."""
    assert (await agent.password(user.username, user.password)).step == "done"
    codes = await set_up_mail(site, agent, user)
    assert codes.step == "backup-codes", codes.body
    assert (await agent.do("backup-codes")).step == "done"
    phone, done = await set_up_app(site, agent, user)
    assert done.step == "done"
    while len(site.mail.to(user.email or "")) < 3:  # two codes, and the mail about the app
        await site.mail.wait(len(site.mail.messages) + 1)
    return phone, list(codes.body["codes"])
