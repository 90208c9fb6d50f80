"""Computes what a login owes: events in, pending steps and effects out. Pure and total.

The rules, on one page:

- The record keeps what happened, never a step. `LoginState.pending` is what the login still owes, in order: steps
  (pages) and effects (actions of the gateway). The login's step is the first step pending; nothing pending is done.
- An event that answers nothing pending changes nothing. A challenge is bound to its login, round, purpose and draft,
  and an accepted entry counts only where all four match what is pending now: a code sent for a replaced challenge is
  void; an entry that needs no sending counts for its whole round.
- Approving an enrolment is a round of its own: the entry that proved the enrolment never approves it.
- A stopped or opened login absorbs everything.
- A requirement that cannot be met is `stopped`, for every purpose.
- A code that has to wait for its channel is pending again, beside an older one that still works.
- A due password is changed after the factor; then another factor is owed: the round is raised, and no proof of an
  earlier round counts any more.

The events are in `record`, the pending proof is in `pending_proof`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from gateway.domain.challenge import Challenge, Draft
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import ProblemDetail
from gateway.domain.session import DecidedBy, Satisfied
from gateway.login.pending_proof import Approval, PendingProof, needs_approval, pending_proof_of
from gateway.login.record import (
    Acknowledged,
    AddressConfirmed,
    AddressGiven,
    ChallengeSent,
    Chosen,
    Drafted,
    Enrolled,
    Enrolling,
    EntryContinued,
    Event,
    Login,
    PasswordChanged,
    PasswordRight,
    Picked,
    Proof,
    Proved,
    Purpose,
    Queued,
    Saved,
    SecretWithdrawn,
    SessionOpened,
    SignedInAtProvider,
    Stopped,
    TokensGranted,
    TokensRenewed,
    Verification,
)
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import EnrolFactor, SignInRefused, VerifyFactor, is_managed


class Step(Enum):
    """The pages: enum value = URL segment = template = module = test."""

    PASSWORD = "password"  # noqa: S105 - the name of a page
    SSO = "sso"
    REGISTER = "register"
    CONFIRM = "confirm"
    CHOOSE = "choose"
    VERIFY = "verify"
    BACKUP_CODES = "backup-codes"
    NEW_PASSWORD = "new-password"  # noqa: S105 - the name of a page
    STOPPED = "stopped"
    DONE = "done"


class Effect(Enum):
    """The actions of the gateway between pages."""

    DRAFT = "draft"
    CHALLENGE = "challenge"
    SAVE = "save"
    ACT = "act"
    OPEN = "open"
    TOUCH = "touch"


NO_PROOF = PendingProof()
READ_ONLY = (Step.BACKUP_CODES,)
"""The pages that the user only reads: `Acknowledged` answers them."""
_ENROLLING = (Step.REGISTER, Step.CONFIRM, Step.VERIFY)
_SAME_PROOF = (Queued, ChallengeSent, EntryContinued, TokensRenewed)
"""The events that change nothing of the pending proof."""


@dataclass(frozen=True, slots=True)
class LoginState:
    """A login and all that follows from it, computed once after each event: the pending proof, and what it owes.

    `pending` is in order; `done` is last unless the login is stopped. `step` is the page the login is on.
    `problem_detail` is why it is stopped.
    """

    login: Login
    proof: PendingProof
    pending: tuple[Step | Effect, ...]
    step: Step
    problem_detail: ProblemDetail | None = None

    @property
    def shows_secret(self) -> bool:
        """Whether the page of this login shows an app secret that no code has proved."""
        draft = self.login.enrolling.draft
        return draft is not None and draft.secret != "" and self.step is Step.REGISTER


def state_of(login: Login, proof: PendingProof | None = None) -> LoginState:
    """The state of `login`, with its pending proof if that is known."""
    if login.stopped:
        return LoginState(login, NO_PROOF, (Step.STOPPED,), Step.STOPPED, login.stopped)
    if login.opened:
        return LoginState(login, NO_PROOF, (Step.DONE,), Step.DONE)
    if not login.user:
        entry = entry_of(login)
        return LoginState(login, NO_PROOF, (entry,), entry)  # what follows is not known yet
    proof = proof or pending_proof_of(login)
    if isinstance(refused := proof.requirement, SignInRefused) and not login.fresh:
        why = ProblemDetail(refused.problem, path=refused.path)
        return LoginState(login, proof, (Step.STOPPED,), Step.STOPPED, why)
    pending = tuple(_pending(login, proof))
    pages = [owed for owed in pending if isinstance(owed, Step)]
    return LoginState(login, proof, pending, pages[0])


def entry_of(login: Login) -> Step:
    """The page on which the user says who they are: the gateway's for a password, or the one that leads to Keycloak."""
    return Step.SSO if login.sso else Step.PASSWORD


