"""Begins challenges and verifies entries. The only caller of a factor.

Sending: nothing to a locked user. Each send is counted (cooldown, login, hour, address) before anything leaves; the
count of a failed send is given back. Answering: an expired code is rejected before anything is verified; else reserve →
verify → redeem. So no number of tabs or replicas gets one guess more, and exactly one owner redeems a right code. Where
a page takes any code, one entry costs one attempt. Each candidate whose shape fits verifies it; the first that accepts
redeems it.

With `sharedAddress: newest` a code to an address replaces the older ones there, of the users that *hold* the address:
they have enrolled it, or Keycloak has verified it. An address that a user merely entered takes no part. A right code
that was replaced costs no attempt.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gateway.crypto.key_ring import Signer
from gateway.domain.challenge import (
    Accepted,
    Binding,
    Challenge,
    Elsewhere,
    Judgement,
    More,
    ProofPurpose,
    Rejected,
    Unavailable,
)
from gateway.domain.configuration import OperatorLimits
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind, OnMaximum, Policy, SharedAddress
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import Tenant
from gateway.domain.user import Contact, User
from gateway.second_factor import rate_limits
from gateway.second_factor.factors import table
from gateway.second_factor.factors.protocol import DeliveryContext, Digits, Factor
from gateway.second_factor.factors.table import Factors
from gateway.second_factor.rate_limits import Allowed, Group, Limited, LimitSubject, RateLimiter
from gateway.second_factor.used_codes import Redemption, UsedCodes
from gateway.store.protocol import Store

DeliveryContextOf = Callable[[FactorKind], DeliveryContext]
"""The circumstances of a proof by one factor, with its channel."""

NEWEST_LIFE = 86400.0
VOID = "void"
"""The owner of codes that no login may redeem."""
_DEAD = (Problem.NEXT_CODE, Problem.CODE_REPLACED, Problem.CODE_EXPIRED)
"""The problems of right codes that are dead. A service may say so of any entry."""
MAX_TYPED = 64
_IGNORED_CATEGORIES = frozenset({"Zs", "Pd", "Cf", "Cc"})


@dataclass(frozen=True, slots=True)
class ChallengeContext:
    """The user, the rules and the methods of one proof; the same for sending and answering.

    `bound_to` is the login, round, purpose and enrolment that an entry counts for. `methods` verify an entry, `extras`
    are the codes besides. `takes_any` when one page takes all of them.
    """

    tenant: Tenant
    policy: Policy
    limits: OperatorLimits
    user: User
    bound_to: Binding
    app: str
    methods: tuple[Enrolment, ...]
    extras: tuple[FactorKind, ...] = ()
    takes_any: bool = False
    enrolments: EnrolmentSet = EnrolmentSet()
    contacts: tuple[Contact, ...] = ()

    @property
    def enrolling(self) -> bool:
        """Whether an entry proves a new enrolment."""
        return self.bound_to.purpose is ProofPurpose.ENROL

    @property
    def approving(self) -> bool:
        """Whether an entry approves an enrolment that was proved already."""
        return self.bound_to.purpose is ProofPurpose.APPROVE

    @property
    def only(self) -> FactorKind | None:
        """The factor of the only method, or None."""
        return self.methods[0].factor if len(self.methods) == 1 else None

    @property
    def counted_as(self) -> FactorKind | None:
        """The factor whose failures are counted; None where the page takes any."""
        if self.takes_any:
            return None
        return self.methods[0].factor if self.methods else self.extras[0]

    def shares_newest(self, address: str) -> bool:
        """Whether a code to `address` takes part in `sharedAddress: newest`: the user holds the address.

        "" is an address that only the service knows that sends there.
        """
        if not address or self.policy.shared_address is not SharedAddress.NEWEST:
            return False
        held = {e.address.casefold() for e in self.enrolments.enrolments}
        held.update(c.address.casefold() for c in self.contacts if c.verified)
        return not self.enrolling or address.casefold() in held


@dataclass(frozen=True, slots=True)
class Verified:
    """Verified and redeemed by this login. `enrolments` is the new set where redeeming changed it.

    `by` is the id of the app whose code it is.
    """

    factor: FactorKind
    enrolments: EnrolmentSet | None = None
    by: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """Not accepted. `stops` when this very attempt was the last one and ends the login; `failures` so far."""

    problem_detail: ProblemDetail
    failures: int = 0
    stops: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Continued:
    """Neither accepted nor rejected: the challenge goes on with `prompt`, and with another state than `before`."""

    challenge: Challenge
    before: Challenge


@dataclass(frozen=True, slots=True)
class _Rejected:
    """No factor accepted an entry; `is_guess`: it costs an attempt."""

    problem_detail: ProblemDetail
    is_guess: bool


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a page shows of the counters: attempts left, wrong ones so far, the time of the next possible send, the
    reason why no further code can be sent at all, and the reason why no entry is verified now. `replaced`: a newer code
    was sent to the address of this one."""

    attempts: int
    failures: int
    resend_at: float | None = None
    held: ProblemDetail | None = None
    no_more_sends: ProblemDetail | None = None
    replaced: bool = False


