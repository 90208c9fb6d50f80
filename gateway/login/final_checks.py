"""Judges whether the proofs of a login are the ones that are required now.

The machine computes what a login owes by the policy it began with. Before anything is opened or saved, the account,
policy, enrolments and contacts are read again. Each proof that is required then must have been accepted in this login,
for its user, round and purpose (`docs/security.md`, chain of custody). `approved` and `suffices` are pure.
"""

from dataclasses import dataclass, replace

from gateway.domain.challenge import ProofPurpose
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import Policy
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import KeycloakAccess
from gateway.domain.user import Account, Contact, User
from gateway.keycloak.users import Users
from gateway.login.flow import StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.pending_proof import needs_approval, user_factors
from gateway.login.record import Login, Stopped
from gateway.observe.audit import AuditEvent
from gateway.second_factor import requirement
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.requirement import NotRequired, VerifyFactor

UPDATE_PASSWORD = "UPDATE_PASSWORD"  # noqa: S105 - Keycloak's name of a required action
OWN_PROOF_LIFE = 900.0
"""Seconds from the own proof of an enrolment inside a session, or its approval, within which it must be saved."""
UNDATED_LIFE = 600.0
"""Seconds in which a login must end where no date tells whether the password is still the one that was right."""


@dataclass(frozen=True, slots=True)
class FinalChecks:
    """Reads account, policy and enrolments again, and judges the login by them."""

    users: Users
    enrolments: Enrolments
    clock: Clock

    async def refused_to_save(self, request: LoginRequest, login: Login, user: User) -> StepResult | None:
        """The end of a login whose new enrolment may not be saved."""
        account = await self._account(request, login, user)
        if isinstance(account, StepResult):
            return account
        if not await self._approved(request, login, account):
            return refused(request, login, user, "enrolment not approved")
        own = (proof.at for proof in login.proofs if proof.purpose is not ProofPurpose.ENROL)
        if login.recent and self.clock.now() >= max(own, default=login.password_at) + OWN_PROOF_LIFE:
            return refused(request, login, user, "own proof too old", Problem.LOGIN_EXPIRED)
        return None

    async def refused_to_open(self, request: LoginRequest, login: Login, user: User) -> StepResult | None:
        """The end of a login that has not proved what is required now, or whose account was changed meanwhile."""
        account = await self._account(request, login, user)
        if isinstance(account, StepResult):
            return account
        policy = request.tenant.policy
        kept = EnrolmentSet()
        if login.policy.enabled or policy.enabled or login.recent:
            found = await self.enrolments.read(request.tenant, user.id, account)
            if isinstance(found, Tampered) or not found.same_factors(login.enrolments):
                # a factor was added or taken away, or "sign out everywhere": the proof may be of another person
                return refused(request, login, user, "enrolments")
            kept = found
        if not await self._approved(request, login, account):
            return refused(request, login, user, "enrolment not approved")
        pinned = policy.contact_service is not None and policy.contact_service == login.policy.contact_service
        known = login.contacts if pinned else requirement.contacts_of(account.user, request.tenant.phone_numbers)
        if not suffices(_as_named_today(login, request.tenant.keycloak), policy, kept, known):
            return refused(request, login, user, "policy")
        return None

    async def _account(self, request: LoginRequest, login: Login, user: User) -> Account | StepResult:
        """The account as Keycloak has it now, or the end of a login whose account was changed since the password."""
        account = await self.users.account(request.tenant.keycloak, user.id)
        finding = changed(login, account) if account else "gone"
        undated = login.credential_date is None and self.clock.now() >= login.begun_at + UNDATED_LIFE
        if undated and not finding:
            return refused(request, login, user, "password not dated", Problem.LOGIN_EXPIRED)
        return account if account and not finding else refused(request, login, user, finding)

    async def _approved(self, request: LoginRequest, login: Login, account: Account) -> bool:
        """Whether the new enrolment may be kept: by the login's policy and contacts, and by today's.

        An approval was sent to an address of the profile. Where the profile has another one by now, nothing is
        approved.
        """
        if login.enrolled is None:
            return True
        if not approved(login, login.enrolled.enrolment):
            return False
        policy, new = request.tenant.policy, login.enrolled.enrolment
        known = requirement.contacts_of(account.user, request.tenant.phone_numbers)
        if needs_approval(login, new) and known != login.contacts:
            return False
        if new.address and not requirement.takes_address(policy, known, new.factor, new.address):
            return False
        grace = await self.enrolments.in_grace_period(request.tenant, account)
        today = replace(login, policy=policy, contacts=known, open_registration=grace)
        return not policy.enabled or approved(today, new)


def _as_named_today(login: Login, access: KeycloakAccess) -> Login:
    """The login, without what Keycloak's token said in place of a code if the settings do not name that any more."""
    counts = access.sso is not None and access.sso.second_factor_by.still_names(login.provider_factor)
    return login if counts else replace(login, provider_factor="")


def approved(login: Login, new: Enrolment) -> bool:
    """Whether `new`, the enrolment that this login proved, needs no approval, or has one.

    An approval is an entry accepted for this very enrolment, in a round after the one that proved it.
    """
    proofs = [p for p in login.proofs if p.draft == new.digest]
    proved = [p.round for p in proofs if p.purpose is ProofPurpose.ENROL]
    if not proved:  # a verified contact, which a code sent there proves without an enrolment of its own
        return any(p.purpose is ProofPurpose.VERIFY and p.factor is new.factor for p in login.proofs)
    if not needs_approval(login, new):
        return True
    return any(p.purpose is ProofPurpose.APPROVE and p.round > min(proved) for p in proofs)


def suffices(login: Login, policy: Policy, enrolments: EnrolmentSet, known: tuple[Contact, ...]) -> bool:
    """Whether this login proved what `policy` requires now of a user with these enrolments and contacts.

    A login for an act or an enrolment inside a session needs its own proof: a factor where the user had one when it
    began, else the password of the session's user.
    """
    if login.recent:
        return login.fresh
    match requirement.decide(policy, user_factors(login, enrolments, known), route_asks=login.route_asks):
        case NotRequired():
            return True
        case VerifyFactor(methods=methods):
            factors = {*(m.factor for m in methods), *requirement.extras(policy)}
            counting = (p for p in login.proofs if p.round >= login.proofs_from and p.factor in factors)
            return any(p.purpose in (ProofPurpose.VERIFY, ProofPurpose.ENROL) for p in counting)
    return False


def refused(
    request: LoginRequest, login: Login, user: User, finding: str, problem: Problem = Problem.ACCOUNT_CHANGED
) -> StepResult:
    """The end of a login whose account was changed meanwhile, or whose proofs are too old."""
    request.audit.write(AuditEvent.LOGIN_STOPPED, user, login=login.id, problem=problem.value, finding=finding)
    return StepResult((Stopped(ProblemDetail(problem)),))


def changed(login: Login, account: Account) -> str:
    """What changed at the account since the password was right; "" when nothing did."""
    if not account.enabled:
        return "disabled"
    expected = (UPDATE_PASSWORD,) if login.due and not login.changed else ()
    if account.required_actions != expected:
        return "required actions"
    if account.credential_date != login.credential_date:
        return "password"
    return ""
