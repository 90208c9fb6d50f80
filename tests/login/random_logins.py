"""Runs logins at random: two users, an attacker, several tabs, two replicas, an administrator, time and outages.

The judge is independent of the machine. It knows what the realm granted and had on record, what a factor really
accepted, and which *person* at which browser asked. The attacker, Mallory, knows the users' passwords, owns a mailbox,
sees every page of a browser they use, copies every cookie of a browser up to, not including, those of the answer to
the last proof, plants cookies, and acts first, in between and last.

What is judged after every act:

- The person who receives a session gave its last proof (`docs/security.md`, chain of custody).
- A session follows the proofs that the policy requires, by the enrolments of then and of now.
- An enrolment that needs an approval was approved by an entry of its own, for that very enrolment.
- A password is set only while one is due.
- No documented limit is exceeded (`limit_oracle`), and a new session opens no locked app.
- At the end each user signs in within a day, from the state that is left.
"""

import asyncio
import base64
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.domain import errors
from gateway.domain.challenge import ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import (
    AttemptsScope,
    ChoosePage,
    EnrolmentRule,
    FactorKind,
    LockScope,
    Method,
    OnMaximum,
    Policy,
    Registration,
    RegistrationContact,
)
from gateway.domain.session import Satisfied
from gateway.login.flow import FlowResult
from gateway.login.record import Act, ActKind, Login, Purpose
from gateway.login.state_machine import Effect, Step, state_of
from gateway.observe.audit import AuditEvent
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from tests.fixtures import limit_oracle
from tests.fixtures.full_login_harness import ACTOR, CHANNEL, Actor, Form, LoginBrowser, LoginHarness, Received
from tests.fixtures.limit_oracle import Judged
from tests.fixtures.patient_user import PatientUser

USERS = ("anna", "ben")
MALLORY = "mallory"
EMAIL, APP = Method(FactorKind.EMAIL, CHANNEL.service_identifier), Method(FactorKind.TOTP)
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60, otp_max_attempts=5)
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=(EMAIL, APP))
REQUIRED = replace(CLOUDCX, enrolment=EnrolmentRule.REQUIRED, registration_contact=RegistrationContact.ANY)
POLICIES = {
    "efcx": EFCX,
    "efcx with an app": replace(EFCX, methods=(APP,)),
    "efcx with trust": replace(EFCX, trust_browser_days=30),
    "efcx guarded": replace(EFCX, registration=Registration.GUARDED),
    "efcx guarded with an app": replace(EFCX, methods=(APP,), registration=Registration.GUARDED),
    "efcx off": replace(EFCX, enabled=False),
    "efcx by an administrator": replace(EFCX, registration=Registration.ADMIN_CODE),
    "efcx with an app by an administrator": replace(EFCX, methods=(APP,), registration=Registration.ADMIN_CODE),
    "cloudcx": CLOUDCX,
    "cloudcx guarded": replace(REQUIRED, registration=Registration.GUARDED),
    "cloudcx required": REQUIRED,
    "a lock of one app": replace(
        EFCX, attempts_scope=AttemptsScope.USER, on_max_verify=OnMaximum.LOCK, locked_for=1800, lock_scope=LockScope.APP
    ),
    "cloudcx required with trust": replace(REQUIRED, trust_browser_days=14),
}
STEPS = 60
WRONG = ("000000", "999999", "0000000000", "12345")
AFTER_THE_LAST_PROOF = (Effect.SAVE, Effect.OPEN, Effect.TOUCH, Effect.ACT, Step.BACKUP_CODES, Step.DONE)


@dataclass
class Known:
    """The knowledge of one person: passwords by user, app secrets and backup codes seen on a page."""

    passwords: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    backup: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    admin: dict[str, str] = field(default_factory=dict)


