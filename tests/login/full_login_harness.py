"""The whole login, with two replicas over one memory store, built as `login.feature` does it.

Keycloak, relay and audit are stand-ins.

`LoginHarness` is everything outside of a browser: the realm, the mailbox, an administrator, time. `LoginBrowser` keeps
cookies and posts forms. Acts of several tabs may run at once, and every use of the store or the realm may yield.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, TypeVar

import pyotp

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing
from gateway.domain import errors
from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.domain.configuration import Address, Configuration, GatewaySettings, OperatorLimits, StoreSettings
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.secret import Secret
from gateway.domain.session import Session, Tokens
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import KeycloakAccess, Tenant
from gateway.domain.user import Account, User
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.grant_queue import GrantQueue
from gateway.keycloak.token_endpoint import Granted, NotFullySetUp, WrongPassword
from gateway.keycloak.user_profile_schema import ATTRIBUTE
from gateway.keycloak.users import PasswordRefused, values_of
from gateway.login import feature
from gateway.login.begin_in_session import AccountForm, BeginInSession
from gateway.login.flow import CutShort, Flow, FlowResult
from gateway.login.handlers import LoginHandlers
from gateway.login.login_request import LoginRequest
from gateway.login.record import Act, Login, Slot
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent, RequestAudit
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.mails import Mails
from gateway.rendering.templates import build_environments
from gateway.second_factor.enrolments import Tampered
from gateway.second_factor.trusted_browsers import TrustCookie
from gateway.services import Services
from gateway.store.locks import StoreLock
from gateway.store.memory import MemoryStore
from gateway.store.replica_events import ReplicaEvents
from gateway.store.single_use import SingleUse
from gateway.web import cookies
from tests.clock import FakeClock, SeededRandom
from tests.login.limit_oracle import LimitOracle
from tests.second_factor.attributes import Attributes
from tests.second_factor.challenge_harness import MailBox
from tests.web.sample import TENANT

CHANNEL = Channel("otp@example.com", ChannelType.EMAIL, ChannelKind.SMTP, sender="otp@example.com")
LANGUAGES = load_languages(data_root() / "locales", ("en",))
MAILS = Mails(build_environments(data_root(), LANGUAGES), LANGUAGES)
UPDATE_PASSWORD = "UPDATE_PASSWORD"
HOUR = 3600.0
T = TypeVar("T")


@dataclass(frozen=True)
class Actor:
    """The person and browser of an act."""

    person: str = ""
    browser: str = ""


ACTOR: ContextVar[Actor] = ContextVar("actor", default=Actor())  # noqa: B039  # a frozen value


class Pausing:
    """A store that sometimes lets other tasks run first, and that can be down."""

    def __init__(self, store: MemoryStore, rng: random.Random, away: set[str]) -> None:
        self._store = store
        self._rng = rng
        self._away = away

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name in ("subscribe", "size"):
            return verb

        async def paused(*args: Any, **kwargs: Any) -> Any:
            await pause(self._rng)
            # A lock that cannot be released is waited for in real time; other tests cover that.
            if "store" in self._away and "lock" not in str(args[0]) and self._rng.random() < 0.2:
                if self._rng.random() < 0.3:
                    await verb(*args, **kwargs)  # carried out, and its answer lost
                raise errors.Unreachable("store", "timeout")
            return await verb(*args, **kwargs)

        return paused


async def pause(rng: random.Random) -> None:
    """Lets other tasks run first, as often as the random numbers say."""
    for _ in range(rng.randrange(3)):
        await asyncio.sleep(0)


@dataclass
class LoginPerson:
    """A user of the realm."""

    user: User
    password: str = "right"
    due: bool = False
    credential_date: int | None = 1


@dataclass(frozen=True)
class Grant:
    """A correct password, and the user's data when it was granted."""

    user: str
    at: float
    enrolled: EnrolmentSet
    credential_date: int | None


