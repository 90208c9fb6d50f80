"""A login from the password to the session with the real flow, machine, sending, challenges and e-mail factor.

Only Keycloak and the session are left out: the password page knows everybody, and opening is an event.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from gateway.crypto.sealing import Sealer
from gateway.crypto.signing import Signer
from gateway.delivery.send_rate import SendRate
from gateway.delivery.smtp import Mailer
from gateway.domain import errors
from gateway.domain.channel import Channel
from gateway.domain.configuration import Address, Configuration, GatewaySettings, OperatorLimits, StoreSettings
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import ProblemDetail
from gateway.domain.secret import Secret
from gateway.domain.session import Tokens
from gateway.domain.tenant import KeycloakAccess, Tenant
from gateway.domain.user import User
from gateway.keycloak.token_endpoint import SessionEnded
from gateway.login.check_code import ChallengeContexts, CodeCheck
from gateway.login.effects.send_code import SendCode
from gateway.login.flow import Flow, FlowResult, FormFields, Page, StepResult
from gateway.login.login_records import LoginRecords
from gateway.login.login_request import LoginRequest
from gateway.login.login_secrets import PURPOSE, LoginSecrets
from gateway.login.record import Effect, Login, Opened, PasswordRight, SessionOpened, Slot, Step
from gateway.login.state_machine import LoginState
from gateway.login.steps.verify import VerifyPage
from gateway.observe.audit import Audit, RequestAudit
from gateway.rendering.step_view import StepView
from gateway.store.records import Records
from gateway.store.single_use import SingleUse
from tests.second_factor.challenge_harness import CHANNEL, POLICY, ChallengeHarness
from tests.web.sample import TENANT

KEYCLOAK_IDLE = 1800.0
PACED = replace(CHANNEL, rate_per_minute=30)


class KnowsEverybody:
    """The password page: any password is right."""

    def __init__(self, flow_harness: "FlowHarness") -> None:
        self._harness = flow_harness

    async def act(self, visit: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        name, now = fields["username"], self._harness.clock.now()
        enrolled = EnrolmentSet(1, (Enrolment(FactorKind.EMAIL, address_of(name)),))
        return StepResult((PasswordRight(User(name, name), tokens(now), enrolled, (), None, now),))

    async def view(self, visit: LoginRequest, state: LoginState, fields: FormFields) -> StepView:
        raise NotImplementedError


@dataclass
class FlowHarness:
    """One replica; `twin()` is another one on the same store."""

    bench: ChallengeHarness
    channel: Channel = PACED
    renewals: int = 0
    keycloak_is_over: bool = False
    keycloak_is_away: bool = False
    flow: Flow = field(init=False)
    sending: SendCode = field(init=False)

    def __post_init__(self) -> None:
        bench = self.bench
        self.clock, self.limits = bench.clock, OperatorLimits()
        proofs = ChallengeContexts(bench.clock, bench.random)
        self.sending = SendCode(
            bench.challenges,
            SingleUse(bench.store, bench.clock),
            proofs,
            bench.random,
            SendRate(bench.store, bench.clock),
            SimpleNamespace(refresh=self.refresh),  # type: ignore[arg-type]
        )
        answering = CodeCheck(bench.challenges, proofs, bench.clock)
        verify = VerifyPage(bench.challenges, answering, self.sending, proofs, bench.languages, bench.clock)
        pages: dict[Step, Page] = {Step.PASSWORD: KnowsEverybody(self), Step.VERIFY: verify}
        sealer = Sealer(bench.ring, "login", bench.random)
        records = Records(store=bench.store, sealer=sealer, clock=bench.clock, name="login", of=Slot)
        abandoned: Any = SimpleNamespace(note=self.begun)
        logout_retries: Any = SimpleNamespace(begin=lambda _tenant, _tokens: None)
        self.flow = Flow(
            logins=LoginRecords(records, bench.clock, abandoned, logout_retries),
            pages=pages,
            secrets=LoginSecrets(Signer(bench.ring, PURPOSE), bench.random),
            effects={Effect.CHALLENGE: self.sending.run, Effect.OPEN: self.open},
            clock=bench.clock,
            random=bench.random,
        )
        tenant = replace(TENANT, policy=POLICY)
        settings = GatewaySettings(Address("", 1), Address("", 2), StoreSettings(Secret("memory://")))
        self.configuration = Configuration(settings, (tenant,), {CHANNEL.service_identifier: self.channel})
        self.tenant = tenant

    def twin(self) -> "FlowHarness":
        """Another replica."""
        return FlowHarness(self.bench, self.channel)

    async def begun(self, tenant: Tenant, login: Login) -> None:
        """Nothing is reaped here."""

    async def open(self, visit: LoginRequest, state: LoginState) -> StepResult:
        """The session."""
        return StepResult((SessionOpened(Opened(f"session of {state.login.id}", self.clock.now())),))

    async def refresh(self, access: KeycloakAccess, spent: Tokens) -> Tokens | SessionEnded:
        """Keycloak's answer to a refresh."""
        self.renewals += 1
        await asyncio.sleep(0)
        if self.keycloak_is_away:
            raise errors.Unreachable("keycloak", "timeout")
        return SessionEnded("Session not active") if self.keycloak_is_over else tokens(self.clock.now())

    def browser(self, user: str) -> "Browser":
        """A browser with nothing in it; `user` sits before it."""
        return Browser(self, user)


