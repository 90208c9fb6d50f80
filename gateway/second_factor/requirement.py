"""Decides which factor the policy asks of a user, and names the rule for the audit.

Pure.
"""

from dataclasses import dataclass

from gateway.delivery.phone_numbers import e164
from gateway.delivery.smtp import one_address
from gateway.domain.enrolment import BESIDE, Enrolment, EnrolmentSet
from gateway.domain.policy import (
    ChoosePage,
    EnrolmentRule,
    FactorKind,
    NoContact,
    Policy,
    RegistrationContact,
)
from gateway.domain.problem import Problem
from gateway.domain.session import DecidedBy
from gateway.domain.tenant import PhoneNumbers
from gateway.domain.user import Contact, User
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True)
class UserFactors:
    """The facts about a user that the decision needs.

    `provider`: the identity provider asked for a second factor at this sign-in, as the tenant accepts it.
    """

    enrolments: EnrolmentSet
    contacts: tuple[Contact, ...]
    trusted: bool
    verified: bool
    provider: bool = False


@dataclass(frozen=True, slots=True)
class NotRequired:
    """No factor is asked."""

    rule: DecidedBy


@dataclass(frozen=True, slots=True)
class EnrolFactor:
    """The user must enrol a factor; `factors` are the allowed ones, in the tenant's order."""

    rule: DecidedBy
    factors: tuple[FactorKind, ...]


@dataclass(frozen=True, slots=True)
class VerifyFactor:
    """The user must prove one of `methods`; `choose` when a page asks which."""

    rule: DecidedBy
    methods: tuple[Enrolment, ...]
    choose: bool = False


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """The user cannot meet the requirement: the login stops, or redirects to a named path."""

    rule: DecidedBy
    problem: Problem
    path: str | None = None


Requirement = NotRequired | EnrolFactor | VerifyFactor | SignInRefused


def decide(policy: Policy, user: UserFactors, *, route_asks: bool) -> Requirement:
    """The requirement of `policy` for `user`; `route_asks` tells whether the route asks for a factor."""
    if not policy.enabled:
        return NotRequired(DecidedBy.OFF)
    if not route_asks:
        return NotRequired(DecidedBy.ROUTE_ASKS_NONE)
    if user.provider:
        return NotRequired(DecidedBy.IDENTITY_PROVIDER)
    methods = methods_of(policy, user)
    if methods:
        if user.trusted and policy.trust_browser_days:
            return NotRequired(DecidedBy.TRUSTED_BROWSER)
        if user.verified and policy.skip_when_verified:
            return NotRequired(DecidedBy.VERIFIED_IN_SESSION)
        return VerifyFactor(DecidedBy.ENROLLED, methods, policy.choose_page is ChoosePage.SEVERAL and len(methods) > 1)
    if policy.enrolment is EnrolmentRule.OPTIONAL:
        return NotRequired(DecidedBy.OPTIONAL_AND_NONE)
    if policy.on_no_contact is not NoContact.REGISTER:
        return SignInRefused(DecidedBy.NO_CONTACT, Problem.NO_CONTACT, policy.no_contact_path)
    factors = registrable(policy, user)
    if not factors:
        return SignInRefused(DecidedBy.NOTHING_TO_REGISTER, Problem.NO_CONTACT)
    return EnrolFactor(DecidedBy.REQUIRED, factors)


def methods_of(policy: Policy, user: UserFactors) -> tuple[Enrolment, ...]:
    """The user's usable methods in the policy's order.

    These are the enrolments, and the verified contacts where the policy takes addresses from the user record. Without a
    page to choose, only the first one counts: so a fallback counts only for a user without the others. Where a contact
    service names the methods, no enrolment counts.
    """
    known = () if policy.contact_service else _known(policy, user.enrolments)
    if contacts_are_methods(policy):
        enrolled = {e.factor for e in known}
        usable = (c for c in user.contacts if c.verified and c.factor not in enrolled)
        known += tuple(Enrolment(c.factor, c.address) for c in usable)
    methods = tuple(e for m in policy.offered for e in known if e.factor is m.factor)
    return methods[:1] if policy.choose_page is ChoosePage.NEVER else methods


def _known(policy: Policy, enrolments: EnrolmentSet) -> tuple[Enrolment, ...]:
    """The enrolments, and what every user has without enrolling it."""
    elsewhere = (m.factor for m in policy.offered if m.factor in table.ENROLLED_ELSEWHERE)
    return (*enrolments.methods, *(Enrolment(factor) for factor in elsewhere if not enrolments.of(factor)))


