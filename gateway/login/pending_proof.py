"""The pending proof of a login: the proof it must get next, its methods, its extra codes, and whether it enrols.

Pure. `state_machine.state_of` computes it once after each event, and the callers pass it on. It lies between the
requirement (what the policy asks of a user) and the state machine (what a login owes).
"""

from dataclasses import dataclass

from gateway.domain.challenge import Binding, ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import ChoosePage, FactorKind, Registration
from gateway.domain.problem import Problem
from gateway.domain.session import DecidedBy
from gateway.domain.user import Contact
from gateway.login.record import Login, Purpose
from gateway.second_factor import requirement
from gateway.second_factor.factors import table
from gateway.second_factor.requirement import (
    EnrolFactor,
    NotRequired,
    Requirement,
    SignInRefused,
    UserFactors,
    VerifyFactor,
)


@dataclass(frozen=True, slots=True)
class Approval:
    """An enrolment was proved and needs an approval.

    The approval is a code sent to `methods` (the verified profile address), or an administrator's code.
    """

    methods: tuple[Enrolment, ...]


@dataclass(frozen=True, slots=True)
class PendingProof:
    """The proof that a login must get next.

    `requirement` is what the policy asks; None before the user is known and once a factor is proved. `current` is what
    the proof is for; None when no proof is pending. `enrolling` is the factor being enrolled: the only one offered, or
    the one picked. `offered` are the factors to choose from, where the user may enrol one of several. `methods` are
    what an entry is judged by, in the policy's order: the draft while enrolling, else the user's methods. `extras` are
    the codes that the verify page takes besides: backup codes, an administrator's code. `choices` are the methods of
    which the user proves one, where a page asks which; `methods` has the chosen one. A challenge is bound to
    `binding`. `takes_any`: one page takes any code, and an entry counts against all factors together.
    """

    requirement: Requirement | None = None
    current: EnrolFactor | VerifyFactor | Approval | None = None
    enrolling: FactorKind | None = None
    offered: tuple[FactorKind, ...] = ()
    methods: tuple[Enrolment, ...] = ()
    extras: tuple[FactorKind, ...] = ()
    binding: Binding = Binding()
    takes_any: bool = False
    choices: tuple[Enrolment, ...] = ()

    @property
    def must_choose(self) -> bool:
        """Whether the user has not chosen yet."""
        return bool(self.choices) and not self.methods

    @property
    def message(self) -> Enrolment | None:
        """Where a code can be sent now."""
        return next((m for m in self.methods if m.factor in table.SENT), None)

    @property
    def sends_at_once(self) -> Enrolment | None:
        """Where the gateway sends a code before the user asks for one: nowhere if the user has an app as well."""
        return self.message if len(self.methods) == 1 else None

    @property
    def kinds(self) -> tuple[FactorKind, ...]:
        """The factors whose entries count."""
        return (*(m.factor for m in self.methods), *self.extras)


def pending_proof_of(login: Login) -> PendingProof:
    """The pending proof of a login that is neither stopped nor opened."""
    round_ = login.verification.round
    if not login.user or login.proved:
        return PendingProof(binding=Binding(login.id, round_))
    required = _required(login)
    combined = login.policy.choose_page is ChoosePage.COMBINED
    match _current(login, required):
        case EnrolFactor(factors=factors) as current:
            picked = factors[0] if len(factors) == 1 else login.enrolling.picked
            draft = login.enrolling.draft.as_enrolment() if login.enrolling.draft else None
            enrolling = picked if picked in factors else None
            return PendingProof(
                required,
                current,
                enrolling,
                offered=factors if len(factors) > 1 else (),
                methods=(draft,) if draft else (),
                binding=Binding(login.id, round_, ProofPurpose.ENROL, draft.digest if draft else ""),
                takes_any=combined and enrolling is None,
            )
        case VerifyFactor(methods=methods, choose=choose) as current:
            extras, binding = requirement.extras(login.policy, login.enrolments), Binding(login.id, round_)
            if login.administers:  # an administrator proves a factor of their own
                extras = tuple(one for one in extras if one is not FactorKind.ADMIN_CODE)
            choices = methods if choose else ()
            if choose:
                methods = tuple(m for m in methods if m.factor is login.chosen)
            return PendingProof(required, current, None, (), methods, extras, binding, combined, choices)
        case Approval(methods=methods) as current:
            new = login.enrolling.awaiting_approval
            binding = Binding(login.id, round_, ProofPurpose.APPROVE, new.digest if new else "")
            return PendingProof(required, current, None, (), methods, table.APPROVING, binding, combined)
    return PendingProof(required, binding=Binding(login.id, round_))


def user_factors(login: Login, enrolments: EnrolmentSet, contacts: tuple[Contact, ...]) -> UserFactors:
    """The user as the requirement is decided for, with these enrolments and contacts.

    A due password takes away what would skip the factor.
    """
    kept = not login.due
    trusted, verified, provider = login.trusted and kept, login.verified and kept, login.provider_factor != ""
    return UserFactors(enrolments, contacts, trusted=trusted, verified=verified, provider=provider)


def needs_approval(login: Login, new: Enrolment) -> bool:
    """Whether the enrolment that was just proved counts only with an approval.

    Only a factor that this login proved, on the way to enrolling another one inside a session, replaces the approval.
    An enrolled factor that was not proved does not: the tenant may have asked for it before its channel changed.
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


def _required(login: Login) -> Requirement:
    """What the policy asks of this login's user; where a fresh proof is owed, any factor that they have."""
    if login.recent:
        methods = requirement.enrolled_methods(login.policy, login.enrolments)
        if login.administers and not methods:
            return SignInRefused(DecidedBy.NONE_ENROLLED, Problem.FACTOR_NEEDED)
        return VerifyFactor(DecidedBy.FRESH_PROOF, methods) if methods else NotRequired(DecidedBy.NONE_ENROLLED)
    enrolments, new = login.enrolments, login.enrolled
    if new and not new.saved:
        enrolments = enrolments.with_enrolment(new.enrolment)
    return requirement.decide(
        login.policy, user_factors(login, enrolments, login.contacts), route_asks=login.route_asks
    )


def _current(login: Login, required: Requirement) -> EnrolFactor | VerifyFactor | Approval | None:
    """What the pending proof is for."""
    if new := login.enrolling.awaiting_approval:
        return Approval(_approval_methods(login, new))
    if login.fresh:
        enrols = login.purpose is Purpose.ENROL and login.wanted and not login.enrolled
        return EnrolFactor(DecidedBy.REQUIRED, (login.wanted,)) if enrols and login.wanted else None
    return required if isinstance(required, EnrolFactor | VerifyFactor) else None


def _approval_methods(login: Login, new: Enrolment) -> tuple[Enrolment, ...]:
    """Where a code that approves `new` is sent: to the verified profile address, unless that is the address of `new`.

    Nowhere where only an administrator approves, as for a due password, and where the tenant has no channel for mail.
    """
    policy = login.policy
    if login.due or policy.registration is not Registration.GUARDED:
        return ()  # the user got the temporary password from an administrator, who approves too
    known = (c for c in login.contacts if c.verified and c.factor in policy.by_factor)
    return tuple(Enrolment(c.factor, c.address) for c in known if c.address.casefold() != new.address.casefold())[:1]