def satisfied(state: LoginState) -> tuple[Satisfied, str]:
    """How the requirement was met, and the rule by name, for the session."""
    required = state.proof.requirement
    if required is None:
        return Satisfied.PROVED, ""
    rule = required.rule
    return (Satisfied.TRUSTED if rule is DecidedBy.TRUSTED_BROWSER else Satisfied.NOT_ASKED), rule.value


def _pending(login: Login, proof: PendingProof) -> Iterator[Step | Effect]:
    within = login.purpose is not Purpose.SIGN_IN
    if within and login.recent and not login.fresh and not proof.current:
        yield entry_of(login)  # a fresh proof of a user who has no factor
    yield from _verification(login, proof)
    if new := login.enrolled:
        if not new.saved:
            yield Effect.SAVE
        if new.first and login.policy.backup_codes and Step.BACKUP_CODES.value not in login.acknowledged:
            yield Step.BACKUP_CODES
    if not within and login.due and not login.changed:
        yield Step.NEW_PASSWORD
        return  # another factor is owed after it
    yield Effect.OPEN if not within else Effect.ACT if login.act else Effect.TOUCH
    yield Step.DONE


def _verification(login: Login, proof: PendingProof) -> Iterator[Step | Effect]:
    verification, enrolling = login.verification, login.enrolling
    waits = not verification.challenge or verification.queued_until is not None
    match proof.current:
        case EnrolFactor() if proof.enrolling is None or proof.enrolling in table.SENT:
            if not enrolling.draft:
                yield Step.REGISTER
            if not enrolling.confirmed:
                yield Step.CONFIRM
            if waits:
                yield Effect.CHALLENGE
            yield Step.VERIFY
        case EnrolFactor():
            if not enrolling.draft:
                yield Effect.DRAFT
            if not verification.challenge:
                yield Effect.CHALLENGE
            yield Step.REGISTER  # this page carries secret and code field
        case VerifyFactor() | Approval():
            if proof.must_choose:
                yield Step.CHOOSE
            if waits:
                yield Effect.CHALLENGE
            yield Step.VERIFY


def apply(state: LoginState, event: Event) -> LoginState:
    """The state after `event`; the same state when the event answers nothing pending."""
    login = state.login
    if login.stopped or login.opened:
        return state
    after = _after(state, event)
    if after is login:
        return state
    return settled(state_of(after, state.proof if isinstance(event, _SAME_PROOF) else None))


def settled(state: LoginState) -> LoginState:
    """`state`, stopped for good if the requirement refuses it."""
    why = state.problem_detail
    return state_of(replace(state.login, stopped=why)) if why else state