class RandomSequence:
    """One random sequence of logins: `run` takes that number of steps; `requests` counts the requests to the flow."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self.policy, self.seed = policy, seed
        self.random = random.Random(seed)
        self.login_harness = LoginHarness(policy, seed)
        self.log: list[str] = []
        self.reached: Counter[str] = Counter()
        self.registered_seen = self.limits_seen = 0
        self.had: dict[str, EnrolmentSet] = {}
        self.since: dict[str, EnrolmentSet] = {}
        self.trusted_cookie_of: dict[str, str] = {}
        if policy.registration is not Registration.OPEN:
            for name, person in self.login_harness.realm.people.items():  # an address that was not typed approves
                person.user = replace(person.user, email=f"{name}@profile.example")
        self.browsers = [LoginBrowser(self.login_harness, name) for name in ("laptop", "phone", "kiosk", "den")]
        self.known = {name: Known({name: "right"}) for name in USERS}
        self.known[MALLORY] = Known({name: "right" for name in USERS})

    @property
    def requests(self) -> int:
        return self.login_harness.requests

    async def begin(self) -> None:
        await self.login_harness.start()
        both = (FactorKind.EMAIL, FactorKind.TOTP)
        for kind in self.random.choice(((), both[:1], both[1:], both)):
            codes = backup_code.make(self.policy.backup_codes, self.login_harness.random)
            secret = (
                base64.b32encode(self.login_harness.random.token_bytes(20)).decode() if kind is FactorKind.TOTP else ""
            )
            self.known["anna"].secrets.add(secret)
            self.known["anna"].backup["anna"] = list(codes)
            new = Enrolment(kind, "anna@example.com" if kind is FactorKind.EMAIL else "", secret)
            await self.login_harness.enrolments.add(
                self.login_harness.tenant, "id-anna", self.login_harness.enrolled("anna"), new, codes
            )
        self.remember_sets()

    def remember_sets(self) -> None:
        """Records the current enrolments; a correct password in this step may have been followed by either set."""
        self.had = {name: self.login_harness.enrolled(name) for name in USERS}
        for token, grant in self.login_harness.realm.grants.items():
            self.since.setdefault(token, self.had[grant.user])

    async def run(self, steps: int) -> None:
        """Runs the steps, judges after each one, and lets each user sign in at the end."""
        await self.begin()
        for _ in range(steps):
            await self.step()
            await self.judge()
        await self.end()

    async def step(self) -> None:
        what, weight = zip(*self.STEPS, strict=True)
        chosen = self.random.choices(what, weight)[0]
        await chosen(self)

    def say(self, *words: object) -> None:
        self.log.append(" ".join(map(str, words)))

    # ------------------------------------------------------------------ steps

    async def together(self, *acts: Awaitable[Any]) -> None:
        """Runs all acts in parallel; during an outage the browser sees an error page."""
        for ended in await asyncio.gather(*acts, return_exceptions=True):
            if isinstance(ended, errors.GatewayError):
                self.reached["outage"] += 1
            elif isinstance(ended, BaseException):
                raise ended
        self.login_harness.limit_oracle.batch += 1

    def any_actor(self) -> tuple[LoginBrowser, str]:
        """Returns a browser and the person at it. Where a lock is of one app, any app is wanted there."""
        laptop, phone, kiosk, den = self.browsers
        if self.policy.lock_scope is LockScope.APP:
            for browser in self.browsers:
                browser.app = self.random.choice([route.path for route in self.login_harness.tenant.routes])
        return self.random.choice(
            (
                *((laptop, "anna"), (laptop, "anna"), (phone, "ben"), (kiosk, "anna"), (kiosk, "ben")),
                *((kiosk, MALLORY), (den, MALLORY), (den, MALLORY)),
            )
        )

    async def continues_login(self) -> None:
        browser, person = self.any_actor()
        for _ in range(self.random.randrange(1, 7)):
            await self.together(self.act(browser, person))

    async def tabs(self) -> None:
        actors = [self.any_actor() for _ in range(self.random.randrange(2, 6))]
        await self.together(*(self.act(browser, person) for browser, person in actors))

    async def one_form_in_many_tabs(self) -> None:
        browser, person = self.any_actor()
        times = self.random.randrange(2, 6)
        await self.together(*(self.act(browser, person) for _ in range(times)))

    async def a_double_click(self) -> None:
        """Posts the same form twice, with two states of the cookies."""
        browser, person = self.any_actor()
        page, fields = await self.entry(browser, person)
        if page is None:
            return
        form, other = await browser.form(), browser.copy()
        self.say("double", browser.name, person, page.value)
        await self.together(
            self.post(browser, person, page, form, fields), self.post(other, person, page, form, fields)
        )
        browser.opened += other.opened

    async def an_old_form(self) -> None:
        browser, person = self.any_actor()
        page, fields = await self.entry(browser, person)
        if page is None or not browser.forms:
            return
        form = self.random.choice(browser.forms[-6:])
        await self.together(self.post(browser, person, page, form, fields))

    async def copies(self) -> None:
        """Mallory copies the cookies of a browser, except those set by the answer to a last proof."""
        source = self.random.choice(self.browsers[:3])
        if await self.holds_a_last_answer(source):
            return
        den = self.browsers[3]
        self.say("mallory copies", source.name)
        den.tag, den.secret, den.trust, den.session = source.tag, source.secret, source.trust, source.session
        den.forms = list(source.forms[-3:]) if self.random.random() < 0.3 else []

    async def plants(self) -> None:
        """Mallory plants the login cookie of their own browser into another one."""
        target, den = self.random.choice(self.browsers[:3]), self.browsers[3]
        if await self.holds_a_last_answer(den):
            return
        self.say("mallory plants into", target.name)
        target.tag, target.secret = den.tag, den.secret

    async def copies_while_others_act(self) -> None:
        """Mallory uses copied cookies while their owner continues."""
        victim, person = self.browsers[0], "anna"
        if await self.holds_a_last_answer(victim):
            return
        den = self.browsers[3]
        den.tag, den.secret = victim.tag, victim.secret
        self.say("mallory copies laptop and acts at once")
        acts = [self.act(victim, person), *(self.act(den, MALLORY) for _ in range(self.random.randrange(1, 3)))]
        self.random.shuffle(acts)
        await self.together(*acts)

    async def follows(self) -> None:
        """Mallory copies the cookies of a browser once, and acts after each step of its user, through outages too."""
        victim, person = self.random.choice(((self.browsers[0], "anna"), (self.browsers[2], "ben")))
        if await self.holds_a_last_answer(victim):
            return
        den = self.browsers[3]
        den.tag, den.secret, den.trust = victim.tag, victim.secret, victim.trust
        self.say("mallory copies", victim.name, "and follows")
        for _ in range(self.random.randrange(2, 7)):
            if self.random.random() < 0.2:
                self.login_harness.away.add("keycloak")
            await self.together(self.act(victim, person))
            self.login_harness.away.clear()
            await self.judge()
            await self.together(*(self.act(den, MALLORY) for _ in range(self.random.randrange(1, 3))))
            await self.judge()

    async def holds_a_last_answer(self, browser: LoginBrowser) -> bool:
        """Returns whether a cookie of `browser` is from the answer to the last proof of a login or session."""
        session, slot = await browser.current(), await browser.find()
        if session and session.satisfied is not Satisfied.NOT_ASKED:
            return True
        return slot.login is not None and state_of(slot.login).pending[0] in AFTER_THE_LAST_PROOF

    async def signs_out(self) -> None:
        browser, _ = self.any_actor()
        if browser.session:
            self.say("sign out", browser.name)
            await self.login_harness.sessions.leave(self.login_harness.tenant, browser.session)
            browser.session = ""
            browser.secret = "A" * 43

    async def inside(self) -> None:
        """Presses a button of the account page."""
        browser, person = self.any_actor()
        kind = self.random.choice((*ActKind, None, None))
        factor = self.random.choice((FactorKind.EMAIL, FactorKind.TOTP))
        ACTOR.set(Actor(person, browser.name))
        self.say("account", browser.name, person, kind, factor)

        def begins() -> Awaitable[Any]:
            return browser.enrol(factor) if kind is None else browser.begin(Act(kind, factor))

        await self.together(*(begins() for _ in range(self.random.choice((1, 1, 2)))))

    async def odd(self) -> None:
        """Posts a form of any page with any button."""
        browser, person = self.any_actor()
        page = self.random.choice(list(Step)[:-1])
        action = self.random.choice(("", "send", "resend", "edit", "cancel", "nonsense"))
        fields = {"code": self.random.choice(WRONG)} if self.random.random() < 0.5 else {}
        self.say("odd", browser.name, person, page.value, action)
        await self.together(self.post(browser, person, page, None, {"action": action, **fields}))

    async def time(self) -> None:
        seconds = self.random.choice((1, 1, 29, 31, 31, 61, 61, 301, 901, 1801, 3700, 90_000))
        self.say("time", seconds)
        self.login_harness.clock.advance(seconds)

    async def guesses(self) -> None:
        browser, person = self.any_actor()
        for _ in range(self.random.randrange(2, 9)):
            await self.together(self.act(browser, person, wrong=True))

    async def changes(self) -> None:
        """Changes something, as an administrator or as the user elsewhere."""
        login_harness, tenant, of_user = self.login_harness, self.login_harness.tenant, self.random.choice(USERS)
        person, enrolments = login_harness.realm.people[of_user], self.login_harness.enrolments
        user_id, factor = f"id-{of_user}", self.random.choice((FactorKind.EMAIL, FactorKind.TOTP))
        what = self.random.randrange(9)
        self.say("change", what, of_user)
        match what:
            case 0:  # a temporary password, which the user and Mallory learn
                person.password, person.due = f"temporary {self.random.random()}", True
                person.credential_date = (person.credential_date or 0) + 1
                self.known[of_user].passwords[of_user] = person.password
                self.known[MALLORY].passwords[of_user] = person.password
            case 1:
                person.due = True
            case 2:
                self.known[of_user].admin[of_user] = await login_harness.admin.issue(tenant.id, user_id, "admin")
            case 3:
                login_harness.mails.refuses = "" if login_harness.mails.refuses else "down"
            case 4:
                made = backup_code.make(self.policy.backup_codes, login_harness.random)
                if await enrolments.renew_backup_codes(tenant, user_id, made):
                    self.known[of_user].backup[of_user] = list(made)
            case 5:
                await enrolments.end_trust(tenant, user_id)
            case 6:
                await enrolments.turn_off(tenant, user_id, factor)
            case 7 if self.policy.choose_page is ChoosePage.NEVER and self.policy.enabled:
                methods = (APP,) if tenant.policy.methods == (EMAIL,) else (EMAIL,)
                login_harness.tenant = replace(tenant, policy=replace(tenant.policy, methods=methods))
            case 8 if self.policy.trust_browser_days:
                days = self.random.choice((0, 14, 30))
                login_harness.tenant = replace(tenant, policy=replace(tenant.policy, trust_browser_days=days))

    async def outage(self) -> None:
        """Keycloak or the store is down for one act."""
        part = self.random.choice(("keycloak", "store"))
        self.say("outage", part)
        self.login_harness.away.add(part)
        browser, person = self.any_actor()
        try:
            await self.together(self.act(browser, person), self.act(browser, person))
        finally:
            self.login_harness.away.clear()

    STEPS: tuple[tuple[Callable[["RandomSequence"], Awaitable[None]], int], ...] = (
        (continues_login, 30),
        (tabs, 12),
        (one_form_in_many_tabs, 6),
        (a_double_click, 6),
        (an_old_form, 4),
        (copies, 8),
        (plants, 6),
        (copies_while_others_act, 6),
        (follows, 8),
        (signs_out, 2),
        (inside, 8),
        (odd, 4),
        (time, 8),
        (guesses, 2),
        (changes, 7),
        (outage, 3),
    )

    # ------------------------------------------------------------------ what a person does at a page

    async def act(self, browser: LoginBrowser, person: str, *, wrong: bool = False) -> None:
        page, fields = await self.entry(browser, person, wrong=wrong)
        if page is not None:
            await self.post(browser, person, page, None, fields)

    async def post(
        self, browser: LoginBrowser, person: str, page: Step, form: Form | None, fields: dict[str, str]
    ) -> FlowResult:
        ACTOR.set(Actor(person, browser.name))
        self.say(browser.name, person, page.value, {k: v for k, v in fields.items() if k != "password"})
        return await browser.act(page, form=form, **fields)

    async def entry(
        self, browser: LoginBrowser, person: str, *, wrong: bool = False
    ) -> tuple[Step | None, dict[str, str]]:
        """Returns what `person` enters on the page that `browser` shows."""
        ACTOR.set(Actor(person, browser.name))
        result = await (browser.enter() if self.random.random() < 0.2 else browser.look())
        login = result.login
        if login is None or login.user is None or result.step in (Step.STOPPED, Step.DONE):
            return self.signs_in(person)
        name = login.user.username
        if name != person and person != MALLORY:
            return result.step, {"action": "cancel"}
        if login.enrolling.draft and login.enrolling.draft.secret and result.step is Step.REGISTER:
            self.known[person].secrets.add(login.enrolling.draft.secret)
        match result.step:
            case Step.PASSWORD:
                return Step.PASSWORD, {"password": self.known[person].passwords.get(name, "?")}
            case Step.REGISTER if not login.enrolling.draft:
                several = len(login.policy.methods) > 1 and not login.enrolling.picked and not login.wanted
                pick = self.random.choice((FactorKind.EMAIL, FactorKind.TOTP)).value
                return Step.REGISTER, {"factor": pick} if several else {"address": f"{person}@example.com"}
            case Step.CONFIRM:
                return Step.CONFIRM, {"action": self.random.choice(("send", "send", "send", "edit"))}
            case Step.BACKUP_CODES:
                self.known[person].backup[name] = list(login.enrolments.backup_codes)
                return Step.BACKUP_CODES, {}
            case Step.NEW_PASSWORD:
                new = f"{person} {self.random.randrange(10**6)}"
                fields = {"new_password": self.random.choice((new, new, "weak"))}
                if login.credential_date is None:
                    fields["current_password"] = self.known[person].passwords.get(name, "?")
                return Step.NEW_PASSWORD, fields
        code = self.random.choice(WRONG) if wrong or self.random.random() < 0.15 else self.code(login, person, name)
        if not code:
            return result.step, {"action": self.random.choice(("resend", "send", "cancel", "resend"))}
        remember = {"remember": "1"} if self.random.random() < 0.3 else {}
        return result.step, {"code": code, **remember}

    def signs_in(self, person: str) -> tuple[Step, dict[str, str]]:
        name = person if person in USERS else self.random.choice(USERS)
        known = self.known[person].passwords
        password = known.get(name, "?") if self.random.random() < 0.95 else "nonsense"
        return Step.PASSWORD, {"username": name, "password": password}

    def code(self, login: Login, person: str, name: str) -> str:
        """Returns a code that this person can have for this page; "" without one."""
        own, known = {f"{person}@example.com", f"{person}@profile.example"}, self.known[person]
        found: list[str] = []
        if login.verification.challenge and login.verification.challenge.sent_to in own:
            found += [self.login_harness.mailed(login.verification.challenge.sent_to)] * 3
        drafted = login.enrolling.draft.secret if login.enrolling.draft else ""
        enrolled = self.login_harness.enrolled(name).of(FactorKind.TOTP)
        if drafted:
            found += [self.login_harness.code_of(drafted)] * 3
        elif enrolled and enrolled.secret in known.secrets:
            found += [self.login_harness.code_of(enrolled.secret)] * 3
        found += known.backup.get(name, [])[:1]
        if name in known.admin:
            found += [known.admin[name]] * (6 if login.enrolling.awaiting_approval else 1)
        if not found or self.random.random() < 0.05:
            found += [self.login_harness.mailed(address) for address in own]
        found = [code for code in found if code]
        return self.random.choice(found) if found else ""

    # ------------------------------------------------------------------ the judge

    async def judge(self) -> None:
        for browser in self.browsers:
            for received in browser.opened:
                self.judge_session(browser, received)
            browser.opened.clear()
            await self.judge_cookie(browser)
        self.judge_enrolments()
        assert not self.login_harness.violations, self.login_harness.violations
        if self.limits_seen != len(self.login_harness.limit_oracle.seen):
            self.limits_seen = len(self.login_harness.limit_oracle.seen)
            limit_oracle.check(self.login_harness.limit_oracle.seen)
        self.learn_passwords()

    def learn_passwords(self) -> None:
        for person, name, password in self.login_harness.set_by:
            self.known[person].passwords[name] = password
        self.login_harness.set_by.clear()

    def proofs(self, login: Login) -> list[Judged]:
        """Returns the entries that a factor accepted for this login, in the rounds that count."""
        rights = (one for one in self.login_harness.limit_oracle.seen if one.right and one.login == login.id)
        return [one for one in rights if one.round >= login.proofs_from]

    def judge_session(self, browser: LoginBrowser, received: Received) -> None:
        login, session, person = received.login, received.session, received.person
        if login.purpose is not Purpose.SIGN_IN:
            return
        self.reached[f"session {session.satisfied.value}"] += 1
        name, counted = session.username, self.proofs(login)
        grant = self.login_harness.realm.grants[session.tokens.access]
        assert grant.user == name
        assert all(one.user == f"id-{name}" for one in counted)
        if session.satisfied is Satisfied.PROVED:
            assert counted, "a session without an accepted proof"
            last = counted[-1].batch
            givers = {(one.person, one.browser) for one in counted if one.batch == last}
            # A page left open before the last click belongs to the next person at that browser (`docs/security.md`).
            left_open = browser.name in {where for _, where in givers}
            assert person in {actors for actors, _ in givers} or left_open, ("received by", person, "proved by", givers)
            before = [one for one in self.login_harness.limit_oracle.seen if one.batch < last]
            for app in limit_oracle.locked_apps(before, session.user_id, session.created_at):
                self.reached["session beside a locked app"] += 1
                assert not session.opens(self.login_harness.tenant, app), ("opens a locked app", app)
            self.judge_proof(login, (grant.enrolled, self.since.get(session.tokens.access, grant.enrolled)), counted)
        else:
            gave = self.login_harness.gave_password(name)
            left_open = browser.name in {actor.browser for actor in gave}
            assert person in {actor.person for actor in gave} or left_open, ("received by", person)
        trusted = session.satisfied is Satisfied.TRUSTED
        for policy, enrolled in ((login.policy, grant.enrolled), (self.login_harness.tenant.policy, self.had[name])):
            if asks(policy, enrolled):
                assert session.satisfied is Satisfied.PROVED or trusted, "a factor was required"
        if trusted:
            assert (grant.credential_date, not login.changed) == (login.credential_date, True)
            assert self.login_harness.tenant.policy.trust_browser_days

    def judge_proof(self, login: Login, then: tuple[EnrolmentSet, ...], counted: list[Judged]) -> None:
        """Asserts that the proof fits the user's factors at the password, or what this login enrolled."""
        assert any(self.proves(login, enrolled, counted) for enrolled in then), "not the factor that was required"

    def proves(self, login: Login, enrolled: EnrolmentSet, counted: list[Judged]) -> bool:
        usable = [e for m in login.policy.methods for e in enrolled.enrolments if e.factor is m.factor]
        if not usable:
            return login.changed or any(one.purpose is ProofPurpose.ENROL for one in counted)
        usable = usable[:1] if login.policy.choose_page is ChoosePage.NEVER else usable
        allowed = {*(e.factor for e in usable), FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE}
        addresses = [e.address for e in usable]
        return all(
            one.right in allowed and (one.right is not FactorKind.EMAIL or one.sent_to in addresses) for one in counted
        )

    async def judge_cookie(self, browser: LoginBrowser) -> None:
        """Asserts that only the browser whose answer set its cookie can use a session that proved a factor."""
        session = await browser.current()
        if session is None or session.satisfied is not Satisfied.PROVED:
            return
        assert browser.session in self.login_harness.given, (browser.name, "holds a cookie that no answer gave it")
        assert self.login_harness.given[browser.session] == browser.name, (
            browser.name,
            self.login_harness.given[browser.session],
        )

    def judge_enrolments(self) -> None:
        """Asserts that each factor was proved before it was saved, and approved where the policy requires it."""
        since = self.login_harness.audit[self.registered_seen :]
        new = [line for line in since if line.event is AuditEvent.ENROLMENT_ADDED]
        self.registered_seen = len(self.login_harness.audit)
        for line in new:
            rights = [one for one in self.login_harness.limit_oracle.seen if one.right and one.login == line.login]
            enrolled = [one for one in rights if one.purpose is ProofPurpose.ENROL]
            verified = [one for one in rights if one.purpose is ProofPurpose.VERIFY]
            approved = [one for one in rights if one.purpose is ProofPurpose.APPROVE]
            assert enrolled or verified
            self.reached["enrolment"] += 1
            if self.policy.registration is Registration.OPEN or self.had[line.user].enrolments:
                continue
            self.reached["enrolment approved"] += bool(approved)
            assert [one for one in approved if one.draft in {e.draft for e in enrolled}], "saved without approval"
            assert {one.challenge for one in approved}.isdisjoint(one.challenge for one in enrolled)
        self.remember_sets()

    async def end(self) -> None:
        self.login_harness.mails.refuses = ""
        for browser, name in zip(self.browsers[:3], ("anna", "ben", "anna"), strict=True):
            ACTOR.set(Actor(name, browser.name))
            await PatientUser(self.login_harness, browser, name).sign_in()
            self.login_harness.limit_oracle.batch += 1
            await self.judge()
            self.reached["gets in"] += 1