class FakeRealm:
    """`SignIn`, `Users` and `Endings` of one realm."""

    def __init__(self, login_harness: "LoginHarness") -> None:
        self.login_harness = login_harness
        self.people = {
            name: LoginPerson(User(f"id-{name}", name, f"{name}@example.com", True)) for name in ("anna", "ben")
        }
        self.grants: dict[str, Grant] = {}
        self.ended: list[str] = []

    async def reached(self) -> None:
        """Sometimes lets other tasks run first; raises an error while Keycloak is down."""
        await pause(self.login_harness.rng)
        if "keycloak" in self.login_harness.away and self.login_harness.rng.random() < 0.5:
            raise errors.Unreachable("keycloak", "timeout")

    def person(self, user_id: str) -> LoginPerson:
        return next(p for p in self.people.values() if p.user.id == user_id)

    async def password(
        self, access: KeycloakAccess, username: str, password: Secret, client: str = ""
    ) -> Granted | WrongPassword | NotFullySetUp:
        await self.reached()
        person = self.people.get(username)
        if person is None or person.password != password.value:
            return WrongPassword("Invalid user credentials")
        return NotFullySetUp() if person.due else Granted(self._tokens(person), person.user)

    async def refresh(self, access: KeycloakAccess, tokens: Tokens) -> Tokens:
        now = self.login_harness.clock.now()
        return replace(tokens, access_expires_at=now + 300, refresh_expires_at=now + 1800)

    async def account(self, access: KeycloakAccess, user_id: str) -> Account | None:
        await self.reached()
        person = self.person(user_id)
        actions = (UPDATE_PASSWORD,) if person.due else ()
        sealed = self.login_harness.profile.values.get(user_id)
        attributes = {ATTRIBUTE: values_of(sealed)} if sealed else {}
        return Account(person.user, True, actions, person.credential_date, created_at=0.0, attributes=attributes)

    async def find(self, access: KeycloakAccess, username: str) -> Account | None:
        person = self.people.get(username)
        return await self.account(access, person.user.id) if person else None

    async def set_password(self, access: KeycloakAccess, user_id: str, new: Secret) -> PasswordRefused | None:
        await self.reached()
        if new.value == "weak":
            return PasswordRefused("Invalid password: minimum length 8.")
        person = self.person(user_id)
        if not person.due:
            self.login_harness.violations.append(f"{ACTOR.get().person} sets a password of {user_id} that is not due")
        self.login_harness.set_by.append((ACTOR.get().person, person.user.username, new.value))
        self.login_harness.passwords.append((ACTOR.get(), person.user.username))
        person.password, person.due = new.value, False
        if person.credential_date is not None:
            person.credential_date += 1
        return None

    async def end_sessions(self, access: KeycloakAccess, user_id: str) -> None:
        await pause(self.login_harness.rng)

    def begin(self, tenant: Tenant, tokens: Tokens) -> None:
        self.ended.append(tokens.access)

    def _tokens(self, person: LoginPerson) -> Tokens:
        now, name = self.login_harness.clock.now(), f"access {len(self.grants)}"
        enrolled = self.login_harness.enrolled(person.user.username)
        self.grants[name] = Grant(person.user.username, now, enrolled, person.credential_date)
        return Tokens(name, f"refresh {len(self.grants)}", now + 300, now + 1800)


@dataclass
class Audited:
    """One audit event; `login` is the id of the login under way, `browser` the name of the browser."""

    event: AuditEvent
    user: str
    login: str
    browser: str
    at: float
    details: Mapping[str, Any]