@dataclass
class Browser:
    """One browser: its login's cookie, and what its last answer was."""

    flow_harness: FlowHarness
    user: str
    went: FlowResult = field(default_factory=lambda: FlowResult(None))
    tag: str = ""
    secret: str | None = None

    def __post_init__(self) -> None:
        self.tag = self.tag or self.flow_harness.bench.random.token_bytes(8).hex()
        self.secret = self.secret or self.flow_harness.bench.random.token_bytes(8).hex()

    @property
    def visit(self) -> LoginRequest:
        """Its next request."""
        flow_harness = self.flow_harness
        audit = Audit(flow_harness.clock, tell=lambda _line: None)
        return LoginRequest(
            configuration=flow_harness.configuration,
            tenant=flow_harness.tenant,
            audit=RequestAudit(audit, flow_harness.tenant.id, "192.0.2.1", request_id="r", reference="REF"),
            tag=self.tag,
            client="192.0.2.1",
            host="cc.example",
            browser="Chrome on Windows",
            language="en",
            reference="REF",
            to="/unified-admin/",
            csrf="c",
            app="/unified-admin",
            route_asks=True,
            secret=self.secret,
        )

    @property
    def problem_detail(self) -> ProblemDetail | None:
        """What the page says."""
        return self.went.problem_detail

    @property
    def login(self) -> Login:
        """The record."""
        assert self.went.login
        return self.went.login

    async def password(self) -> FlowResult:
        """Sign in."""
        return self._keep(await self._act(Step.PASSWORD, "", {"username": self.user}))

    async def look(self) -> FlowResult:
        """Reload the page."""
        flow, visit = self.flow_harness.flow, self.visit
        return self._keep(await flow.look(visit, (await flow.logins.find(visit)).login))

    async def press(self, action: str) -> FlowResult:
        """A button of the verify page."""
        return self._keep(await self._act(Step.VERIFY, action, {}))

    async def type(self, code: str) -> FlowResult:
        """Enter a code."""
        return self._keep(await self._act(Step.VERIFY, "", {"code": code}))

    async def _act(self, step: Step, action: str, fields: FormFields) -> FlowResult:
        flow, visit = self.flow_harness.flow, self.visit
        slot = await flow.logins.find(visit)
        named = {"login": slot.login.id, "round": str(slot.login.verification.round)} if slot.login else {}
        return await flow.act(visit, slot, step, action, {**named, **fields})

    def _keep(self, went: FlowResult) -> FlowResult:
        self.went = went
        self.secret = went.secret or self.secret
        return went


def flow_harness(channel: Channel = PACED, mailer: Callable[[Clock, Random], Mailer] | None = None) -> FlowHarness:
    """A replica with a mail box, or mailing by `mailer`."""
    bench = ChallengeHarness()
    if mailer:
        bench.mailer = mailer(bench.clock, bench.random)
        bench.use(bench.store)
    return FlowHarness(bench, channel)


def address_of(user: str) -> str:
    """Where the codes of `user` go."""
    return f"{user}@example.com"


def tokens(now: float) -> Tokens:
    """As Keycloak gives them."""
    return Tokens("access", f"refresh {now}", now + 300, now + KEYCLOAK_IDLE)
