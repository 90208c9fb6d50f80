"""How is a proof begun, and how is an answer to it judged? The only caller of a factor.

Sending: nothing to a locked user; counted (cooldown, login, hour, address) before anything leaves; a failed send is
given back. Answering: an expired or superseded code is refused before anything is judged; else reserve → judge →
consume, so that no number of tabs or replicas gets one guess more, and exactly one owner consumes a right code.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.crypto import codes
from gateway.crypto.signing import Signer
from gateway.domain.challenge import Accepted, Asked, Challenge, Elsewhere, More, Rejected, Unavailable
from gateway.domain.channel import ChannelKind
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import MESSAGE_FACTORS, FactorKind, Policy, SharedAddress
from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.user import User
from gateway.second_factor import limits
from gateway.second_factor.attempts import Attempts, Go, No
from gateway.second_factor.factor import About, Factor
from gateway.second_factor.limits import Whose
from gateway.settings.snapshot import OperatorLimits
from gateway.store.interface import Store
from gateway.store.once import Once

Factors = Mapping[tuple[FactorKind, ChannelKind | None], Factor]
USED_CODE_LIFE = 86400.0
REPEATED_FAILURES = 2
"""From so many wrong codes on, the page also says to ask whether the address is unique (EF-21)."""


@dataclass(frozen=True, slots=True)
class Case:
    """For whom, what and under which rules one proof is; the same for sending and answering."""

    policy: Policy
    limits: OperatorLimits
    user: User
    login: str
    round: int
    app: str
    client: str
    enrolment: Enrolment
    registering: bool = False


@dataclass(frozen=True, slots=True)
class Right:
    """Judged right and consumed by this login."""

    factor: FactorKind


@dataclass(frozen=True, slots=True)
class Wrong:
    """Not accepted. `stops` when this very attempt was the last one and ends the login; `failures` of this code."""

    trouble: Trouble
    failures: int = 0
    stops: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """What a page shows of the counters: attempts left for this code, wrong ones so far, when a new one may be had."""

    attempts: int
    failures: int
    resend_at: float | None = None


class Challenges:
    """Begins, answers and describes challenges."""

    def __init__(
        self,
        *,
        factors: Factors,
        attempts: Attempts,
        once: Once,
        store: Store,
        addresses: Signer,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._factors = factors
        self._attempts = attempts
        self._once = once
        self._store = store
        self._addresses = addresses
        self._clock = clock
        self._chance = chance

    def factor(self, about: About, kind: FactorKind) -> Factor:
        """The object that serves `kind` through the channel of `about`."""
        return self._factors[(kind, about.channel.kind if about.channel else None)]

    async def begin(self, case: Case, about: About, number: int) -> Challenge | Trouble:
        """Ask the factor: for a message factor this sends. `number` is the challenge's number in its login."""
        kind = case.enrolment.factor
        whose = self._whose(case, about)
        counted: tuple[limits.Group, ...] = ()
        if kind in MESSAGE_FACTORS:
            if held := await self._locked(case, whose, kind):
                return held
            counted = limits.for_send(case.policy, case.limits, whose)
            found = await self._attempts.reserve(counted)
            if isinstance(found, No):
                return Trouble(found.problem, found.until)
        challenge_id = self._chance.token_bytes(12).hex()
        asked = await self.factor(about, kind).challenge(case.user, case.enrolment, about.for_challenge(challenge_id))
        match asked:
            case Asked():
                pass
            case Elsewhere(path=path):
                return Trouble(Problem.NO_CONTACT, path=path)
            case Unavailable(problem=problem):
                await self._attempts.give_back(counted)
                return Trouble(problem)
        now = self._clock.now()
        if kind in MESSAGE_FACTORS and case.policy.shared_address is SharedAddress.NEWEST:
            life = max(60.0, (asked.expires_at or now) - now) + USED_CODE_LIFE
            await self._store.set(self._newest_key(whose), challenge_id.encode(), life)
        return Challenge(
            id=challenge_id,
            factor=kind,
            round=case.round,
            number=number,
            state=asked.state,
            channel=about.channel.service_identifier if about.channel else None,
            sent_to=case.enrolment.address if kind in MESSAGE_FACTORS else "",
            issued_at=now,
            expires_at=asked.expires_at,
            resend_at=now + case.policy.resend_cooldown if kind in MESSAGE_FACTORS else None,
            tag=about.tag,
        )

    async def answer(self, case: Case, about: About, challenge: Challenge, typed: str) -> Right | Wrong:
        """Judge what was typed. A right answer is `Right` for one owner only: this login, challenge and round."""
        now = self._clock.now()
        kind = case.enrolment.factor
        if challenge.expires_at is not None and now >= challenge.expires_at:
            return Wrong(Trouble(Problem.CODE_EXPIRED))
        whose = self._whose(case, about, challenge.id)
        groups = limits.for_answer(case.policy, case.limits, whose, kind)
        found = await self._attempts.reserve(groups)
        if isinstance(found, No):
            return Wrong(self._until_new_code(found, challenge))
        judgement = await self._judge(case, about, challenge, typed, whose)
        match judgement:
            case Accepted(consume=consume):
                owner = f"{case.login}/{challenge.id}/{challenge.round}"
                if await self._once.consume(about.tenant.id, consume, owner, USED_CODE_LIFE):
                    await self._attempts.clear(groups + limits.cooldown(case.policy, whose))
                    return Right(kind)
                return self._wrong(case, challenge, found, Problem.WRONG_CODE)
            case Rejected(problem=problem):
                return self._wrong(case, challenge, found, problem)
            case Elsewhere(path=path):
                return Wrong(Trouble(Problem.NO_CONTACT, path=path), stops=True)
            case More():
                raise TypeError("no factor of this build asks on")
            case Unavailable(problem=problem):
                await self._attempts.give_back(groups)
                return Wrong(Trouble(problem))

    async def left(self, case: Case, about: About, challenge: Challenge | None) -> Left:
        """The counters as a page shows them; nothing is counted."""
        whose = self._whose(case, about, challenge.id if challenge else "")
        found = await self._attempts.look(limits.for_answer(case.policy, case.limits, whose, case.enrolment.factor))
        cooling = await self._attempts.look(limits.cooldown(case.policy, whose))
        resend_at = cooling.until if isinstance(cooling, No) else None
        if isinstance(found, No):
            return Left(0, case.policy.otp_max_attempts, resend_at)
        failures = found.count("code") or found.count("attempts")
        return Left(max(0, case.policy.otp_max_attempts - failures), failures, resend_at)

    async def _judge(
        self, case: Case, about: About, challenge: Challenge, typed: str, whose: Whose
    ) -> Accepted | Rejected | More | Elsewhere | Unavailable:
        if case.enrolment.factor in MESSAGE_FACTORS and case.policy.shared_address is SharedAddress.NEWEST:
            newest = await self._store.get(self._newest_key(whose))
            if newest != challenge.id.encode():
                return Rejected()
        factor = self.factor(about, case.enrolment.factor)
        return await factor.judge(
            challenge.state, case.user, case.enrolment, about.for_challenge(challenge.id), codes.fold(typed)
        )

    def _wrong(self, case: Case, challenge: Challenge, found: Go, problem: Problem) -> Wrong:
        """What a wrong code leads to: the sentence, or the end of the code or of the login."""
        failures = found.count("code") or found.count("attempts")
        for limit, until in found.locks:
            if limit.problem is Problem.LIMIT_EXCEEDED:
                return Wrong(self._until_new_code(No(limit.problem, until), challenge), failures, judged=True)
            return Wrong(Trouble(limit.problem, until), failures, stops=True, judged=True)
        return Wrong(Trouble(problem), failures, judged=True)

    def _until_new_code(self, held: No, challenge: Challenge) -> Trouble:
        """A dead code holds the user only until he may have a new one."""
        if held.problem is Problem.LIMIT_EXCEEDED:
            return Trouble(held.problem, challenge.resend_at)
        return Trouble(held.problem, held.until)

    async def _locked(self, case: Case, whose: Whose, kind: FactorKind) -> Trouble | None:
        groups = limits.for_answer(case.policy, case.limits, whose, kind)
        found = await self._attempts.look(tuple(group for group in groups if limits.is_of_user(group)))
        return Trouble(found.problem, found.until) if isinstance(found, No) else None

    def _whose(self, case: Case, about: About, challenge: str = "") -> Whose:
        return Whose(
            tenant=about.tenant.id,
            user=case.user.id,
            login=case.login,
            challenge=challenge,
            address=self.name_of_address(about.tenant.id, case.enrolment.address),
            client=case.client,
            app=case.app,
        )

    def name_of_address(self, tenant_id: str, address: str) -> str:
        """A keyed digest that stands for an address in keys of the store."""
        return self._addresses.sign(tenant_id, unicodedata.normalize("NFKC", address).casefold())

    def _newest_key(self, whose: Whose) -> str:
        return f"newest:{{{whose.tenant}/address/{whose.address}}}"