class LoginHarness:
    """Everything except the browsers."""

    def __init__(self, policy: Policy, seed: int = 1) -> None:
        self.clock, self.random, self.rng = FakeClock(), SeededRandom(seed), random.Random(seed)
        self.tenant = replace(TENANT, policy=policy)
        self.audit: list[Audited] = []
        self.mails = MailBox(self.clock)
        self.profile = Attributes()
        self.store = MemoryStore(self.clock)
        self.realm = FakeRealm(self)
        self.away: set[str] = set()
        self.violations: list[str] = []
        self.passwords: list[tuple[Actor, str]] = []
        self.set_by: list[tuple[str, str, str]] = []
        self.given: dict[str, str] = {}
        self.requests = 0
        store: Any = Pausing(self.store, self.rng, self.away)
        realm: Any = self.realm
        ring = KeyRing((Key("00000001", self.random.token_bytes(KEY_BYTES)),))
        lock, tasks = StoreLock(store, self.clock, self.random), BackgroundTasks()
        self.services = Services(
            configuration=lambda: self.configuration,
            key_ring=ring,
            clock=self.clock,
            random=self.random,
            audit=SimpleNamespace(write=self._record_event),  # type: ignore[arg-type]
            tasks=tasks,
            store=store,
            lock=lock,
            single_use=SingleUse(store, self.clock),
            replica_events=ReplicaEvents(store=store, random=self.random),
            keycloak_clients=KeycloakClients(),
            token_endpoint=realm,
            grant_queue=GrantQueue(lock, self.clock, tasks, OperatorLimits(), rest=lambda: asyncio.sleep(0)),
            logout_retries=realm,
            users=realm,
            profiles=self.profile,
            mailer=self.mails,
            mails=MAILS,
            pages=SimpleNamespace(languages=LANGUAGES),  # type: ignore[arg-type]
        )
        self.limit_oracle = LimitOracle(self.clock, lambda: (ACTOR.get().person, ACTOR.get().browser))
        self.replicas = [self._replica() for _ in range(2)]
        self.sessions, self.enrolments = self.services.sessions, self.services.enrolments
        self.admin = self.services.admin_codes
        self.reaper = feature.login_records(self.services)

    def _replica(self) -> LoginHandlers:
        """Makes another process on the same store, with separate objects for its services."""
        self.services = replace(self.services)
        self.limit_oracle.watch(self.services.challenges)
        return feature.build(self.services)

    @property
    def flow(self) -> Flow:
        """Returns the flow of the replica that receives the request."""
        return self.rng.choice(self.replicas).flow

    @property
    def in_session(self) -> BeginInSession:
        """Returns the flow inside a session, of the replica that receives the request."""
        return self.rng.choice(self.replicas).in_session

    @property
    def configuration(self) -> Configuration:
        """Returns the current configuration."""
        here = Address("127.0.0.1", 1)
        gateway = GatewaySettings(here, here, StoreSettings(Secret("memory://")))
        return Configuration(gateway, (self.tenant,), {CHANNEL.service_identifier: CHANNEL})

    async def start(self) -> None:
        """Starts as the application does, some time ago, so that a current app code is newer than the store."""
        await self.services.used_codes.store_began()
        self.clock.advance(90)

    def enrolled(self, name: str) -> EnrolmentSet:
        """Returns the enrolments in the user's profile, opened by the gateway's keys."""
        user = self.realm.people[name].user
        sealed = self.profile.values.get(user.id)
        opened = self.enrolments._open(self.tenant, user.id, sealed) if sealed else EnrolmentSet()
        assert opened is not None
        return opened

    async def change_set(self, name: str, change: Callable[[str], Awaitable[EnrolmentSet | None]]) -> None:
        """Changes enrolments on the account page, in another session of the user."""
        assert not isinstance(await self.enrolments.read(self.tenant, f"id-{name}"), Tampered)
        await change(f"id-{name}")

    def entered(self, name: str, password: str) -> None:
        """Records the user whose correct password the actor enters."""
        person = self.realm.people.get(name)
        if person and person.password == password:
            self.passwords.append((ACTOR.get(), name))

    def gave_password(self, name: str) -> list[Actor]:
        """Returns the actors that entered a correct password of the user `name`."""
        return [actor for actor, user in self.passwords if user == name]

    def app_code(self, name: str, steps: int = 0) -> str:
        """Returns the current code of the user's app; "" without an app."""
        app = self.enrolled(name).of(FactorKind.TOTP)
        return pyotp.TOTP(app.secret).at(self.clock.now(), counter_offset=steps) if app else ""

    def code_of(self, secret: str) -> str:
        """Returns the current code of an app with this secret."""
        return pyotp.TOTP(secret).at(self.clock.now())

    def mailed(self, address: str) -> str:
        """Returns the newest code mailed to the address; "" without one."""
        found = (re.search(r"(?m)^\s*(\d{6})\s*$", m.text) for m in reversed(self.mails.messages) if m.to == address)
        return next((code[1] for code in found if code), "")

    def _record_event(self, event: AuditEvent, **facts: Any) -> None:
        login, browser = str(facts.pop("request_id", "")), str(facts.pop("reference", ""))
        user = str(facts.pop("username", None) or "")
        self.audit.append(Audited(event, user, login, browser, self.clock.now(), facts))

    def of_login(self, login: str, *events: AuditEvent) -> list[Audited]:
        """Returns the audit events of one login, in order."""
        return [line for line in self.audit if line.login == login and line.event in events]


@dataclass(frozen=True)
class Form:
    """The hidden fields of a page when the browser loaded it."""

    login: str = ""
    round: str = "0"
    id: str = ""


@dataclass(frozen=True)
class Received:
    """A session that an answer set: of which login, for which person, and as the answer to which act."""

    login: Login
    session: Session
    person: str


