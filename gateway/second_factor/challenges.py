"""How is a proof begun, and how is an answer to it judged? The only caller of a factor.

Sending: nothing to a locked user; counted (cooldown, login, hour, address) before anything leaves; a failed send is
given back. Answering: an expired code is refused before anything is judged; else reserve → judge → consume, so that no
number of tabs or replicas gets one guess more, and exactly one owner consumes a right code. Where a page takes any
code, one entry costs one attempt and is judged by each candidate whose shape fits; the first that accepts is consumed.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.crypto import codes
from gateway.crypto.signing import Signer
from gateway.domain.challenge import (
    Accepted,
    Asked,
    Binding,
    Challenge,
    Elsewhere,
    Judgement,
    More,
    ProofPurpose,
    Rejected,
    Unavailable,
)
from gateway.domain.channel import ChannelKind
from gateway.domain.configuration import OperatorLimits
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import MESSAGE_FACTORS, FactorKind, Policy, SharedAddress
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.second_factor import limits
from gateway.second_factor.factors import admin_code, backup_code, message_code, totp
from gateway.second_factor.factors.protocol import DeliveryContext, Factor
from gateway.second_factor.limits import Group, LimitSubject
from gateway.second_factor.rate_limiter import Allowed, Limited, RateLimiter
from gateway.second_factor.used_codes import UsedCodes
from gateway.store.protocol import Store

Factors = Mapping[tuple[FactorKind, ChannelKind | None], Factor]
DeliveryContextOf = Callable[[FactorKind], DeliveryContext]
"""The circumstances of a proof by one factor: its channel among them."""

NEWEST_LIFE = 86400.0
JUDGED_IN_ORDER = (FactorKind.TOTP, FactorKind.EMAIL, FactorKind.SMS, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE)


@dataclass(frozen=True, slots=True)
class ChallengeContext:
    """For whom, what and under which rules one proof is; the same for sending and answering.

    `bound_to` says for which login, round, purpose and enrolment an entry counts. `methods` are what an entry is judged
    by, `extras` the codes besides; `takes_any` when one page takes all of them.
    """

    tenant: Tenant
    policy: Policy
    limits: OperatorLimits
    user: User
    bound_to: Binding
    app: str
    client: str
    methods: tuple[Enrolment, ...]
    extras: tuple[FactorKind, ...] = ()
    takes_any: bool = False
    enrolments: EnrolmentSet = EnrolmentSet()

    @property
    def enrolling(self) -> bool:
        """Whether an entry proves a new enrolment."""
        return self.bound_to.purpose is ProofPurpose.ENROL

    @property
    def approving(self) -> bool:
        """Whether an entry approves an enrolment that was proved already."""
        return self.bound_to.purpose is ProofPurpose.APPROVE

    @property
    def counted_as(self) -> FactorKind | None:
        """The factor whose failures are counted; None where any is taken."""
        if self.takes_any:
            return None
        return self.methods[0].factor if self.methods else FactorKind.ADMIN_CODE


@dataclass(frozen=True, slots=True)
class Verified:
    """Judged right and consumed by this login. `enrolments` is the set that stands now where a part was used up."""

    factor: FactorKind
    enrolments: EnrolmentSet | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Not accepted. `stops` when this very attempt was the last one and ends the login; `failures` so far."""

    problem_detail: ProblemDetail
    failures: int = 0
    stops: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a page shows of the counters: attempts left, wrong ones so far, when a new code may be had, and why no entry
    would be judged now."""

    attempts: int
    failures: int
    resend_at: float | None = None
    held: ProblemDetail | None = None


class Challenges:
    """Begins, answers and describes challenges."""

    def __init__(
        self,
        *,
        factors: Factors,
        attempts: RateLimiter,
        consuming: UsedCodes,
        store: Store,
        addresses: Signer,
        clock: Clock,
        random: Random,
    ) -> None:
        self._factors = factors
        self._attempts = attempts
        self._consuming = consuming
        self._store = store
        self._addresses = addresses
        self._clock = clock
        self._random = random

    def factor(self, about: DeliveryContext, kind: FactorKind) -> Factor:
        """The object that serves `kind` through the channel of `about`."""
        return self._factors[(kind, about.channel.kind if about.channel else None)]

    async def begin(
        self, case: ChallengeContext, about_of: DeliveryContextOf, number: int, send_to: Enrolment | None
    ) -> Challenge | ProblemDetail:
        """Send a code to `send_to`, or note that one is waited for. `number` is the challenge's in its login."""
        challenge_id = self._random.token_bytes(12).hex()
        if send_to is None:
            only = case.methods[0].factor if len(case.methods) == 1 else None
            return Challenge(challenge_id, only, case.bound_to, number, issued_at=self._clock.now())
        return await self._send(case, about_of(send_to.factor).for_challenge(challenge_id), number, send_to)

    async def held(self, case: ChallengeContext, to: Enrolment) -> ProblemDetail | None:
        """Why a code to `to` would not be sent now; nothing is counted."""
        whose = self._whose(case, None, to)
        if locked := await self._locked(case, whose):
            return locked  # whatever else he waits for is over sooner, or no use to him
        found = await self._attempts.look(limits.for_send(case.policy, case.limits, whose))
        return _not_now(found) if isinstance(found, Limited) else None

    async def answer(
        self, case: ChallengeContext, about_of: DeliveryContextOf, challenge: Challenge, typed: str
    ) -> Verified | Denied:
        """Judge what was typed. A right entry is `Verified` for one owner only: this login, challenge and round.

        An entry for a challenge of another login, round, purpose or draft is not judged and costs nothing.
        """
        if challenge.bound_to != case.bound_to:
            return Denied(ProblemDetail(Problem.WRONG_CODE))
        entry = codes.fold(typed)
        expired = challenge.expires_at is not None and self._clock.now() >= challenge.expires_at
        candidates = [k for k in self._candidates(case, challenge, expired=expired) if self._fits(case, k, entry)]
        if expired and not candidates:
            return Denied(ProblemDetail(Problem.CODE_EXPIRED))
        whose = self._whose(case, challenge)
        groups = _counted(case, whose)
        found = await self._attempts.reserve(groups[::-1])  # the code's own first: what it refuses counts for no user
        if isinstance(found, Limited):
            first = await self._attempts.look(groups)
            return Denied(self._held(case, first if isinstance(first, Limited) else found, challenge))
        problem = Problem.WRONG_CODE
        for kind in candidates:
            judgement = await self._judge(case, about_of(kind).for_challenge(challenge.id), challenge, kind, entry)
            match judgement:
                case Accepted(consume=consume):
                    owner = f"{case.bound_to.login}/{challenge.id}/{case.bound_to.round}"
                    used = await self._consuming.use(
                        case.tenant, case.user, case.enrolments, consume, owner, new_secret=case.enrolling
                    )
                    if isinstance(used, Problem):
                        problem = used
                        continue
                    await self._attempts.clear(groups + limits.cooldown(case.policy, whose))
                    return Verified(kind, used)
                case Rejected(problem=why):
                    problem = why if why is not Problem.WRONG_CODE else problem
                case Elsewhere(path=path):
                    return Denied(ProblemDetail(Problem.NO_CONTACT, path=path), stops=True)
                case More():
                    raise TypeError("no factor of this build asks on")
                case Unavailable(problem=why):
                    await self._attempts.give_back(groups)
                    return Denied(ProblemDetail(why))
        if problem is Problem.NEXT_CODE:  # the right code of an app, used already: no guess
            await self._attempts.give_back(groups)
            return Denied(ProblemDetail(problem, totp.next_code_at(self._clock.now())), judged=True)
        if expired and await self._was_sent(case, about_of, challenge, entry):
            await self._attempts.give_back(groups)
            return Denied(ProblemDetail(Problem.CODE_EXPIRED))
        return self._wrong(case, challenge, found, problem)

    async def left(self, case: ChallengeContext, challenge: Challenge | None) -> Remaining:
        """The counters as a page shows them; nothing is counted."""
        whose = self._whose(case, challenge)
        found = await self._attempts.look(_counted(case, whose))
        cooling = await self._attempts.look(limits.cooldown(case.policy, whose))
        resend_at = cooling.until if isinstance(cooling, Limited) else None
        if isinstance(found, Limited):
            held = self._held(case, found, challenge)
            if held.problem is Problem.LOCKED:  # then nothing is sent either
                resend_at = held.until
            return Remaining(0, case.policy.otp_max_attempts, resend_at, held)
        failures = _failures(found)
        return Remaining(max(0, case.policy.otp_max_attempts - failures), failures, resend_at)

    async def _send(
        self, case: ChallengeContext, about: DeliveryContext, number: int, to: Enrolment
    ) -> Challenge | ProblemDetail:
        whose = self._whose(case, None, to)
        if held := await self._locked(case, whose):
            return held
        counted = limits.for_send(case.policy, case.limits, whose)
        found = await self._attempts.reserve(counted)
        if isinstance(found, Limited):
            return _not_now(found)
        asked = await self.factor(about, to.factor).challenge(case.user, to, about)
        match asked:
            case Asked():
                pass
            case Elsewhere(path=path):
                return ProblemDetail(Problem.NO_CONTACT, path=path)
            case Unavailable(problem=problem):
                await self._attempts.give_back(counted)
                return ProblemDetail(problem)
        now = self._clock.now()
        if case.policy.shared_address is SharedAddress.NEWEST:
            life = max(60.0, (asked.expires_at or now) - now) + NEWEST_LIFE
            await self._store.set(_newest_key(whose), about.challenge.encode(), life)
        return Challenge(
            id=about.challenge,
            factor=to.factor,
            bound_to=case.bound_to,
            number=number,
            state=asked.state,
            channel=about.channel.service_identifier if about.channel else None,
            sent_to=to.address,
            issued_at=now,
            expires_at=asked.expires_at,
            resend_at=now + case.policy.resend_cooldown,
            tag=about.tag,
        )

    def _candidates(self, case: ChallengeContext, challenge: Challenge, *, expired: bool) -> tuple[FactorKind, ...]:
        """What an entry is judged by, in order: methods that need no message, the message that was sent, extras."""
        waiting = {m.factor for m in case.methods if m.factor not in MESSAGE_FACTORS}
        if challenge.factor in MESSAGE_FACTORS and not expired:
            waiting.add(challenge.factor)
        return tuple(k for k in JUDGED_IN_ORDER if k in waiting or k in case.extras)

    def _fits(self, case: ChallengeContext, kind: FactorKind, entry: str) -> bool:
        """Whether `entry` may be such a code; a page that takes one kind judges whatever was typed."""
        if len(case.methods) + len(case.extras) == 1:
            return True
        match kind:
            case FactorKind.BACKUP_CODE:
                return backup_code.fits(entry)
            case FactorKind.ADMIN_CODE:
                return admin_code.fits(entry)
        digits = totp.DIGITS if kind is FactorKind.TOTP else case.policy.otp_length
        return message_code.fits(entry, digits)

    async def _judge(
        self, case: ChallengeContext, about: DeliveryContext, challenge: Challenge, kind: FactorKind, entry: str
    ) -> Judgement:
        enrolment = next((m for m in case.methods if m.factor is kind), None)
        if enrolment is None:
            enrolment = await self._consuming.as_enrolment(case.tenant, case.user, case.enrolments, kind)
        if kind in MESSAGE_FACTORS and case.policy.shared_address is SharedAddress.NEWEST:
            newest = await self._store.get(_newest_key(self._whose(case, challenge, enrolment)))
            if newest != challenge.id.encode():
                return Rejected()
        return await self.factor(about, kind).judge(challenge.state, case.user, enrolment, about, entry)

    async def _was_sent(
        self, case: ChallengeContext, about_of: DeliveryContextOf, challenge: Challenge, entry: str
    ) -> bool:
        """Whether `entry`, on a page that takes other codes as well, is the message's code after its end."""
        kind = challenge.factor
        if kind is None or not self._fits(case, kind, entry):
            return False
        judgement = await self._judge(case, about_of(kind).for_challenge(challenge.id), challenge, kind, entry)
        return isinstance(judgement, Accepted)

    def _wrong(self, case: ChallengeContext, challenge: Challenge, found: Allowed, problem: Problem) -> Denied:
        """What a wrong code leads to: the sentence, a warning, or the end of the code or of the login."""
        failures = _failures(found)
        ended = [Limited(limit, until) for limit, until in found.locks]
        if ended:
            held = max(ended, key=lambda no: (no.problem is Problem.LOCKED, no.until))
            new_code = held.problem is Problem.LIMIT_EXCEEDED and case.counted_as in MESSAGE_FACTORS
            return Denied(self._held(case, held, challenge), failures, stops=not new_code, judged=True)
        warn = case.policy.warn_from_attempt
        if warn is not None and failures >= warn:
            problem = Problem.WARNING
        return Denied(ProblemDetail(problem), failures, judged=True)

    def _held(self, case: ChallengeContext, held: Limited, challenge: Challenge | None) -> ProblemDetail:
        """A dead code holds the user until he may have a new one; a login that is at its end holds nobody after it."""
        if held.problem is not Problem.LIMIT_EXCEEDED:
            return ProblemDetail(held.problem, held.until)
        if case.counted_as in MESSAGE_FACTORS:
            return ProblemDetail(held.problem, challenge.resend_at if challenge else None)
        return ProblemDetail(Problem.TOO_MANY_CODES)

    async def _locked(self, case: ChallengeContext, whose: LimitSubject) -> ProblemDetail | None:
        groups = _counted(case, whose)
        found = await self._attempts.look(tuple(group for group in groups if limits.is_of_user(group)))
        return ProblemDetail(found.problem, found.until) if isinstance(found, Limited) else None

    def _whose(self, case: ChallengeContext, challenge: Challenge | None, to: Enrolment | None = None) -> LimitSubject:
        message = to or next((m for m in case.methods if m.factor in MESSAGE_FACTORS), None)
        return LimitSubject(
            tenant=case.tenant.id,
            user=case.user.id,
            login=case.bound_to.login,
            challenge=challenge.id if challenge else "",
            address=self.name_of_address(case.tenant.id, message.address) if message else "",
            client=case.client,
            app=case.app,
        )

    def name_of_address(self, tenant_id: str, address: str) -> str:
        """A keyed digest that stands for an address in keys of the store."""
        return self._addresses.sign(tenant_id, unicodedata.normalize("NFKC", address).casefold())


def _counted(case: ChallengeContext, whose: LimitSubject) -> tuple[Group, ...]:
    return limits.for_answer(case.policy, case.limits, whose, case.counted_as, approving_first=case.approving)


def _not_now(found: Limited) -> ProblemDetail:
    """Why nothing is sent; a login that had its last code holds nobody after it."""
    return ProblemDetail(found.problem, None if limits.is_of_login(found.limit) else found.until)


def _newest_key(whose: LimitSubject) -> str:
    return f"newest:{{{whose.tenant}/address/{whose.address}}}"


def _failures(found: Allowed) -> int:
    return found.count("code") or found.count("attempts")
