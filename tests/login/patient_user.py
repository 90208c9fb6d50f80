"""A legitimate user: obeys the pages, waits as long as they say, and has a mailbox and an app."""

from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.login.flow import FlowResult
from gateway.login.record import Login, Purpose
from gateway.login.state_machine import Step
from tests.login.event_scripts import proof
from tests.login.full_login_harness import HOUR, LoginBrowser, LoginHarness


class PatientUser:
    """A user who obeys the pages and waits as long as they say."""

    def __init__(self, login_harness: LoginHarness, browser: LoginBrowser, name: str) -> None:
        self.login_harness, self.browser, self.name = login_harness, browser, name
        self.deadline = login_harness.clock.now() + 26 * HOUR

    async def sign_in(self) -> None:
        seen: list[str] = []
        if self.browser.session:  # a signed-in browser needs no login
            await self.login_harness.sessions.leave(self.login_harness.tenant, self.browser.session)
            self.browser.session = ""
        begun = self.login_harness.clock.now()
        for _ in range(200):
            result = await self.browser.look()
            session = await self.browser.current()
            if session and session.username == self.name and session.created_at >= begun:
                return
            result = await self.next(result)
            problem_detail = result.problem_detail
            problem = problem_detail.problem.value if problem_detail else ""
            seen.append(f"{result.step.value}: {problem} {self.login_harness.clock.now() - begun:.0f}")
            if problem_detail and problem_detail.until and problem_detail.until > self.login_harness.clock.now():
                self.login_harness.clock.set(problem_detail.until)
            elif problem_detail or (
                result.step is Step.VERIFY and result.login and result.login.verification.challenge is None
            ):
                self.login_harness.clock.advance(61)  # a page whose code is being sent reloads by itself
            assert self.login_harness.clock.now() < self.deadline, seen
        raise AssertionError(seen)

    async def next(self, result: FlowResult) -> FlowResult:
        browser, login = self.browser, result.login
        password = self.login_harness.realm.people[self.name].password
        if login is None or login.user is None or result.step in (Step.STOPPED, Step.DONE):
            return await browser.act(Step.PASSWORD, username=self.name, password=password)
        if login.user.username != self.name:
            return await browser.act(result.step, "cancel")
        match result.step:
            case Step.PASSWORD:
                return await browser.act(Step.PASSWORD, username=self.name, password=password)
            case Step.REGISTER:
                return await self.register(login)
            case Step.VERIFY:
                return await self.verify(result, login)
            case Step.NEW_PASSWORD:
                return await browser.act(Step.NEW_PASSWORD, new_password=f"{password} and more")
        return await browser.act(result.step)

    async def register(self, login: Login) -> FlowResult:
        if login.enrolling.draft:
            return await self.browser.act(Step.REGISTER, code=self.login_harness.code_of(login.enrolling.draft.secret))
        if len(login.policy.methods) > 1 and not login.enrolling.picked and login.purpose is Purpose.SIGN_IN:
            return await self.browser.act(Step.REGISTER, factor=FactorKind.EMAIL.value)
        return await self.browser.act(Step.REGISTER, address=f"{self.name}@example.com")

    async def verify(self, result: FlowResult, login: Login) -> FlowResult:
        app, challenge = self.login_harness.app_code(self.name), login.verification.challenge
        if result.problem_detail and challenge is None:
            return result
        if not app and proof(login).message is None and not login.enrolling.awaiting_approval:
            return await self.browser.act(Step.VERIFY, "cancel")  # the user's app was turned off elsewhere
        if app and not login.enrolling.awaiting_approval and not (challenge and challenge.sent_to):
            return await self.browser.act(Step.VERIFY, code=app)
        if challenge and challenge.expires_at and challenge.expires_at > self.login_harness.clock.now():
            tried = await self.browser.act(Step.VERIFY, code=self.login_harness.mailed(challenge.sent_to))
            if not tried.problem_detail or tried.problem_detail.problem not in (Problem.WRONG_CODE, Problem.WARNING):
                return tried
        if login.enrolling.awaiting_approval:
            code = await self.login_harness.admin.issue(self.login_harness.tenant.id, f"id-{self.name}", "admin")
            return await self.browser.act(Step.VERIFY, code=code)
        if proof(login).message is None:  # an app that the user has turned off since: "Not you?" begins a new login
            return await self.browser.act(Step.VERIFY, "cancel")
        return await self.browser.act(Step.VERIFY, "resend")