def _after(state: LoginState, event: Event) -> Login:
    login, first = state.login, state.pending[0]
    match event:
        case Stopped(problem_detail=why, challenge=of):
            challenge = login.verification.challenge
            return replace(login, stopped=why) if of is None or (challenge and challenge.id == of) else login
        case TokensRenewed(tokens=tokens) if login.tokens:
            return replace(login, tokens=tokens)
        case PasswordRight() | PasswordChanged() | TokensGranted():
            return _password(state, event)
        case Picked() | AddressGiven() | AddressConfirmed() | Drafted() | SecretWithdrawn():
            return _enrolment(state, event)
        case Queued() | ChallengeSent() | EntryContinued() | Proved():
            return _proof(state, event)
        case Chosen(factor=factor) if _may_choose(state, factor):
            challenge = login.verification.challenge  # of the same method: its code still works
            kept = factor is None or (challenge is not None and challenge.factor is factor)
            verification = login.verification if kept else login.verification.reset()
            return replace(login, chosen=factor, verification=verification)
        case Saved(enrolments=enrolments) if login.enrolled and first is Effect.SAVE:
            return replace(login, enrolled=replace(login.enrolled, saved=True), enrolments=enrolments)
        case Acknowledged(page=page) if first in READ_ONLY and first.value == page:
            return replace(login, acknowledged=(*login.acknowledged, page))
        case SessionOpened(opened=opened) if first in (Effect.OPEN, Effect.TOUCH, Effect.ACT):
            return replace(login, opened=opened)
    return login


def _password(state: LoginState, event: PasswordRight | PasswordChanged | TokensGranted) -> Login:
    login = state.login
    match event:
        case PasswordRight() if state.step is (Step.SSO if isinstance(event, SignedInAtProvider) else Step.PASSWORD):
            if login.user:  # a fresh proof inside a session
                same = event.user.id == login.user.id
                return replace(login, fresh=True, password_at=event.at) if same else login
            return replace(
                login,
                user=event.user,
                tokens=event.tokens,
                enrolments=event.enrolments,
                contacts=event.contacts,
                credential_date=event.credential_date,
                password_at=event.at,
                due=event.due,
                trusted=event.trusted,
                verified=event.verified,
                open_registration=event.open_registration,
                provider_factor=event.factor if isinstance(event, SignedInAtProvider) else "",
            )
        case PasswordChanged(credential_date=date) if state.step is Step.NEW_PASSWORD:
            verification = login.verification.next_round()
            return replace(
                login,
                changed=True,
                credential_date=date,
                proved=None,
                enrolling=Enrolling(),
                verification=verification,
                trusted=False,
                verified=False,
                proofs_from=verification.round,
            )
        case TokensGranted(tokens=tokens, user=user) if login.changed and login.tokens is None:
            pinned = login.user.attributes if login.user else ()
            return replace(login, tokens=tokens, user=replace(user, attributes=pinned))
    return login


def _enrolment(state: LoginState, event: Picked | AddressGiven | AddressConfirmed | Drafted | SecretWithdrawn) -> Login:
    login, page, kind, offered = state.login, state.step, state.proof.enrolling, state.proof.offered
    enrolling, verification = login.enrolling, login.verification
    match event:
        case SecretWithdrawn() if state.shows_secret:
            return replace(login, enrolling=replace(enrolling, draft=None), verification=verification.next_round())
        case Picked(factor=factor) if offered and (
            factor in offered and page is Step.REGISTER
            if factor
            else enrolling.picked is not None and page in _ENROLLING
        ):
            enrolling = Enrolling(picked=factor, edited=enrolling.edited)
            return replace(login, enrolling=enrolling, verification=verification.reset())
        case AddressGiven(draft=None) if kind and enrolling.draft and enrolling.draft.factor in table.SENT:
            enrolling = Enrolling(picked=enrolling.picked, edited=enrolling.draft.address)
            return replace(login, enrolling=enrolling, verification=verification.reset())
        case AddressGiven(draft=Draft() as draft) if page is Step.REGISTER and draft.factor is kind:
            return replace(login, enrolling=replace(enrolling, draft=draft))
        case AddressConfirmed(draft=draft) if page is Step.CONFIRM and enrolling.draft == draft:
            return replace(login, enrolling=replace(enrolling, confirmed=True))
        case Drafted(draft=draft) if state.pending[0] is Effect.DRAFT and draft.factor is kind:
            return replace(login, enrolling=replace(enrolling, draft=draft))
    return login


