"""A login from the password to the session with the real flow, machine, sending, challenges and e-mail factor.

Only Keycloak and the session are left out: the password page accepts every user, and opening is an event.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from gateway.crypto.key_ring import Sealer, Signer
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
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import User
from gateway.keycloak.token_endpoint import SessionEnded
from gateway.login.effects.send_code import ChallengeContexts, SendCode
from gateway.login.flow import Flow, FlowResult, FormFields, Page, StepResult
from gateway.login.login_records import SECRETS, LoginRecords, LoginSecrets
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login, Opened, PasswordRight, SessionOpened, Slot
from gateway.login.state_machine import Effect, LoginState, Step
from gateway.login.steps.verify import CodeCheck, VerifyPage
from gateway.observe.audit import Audit, RequestAudit
from gateway.rendering.step_view import StepView
from gateway.second_factor.send_rate import SendRate
from gateway.store.records import Records
from gateway.store.single_use import SingleUse
from tests.second_factor.challenge_harness import CHANNEL, POLICY, ChallengeHarness
from tests.web.sample import TENANT

KEYCLOAK_IDLE = 1800.0
PACED = replace(CHANNEL, rate_per_minute=30)


class AcceptsAnyPassword:
    """A password page that accepts any password."""

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
    """One replica; `twin()` returns another one on the same store."""

    bench: ChallengeHarness
    channel: Channel = PACED
    renewals: int = 0
    keycloak_is_over: bool = False
    keycloak_is_down: bool = False
    flow: Flow = field(init=False)
    configuration: Configuration = field(init=False)
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
        pages: dict[Step, Page] = {Step.PASSWORD: AcceptsAnyPassword(self), Step.VERIFY: verify}
        sealer = Sealer(bench.ring, "login", bench.random)
        records = Records(store=bench.store, sealer=sealer, clock=bench.clock, name="login", of=Slot)
        logout_retries: Any = SimpleNamespace(begin=lambda _tenant, _tokens: None)
        once = SingleUse(bench.store, bench.clock)
        self.flow = Flow(
            logins=LoginRecords(records, bench.store, once, bench.clock, lambda: self.configuration, logout_retries),
            pages=pages,
            secrets=LoginSecrets(Signer(bench.ring, SECRETS), bench.random),
            effects={Effect.CHALLENGE: self.sending.run, Effect.OPEN: self.open},
            clock=bench.clock,
            random=bench.random,
        )
        tenant = replace(TENANT, policy=POLICY)
        settings = GatewaySettings(Address("", 1), Address("", 2), StoreSettings(Secret("memory://")))
        self.configuration = Configuration(settings, (tenant,), {CHANNEL.service_identifier: self.channel})
        self.tenant = tenant

    def twin(self) -> "FlowHarness":
        """Returns another replica."""
        return FlowHarness(self.bench, self.channel)

    async def open(self, visit: LoginRequest, state: LoginState) -> StepResult:
        """Opens the session."""
        return StepResult((SessionOpened(Opened(f"session of {state.login.id}", self.clock.now())),))

    async def refresh(self, access: KeycloakAccess, spent: Tokens) -> Tokens | SessionEnded:
        """Returns Keycloak's answer to a refresh."""
        self.renewals += 1
        await asyncio.sleep(0)
        if self.keycloak_is_down:
            raise errors.Unreachable("keycloak", "timeout")
        return SessionEnded("Session not active") if self.keycloak_is_over else tokens(self.clock.now())

    def browser(self, user: str) -> "Browser":
        """Returns an empty browser of `user`."""
        return Browser(self, user)


@dataclass
class Browser:
    """One browser: the cookie of its login, and its last answer."""

    flow_harness: FlowHarness
    user: str
    result: FlowResult = field(default_factory=lambda: FlowResult(None))
    tag: str = ""
    secret: str | None = None

    def __post_init__(self) -> None:
        self.tag = self.tag or self.flow_harness.bench.random.token_bytes(8).hex()
        self.secret = self.secret or self.flow_harness.bench.random.token_bytes(8).hex()

    @property
    def visit(self) -> LoginRequest:
        """Makes the next request of this browser."""
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
        """Returns the problem on the page."""
        return self.result.problem_detail

    @property
    def login(self) -> Login:
        """Returns the record of the login."""
        assert self.result.login
        return self.result.login

    async def password(self) -> FlowResult:
        """Signs in."""
        return self._keep(await self._act(Step.PASSWORD, "", {"username": self.user}))

    async def look(self) -> FlowResult:
        """Reloads the page."""
        flow, visit = self.flow_harness.flow, self.visit
        return self._keep(await flow.look(visit, (await flow.logins.find(visit)).login))

    async def press(self, action: str) -> FlowResult:
        """Presses a button of the code page."""
        return self._keep(await self._act(Step.VERIFY, action, {}))

    async def type(self, code: str) -> FlowResult:
        """Enters a code."""
        return self._keep(await self._act(Step.VERIFY, "", {"code": code}))

    async def _act(self, step: Step, action: str, fields: FormFields) -> FlowResult:
        flow, visit = self.flow_harness.flow, self.visit
        slot = await flow.logins.find(visit)
        named = {"login": slot.login.id, "round": str(slot.login.verification.round)} if slot.login else {}
        return await flow.act(visit, slot, step, action, {**named, **fields})

    def _keep(self, result: FlowResult) -> FlowResult:
        self.result = result
        self.secret = result.secret or self.secret
        return result


def flow_harness(channel: Channel = PACED, mailer: Callable[[Clock, Random], Mailer] | None = None) -> FlowHarness:
    """Returns a replica with a mail box, or with `mailer`."""
    bench = ChallengeHarness()
    if mailer:
        bench.mailer = mailer(bench.clock, bench.random)
        bench.use(bench.store)
    return FlowHarness(bench, channel)


def address_of(user: str) -> str:
    """Returns the address of `user` for codes."""
    return f"{user}@example.com"


def tokens(now: float) -> Tokens:
    """Returns tokens as Keycloak gives them."""
    return Tokens("access", f"refresh {now}", now + 300, now + KEYCLOAK_IDLE)
