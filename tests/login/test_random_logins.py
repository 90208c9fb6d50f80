"""Whatever two users, several tabs and an administrator do in whatever order: does the login keep its promises?

- A session follows only the proof that its policy required when its password was right.
- No limit is exceeded, however many tabs try at once.
- A legitimate user is never stuck: from where things stand he signs in after a day at most.

What is checked comes from outside of the machine: what the realm granted and had on record then, what the audit heard
judged, and which sessions browsers got.
"""

import asyncio
import base64
import random
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import (
    ChoosePage,
    EnrolmentRule,
    FactorKind,
    Method,
    Policy,
    Registration,
    RegistrationContact,
)
from gateway.domain.session import Satisfied, Session
from gateway.login.record import Login, Purpose, Step
from gateway.observe.audit import AuditEvent
from gateway.second_factor.factors import backup_code
from gateway.settings.presets import PRESETS
from tests.login import witness
from tests.login.patience import Patience
from tests.login.world import CHANNEL, Browser, World

EMAIL, APP = Method(FactorKind.EMAIL, CHANNEL.service_identifier), Method(FactorKind.TOTP)
EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60, otp_max_attempts=5)
CLOUDCX = replace(PRESETS["cloudcx"].policy, methods=(EMAIL, APP))
REQUIRED = replace(CLOUDCX, enrolment=EnrolmentRule.REQUIRED, registration_contact=RegistrationContact.ANY)
POLICIES = {
    "efcx": EFCX,
    "efcx with an app": replace(EFCX, methods=(APP,)),
    "efcx with trust": replace(EFCX, trust_browser_days=30),
    "efcx guarded": replace(EFCX, registration=Registration.GUARDED),
    "efcx off": replace(EFCX, enabled=False),
    "efcx by an administrator": replace(EFCX, registration=Registration.ADMIN_CODE),
    "cloudcx": CLOUDCX,
    "cloudcx guarded": replace(REQUIRED, registration=Registration.GUARDED),
    "cloudcx required": REQUIRED,
    "cloudcx required with trust": replace(REQUIRED, trust_browser_days=14),
}
PEOPLE = ("anna", "ben")
NAMES = ("laptop", "phone", "kiosk")
TYPED = (
    "right",
    "right",
    "right",
    "right",
    "000000",
    "000000",
    "mailed",
    "mailed to the other",
    "app",
    "app of before",
    "backup",
    "used backup",
    "admin",
    "0000000000",
)
GOES_ON = st.tuples(st.just("go on"), st.sampled_from(TYPED), st.booleans())
PRESSES = st.tuples(
    st.just("press"),
    st.sampled_from(list(Step)[:-1]),
    st.sampled_from(("", "send", "resend", "edit", "cancel", "send", "resend")),
)
WITHIN = st.one_of(
    st.tuples(st.just("enrol"), st.sampled_from((FactorKind.EMAIL, FactorKind.TOTP))), st.just(("prove again",))
)
ODD = st.one_of(
    st.tuples(st.just("password"), st.sampled_from(PEOPLE), st.sampled_from(("right", "wrong"))),
    st.tuples(st.just("register"), st.sampled_from(("anna@example.com", "ben@example.com", "other@example.com"))),
    st.tuples(st.just("pick"), st.sampled_from((FactorKind.EMAIL, FactorKind.TOTP))),
    PRESSES,
    WITHIN,
    st.just(("look",)),
)
BROWSER = st.integers(0, len(NAMES) - 1)
EVENTS = st.one_of(
    st.tuples(st.just("a password falls due"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("an administrator's code"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("the relay"), st.booleans()),
    st.tuples(st.just("new backup codes"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("an end of trust"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("a factor off"), st.sampled_from(PEOPLE), st.sampled_from((FactorKind.EMAIL, FactorKind.TOTP))),
    st.tuples(st.just("trust for"), st.sampled_from((0, 14, 30))),
    st.tuples(st.just("another channel"), st.none()),
)


class Logins(RuleBasedStateMachine):
    """See the module's text."""

    policy: Policy

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.checked = self.read = 0
        self.without_factor = set(PEOPLE)
        self.trusted: dict[str, tuple[str, float, int, int]] = {}
        self.admin_codes: dict[str, str] = {}
        self.used_backup: dict[str, str] = {}

    @initialize(seed=st.integers(0, 2**16), registered=st.sampled_from(("", "email", "totp", "email totp")))
    def begin(self, seed: int, registered: str) -> None:
        self.world = World(self.policy, seed)
        self.browsers = [Browser(self.world, name) for name in NAMES]
        self.random = random.Random(seed)
        if self.policy.registration is Registration.GUARDED:
            for name, person in self.world.realm.people.items():  # somebody else than who types an address vouches
                person.user = replace(person.user, email=f"{name}@profile.example")
        self.run(self.world.start())
        for kind in registered.split():
            self.run(self.register_before(FactorKind(kind)))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    async def register_before(self, kind: FactorKind) -> None:
        """Anna registered long ago."""
        codes = backup_code.make(self.policy.backup_codes, self.world.chance)
        secret = base64.b32encode(self.world.chance.token_bytes(20)).decode()
        new = Enrolment(kind, "anna@example.com") if kind is FactorKind.EMAIL else Enrolment(kind, secret=secret)
        await self.world.factors.enrolments.add(self.world.tenant, "id-anna", self.world.enrolled("anna"), new, codes)

    # ------------------------------------------------------------------ what happens

    @rule(browser=BROWSER, what=st.lists(GOES_ON, min_size=1, max_size=8))
    def somebody_goes_on(self, browser: int, what: list[tuple[Any, ...]]) -> None:
        """One after the other."""
        for act in what:
            self.run(self.together([self.act(self.browsers[browser], *act)]))

    @rule(browser=BROWSER, what=st.lists(GOES_ON, min_size=1, max_size=8))
    def somebody_else_goes_on(self, browser: int, what: list[tuple[Any, ...]]) -> None:
        self.somebody_goes_on(browser, what)

    @rule(acts=st.lists(st.tuples(BROWSER, st.one_of(GOES_ON, GOES_ON, ODD)), min_size=2, max_size=6))
    def tabs_act_at_once(self, acts: list[tuple[int, tuple[Any, ...]]]) -> None:
        self.run(self.together([self.act(self.browsers[n], *what) for n, what in acts]))

    @rule(browser=BROWSER, typed=st.sampled_from(TYPED), times=st.integers(2, 8))
    def one_code_is_typed_in_many_tabs(self, browser: int, typed: str, times: int) -> None:
        self.run(self.together([self.act(self.browsers[browser], "go on", typed, False) for _ in range(times)]))

    @rule(browser=BROWSER, what=ODD)
    def something_odd_is_done(self, browser: int, what: tuple[Any, ...]) -> None:
        self.run(self.together([self.act(self.browsers[browser], *what)]))

    @rule(browser=BROWSER, times=st.integers(3, 11), waits=st.booleans())
    def somebody_guesses(self, browser: int, times: int, waits: bool) -> None:
        """One after the other, in as many logins as it takes; who waits does so for as long as a lock says."""
        for _ in range(times):
            self.run(self.together([self.act(self.browsers[browser], "go on", "000000", False)]))
            went = self.run(self.browsers[browser].look())
            if waits and went.trouble and went.trouble.until and went.trouble.until > self.world.clock.now():
                self.world.clock.set(went.trouble.until)

    @rule(browser=BROWSER, remember=st.booleans(), reset=st.booleans())
    def somebody_comes_back_to_a_due_password(self, browser: int, remember: bool, reset: bool) -> None:
        """His browser may be trusted; an administrator `reset` the password, or only asks for another one."""
        self.somebody_goes_on(browser, [("go on", "right", remember)] * 5)
        self.world.clock.advance(61)
        name = PEOPLE[0] if self.browsers[browser].name != "phone" else PEOPLE[1]
        self.run(self.change("a password falls due" if reset else "another password is asked for", name))
        self.somebody_goes_on(browser, [("go on", "right", remember)] * 5)

    @rule(seconds=st.sampled_from((1, 29, 31, 61, 301, 901, 1801, 3700, 90_000)))
    def time_goes_by(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(what=EVENTS)
    def something_changes(self, what: tuple[Any, ...]) -> None:
        self.run(self.change(*what))

    async def change(self, what: str, whose: Any, factor: FactorKind = FactorKind.EMAIL) -> None:
        world, enrolments, tenant = self.world, self.world.factors.enrolments, self.world.tenant
        match what:
            case "a password falls due":
                person = world.realm.people[whose]
                person.due, person.credential_date = True, person.credential_date + 1
            case "another password is asked for":
                world.realm.people[whose].due = True
            case "an administrator's code":
                self.admin_codes[whose] = await world.admin.issue(tenant.id, f"id-{whose}", "admin")
            case "the relay":
                world.mails.refuses = "down" if whose else ""
            case "new backup codes":
                made = backup_code.make(self.policy.backup_codes, world.chance)
                await enrolments.renew_backup_codes(tenant, f"id-{whose}", made)
            case "an end of trust":
                await enrolments.end_trust(tenant, f"id-{whose}")
            case "a factor off":
                await enrolments.turn_off(tenant, f"id-{whose}", factor)
            case "another channel" if self.policy.choose_page is ChoosePage.NEVER and self.policy.enabled:
                methods = (APP,) if tenant.policy.methods == (EMAIL,) else (EMAIL,)
                world.tenant = replace(tenant, policy=replace(tenant.policy, methods=methods))
            case "trust for" if self.policy.trust_browser_days:
                world.tenant = replace(tenant, policy=replace(tenant.policy, trust_browser_days=whose))

    async def together(self, acts: list[Coroutine[Any, Any, None]]) -> None:
        await asyncio.gather(*acts)
        self.world.witness.batch += 1

    async def act(self, browser: Browser, what: str, *more: Any) -> None:
        match what:
            case "password":
                name, kind = more
                right = self.world.realm.people[name].password
                await browser.act(Step.PASSWORD, username=name, password=right if kind == "right" else "nonsense")
            case "go on":
                await self.go_on(browser, *more)
            case "register":
                await browser.act(Step.REGISTER, address=more[0])
            case "pick":
                await browser.act(Step.REGISTER, factor=more[0].value)
            case "press":
                await browser.act(more[0], more[1], **self.filled(more[0]))
            case "enrol":
                await browser.within(Purpose.ENROL, more[0])
            case "prove again":
                await browser.within(Purpose.STEP_UP)
            case "look":
                await browser.look()

    def filled(self, page: Step) -> dict[str, str]:
        return {"new_password": self.random.choice(("weak", "another"))} if page is Step.NEW_PASSWORD else {}

    async def go_on(self, browser: Browser, typed: str, remember: bool) -> None:
        """What the page that is shown asks for, with `typed` where it takes a code."""
        went = await browser.look()
        login = went.login
        if login is None or login.user is None or went.step in (Step.STOPPED, Step.DONE):
            name = PEOPLE[0] if browser.name != "phone" else PEOPLE[1]
            await browser.act(Step.PASSWORD, username=name, password=self.world.realm.people[name].password)
            return
        name = login.user.username
        match went.step:
            case Step.PASSWORD:
                await browser.act(Step.PASSWORD, password=self.world.realm.people[name].password)
            case Step.REGISTER if not login.draft:
                pick = self.random.choice((FactorKind.EMAIL, FactorKind.TOTP)).value
                several = len(login.policy.methods) > 1 and not login.picked and not login.wanted
                fields = {"factor": pick} if several else {"address": f"{name}@example.com"}
                await browser.act(Step.REGISTER, **fields)
            case Step.CONFIRM | Step.BACKUP_CODES:
                await browser.act(went.step)
            case Step.NEW_PASSWORD:
                await browser.act(went.step, new_password=self.random.choice(("weak", "another", "a third")))
            case Step.VERIFY | Step.REGISTER:
                code = self.code(typed, login, name)
                await browser.act(went.step, code=code, **({"remember": "1"} if remember else {}))

    def code(self, typed: str, login: Login, name: str) -> str:
        draft, enrolled = login.draft, self.world.enrolled(name)
        other = PEOPLE[1 - PEOPLE.index(name)]
        if typed == "right":
            typed = "mailed" if login.challenge and login.challenge.sent_to else "app"
        match typed:
            case "mailed":
                address = login.challenge.sent_to if login.challenge else f"{name}@example.com"
                return self.world.mailed(address)
            case "mailed to the other":
                return self.world.mailed(f"{other}@example.com")
            case "app":
                return self.app(name, draft.secret if draft else "")
            case "app of before":
                return self.world.app_code(name, -1)
            case "backup":
                self.used_backup[name] = next(iter(enrolled.backup_codes), "")
                return self.used_backup[name]
            case "used backup":
                return self.used_backup.get(name, "")
            case "admin":
                return self.admin_codes.get(name, "")
        return typed

    def app(self, name: str, drafted: str) -> str:
        return self.world.code_of(drafted) if drafted else self.world.app_code(name)

    # ------------------------------------------------------------------ what is promised

    @invariant()
    def sessions_follow_proofs(self) -> None:
        if not hasattr(self, "world"):
            return
        found = [(b, login, session) for b in self.browsers for login, session in b.opened]
        for browser, login, session in found:
            self.check_session(browser, login, session)
            browser.opened.remove((login, session))

    def check_session(self, browser: Browser, login: Login, session: Session) -> None:
        grant, policy = self.world.realm.grants[session.tokens.access], login.policy
        assert session.username == grant.user
        lines = self.world.of_login(login.id, AuditEvent.CODE_RIGHT, AuditEvent.PASSWORD_CHANGED)
        assert all(line.user == grant.user for line in lines)
        events = [line.event for line in lines]
        if session.satisfied is Satisfied.TRUSTED:
            name, since, credential, epoch = self.trusted[browser.name]
            assert AuditEvent.PASSWORD_CHANGED not in events
            assert (name, credential, epoch) == (grant.user, grant.credential_date, grant.enrolled.trust_epoch)
            assert grant.at < since + policy.trust_browser_days * 86400
            return
        if asks(policy, grant.enrolled):
            assert session.satisfied is Satisfied.PROVED
            self.check_proof(login, grant.enrolled)
            if login.changed and asks_always(policy):
                assert events[0] is AuditEvent.CODE_RIGHT
        if session.satisfied is Satisfied.PROVED and login.opened and login.opened.trust:
            assert login.remember
            epoch = login.enrolments.trust_epoch
            self.trusted[browser.name] = (grant.user, self.world.clock.now(), login.credential_date or 0, epoch)

    def check_proof(self, login: Login, enrolled: EnrolmentSet) -> None:
        """The last round's proof: of what the user had when his password was right, else of what he registered."""
        rights = self.world.witness.rights(login.id, login.round)
        assert rights
        usable = [e for m in login.policy.methods for e in enrolled.enrolments if e.factor is m.factor]
        if not usable:
            assert login.changed or any(one.registering for one in rights)
            return
        usable = usable[:1] if login.policy.choose_page is ChoosePage.NEVER else usable
        for one in rights:
            assert one.right in {*(e.factor for e in usable), FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE}
            if one.right is FactorKind.EMAIL:
                assert one.sent_to in [e.address for e in usable]

    @invariant()
    def registrations_follow_proofs(self) -> None:
        """A factor is proved before it is saved; inside a session, and where it is guarded, so is another one."""
        if not hasattr(self, "world"):
            return
        new = [line for line in self.world.audit[self.read :] if line.event is AuditEvent.ENROLMENT_REGISTERED]
        self.read = len(self.world.audit)
        for line in new:
            proofs = self.world.of_login(line.login, AuditEvent.CODE_RIGHT)
            guarded = self.policy.registration is not Registration.OPEN
            assert len(proofs) >= (2 if guarded and line.user in self.without_factor else 1)
        self.without_factor = {name for name in PEOPLE if not self.world.enrolled(name).enrolments}

    @invariant()
    def limits_hold(self) -> None:
        if hasattr(self, "world") and self.checked != len(self.world.witness.seen):
            self.checked = len(self.world.witness.seen)
            witness.check(self.world.witness.seen)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.mails.refuses = ""
            for browser, name in zip(self.browsers, (*PEOPLE, PEOPLE[0]), strict=True):
                self.run(self.gets_in(browser, name))
                self.sessions_follow_proofs()
            self.limits_hold()
        self.runner.close()

    async def gets_in(self, browser: Browser, name: str) -> None:
        """A patient user with his own mailbox and app, in the browser as it stands."""
        patience = Patience(self.world, browser, name)
        await patience.sign_in()


def asks(policy: Policy, enrolled: EnrolmentSet) -> bool:
    """Whether the policy asks a user with these registrations for a factor."""
    offered = [m.factor for m in policy.methods]
    has = any(e.factor in offered for e in enrolled.enrolments)
    return policy.enabled and (has or asks_always(policy))


def asks_always(policy: Policy) -> bool:
    """Whether the policy asks every user."""
    return policy.enabled and policy.enrolment is EnrolmentRule.REQUIRED


@pytest.mark.slow
@pytest.mark.row("EF-19", "CC-17", "CC-19", "SI-10")
@pytest.mark.parametrize("name", POLICIES)
def test_whatever_happens_sessions_follow_proofs_limits_hold_and_nobody_is_stuck(name: str) -> None:
    machine = type("LoginsOfOnePolicy", (Logins,), {"policy": POLICIES[name]})
    run_state_machine_as_test(machine, settings=settings(max_examples=8, stateful_step_count=25, deadline=None))
