"""A legitimate user: does what the pages say, waits as long as they say, and has a mailbox and an app."""

from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.login import aims
from gateway.login.flow import Went
from gateway.login.record import Login, Purpose, Step
from tests.login.world import HOUR, Browser, World


class Patience:
    """A user who does what the pages say, and waits as long as they say."""

    def __init__(self, world: World, browser: Browser, name: str) -> None:
        self.world, self.browser, self.name = world, browser, name
        self.gives_up = world.clock.now() + 26 * HOUR

    async def sign_in(self) -> None:
        seen: list[str] = []
        if self.browser.session:  # a signed-in browser needs no login
            await self.world.sessions.leave(self.world.tenant, self.browser.session)
            self.browser.session = ""
        begun = self.world.clock.now()
        for _ in range(200):
            went = await self.browser.look()
            session = await self.browser.current()
            if session and session.username == self.name and session.created_at >= begun:
                return
            went = await self.next(went)
            trouble = went.trouble
            seen.append(
                f"{went.step.value}: {trouble.problem.value if trouble else ''} {self.world.clock.now() - begun:.0f}"
            )
            if trouble and trouble.until and trouble.until > self.world.clock.now():
                self.world.clock.set(trouble.until)
            elif trouble or (went.step is Step.VERIFY and went.login and went.login.challenge is None):
                self.world.clock.advance(61)  # a page whose code is on its way asks again by itself
            assert self.world.clock.now() < self.gives_up, seen
        raise AssertionError(seen)

    async def next(self, went: Went) -> Went:
        browser, login = self.browser, went.login
        password = self.world.realm.people[self.name].password
        if login is None or login.user is None or went.step in (Step.STOPPED, Step.DONE):
            return await browser.act(Step.PASSWORD, username=self.name, password=password)
        if login.user.username != self.name:
            return await browser.act(went.step, "cancel")
        match went.step:
            case Step.PASSWORD:
                return await browser.act(Step.PASSWORD, username=self.name, password=password)
            case Step.REGISTER:
                return await self.register(login)
            case Step.VERIFY:
                return await self.verify(went, login)
            case Step.NEW_PASSWORD:
                return await browser.act(Step.NEW_PASSWORD, new_password=f"{password} and more")
        return await browser.act(went.step)

    async def register(self, login: Login) -> Went:
        if login.draft:
            return await self.browser.act(Step.REGISTER, code=self.world.code_of(login.draft.secret))
        if len(login.policy.methods) > 1 and not login.picked and login.purpose is Purpose.SIGN_IN:
            return await self.browser.act(Step.REGISTER, factor=FactorKind.EMAIL.value)
        return await self.browser.act(Step.REGISTER, address=f"{self.name}@example.com")

    async def verify(self, went: Went, login: Login) -> Went:
        app, challenge = self.world.app_code(self.name), login.challenge
        if went.trouble and challenge is None:
            return went
        if not app and aims.message(login) is None and not login.unvouched:
            return await self.browser.act(Step.VERIFY, "cancel")  # his app was turned off elsewhere
        if app and not login.unvouched and not (challenge and challenge.sent_to):
            return await self.browser.act(Step.VERIFY, code=app)
        if challenge and challenge.expires_at and challenge.expires_at > self.world.clock.now():
            tried = await self.browser.act(Step.VERIFY, code=self.world.mailed(challenge.sent_to))
            if not tried.trouble or tried.trouble.problem not in (Problem.WRONG_CODE, Problem.WARNING):
                return tried
        if login.unvouched:
            code = await self.world.admin.issue(self.world.tenant.id, f"id-{self.name}", "admin")
            return await self.browser.act(Step.VERIFY, code=code)
        if aims.message(login) is None:  # an app that he turned off meanwhile: "Not you?" begins anew
            return await self.browser.act(Step.VERIFY, "cancel")
        return await self.browser.act(Step.VERIFY, "resend")
