"""A record of everything judged and sent, and a second check of the documented limits.

The limits are written here a second time, from the documentation and not from `second_factor.rate_limits`, as one plain
walk over all events in order. Parallel events (a *batch*) have no known order, so the walk judges a batch by the state
before it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.challenge import Challenge, ProofPurpose
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import AttemptsScope, ChoosePage, FactorKind, Policy
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.second_factor.challenges import ChallengeContext, Challenges, DeliveryContextOf, Denied, Verified
from gateway.second_factor.factors.protocol import DeliveryContext

DAY = 86400.0
CAP = ((10, 300.0), (20, 1800.0), (50, DAY))


@dataclass(frozen=True)
class Judged:
    """One judged entry, or one sent code (`sent`)."""

    batch: int
    at: float
    user: str
    login: str
    round: int
    challenge: str
    sent_to: str
    key: str
    approving_first: bool
    registering: bool
    policy: Policy
    purpose: ProofPurpose = ProofPurpose.VERIFY
    draft: str = ""
    person: str = ""
    browser: str = ""
    typed: str = ""
    right: FactorKind | None = None
    sent: bool = False

    @property
    def replaceable(self) -> bool:
        """Returns whether the entry counts against a code that another one can replace."""
        return self.key in {FactorKind.EMAIL.value, FactorKind.SMS.value}


@dataclass
class LimitOracle:
    """Observes the challenges of every replica."""

    clock: Clock
    actor: Callable[[], tuple[str, str]] = lambda: ("", "")
    batch: int = 0
    seen: list[Judged] = field(default_factory=list)

    def watch(self, challenges: Challenges) -> None:
        """Records what these challenges judge and send, without changing it."""
        real_answer, real_send = challenges.answer, challenges.send

        async def answer(
            context: ChallengeContext, delivery_of: DeliveryContextOf, challenge: Challenge, typed: str
        ) -> Verified | Denied:
            found = await real_answer(context, delivery_of, challenge, typed)
            match found:
                case Verified(factor=factor):
                    self._note(context, challenge, typed=typed, right=factor)
                case Denied(judged=True, problem_detail=problem_detail) if (
                    problem_detail.problem is not Problem.NEXT_CODE
                ):
                    self._note(context, challenge, typed=typed)
            return found

        async def send(context: ChallengeContext, delivery: DeliveryContext, number: int, to: Enrolment) -> Any:
            sent = await real_send(context, delivery, number, to)
            if isinstance(sent, Challenge):
                self._note(context, sent, sent=True)
            return sent

        challenges.answer, challenges.send = answer, send  # type: ignore[method-assign]

    def _note(self, case: ChallengeContext, challenge: Challenge, **more: Any) -> None:
        combined = case.policy.choose_page is ChoosePage.COMBINED and not case.enrolling
        one = case.methods[0].factor.value if case.methods else FactorKind.ADMIN_CODE.value
        self.seen.append(
            Judged(
                batch=self.batch,
                at=self.clock.now(),
                user=case.user.id,
                login=case.bound_to.login,
                round=case.bound_to.round,
                challenge=challenge.id,
                sent_to=challenge.sent_to,
                key="any" if combined else one,
                approving_first=case.approving,
                registering=case.enrolling,
                policy=case.policy,
                purpose=case.bound_to.purpose,
                draft=case.bound_to.draft,
                person=self.actor()[0],
                browser=self.actor()[1],
                **more,
            )
        )

    def rights(self, login: str, of_round: int) -> list[Judged]:
        """Returns what was accepted in one round of a login."""
        return [one for one in self.seen if one.right and (one.login, one.round) == (login, of_round)]


@dataclass
class Tally:
    """One count of failures, and until when it locks.

    A failure beside a success, at the same time, was counted before or after it: from then on the count is not `exact`,
    and when it locks is not known until the next success.
    """

    failures: int = 0
    exact: bool = True
    lives_until: float = 0.0
    locked_until: float = 0.0

    def fail(self, at: float, locks_for: float, *, restarts: bool = False) -> None:
        """Counts one failure; 24 hours in which failures were possible and none occurred reset the count."""
        self.failures = self.failures + 1 if at < self.lives_until else 1
        self.lives_until = at + DAY + (locks_for if locks_for >= DAY else 0.0)
        if locks_for and self.exact:
            self.locked_until = at + locks_for
            self.failures = 0 if restarts else self.failures

    def next(self, at: float) -> int:
        """Returns the count after one more failure."""
        return self.failures + 1 if at < self.lives_until else 1


def check(seen: list[Judged]) -> None:
    """Asserts that the documented limits allowed all recorded events."""
    tallies: dict[tuple[str, ...], Tally] = {}
    of_code: Counter[tuple[str, str]] = Counter()
    sends: Counter[str] = Counter()
    last_sent: dict[str, float] = {}
    owners: dict[tuple[str, ...], tuple[str, int, str]] = {}
    mixed = _mixed(seen)
    batch, locked, right_now = -1, {}, set()  # type: ignore[var-annotated]
    for one in seen:
        if one.batch != batch:
            for user in right_now:
                last_sent.pop(user, None)
            batch, right_now = one.batch, set()
            locked = {name: tally.locked_until for name, tally in tallies.items()}
        cap, own = (one.user, "approval" if one.approving_first else one.key), (one.user, f"own {one.approving_first}")
        assert one.at >= max(locked.get(cap, 0.0), locked.get(own, 0.0)), ("while locked", one)
        if one.sent:
            _sent(one, sends, last_sent, right_now)
        elif one.right:
            _right(one, owners)
            right_now.add(one.user)
            exact = (one.batch, one.user) not in mixed
            tallies[cap], tallies[own] = Tally(exact=exact), Tally(exact=exact)
            of_code.pop((one.login, one.challenge if one.replaceable else ""), None)
        else:
            if (one.batch, one.user) in mixed:
                tallies.setdefault(cap, Tally()).exact = tallies.setdefault(own, Tally()).exact = False
            _wrong(one, tallies.setdefault(cap, Tally()), tallies.setdefault(own, Tally()), of_code, right_now)


def _mixed(seen: list[Judged]) -> set[tuple[int, str]]:
    """Returns each batch and user with correct and wrong entries at the same time."""
    rights = {(one.batch, one.user) for one in seen if one.right}
    return {(one.batch, one.user) for one in seen if not one.right and not one.sent} & rights


def _sent(one: Judged, sends: Counter[str], last_sent: dict[str, float], right_now: set[str]) -> None:
    sends[one.login] += 1
    assert sends[one.login] <= one.policy.max_sends, ("too many sends", one)
    if one.user in last_sent and one.user not in right_now:
        assert one.at >= last_sent[one.user] + one.policy.resend_cooldown, ("within the cooldown", one)
    last_sent[one.user] = one.at


def _right(one: Judged, owners: dict[tuple[str, ...], tuple[str, int, str]]) -> None:
    assert one.right
    owner = (one.login, one.round, one.challenge)
    assert owners.setdefault((one.user, one.right.value, one.typed), owner) == owner, ("used twice", one)


def _wrong(one: Judged, cap: Tally, own: Tally, of_code: Counter[tuple[str, str]], right_now: set[str]) -> None:
    within = one.user not in right_now  # parallel to a success it may have been counted before or after it
    if within:
        assert one.at >= max(cap.locked_until, own.locked_until), ("beyond a maximum", one)
    steps = dict(CAP)
    cap.fail(one.at, steps.get(n := cap.next(one.at), DAY if n > max(steps) else 0.0))
    if one.policy.attempts_scope is AttemptsScope.USER:
        full = own.next(one.at) == one.policy.otp_max_attempts
        own.fail(one.at, float(one.policy.locked_for) if full else 0.0, restarts=True)
        return
    code = (one.login, one.challenge if one.replaceable else "")
    of_code[code] += 1
    assert not within or of_code[code] <= one.policy.otp_max_attempts, ("too many attempts", one)