class Challenges:
    """Begins, answers and describes challenges."""

    def __init__(
        self,
        *,
        factors: Factors,
        attempts: RateLimiter,
        used_codes: UsedCodes,
        store: Store,
        addresses: Signer,
        clock: Clock,
        random: Random,
    ) -> None:
        self._factors = factors
        self._attempts = attempts
        self._used_codes = used_codes
        self._store = store
        self._addresses = addresses
        self._clock = clock
        self._random = random

    def factor(self, delivery: DeliveryContext, kind: FactorKind) -> Factor:
        """The object that serves `kind` through the channel of `delivery`."""
        return self._factors[(kind, delivery.kind)]

    def waiting(self, context: ChallengeContext, number: int) -> Challenge:
        """A challenge for an entry that needs no message. `number` is the challenge's in its login."""
        return Challenge(self._new_id(), context.only, context.bound_to, number, issued_at=self._clock.now())

    async def send(
        self, context: ChallengeContext, delivery: DeliveryContext, number: int, to: Enrolment
    ) -> Challenge | ProblemDetail:
        """Sends a code to `to`. `number` is the challenge's in its login."""
        subject = self._subject(context)
        if locked := await self._locked(context, subject):
            return locked
        counted = self._sends(context, subject, to)
        found = await self._attempts.reserve(counted)
        if isinstance(found, Limited):
            return _not_now(found)
        delivery = replace(delivery, challenge=self._new_id())
        factor = self.factor(delivery, to.factor)
        asked = await factor.challenge(context.user, to, delivery)
        if isinstance(asked, Unavailable):
            await self._attempts.give_back(counted)
            return ProblemDetail(asked.problem)
        if isinstance(asked, Elsewhere):
            return ProblemDetail(Problem.ENDED_BY_SERVICE, path=asked.path)
        now = self._clock.now()
        if context.shares_newest(to.address):
            life = max(60.0, (asked.expires_at or now) - now) + NEWEST_LIFE
            address = self.name_of_address(context.tenant.id, to.address)
            await self._store.set(_newest_key(context.tenant.id, address), delivery.challenge.encode(), life)
        return Challenge(
            id=delivery.challenge,
            factor=to.factor,
            bound_to=context.bound_to,
            number=number,
            state=asked.state,
            channel=delivery.channel.service_identifier if delivery.channel else None,
            channel_kind=delivery.kind,
            sent_to=to.address,
            issued_at=now,
            expires_at=asked.expires_at,
            resend_at=now + context.policy.resend_cooldown,
            tag="" if factor.remote else delivery.tag,
        )

    async def held(self, context: ChallengeContext, to: Enrolment) -> ProblemDetail | None:
        """The reason why a code to `to` cannot be sent now. Counts nothing."""
        subject = self._subject(context)
        if locked := await self._locked(context, subject):
            return locked  # any other wait is shorter, or of no use to a locked user
        found = await self._attempts.look(self._sends(context, subject, to))
        return _not_now(found) if isinstance(found, Limited) else None

    async def answer(
        self, context: ChallengeContext, delivery_of: DeliveryContextOf, challenge: Challenge, typed: str
    ) -> Verified | Denied | Continued:
        """Verifies an entry. A right one is `Verified` for one owner only: this login, challenge and round.

        An entry for a challenge of another login, round, purpose or draft is not verified and costs nothing.
        """
        if challenge.bound_to != context.bound_to:
            return Denied(ProblemDetail(Problem.WRONG_CODE))
        entry = fold(typed)
        expired = challenge.expires_at is not None and self._clock.now() >= challenge.expires_at
        candidates = [
            kind
            for kind in self._candidates(context, challenge, expired=expired)
            if self._fits(context, delivery_of(kind), kind, entry)
        ]
        if expired and not candidates:
            return Denied(ProblemDetail(Problem.CODE_EXPIRED))
        subject = self._subject(context, challenge)
        groups = rate_limits.for_answer(context.policy, context.limits, subject)
        found = await self._attempts.reserve(groups[::-1])  # the code's own first: its rejections count for no user
        if isinstance(found, Limited):
            first = await self._attempts.look(groups)
            # Entries that are still being judged are counted too: only a wrong one ends the login.
            return Denied(self._held(context, first if isinstance(first, Limited) else found, challenge))
        match await self._judged(context, delivery_of, challenge, candidates, entry):
            case Verified() as verified:
                await self._attempts.clear((*groups, rate_limits.cooldown(context.policy, subject)))
                return verified
            case _Rejected(problem_detail=rejected, is_guess=is_guess):
                if not is_guess:
                    await self._attempts.give_back(groups)
                    return Denied(rejected, judged=True)
                if expired and await self._was_sent(context, delivery_of, challenge, entry):
                    await self._attempts.give_back(groups)
                    return Denied(ProblemDetail(Problem.CODE_EXPIRED))
                return self._wrong(context, challenge, found, rejected.problem)
            case undecided:
                return await self._undecided(undecided, context, challenge, groups, found)

    async def _judged(
        self,
        context: ChallengeContext,
        delivery_of: DeliveryContextOf,
        challenge: Challenge,
        candidates: Sequence[FactorKind],
        entry: str,
    ) -> "Verified | _Rejected | Unavailable | More | Elsewhere":
        """The verdict of the candidates, in order: the first that accepts the entry redeems it.

        A wrong entry is no guess if it is a right code that is dead, or if the only factor that judged it says so. Once
        a factor called it wrong, a service without a verdict does not make it free.
        """
        rejected, right, wrong = ProblemDetail(Problem.WRONG_CODE), False, 0
        owner = f"{context.bound_to.login}/{challenge.id}/{context.bound_to.round}"
        by = Redemption(context.tenant, context.user, context.enrolments, owner, new_secret=context.enrolling)
        for kind in candidates:
            delivery = replace(delivery_of(kind), challenge=challenge.id)
            match await self._verify(context, delivery, challenge, kind, entry):
                case Accepted(redeem=value, by=app):
                    right = True
                    if kind in table.SENT and (dead := await self._replaced(context, challenge)):
                        rejected = ProblemDetail(dead)
                        continue
                    redeemed = await self.factor(delivery, kind).redeem(value, self._used_codes, by)
                    if not isinstance(redeemed, ProblemDetail):
                        return Verified(kind, redeemed, app)
                    rejected = redeemed
                case Rejected(problem=why, voids=voids):
                    for what, value in voids:
                        await self._used_codes.mark(what, value, replace(by, owner=VOID))
                    rejected, wrong = rejected if why is Problem.WRONG_CODE else ProblemDetail(why), wrong + 1
                case Unavailable() if wrong:
                    pass
                case More() if challenge.factor not in (None, kind):
                    wrong += 1  # the challenge keeps the state of the factor that sent its code
                case undecided:
                    return undecided
        no_guess = rejected.problem in _DEAD and (right or wrong == 1)
        return _Rejected(rejected, is_guess=not no_guess)

    async def left(
        self, context: ChallengeContext, challenge: Challenge | None, to: Enrolment | None = None
    ) -> Remaining:
        """The counters as a page shows them, of which `to` is where a code can be sent. Counts nothing."""
        subject = self._subject(context, challenge)
        found = await self._attempts.look(rate_limits.for_answer(context.policy, context.limits, subject))
        resend_at = no_more_sends = None
        if to is not None:
            of_user, *others = self._sends(context, subject, to)
            # The cooldown, first in its group, is the last one looked at: it hides no wait that lasts longer.
            sends = await self._attempts.look((*others, of_user[::-1]))
            if isinstance(sends, Limited) and sends.problem is Problem.WAIT:
                resend_at = sends.until
            elif isinstance(sends, Limited):
                no_more_sends = _not_now(sends)
        replaced = False
        if challenge and challenge.sent_to:
            replaced = await self._replaced(context, challenge) is Problem.CODE_REPLACED
        if isinstance(found, Limited):
            held = self._held(context, found, challenge)
            if held.problem is Problem.LOCKED:  # a lock also stops sending
                resend_at = held.until
            return Remaining(0, context.policy.otp_max_attempts, resend_at, held, no_more_sends, replaced)
        # Beyond the maximum, an app that is not locked gives one attempt.
        left = context.policy.otp_max_attempts - found.failures
        return Remaining(max(1, left), found.failures, resend_at, None, no_more_sends, replaced)

    def _candidates(self, context: ChallengeContext, challenge: Challenge, *, expired: bool) -> tuple[FactorKind, ...]:
        """The factors that verify an entry, in order: those that send nothing, the one that sent, extras."""
        sent = None if expired else challenge.factor
        waiting = {m.factor for m in context.methods if m.factor not in table.SENT or m.factor is sent}
        waiting.update(context.extras)
        return tuple(kind for kind in table.TYPES if kind in waiting)

    def digits(self, delivery: DeliveryContext, kind: FactorKind) -> Digits | None:
        """The number of digits of a code of `kind` through the channel of `delivery`; None when it may hold letters."""
        return self.factor(delivery, kind).length(delivery)

    def given_name(self, delivery: DeliveryContext, kind: FactorKind) -> str:
        """The operator's own name for what shows a code of `kind`; "" for none."""
        return self.factor(delivery, kind).given_name(delivery)

    def _fits(self, context: ChallengeContext, delivery: DeliveryContext, kind: FactorKind, entry: str) -> bool:
        """Whether `entry` may be such a code. A page that takes one kind verifies every entry."""
        alone = len(context.methods) + len(context.extras) == 1
        return alone or self.factor(delivery, kind).fits(entry, delivery.digits)

    async def _verify(
        self, context: ChallengeContext, delivery: DeliveryContext, challenge: Challenge, kind: FactorKind, entry: str
    ) -> Judgement:
        factor = self.factor(delivery, kind)
        enrolment = next((m for m in context.methods if m.factor is kind), None)
        if enrolment is None:
            enrolment = await factor.credential(context.tenant, context.user, context.enrolments)
        found = await factor.verify(challenge.state, context.user, enrolment, delivery, entry)
        if isinstance(found, Unavailable) and delivery.sent_by and delivery.channel is None:
            return replace(found, problem=Problem.CODE_EXPIRED)  # the service of the code is gone; another one sends
        return found

    async def _replaced(self, context: ChallengeContext, challenge: Challenge) -> Problem | None:
        """Why the code that was sent for `challenge` is dead, right or not; None when it is the newest."""
        if not context.shares_newest(challenge.sent_to):
            return None
        address = self.name_of_address(context.tenant.id, challenge.sent_to)
        newest = await self._store.get(_newest_key(context.tenant.id, address))
        if newest == challenge.id.encode():
            return None
        return Problem.CODE_REPLACED if newest else Problem.CODE_EXPIRED  # a lost store knows no newer code

    async def _was_sent(
        self, context: ChallengeContext, delivery_of: DeliveryContextOf, challenge: Challenge, entry: str
    ) -> bool:
        """Whether `entry`, on a page that takes other codes as well, is the sent code after its expiry."""
        kind = challenge.factor
        if kind is None:
            return False
        delivery = replace(delivery_of(kind), challenge=challenge.id)
        if not self._fits(context, delivery, kind, entry):
            return False
        judgement = await self._verify(context, delivery, challenge, kind, entry)
        return isinstance(judgement, Accepted)

    async def _undecided(
        self,
        judgement: Unavailable | More | Elsewhere,
        context: ChallengeContext,
        challenge: Challenge,
        groups: Sequence[Group],
        found: Allowed,
    ) -> Denied | Continued:
        """The result of an entry that no factor called right or wrong. Only an entry that nothing judged is free."""
        match judgement:
            case Unavailable(problem=why):
                free = await self._attempts.reserve((rate_limits.unjudged(self._subject(context, challenge)),))
                if isinstance(free, Limited):
                    return self._wrong(context, challenge, found, why)
                await self._attempts.give_back(groups)
                return Denied(ProblemDetail(Problem.CHECK_FAILED if why is Problem.SEND_FAILED else why))
            case More():
                return Continued(challenge.asks(judgement), challenge)
            case Elsewhere(path=path):
                ended = ProblemDetail(Problem.ENDED_BY_SERVICE, path=path)
                return Denied(ended, found.failures, stops=True, judged=True)

    def _wrong(self, context: ChallengeContext, challenge: Challenge, found: Allowed, problem: Problem) -> Denied:
        """The effect of a wrong code: a problem, a warning, or the end of the code or of the login."""
        failures = found.failures
        if locked := found.locked:
            held = max(locked, key=lambda no: (no.problem is Problem.LOCKED, no.until))
            why = self._held(context, held, challenge)
            return Denied(why, failures, stops=why.problem is not Problem.LIMIT_EXCEEDED, judged=True)
        warn = context.policy.warn_from_attempt
        if warn is not None and failures >= warn:
            problem = Problem.WARNING
        return Denied(ProblemDetail(problem), failures, judged=True)

    def _held(self, context: ChallengeContext, held: Limited, challenge: Challenge | None) -> ProblemDetail:
        """The problem of a held entry. A dead code holds the user until the next send, a login only until its end.

        A login ends by its policy, or because its factor has no code to replace.
        """
        policy = context.policy
        if held.problem is not Problem.LIMIT_EXCEEDED:
            return held.detail
        if context.counted_as in table.SENT and policy.on_max_verify not in (OnMaximum.STOP, OnMaximum.PATH):
            return replace(held.detail, until=challenge.resend_at if challenge else None)
        return replace(held.detail, problem=Problem.TOO_MANY_CODES, until=None, path=policy.max_verify_path)

    async def _locked(self, context: ChallengeContext, subject: LimitSubject) -> ProblemDetail | None:
        found = await self._attempts.look((rate_limits.for_user(context.policy, context.limits, subject),))
        return found.detail if isinstance(found, Limited) else None

    def _sends(self, context: ChallengeContext, subject: LimitSubject, to: Enrolment) -> Sequence[Group]:
        """The limits of one code to `to`; where a service alone knows the address, the user's id names it."""
        address = self.name_of_address(context.tenant.id, to.address or context.user.id)
        return rate_limits.for_send(context.policy, context.limits, subject, to.factor, address)

    def _subject(self, context: ChallengeContext, challenge: Challenge | None = None) -> LimitSubject:
        return LimitSubject(
            tenant=context.tenant.id,
            user=context.user.id,
            login=context.bound_to.login,
            factor=context.counted_as,
            challenge=challenge.id if challenge else "",
            app=context.app,
            approving=context.approving,
        )

    def _new_id(self) -> str:
        return self._random.token_bytes(12).hex()

    def name_of_address(self, tenant_id: str, address: str) -> str:
        """A keyed digest that replaces an address in keys of the store."""
        return self._addresses.sign(tenant_id, unicodedata.normalize("NFKC", address).casefold())


def fold(typed: str) -> str:
    """`typed` with ASCII digits for those of any script, and without spaces, hyphens and direction marks.

    Other characters stay, so that letters are rejected as a wrong code. At most 64 characters are kept.
    """
    kept = []
    for character in typed[: MAX_TYPED * 4]:
        if (value := unicodedata.decimal(character, None)) is not None:
            kept.append(str(value))
        elif unicodedata.category(character) not in _IGNORED_CATEGORIES:
            kept.append(character)
    return "".join(kept)[:MAX_TYPED]


def _not_now(found: Limited) -> ProblemDetail:
    """The reason why nothing is sent. The maximum of a login holds the user only until the login's end."""
    return replace(found.detail, until=None) if rate_limits.is_of_login(found.limit) else found.detail


def _newest_key(tenant_id: str, address: str) -> str:
    return f"newest:{{{tenant_id}/address/{address}}}"