def _proof(state: LoginState, event: Queued | ChallengeSent | EntryContinued | Proved) -> Login:
    login, verification = state.login, state.login.verification
    if state.step not in (Step.VERIFY, Step.REGISTER):
        return login
    match event:
        case Queued(at=at, number=number, round=of) if (number, of) == (verification.next_number, verification.round):
            held = max(verification.held_until, at or 0.0)
            return replace(login, verification=replace(verification, queued_until=at, held_until=held))
        case ChallengeSent(challenge=challenge) if _answers(state, challenge):
            held = verification.held_until if verification.queued_until is None else challenge.issued_at
            sent = Verification(verification.round, challenge.number + 1, challenge, None, held)
            return replace(login, verification=sent)
        case EntryContinued(challenge=challenge, before=before) if verification.challenge == before:
            return replace(login, verification=replace(verification, challenge=challenge))
        case Proved(challenge=challenge, factor=factor) if _counts(state, challenge, factor):
            return _proved(state, event)
    return login


def _proved(state: LoginState, event: Proved) -> Login:
    """A factor accepted an entry: what the proof was for is done."""
    login, bound = state.login, event.challenge.bound_to
    enrolments = login.enrolments
    if event.enrolments and event.enrolments.same_factors(enrolments):  # else `open` and `save` must see the change
        enrolments = event.enrolments
    proof = Proof(bound.purpose, event.factor, bound.round, event.challenge.id, bound.draft, event.at)
    login = replace(
        login,
        enrolments=enrolments,
        proofs=(*login.proofs, proof),
        verification=login.verification.reset(),
        proved_at=event.at,
        remember=login.remember or event.remember,
    )
    enrolling = login.enrolling
    match state.proof.current:
        case EnrolFactor() if enrolling.draft:
            new = replace(enrolling.draft.as_enrolment(), name=event.name)
            if not needs_approval(login, new):
                return _enrolled(login, new)
            enrolling = replace(enrolling, awaiting_approval=new)
            return replace(login, enrolling=enrolling, verification=login.verification.next_round())
        case Approval() if enrolling.awaiting_approval:
            login = replace(login, enrolling=replace(enrolling, awaiting_approval=None))
            return _enrolled(login, enrolling.awaiting_approval)
        case VerifyFactor(methods=methods):
            if login.purpose is Purpose.ENROL:  # the fresh proof; the user enrols next
                return replace(login, fresh=True, verification=login.verification.next_round())
            if not login.enrolments.of(event.factor) and not is_managed(login.policy, event.factor):
                contact = next((m for m in methods if m.factor is event.factor), None)
                login = _enrolled(login, contact) if contact else login
            return replace(login, proved=event.factor, fresh=login.recent)
    return login


def _enrolled(login: Login, new: Enrolment) -> Login:
    return replace(login, proved=new.factor, enrolled=Enrolled(new, first=not login.enrolments.enrolments))


def _may_choose(state: LoginState, factor: FactorKind | None) -> bool:
    """Whether `factor` is one of the choices and the page asks; None takes the choice back on the page of its code."""
    if factor is None:
        return state.step is Step.VERIFY and bool(state.proof.choices)
    return state.step is Step.CHOOSE and any(m.factor is factor for m in state.proof.choices)


def _answers(state: LoginState, challenge: Challenge) -> bool:
    """Whether `challenge` is for what is pending: bound to it, of a new number, and sent to the address of now."""
    proof = state.proof
    if challenge.bound_to != proof.binding or challenge.number < state.login.verification.next_number:
        return False
    if challenge.factor is None:
        return not proof.enrolling
    sends = challenge.factor in table.SENT
    wanted = {m.factor: m.address if sends else "" for m in proof.methods}
    return challenge.sent_to == wanted.get(challenge.factor)


def _counts(state: LoginState, challenge: Challenge, factor: FactorKind) -> bool:
    """Whether an accepted entry counts for what is pending.

    Its challenge is bound to that, and its factor is one that is taken now. An entry for a replaced message is void; an
    entry that needs no sending counts for the whole round.
    """
    under_way, proof = state.login.verification.challenge, state.proof
    if not under_way or challenge.bound_to != proof.binding or factor not in proof.kinds:
        return False
    return under_way.id == challenge.id or (factor not in table.SENT and not proof.enrolling)
