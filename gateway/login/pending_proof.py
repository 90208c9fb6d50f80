"""Says what the pending proof of a login is for.

Pure. Between the requirement (what the policy asks of a user) and the machine (what a login owes): which factor is
being enrolled, which methods and codes an entry is judged by, where a message would go, and what a challenge is bound
to.
"""

from dataclasses import dataclass

from gateway.domain.challenge import Binding, ProofPurpose
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import ChoosePage, FactorKind, Registration
from gateway.login.record import Login, Purpose
from gateway.second_factor import requirement
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import (
    DecidedBy,
    EnrolFactor,
    Requirement,
    SignInRefused,
    UserFactors,
    VerifyFactor,
)


@dataclass(frozen=True, slots=True)
class Approval:
    """A registration was proved; somebody else must vouch for it: a code to `methods` (the verified profile address),
    or an administrator's code."""

    methods: tuple[Enrolment, ...]


PendingProof = EnrolFactor | VerifyFactor | Approval


def standing(login: Login) -> UserFactors:
    """The user as this login knows him now."""
    enrolments = login.enrolments
    if login.enrolled and not login.saved:
        enrolments = enrolments.with_enrolment(login.enrolled)
    trusted = login.trusted and not login.due
    return UserFactors(enrolments, login.contacts, trusted=trusted, verified=login.verified and not login.due)


def required(login: Login) -> Requirement:
    """What the policy asks of this login's user; where a fresh proof is owed, any factor he has."""
    if login.recent:
        methods = requirement.enrolled_methods(login.policy, login.enrolments)
        return (
            VerifyFactor(DecidedBy.FRESH_PROOF, methods)
            if methods
            else requirement.NotRequired(DecidedBy.NONE_ENROLLED)
        )
    return requirement.decide(login.policy, standing(login), route_asks=login.route_asks)


def current_proof(login: Login) -> PendingProof | None:
    """What the proof now pending is for, or None when none is."""
    if not login.user or login.proved:
        return None
    if login.awaiting_approval:
        return Approval(approval_methods(login))
    if login.purpose is Purpose.ENROL and login.fresh:
        return EnrolFactor(DecidedBy.REQUIRED, (login.wanted,)) if login.wanted and not login.enrolled else None
    if login.fresh:
        return None
    asked = required(login)
    return asked if isinstance(asked, EnrolFactor | VerifyFactor) else None


def refusal(login: Login) -> SignInRefused | None:
    """Why the requirement of this login cannot be met, or None."""
    if not login.user or login.proved or login.opened or login.fresh:
        return None
    asked = required(login)
    return asked if isinstance(asked, SignInRefused) else None


def registering(login: Login) -> FactorKind | None:
    """The factor being registered now: the only one offered, or the one picked."""
    match current_proof(login):
        case EnrolFactor(factors=(only,)):
            return only
        case EnrolFactor(factors=factors) if login.picked in factors:
            return login.picked
    return None


def offered(login: Login) -> tuple[FactorKind, ...]:
    """The factors a user may choose to register, when there are several."""
    match current_proof(login):
        case EnrolFactor(factors=factors) if len(factors) > 1:
            return factors
    return ()


def methods(login: Login) -> tuple[Enrolment, ...]:
    """What an answer may be judged by now, in the policy's order: the draft while registering, else what he has."""
    match current_proof(login):
        case EnrolFactor():
            return (login.draft.as_enrolment(),) if login.draft else ()
        case VerifyFactor(methods=found):
            return found
        case Approval(methods=found):
            return found
    return ()


def binding(login: Login) -> Binding:
    """What a challenge for the pending proof is bound to."""
    match current_proof(login):
        case EnrolFactor():
            draft = login.draft.as_enrolment().digest if login.draft else ""
            return Binding(login.id, login.round, ProofPurpose.ENROL, draft)
        case Approval():
            draft = login.awaiting_approval.digest if login.awaiting_approval else ""
            return Binding(login.id, login.round, ProofPurpose.APPROVE, draft)
    return Binding(login.id, login.round, ProofPurpose.VERIFY)


def taken(login: Login) -> frozenset[FactorKind]:
    """The factors whose entries count for the pending proof."""
    return frozenset((*(m.factor for m in methods(login)), *extras(login)))


def takes_any(login: Login) -> bool:
    """Whether one page takes whichever code: then an entry counts against all factors together (CC-13)."""
    return login.policy.choose_page is ChoosePage.COMBINED and not registering(login)


def extras(login: Login) -> tuple[FactorKind, ...]:
    """The codes besides the methods' own that a verify page takes: backup codes, an administrator's code."""
    match current_proof(login):
        case VerifyFactor():
            return table.extras(login.policy, login.enrolments)
        case Approval():
            return table.APPROVING
    return ()


def message(login: Login) -> Enrolment | None:
    """Where a code can be sent now."""
    return next((m for m in methods(login) if table.sends(m.factor)), None)


def sends_at_once(login: Login) -> bool:
    """Whether a code goes out without being asked for: not where the user has an app as well (CC-13)."""
    return message(login) is not None and len(methods(login)) == 1


def approval_methods(login: Login) -> tuple[Enrolment, ...]:
    """Where a voucher's code may be sent: the verified profile address, when it is another than the typed one.

    Where only an administrator may vouch, as for a due password, or the tenant has nothing to mail it by, nowhere.
    """
    new, policy = login.awaiting_approval, login.policy
    if new is None or policy.registration is not Registration.GUARDED:
        return ()
    if login.due:  # whoever was told the temporary password was told it by an administrator
        return ()
    known = (c for c in login.contacts if c.verified and policy.method(c.factor))
    return tuple(Enrolment(c.factor, c.address) for c in known if c.address.casefold() != new.address.casefold())[:1]


def needs_approval(login: Login, new: Enrolment) -> bool:
    """Whether the registration just proved counts only with a voucher (GW-27): one that no factor speaks for.

    A factor speaks for another one only where it was proved: on the way to setting up the other inside a session. What
    a tenant asked for before its channel changed (EF-22) is registered but not proved, and a session of somebody who
    has nothing to prove has shown no more than the password.
    """
    if login.purpose is Purpose.ENROL and any(p.purpose is ProofPurpose.VERIFY for p in login.proofs):
        return False
    match login.policy.registration:
        case Registration.OPEN:
            return False
        case Registration.ADMIN_CODE:
            return True
    if login.due:
        return True
    same = any(c.verified and c.address.casefold() == new.address.casefold() for c in login.contacts)
    known = any(c.verified for c in login.contacts)
    return not same if known else not login.open_registration