def enrolled_methods(policy: Policy, enrolments: EnrolmentSet) -> tuple[Enrolment, ...]:
    """Every factor the user has enrolled, those of the policy first: each may give a fresh proof.

    An address counts only while the tenant has a channel to send to it.
    """
    own = tuple(e for m in policy.offered for e in _known(policy, enrolments) if e.factor is m.factor)
    others = (e for e in enrolments.methods if e not in own and e.factor not in table.SENT)
    return (*own, *others)


def contacts_of(user: User, numbers: PhoneNumbers) -> tuple[Contact, ...]:
    """The known addresses of a user: those of the user record in Keycloak, in the spelling used for sending.

    An address counts only if Keycloak has verified it, a number only if users cannot write it, because users may write
    their own profile. An address to which no mail can be sent is none (as with a local part that is not ASCII), nor is
    a number to which no code may be sent. The login reads them once, after a right password, and pins them.
    """
    address, number = one_address(user.email), e164(user.phone, numbers) if user.phone else None
    found = [Contact(FactorKind.EMAIL, address, user.email_verified)] if address else []
    if isinstance(number, str):
        found.append(Contact(FactorKind.SMS, number, user.phone_verified))
    return tuple(found)


def may_turn_off(policy: Policy, enrolments: EnrolmentSet, factor: FactorKind, target: str = "") -> bool:
    """Whether a user may turn `factor` off. The last one only where the tenant requires none.

    `target` is the id of an app: it may go where another one stays.
    """
    ids = [e.id for e in enrolments.all_of(factor)]
    if target and target not in ids:
        return False
    on = [m.factor for m in policy.offered if enrolments.of(m.factor)]
    another = len(on) > 1 or (target != "" and len(ids) > 1)
    return factor in on and (another or policy.enrolment is EnrolmentRule.OPTIONAL)


def may_set_up(policy: Policy, enrolments: EnrolmentSet, factor: FactorKind, target: str) -> bool:
    """Whether a user may set up `factor` in place of `target`, the id of an app, or `BESIDE` their other apps."""
    apps = enrolments.all_of(factor)
    if target == BESIDE:
        return factor is FactorKind.TOTP and 0 < len(apps) < policy.max_apps
    return not target or any(app.id == target for app in apps)


def contacts_are_methods(policy: Policy) -> bool:
    """Whether verified contacts need no enrolment."""
    return policy.registration_contact is not RegistrationContact.ANY and policy.on_no_contact is not NoContact.REGISTER


def is_managed(policy: Policy, factor: FactorKind) -> bool:
    """Whether users enrol no `factor` themselves: a service knows its users, or the user record has the number.

    Such an address is never saved as an enrolment, so that a change of the record counts at the next sign-in. A mail
    address is saved at its first use: users may change the one of their record.
    """
    if factor in table.ENROLLED_ELSEWHERE or policy.contact_service:
        return True
    return contacts_are_methods(policy) and factor in table.OF_RECORD


def registrable(policy: Policy, user: UserFactors) -> tuple[FactorKind, ...]:
    """The factors that this user may enrol. Where only known addresses count, those with a known address."""
    known = {c.factor for c in user.contacts if c.verified}
    free = policy.registration_contact is RegistrationContact.ANY
    own = (m.factor for m in policy.methods if m.factor not in table.ENROLLED_ELSEWHERE)
    return tuple(factor for factor in own if free or factor not in table.SENT or factor in known)


def takes_address(policy: Policy, contacts: tuple[Contact, ...], factor: FactorKind, address: str) -> bool:
    """Whether the user may enrol `address`: any, or only one that is known and verified."""
    if policy.registration_contact is RegistrationContact.ANY:
        return True
    wanted = address.casefold()
    return any(c.factor is factor and c.verified and c.address.casefold() == wanted for c in contacts)


def only_address(policy: Policy, contacts: tuple[Contact, ...], factor: FactorKind | None) -> str:
    """The one address that the user may enrol for `factor`; "" where they may type another one."""
    if policy.registration_contact is RegistrationContact.ANY:
        return ""
    known = {c.address for c in contacts if c.factor is factor and c.verified}
    return known.pop() if len(known) == 1 else ""


def extras(policy: Policy, enrolments: EnrolmentSet | None = None) -> tuple[FactorKind, ...]:
    """The kinds that `policy` takes besides a user's methods; with `enrolments`, those of which the user has a code."""
    backup = () if enrolments and not enrolments.backup_codes else (FactorKind.BACKUP_CODE,)
    return (*backup, FactorKind.ADMIN_CODE) if policy.admin_codes else backup
