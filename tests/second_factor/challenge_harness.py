"""Challenges over a memory store, the real e-mail factor, and a mail box instead of a relay."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing, Sealer, Signer
from gateway.delivery.smtp import Mailer, Message, NotSent, Sent
from gateway.domain.challenge import Binding, Challenge, ProofPurpose
from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.domain.configuration import OperatorLimits
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, Method, Policy
from gateway.domain.problem import ProblemDetail
from gateway.domain.user import User
from gateway.observe.audit import Audit
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.mails import Mails
from gateway.rendering.templates import build_environments
from gateway.second_factor.challenges import ChallengeContext, Challenges, Denied, Verified
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors import table
from gateway.second_factor.factors.admin_code import AdminCode, AdminCodeFactor
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.protocol import DeliveryContext
from gateway.second_factor.rate_limits import RateLimiter
from gateway.second_factor.used_codes import UsedCodes
from gateway.store.locks import StoreLock
from gateway.store.protocol import Store
from gateway.store.records import Records
from gateway.store.single_use import SingleUse
from tests.clock import FakeClock, SeededRandom
from tests.second_factor.attributes import Attributes
from tests.store.open_stores import YieldingStore
from tests.web.sample import TENANT

CHANNEL = Channel("otp@example.com", ChannelType.EMAIL, ChannelKind.SMTP, sender="otp@example.com")
POLICY = Policy(
    preset="efcx",
    enabled=True,
    methods=(Method(FactorKind.EMAIL, CHANNEL.service_identifier),),
    otp_expiry=60,
    otp_max_attempts=5,
)


@dataclass
class MailBox(Mailer):
    """Accepts every mail, or returns the reason of a refusal."""

    clock: FakeClock
    messages: list[Message] = field(default_factory=list)
    refuses: str = ""

    async def send(self, channel: Channel, message: Message) -> Sent | NotSent:
        if self.refuses:
            return NotSent(self.refuses, temporary=True)
        self.messages.append(message)
        return Sent(at=self.clock.now(), relay="mailbox")

    def code(self, to: str | None = None) -> str:
        """Returns the code of the newest mail (to an address)."""
        message = next(m for m in reversed(self.messages) if to in (None, m.to))
        found = re.search(r"(?m)^\s*(\d{4,10})\s*$", message.text)
        assert found, message.text
        return found[1]


class ChallengeHarness:
    """The challenges of one gateway; `twin()` returns another replica on the same store."""

    def __init__(self, store: Store | None = None, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.random = SeededRandom()
        self.ring = KeyRing((Key("00000001", self.random.token_bytes(KEY_BYTES)),))
        self.mails = MailBox(self.clock)
        self.mailer: Mailer = self.mails
        self.languages = load_languages(data_root() / "locales", ("en",))
        self.limits = OperatorLimits()
        self.profile = Attributes()
        self.policy = POLICY
        self._numbers: dict[str, int] = {}
        self.use(store or YieldingStore(self.clock))

    def use(self, store: Store) -> None:
        """Uses `store` from now on."""
        self.store = store
        factor = EmailFactor(
            mailer=self.mailer,
            mails=Mails(build_environments(data_root(), self.languages), self.languages),
            signer=Signer(self.ring, "codes"),
        )
        admin_signer = Signer(self.ring, "admin-code")
        self.enrolments = Enrolments(
            profile=self.profile,
            store=store,
            sets=Sealer(self.ring, "enrolments", self.random),
            guards=Sealer(self.ring, "guards", self.random),
            lock=StoreLock(store, self.clock, self.random),
            clock=self.clock,
            audit=Audit(self.clock),
        )
        sealer = Sealer(self.ring, "admin-code", self.random)
        records = Records(store=store, sealer=sealer, clock=self.clock, name="admin-code", of=AdminCode)
        self.admin_codes = AdminCodeFactor(records, admin_signer, self.clock, self.random)
        self.consuming = UsedCodes(SingleUse(store, self.clock), store, self.enrolments, self.clock)
        self.challenges = Challenges(
            factors=table.build(factor, self.admin_codes),
            attempts=RateLimiter(store, self.clock),
            used_codes=self.consuming,
            store=store,
            addresses=Signer(self.ring, "addresses"),
            clock=self.clock,
            random=self.random,
        )

    def case(
        self,
        user: str = "u1",
        login: str = "l1",
        address: str = "",
        *,
        round: int = 0,
        purpose: ProofPurpose = ProofPurpose.VERIFY,
        draft: str = "",
        **changes: Any,
    ) -> ChallengeContext:
        """Returns a proof of `user` in `login`."""
        case = ChallengeContext(
            tenant=TENANT,
            policy=self.policy,
            limits=self.limits,
            user=User(user, user),
            bound_to=Binding(login, round, purpose, draft),
            app="/unified-admin",
            methods=(Enrolment(FactorKind.EMAIL, address or f"{user}@example.com"),),
        )
        return replace(case, **changes)

    def about(self, factor: FactorKind) -> DeliveryContext:
        """Returns the current circumstances of a proof by `factor`."""
        return DeliveryContext(
            tenant=TENANT,
            channel=CHANNEL if factor is FactorKind.EMAIL else None,
            digits=self.policy.otp_length,
            expiry=self.policy.otp_expiry,
            language="en",
            host="cc.example",
            browser="Chrome on Windows",
            reference="REF",
            now=self.clock.now(),
            random=self.random,
        )

    async def send(self, case: ChallengeContext) -> Challenge:
        """Sends a code; fails the test if it cannot be sent."""
        begun = await self.try_to_send(case)
        assert isinstance(begun, Challenge), begun
        return begun

    async def try_to_send(self, case: ChallengeContext) -> Challenge | ProblemDetail:
        """Returns the next challenge of the case's login, or the problem."""
        login = case.bound_to.login
        number = self._numbers[login] = self._numbers.get(login, -1) + 1
        message = next((m for m in case.methods if m.factor is FactorKind.EMAIL), None)
        if message is None:
            return self.challenges.waiting(case, number)
        return await self.challenges.send(case, self.about(message.factor), number, message)

    async def wait_for_code(self, case: ChallengeContext) -> Challenge:
        """Returns the next challenge of the case's login, without a message."""
        return self.challenges.waiting(case, 0)

    async def answer(self, case: ChallengeContext, challenge: Challenge, typed: str) -> Verified | Denied:
        """Enters a code."""
        return await self.challenges.answer(case, self.about, challenge, typed)

    def wrong(self, to: str | None = None) -> str:
        """Returns another code than the sent one."""
        return str((int(self.mails.code(to)) + 1) % 10**self.policy.otp_length).zfill(self.policy.otp_length)