@dataclass
class LoginBrowser:
    """One browser: its cookies, and the sessions it received."""

    login_harness: LoginHarness
    name: str
    tag: str = ""
    secret: str | None = None
    session: str = ""
    trust: str = ""
    opened: list[Received] = field(default_factory=list)
    forms: list[Form] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = cookies.new_browser_secret(self.login_harness.random)
        self.tag = self.tag or first.tag
        self.secret = first.secret if self.secret is None else self.secret

    def copy(self, name: str = "") -> "LoginBrowser":
        """Returns another browser with the same cookies."""
        return replace(self, name=name or self.name, opened=[], forms=[])

    async def visit(self, login: Login | None = None) -> LoginRequest:
        """Makes a request of this browser; the audit finds login and browser by its ids."""
        trust, client = cookies.browser_secret(self.trust), f"192.0.2.{ord(self.name[0]) % 200}"
        return LoginRequest(
            configuration=self.login_harness.configuration,
            tenant=self.login_harness.tenant,
            audit=RequestAudit(
                self.login_harness.services.audit,
                self.login_harness.tenant.id,
                client,
                request_id=login.id if login else "",
                reference=self.name,
            ),
            tag=self.tag,
            client=client,
            host="cc.example",
            browser="Chrome on Windows",
            language="en",
            reference=self.name,
            to="/unified-admin/",
            csrf="",
            app="/unified-admin",
            route_asks=True,
            secret=self.secret,
            form=self.login_harness.random.token_bytes(8).hex(),
            session=await self.current(),
            browser_id=self.name,
            trust=TrustCookie(trust.tag, trust.secret) if trust else None,
        )

    async def find(self) -> Slot:
        """Returns the record of the login cookie."""
        return await self.login_harness.flow.logins.find(await self.visit())

    async def login(self) -> Login | None:
        """Returns the login under way."""
        return (await self.find()).login

    async def look(self) -> FlowResult:
        """Requests the step that is pending."""
        self.login_harness.requests += 1
        login = await self.login()
        return await self._keep_answer(await self.login_harness.flow.look(await self.visit(login), login))

    async def enter(self) -> FlowResult:
        """Requests `/-/login`, as every visit to an app begins."""
        self.login_harness.requests += 1
        login = await self.login()
        if login is None:
            return FlowResult(None)
        with self._cut_short():
            result = await self.login_harness.flow.enter(await self.visit(login), login)
        return await self._keep_answer(result)

    async def form(self) -> Form:
        """Returns the hidden fields of a page loaded now."""
        login = await self.login()
        form_id = self.login_harness.random.token_bytes(8).hex()
        form = Form(login.id, str(login.verification.round), form_id) if login and login.user else Form(id=form_id)
        self.forms.append(form)
        return form

    async def act(self, page: Step, action: str = "", *, form: Form | None = None, **fields: str) -> FlowResult:
        """Posts the form of `page`, loaded now unless `form` is an older one."""
        self.login_harness.requests += 1
        form = form or (await self.form())
        slot = await self.find()
        named = {"login": form.login, "round": form.round, "form": form.id, "action": action}
        if page is Step.PASSWORD and fields.get("username"):
            named["login"] = ""
        if page is Step.PASSWORD:
            self.login_harness.entered(fields.get("username", ""), fields.get("password", ""))
        visit = await self.visit(slot.login)
        with self._cut_short():
            result = await self.login_harness.flow.act(visit, slot, page, action, {**named, **fields})
        shown = await self._keep_answer(result)
        if result.inert or (
            result.login and not (result.failed and not result.out_of_order and result.step is not Step.STOPPED)
        ):
            return await self._followed(shown)
        return shown

    async def _followed(self, result: FlowResult) -> FlowResult:
        """Follows the redirect; an answer that ends a login leads to the app."""
        return result if result.login and result.login.opened else await self.look()

    async def enrol(self, factor: FactorKind = FactorKind.TOTP) -> FlowResult | None:
        """Begins an enrolment of `factor` inside the session."""
        return await self._begun(wanted=factor)

    async def begin(self, act: Act) -> FlowResult | None:
        """Begins an act of the account page."""
        return await self._begun(act=act)

    async def _begun(self, wanted: FactorKind | None = None, act: Act | None = None) -> FlowResult | None:
        session = await self.current()
        if session is None:
            return None
        slot, visit = await self.find(), await self.visit()
        asked = AccountForm(self.login_harness.random.token_bytes(8).hex())
        with self._cut_short():
            result = await self.login_harness.in_session.begin(visit, slot, session, asked, wanted=wanted, act=act)
        return await self._keep_answer(result)

    @contextmanager
    def _cut_short(self) -> Iterator[None]:
        """Sets the new login cookie from the error page after an accepted proof."""
        try:
            yield
        except CutShort as cut:
            self.secret = cut.secret
            raise cut.__cause__ or cut from None

    async def current(self) -> Session | None:
        """Returns the session."""
        return (
            await self.login_harness.sessions.current(self.login_harness.tenant, self.session) if self.session else None
        )

    async def _keep_answer(self, result: FlowResult) -> FlowResult:
        """Keeps the cookies of an answer."""
        if result.secret is not None:
            self.secret = result.secret
        if result.login is None or not result.given.session:
            return result
        self.session = result.given.session
        self.login_harness.given[self.session] = self.name
        self.trust = result.given.trust or self.trust
        session = await self.login_harness.sessions.current(self.login_harness.tenant, result.given.session)
        if session and session.id not in {known.session.id for known in self.opened}:
            self.opened.append(Received(result.login, session, ACTOR.get().person))
        return result
