"""Applies random events to the pure machine: valid ones for the pending step, old ones again, and ones of other logins.

The judge keeps a separate list of the entries that a factor accepted: for which login, round, purpose and draft, and by
which challenge. When a login opens, the judge checks that list against its own reading of the policy.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.domain.challenge import Binding, Challenge, Draft, ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import ChoosePage, EnrolmentRule, FactorKind, Policy, Registration
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.user import Contact
from gateway.login import state_machine
from gateway.login.record import (
    Acknowledged,
    AddressConfirmed,
    AddressGiven,
    ChallengeSent,
    Drafted,
    Enrolled,
    EntryContinued,
    Event,
    Login,
    Opened,
    PasswordChanged,
    PasswordRight,
    Picked,
    Proved,
    Purpose,
    Queued,
    Saved,
    SecretWithdrawn,
    SessionOpened,
    Stopped,
    TokensGranted,
    TokensRenewed,
)
from gateway.login.state_machine import Effect, Step, state_of
from gateway.second_factor.factors import table
from tests.fixtures.event_scripts import (
    APP_ENROLLED,
    BOTH_ENROLLED,
    CODES,
    EMAIL,
    ENROLLED,
    NOW,
    TOKENS,
    TOTP,
    USER,
    begun,
    proof,
    with_policy,
)

SETS = (
    EnrolmentSet(),
    ENROLLED,
    APP_ENROLLED,
    BOTH_ENROLLED,
    replace(BOTH_ENROLLED, backup_codes=CODES),
    replace(APP_ENROLLED, backup_codes=CODES[:1]),
)
CONTACTS = (
    (),
    (Contact(FactorKind.EMAIL, "profile@example.com", verified=True),),
    (Contact(FactorKind.EMAIL, "profile@example.com", verified=False),),
)
POLICIES = tuple(
    with_policy(
        methods=methods,
        registration=registration,
        enrolment=enrolment,
        choose_page=page,
        backup_codes=codes,
        admin_codes=codes > 0,
        trust_browser_days=trust,
    )
    for methods in ((EMAIL,), (TOTP,), (EMAIL, TOTP))
    for registration in Registration
    for enrolment in EnrolmentRule
    for page in (ChoosePage.NEVER, ChoosePage.COMBINED)
    for codes, trust in ((0, 0), (10, 0), (10, 30))
)


@dataclass(frozen=True)
class Accepted:
    """One entry that a factor really accepted; `order` says when."""

    bound_to: Binding
    challenge: str
    factor: FactorKind
    order: int


class RandomEvents:
    """Runs one random login after the other, until that number of events was applied."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.reached: Counter[str] = Counter()
        self.actions = 0

    def run(self, actions: int) -> Counter[str]:
        while self.actions < actions:
            self.one()
        return self.reached

    def one(self) -> None:
        """Runs one login to its end, or until it is left."""
        rng = self.random
        self.policy: Policy = rng.choice(POLICIES)
        self.enrolled, self.contacts = rng.choice(SETS), rng.choice(CONTACTS)
        self.due, self.trusted = rng.random() < 0.2, rng.random() < 0.1
        self.accepted: list[Accepted] = []
        self.past: list[Event] = []
        self.order = self.made = 0
        self.changed_at: int | None = None
        login = begun(self.policy)
        for _ in range(rng.randrange(5, 40)):
            event = self.event(login)
            self.past.append(event)
            self.order += 1
            self.actions += 1
            before, state = login, state_machine.apply(state_of(login), event)
            login = state.login
            assert state == state_of(login)  # also where the machine keeps the pending proof
            if isinstance(event, PasswordChanged) and login is not before:
                self.changed_at = self.order
            assert sum(isinstance(owed, Step) for owed in state_of(login).pending[:1]) <= 1
            assert isinstance(state_of(login).step, Step)
            if login.opened:
                self.judge(login)
                return
            if login.stopped:
                self.reached["stopped"] += 1
                return
        self.reached["left"] += 1

    # ------------------------------------------------------------------ events

    def event(self, login: Login) -> Event:
        """Returns an event that mostly answers the login now; sometimes an old, early or foreign one."""
        drawn = self.random.random()
        if drawn < 0.65:
            return self.answer(login)
        made = self.random.choice(self.past) if drawn < 0.85 and self.past else self.odd(login)
        if isinstance(made, Proved) and made.challenge.bound_to == proof(login).binding and not self.was_accepted(made):
            return AddressGiven(None)  # a forged entry that names exactly the pending proof: no factor accepted it
        return made

    def was_accepted(self, made: Proved) -> bool:
        of = (made.challenge.bound_to, made.challenge.id, made.factor)
        return of in {(a.bound_to, a.challenge, a.factor) for a in self.accepted}

    def answer(self, login: Login) -> Event:
        match state_of(login).pending[0]:
            case Step.PASSWORD:
                return self.password()
            case Step.REGISTER:
                return self.register(login)
            case Step.CONFIRM:
                return AddressConfirmed(login.enrolling.draft or Draft(FactorKind.EMAIL, "?"))
            case Effect.DRAFT:
                return Drafted(Draft(FactorKind.TOTP, secret=f"secret {self.number()}"))
            case Effect.CHALLENGE:
                return ChallengeSent(self.challenge(login))
            case Step.VERIFY:
                return self.proof(login)
            case Effect.SAVE:
                enrolled = login.enrolled or Enrolled(Enrolment(FactorKind.TOTP), first=False)
                new = enrolled.enrolment
                codes = CODES if enrolled.first and self.policy.backup_codes else login.enrolments.backup_codes
                return Saved(replace(login.enrolments.with_enrolment(new), backup_codes=codes))
            case Step.BACKUP_CODES:
                return Acknowledged(Step.BACKUP_CODES.value)
            case Step.NEW_PASSWORD:
                return PasswordChanged(2)
            case Effect.OPEN if login.tokens is None:
                return TokensGranted(TOKENS, USER)
        return SessionOpened(Opened("session", NOW))

    def register(self, login: Login) -> Event:
        if login.enrolling.draft and login.verification.challenge:
            return self.proof(login)
        offered = proof(login).offered
        if offered and not login.enrolling.picked:
            return Picked(self.random.choice(offered))
        return AddressGiven(Draft(FactorKind.EMAIL, f"{self.number() % 3}@example.com"))

    def password(self) -> PasswordRight:
        return PasswordRight(
            USER,
            None if self.due else TOKENS,
            self.enrolled,
            self.contacts,
            1,
            NOW,
            due=self.due,
            trusted=self.trusted,
            open_registration=False,
        )

    def challenge(self, login: Login) -> Challenge:
        message = proof(login).message
        sends = message is not None and (proof(login).sends_at_once is not None or self.random.random() < 0.5)
        methods = proof(login).methods
        only = methods[0].factor if len(methods) == 1 else None
        return Challenge(
            f"c{self.number()}",
            message.factor if sends and message else only if only not in table.SENT else None,
            proof(login).binding,
            login.verification.next_number,
            sent_to=message.address if sends and message else "",
        )

    def proof(self, login: Login) -> Event:
        """Returns an entry that a factor accepts for the pending challenge."""
        challenge = login.verification.challenge
        if challenge is None:
            return ChallengeSent(self.challenge(login))
        takes = [m.factor for m in proof(login).methods] + list(proof(login).extras)
        takes = [f for f in takes if f not in table.SENT or f is challenge.factor]
        if not takes:
            return ChallengeSent(self.challenge(login))
        if self.random.random() < 0.1:
            return EntryContinued(replace(challenge, state=str(self.number()), prompt="Another one."), challenge)
        factor = self.random.choice(takes)
        self.accepted.append(Accepted(challenge.bound_to, challenge.id, factor, self.order + 1))
        return Proved(challenge, factor, NOW, self.random.random() < 0.3)

    def odd(self, login: Login) -> Event:
        """Returns an event that answers nothing, or reverts something."""
        old = [e.challenge for e in self.past if isinstance(e, ChallengeSent)]
        forged = self.random.choice(old) if old else self.challenge(begun(self.policy))
        bound = forged.bound_to
        makes: tuple[Callable[[], Event], ...] = (
            lambda: AddressGiven(None),
            lambda: Picked(None),
            lambda: Picked(FactorKind.TOTP),
            lambda: Picked(FactorKind.EMAIL),
            SecretWithdrawn,
            lambda: ChallengeSent(self.challenge(login)),
            lambda: EntryContinued(replace(forged, state="stale"), forged),
            lambda: Queued(
                self.random.choice((None, NOW + 60)), login.verification.next_number, login.verification.round
            ),
            # entries that no factor accepted for the pending proof: of another login, round, purpose or draft
            lambda: Proved(replace(forged, bound_to=replace(bound, login="l2")), FactorKind.TOTP, NOW),
            lambda: Proved(replace(forged, bound_to=replace(bound, round=bound.round + 1)), FactorKind.TOTP, NOW),
            lambda: Proved(replace(forged, bound_to=replace(bound, draft="other")), FactorKind.EMAIL, NOW),
            lambda: Proved(
                replace(forged, bound_to=replace(bound, purpose=self.random.choice(list(ProofPurpose)), draft="x")),
                FactorKind.ADMIN_CODE,
                NOW,
            ),
            self.password,
            lambda: Acknowledged(self.random.choice(list(Step)).value),
            lambda: Saved(self.enrolled),
            lambda: PasswordChanged(3),
            lambda: TokensGranted(TOKENS, USER),
            lambda: TokensRenewed(TOKENS),
            lambda: SessionOpened(Opened("session", NOW)),
            lambda: Stopped(ProblemDetail(Problem.LOCKED), "another challenge"),
            lambda: Stopped(ProblemDetail(Problem.LOCKED)),
        )
        weights = [*[3] * (len(makes) - 1), 1]
        return self.random.choices(makes, weights)[0]()

    def number(self) -> int:
        self.made += 1
        return self.made

    # ------------------------------------------------------------------ the judge

    def judge(self, login: Login) -> None:
        """Compares the policy's demands of an opened login with the accepted entries."""
        self.reached["opened"] += 1
        assert login.purpose is Purpose.SIGN_IN
        assert login.changed == self.due
        last = self.changed_at if self.changed_at is not None else -1
        usable = [e for m in self.policy.offered for e in self.enrolled.enrolments if e.factor is m.factor]
        usable = usable[:1] if self.policy.choose_page is ChoosePage.NEVER else usable
        new = login.enrolled.enrolment if login.enrolled else None
        if not usable and not new:
            assert self.policy.enrolment is EnrolmentRule.OPTIONAL
            self.reached["opened, nothing asked"] += 1
            return
        if usable and not any(a.order > last for a in self.accepted):
            assert self.trusted, "no entry was accepted"
            assert not self.due
            assert self.policy.trust_browser_days
            self.reached["opened, trusted"] += 1
            return
        allowed = {e.factor for e in usable} | {FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE}
        verified = [a for a in self.accepted if a.bound_to.purpose is ProofPurpose.VERIFY and a.factor in allowed]
        if usable:
            assert any(a.order > last for a in verified), "no factor of the user's was proved"
            self.reached["opened, proved"] += 1
            return
        assert new is not None
        self.judge_enrolment(new, last)

    def judge_enrolment(self, new: Enrolment, last: int) -> None:
        mine = [a for a in self.accepted if a.bound_to.draft == new.digest]
        enrolled = [a for a in mine if a.bound_to.purpose is ProofPurpose.ENROL and a.factor is new.factor]
        assert enrolled, "an enrolment that no entry proved"
        self.reached["opened, enrolled"] += 1
        if self.due:
            assert any(a.order > last for a in self.accepted if a.factor is new.factor or a.factor in EXTRAS)
        if self.policy.registration is not Registration.OPEN:
            approved = [a for a in mine if a.bound_to.purpose is ProofPurpose.APPROVE]
            assert approved, "an enrolment without an approval"
            assert {a.challenge for a in approved}.isdisjoint(a.challenge for a in enrolled)
            self.reached["opened, approved"] += 1


EXTRAS = (FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE)


def main() -> None:
    """Runs `python -m tests.login.random_machine ACTIONS [SEED]`; prints the seed and the reached states."""
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    print(f"seed {seed}")
    sequences = RandomEvents(seed)
    sequences.run(int(sys.argv[1]))
    print(f"{sequences.actions} actions; reached {dict(sequences.reached)}")


if __name__ == "__main__":
    main()