def asks(policy: Policy, enrolled: EnrolmentSet) -> bool:
    """Returns whether the policy requires a factor of a user with these enrolments."""
    offered = [m.factor for m in policy.methods]
    has = any(e.factor in offered for e in enrolled.enrolments)
    return policy.enabled and (has or policy.enrolment is EnrolmentRule.REQUIRED)


def run_sequence(name: str, seed: int, steps: int = STEPS) -> RandomSequence:
    """Runs one sequence to its end; a failure reports policy, seed and steps."""
    one = RandomSequence(POLICIES[name], seed)
    try:
        asyncio.run(one.run(steps))
    except BaseException:
        print(f"\npolicy {name!r}, seed {seed}, after {len(one.log)} acts:\n" + "\n".join(one.log[-60:]))
        raise
    return one


def main() -> None:
    """Runs new logins: `python -m tests.login.random_logins REQUESTS [SEED]`; prints seeds and results."""
    wanted = int(sys.argv[1])
    first = seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    requests, sequences, reached = 0, 0, Counter[str]()
    while requests < wanted:
        for name in POLICIES:
            one = run_sequence(name, seed)
            requests, sequences, reached = requests + one.requests, sequences + 1, reached + one.reached
        seed += 1
    print(f"seeds {first} to {seed - 1}: {sequences} plays, {requests} requests; reached {dict(reached)}")


if __name__ == "__main__":
    main()
