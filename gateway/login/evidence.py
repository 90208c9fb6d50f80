"""Judges whether the proofs of a login are the ones that are required now.

Pure. The machine asks what a login owes by the policy it began with; before anything is opened or saved, policy,
enrolments and contacts are read again, and each proof that is required then must have been accepted in this login, for
its user, round and purpose (`docs/security.md`, chain of custody).
"""

from gateway.domain.challenge import ProofPurpose
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.user import Contact
from gateway.login import pending_proof
from gateway.login.record import Login, Proof
from gateway.second_factor import requirement
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import NotRequired, UserFactors, VerifyFactor


def approved(login: Login) -> bool:
    """Whether the enrolment that this login proved needs no approval, or has one.

    An approval is an entry accepted for this very enrolment, in a round after the one that proved it.
    """
    new = login.enrolled
    if new is None:
        return True
    proofs = [p for p in login.proofs if p.draft == new.digest]
    proved = [p.round for p in proofs if p.purpose is ProofPurpose.ENROL]
    if not proved:
        return _known_contact(login)
    if not pending_proof.needs_approval(login, new):
        return True
    return any(p.purpose is ProofPurpose.APPROVE and p.round > min(proved) for p in proofs)


def suffices(login: Login, policy: Policy, enrolments: EnrolmentSet, contacts: tuple[Contact, ...]) -> bool:
    """Whether this login proved what `policy` requires now of a user with these enrolments and contacts.

    A login for an act or an enrolment inside a session needs its own proof: a factor where the user had one when it
    began, else the password of the session's user.
    """
    counting = [p for p in login.proofs if p.round >= login.proofs_from]
    if login.recent:
        return login.fresh
    trusted = login.trusted and not login.due
    standing = UserFactors(enrolments, contacts, trusted=trusted, verified=login.verified and not login.due)
    asked = requirement.decide(policy, standing, route_asks=login.route_asks)
    match asked:
        case NotRequired():
            return True
        case VerifyFactor(methods=methods):
            factors = {*(m.factor for m in methods), *table.extras(policy)}
            return any(_proves(p, factors) for p in counting)
    return False


def _proves(proof: Proof, factors: set[FactorKind]) -> bool:
    return proof.purpose in (ProofPurpose.VERIFY, ProofPurpose.ENROL) and proof.factor in factors


def _known_contact(login: Login) -> bool:
    """Whether the enrolment is a verified contact, which a code sent there proves without an enrolment of its own."""
    return login.enrolled is not None and any(
        p.purpose is ProofPurpose.VERIFY and p.factor is login.enrolled.factor for p in login.proofs
    )
