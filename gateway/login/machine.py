"""Computes what a login owes: events in, pending steps and effects out. Pure and total.

The rules, on one page:

- The record keeps what happened, never a step. `pending(login)` is what it still owes, in order: steps (pages) and
  effects (things the gateway does itself). The login's step is the first step pending; nothing pending is done.
- An event that answers nothing pending changes nothing. A challenge is bound to its login, round, purpose and draft,
  and an accepted entry counts only where all four match what is pending now: a code sent for a replaced challenge is
  void; what needs no sending counts for its whole round.
- Approving an enrolment is a round of its own: the entry that proved the enrolment never approves it.
- A stopped or opened login absorbs everything.
- A requirement that cannot be met is `stopped`, for every purpose.
- A code that has to wait for its channel is pending again, beside an older one that still works.
- A due password is changed after the factor; then another factor is owed: the round is raised, and no proof of an
  earlier round counts any more.

What can happen is in `record`, what a proof is for in `pending_proof`.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.domain.challenge import Challenge, Draft
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import ProblemDetail
from gateway.domain.session import Satisfied
from gateway.login import pending_proof
from gateway.login.pending_proof import Approval, current_proof, refusal, registering, required
from gateway.login.record import (
    AddressConfirmed,
    AddressGiven,
    ChallengeSent,
    CodesNoted,
    Drafted,
    Effect,
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
    Step,
    Stopped,
    TokensGranted,
    TokensRenewed,
)
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import DecidedBy, EnrolFactor, VerifyFactor


def pending(login: Login) -> tuple[Step | Effect, ...]:
    """What this login still owes, in order; `done` stands last unless it is stopped."""
    if login.stopped or refusal(login):
        return (Step.STOPPED,)
    return tuple(_sign_in(login) if login.purpose is Purpose.SIGN_IN else _within_session(login))


def step(login: Login) -> Step:
    """The page this login is on."""
    return next(owed for owed in pending(login) if isinstance(owed, Step))


def first(login: Login) -> Step | Effect:
    """What comes next."""
    return pending(login)[0]


def problem_detail(login: Login) -> ProblemDetail | None:
    """Why this login is stopped."""
    if login.stopped:
        return login.stopped
    refused = refusal(login)
    return ProblemDetail(refused.problem, path=refused.path) if refused else None


def satisfied(login: Login) -> tuple[Satisfied, str]:
    """How the requirement was met, and the rule by name, for the session."""
    if login.proved:
        return Satisfied.PROVED, ""
    rule = required(login).rule
    return (Satisfied.TRUSTED if rule is DecidedBy.TRUSTED_BROWSER else Satisfied.NOT_ASKED), rule.value


def _sign_in(login: Login) -> Iterator[Step | Effect]:
    if not login.user:
        yield Step.PASSWORD  # what follows is not known yet
        return
    yield from _factor(login)
    yield from _keep(login)
    if login.due and not login.changed:
        yield Step.NEW_PASSWORD
        return  # another factor is owed after it
    if not login.opened:
        yield Effect.OPEN
    yield Step.DONE


def _within_session(login: Login) -> Iterator[Step | Effect]:
    if login.recent and not login.fresh and not current_proof(login):
        yield Step.PASSWORD  # a fresh proof of a user who has no factor
    yield from _factor(login)
    yield from _keep(login)
    if not login.opened:
        yield Effect.ACT if login.act else Effect.TOUCH
    yield Step.DONE


def _factor(login: Login) -> Iterator[Step | Effect]:
    match current_proof(login):
        case None:
            return
        case EnrolFactor():
            yield from _register(login)
        case VerifyFactor() | Approval():
            if not login.challenge or login.queued_until is not None:
                yield Effect.CHALLENGE
            yield Step.VERIFY


def _register(login: Login) -> Iterator[Step | Effect]:
    kind = registering(login)
    if kind is None or table.sends(kind):
        if not login.draft:
            yield Step.REGISTER
        if not login.confirmed:
            yield Step.CONFIRM
        if not login.challenge or login.queued_until is not None:
            yield Effect.CHALLENGE
        yield Step.VERIFY
        return
    if not login.draft:  # the page carries secret and code field
        yield Effect.DRAFT
    if not login.challenge:
        yield Effect.CHALLENGE
    yield Step.REGISTER


def _keep(login: Login) -> Iterator[Step | Effect]:
    if login.enrolled and not login.saved:
        yield Effect.SAVE
    if login.first_enrolment and login.policy.backup_codes and not login.noted:
        yield Step.BACKUP_CODES


def apply(login: Login, event: Event) -> Login:
    """The login after `event`; the same login when the event answers nothing pending."""
    if login.stopped or login.opened:
        return login
    match event:
        case Stopped(problem_detail=why, challenge=of):
            bound = of is None or (login.challenge is not None and login.challenge.id == of)
            return replace(login, stopped=why) if bound else login
        case TokensRenewed(tokens=tokens) if login.tokens:
            return replace(login, tokens=tokens)
        case PasswordRight() | PasswordChanged() | TokensGranted():
            return _password(login, event)
        case Picked() | AddressGiven() | AddressConfirmed() | Drafted() | SecretWithdrawn():
            return _registration(login, event)
        case Queued() | ChallengeSent() | Proved():
            return _proof(login, event)
        case Saved(enrolments=enrolments) if first(login) is Effect.SAVE:
            return replace(login, saved=True, enrolments=enrolments)
        case CodesNoted() if first(login) is Step.BACKUP_CODES:
            return replace(login, noted=True)
        case SessionOpened(opened=opened) if first(login) in (Effect.OPEN, Effect.TOUCH, Effect.ACT):
            return replace(login, opened=opened)
    return login


def _password(login: Login, event: PasswordRight | PasswordChanged | TokensGranted) -> Login:
    match event:
        case PasswordRight() if step(login) is Step.PASSWORD:
            if login.purpose is not Purpose.SIGN_IN:
                return replace(login, fresh=True) if _same_user(login, event) else login
            known = replace(
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
            )
            return replace(known, stopped=problem_detail(known))
        case PasswordChanged(credential_date=date) if step(login) is Step.NEW_PASSWORD:
            return replace(
                login,
                changed=True,
                credential_date=date,
                proved=None,
                challenge=None,
                queued_until=None,
                draft=None,
                picked=None,
                trusted=False,
                verified=False,
                round=login.round + 1,
                proofs_from=login.round + 1,
            )
        case TokensGranted(tokens=tokens, user=user) if login.changed and login.tokens is None:
            return replace(login, tokens=tokens, user=user)
    return login


def shows_secret(login: Login) -> bool:
    """Whether the page of this login shows an app secret that no code has proved."""
    return step(login) is Step.REGISTER and login.draft is not None and login.draft.secret != ""


def _registration(login: Login, event: Picked | AddressGiven | AddressConfirmed | Drafted | SecretWithdrawn) -> Login:
    page, kind = step(login), registering(login)
    match event:
        case SecretWithdrawn() if shows_secret(login):
            return replace(login, draft=None, challenge=None, queued_until=None, round=login.round + 1)
        case Picked(factor=None) if login.picked and pending_proof.offered(login) and page in _REGISTRATION:
            return replace(login, picked=None, draft=None, confirmed=False, challenge=None, queued_until=None)
        case Picked(factor=FactorKind() as factor) if factor in pending_proof.offered(login) and page is Step.REGISTER:
            return replace(login, picked=factor, draft=None, confirmed=False, challenge=None, queued_until=None)
        case AddressGiven(draft=None) if kind and login.draft and table.sends(login.draft.factor):
            return replace(
                login, draft=None, edited=login.draft.address, confirmed=False, challenge=None, queued_until=None
            )
        case AddressGiven(draft=Draft() as draft) if page is Step.REGISTER and draft.factor is kind:
            return replace(login, draft=draft)
        case AddressConfirmed(draft=draft) if page is Step.CONFIRM and login.draft == draft:
            return replace(login, confirmed=True)
        case Drafted(draft=draft) if first(login) is Effect.DRAFT and draft.factor is kind:
            return replace(login, draft=draft)
    return login


_REGISTRATION = (Step.REGISTER, Step.CONFIRM, Step.VERIFY)


def _proof(login: Login, event: Queued | ChallengeSent | Proved) -> Login:
    proving = step(login) in (Step.VERIFY, Step.REGISTER)
    match event:
        case Queued(at=at) if proving and (event.number, event.round) == (login.asked, login.round):
            return replace(login, queued_until=at, held_until=max(login.held_until, at or 0.0))
        case ChallengeSent(challenge=challenge) if proving and _answers(login, challenge):
            held = login.held_until if login.queued_until is None else challenge.issued_at
            return replace(login, challenge=challenge, queued_until=None, held_until=held, asked=challenge.number + 1)
        case Proved(challenge=challenge, factor=factor) if proving and _counts(login, challenge, factor):
            # A set in which other factors stand by now is not taken over: `open` and `save` must see that it changed.
            if event.enrolments is not None and event.enrolments.same_factors(login.enrolments):
                login = replace(login, enrolments=event.enrolments)
            return _proved(login, event)
    return login


def _proved(login: Login, event: Proved) -> Login:
    """A factor accepted an entry: what it was for is done."""
    bound = event.challenge.bound_to
    proof = Proof(bound.purpose, event.factor, bound.round, event.challenge.id, bound.draft, event.at)
    login = replace(
        login,
        proofs=(*login.proofs, proof),
        challenge=None,
        queued_until=None,
        proved_at=event.at,
        remember=login.remember or event.remember,
    )
    match current_proof(login):
        case EnrolFactor():
            new = _drafted(login)
            if pending_proof.needs_approval(login, new):
                return replace(login, awaiting_approval=new, round=login.round + 1)
            return _registered(login, new)
        case Approval() if login.awaiting_approval:
            return _registered(replace(login, awaiting_approval=None), login.awaiting_approval)
        case VerifyFactor(methods=methods):
            if login.purpose is Purpose.ENROL:  # the fresh proof; registering comes next
                return replace(login, fresh=True, round=login.round + 1)
            pinned = None if login.enrolments.of(event.factor) else _of(methods, event.factor)
            if pinned:
                login = _registered(login, pinned)
            return replace(login, proved=event.factor, fresh=login.recent)
    return login


def _registered(login: Login, new: Enrolment) -> Login:
    first_one = not login.enrolments.enrolments
    return replace(login, proved=new.factor, enrolled=new, saved=False, first_enrolment=first_one)


def _answers(login: Login, challenge: Challenge) -> bool:
    """Whether `challenge` is for what is pending: bound to it, of a new number, and sent to the address of now."""
    if challenge.bound_to != pending_proof.binding(login) or challenge.number < login.asked:
        return False
    methods = pending_proof.methods(login)
    if challenge.factor is None:
        return not registering(login)
    wanted = _of(methods, challenge.factor)
    if wanted is None:
        return False
    return challenge.sent_to == (wanted.address if table.sends(challenge.factor) else "")


def _counts(login: Login, challenge: Challenge, factor: FactorKind) -> bool:
    """Whether an accepted entry counts for what is pending.

    Its challenge is bound to that, and its factor is one that is taken now. An entry for a replaced message is void;
    what nothing was sent for counts for the whole round.
    """
    if (
        not login.challenge
        or challenge.bound_to != pending_proof.binding(login)
        or factor not in pending_proof.taken(login)
    ):
        return False
    return login.challenge.id == challenge.id or (not table.sends(factor) and not registering(login))


def _same_user(login: Login, event: PasswordRight) -> bool:
    return login.user is not None and event.user.id == login.user.id


def _drafted(login: Login) -> Enrolment:
    draft = login.draft
    assert draft is not None  # noqa: S101 - a registration is proved only with a draft
    return draft.as_enrolment()


def _of(methods: tuple[Enrolment, ...], factor: FactorKind) -> Enrolment | None:
    return next((m for m in methods if m.factor is factor), None)
