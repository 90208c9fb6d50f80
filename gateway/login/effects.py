"""The effects: what the gateway does itself between the pages of a login.

Each effect runs after the record says it is due, is idempotent or claimed, and is tried again by the next GET when it
failed: `draft` makes an app's secret, `challenge` sends a code, `save` writes the sealed set to Keycloak, `act` carries
out an act of the account page, `open` makes the session, `touch` notes in it what was proved.
"""

from dataclasses import dataclass, replace

from gateway.crypto.signing import Signer
from gateway.domain.challenge import Draft, Rejected
from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Satisfied, Session
from gateway.domain.tenant import RouteFactor
from gateway.domain.user import Account, User
from gateway.keycloak.grant_queue import normalised
from gateway.keycloak.users import Users
from gateway.login import evidence, machine, pending_proof
from gateway.login.account_acts import AccountActs, Notify
from gateway.login.account_change_mails import AccountChange, Change
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.flow import EffectRunner, StepResult
from gateway.login.known_browsers import KnownBrowsers
from gateway.login.login_secrets import LoginSecrets
from gateway.login.record import Drafted, Effect, Login, Opened, Saved, SessionOpened, Stopped
from gateway.login.reports import Reports
from gateway.login.sending import CodeSending
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.second_factor import contacts, requirement
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.enrolment_grace_period import EnrolmentGracePeriod
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.factors import backup_code
from gateway.second_factor.trusted_browsers import Holder, TrustCookie, TrustedBrowsers
from gateway.sessions.sessions import NewSession, Sessions
from gateway.store.single_use import SingleUse

UPDATE_PASSWORD = "UPDATE_PASSWORD"  # noqa: S105 - Keycloak's name of a required action
TOLD = 7200.0
"""Seconds for which a registration is not told of again; longer than any login lives."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The runners, by effect."""

    sending: CodeSending
    enrolments: Enrolments
    users: Users
    once: SingleUse
    sessions: Sessions
    browsers: KnownBrowsers
    names: Signer
    clock: Clock
    reports: Reports
    challenges: Challenges
    proofs: ChallengeContexts
    trust: TrustedBrowsers
    window: EnrolmentGracePeriod
    secrets: LoginSecrets
    random: Random
    acts: AccountActs
    notify: Notify

    @property
    def runners(self) -> dict[Effect, EffectRunner]:
        """What `flow` runs."""
        return {
            Effect.DRAFT: self.draft,
            Effect.CHALLENGE: self.sending.begin,
            Effect.SAVE: self.save,
            Effect.ACT: self.act,
            Effect.OPEN: self.open,
            Effect.TOUCH: self.touch,
        }

    async def draft(self, visit: LoginRequest, login: Login) -> StepResult:
        """Make the secret that the register page shows; whoever else made one meanwhile was first."""
        kind, user = pending_proof.registering(login), login.user
        if kind is None or user is None:
            return StepResult()
        about = self.proofs.about(visit, login, kind)
        match await self.challenges.factor(about, kind).enrol(user, "", about):
            case Draft() as draft:
                return StepResult((Drafted(draft),))
            case Rejected(problem=problem):
                return StepResult((Stopped(ProblemDetail(problem)),))

    async def save(self, visit: LoginRequest, login: Login) -> StepResult:
        """Write the user's set with the new enrolment; a set changed elsewhere stops the login.

        Account, policy and approval are judged again first: an enrolment is saved only as today's policy allows it.
        """
        user, enrolment = login.user, login.enrolled
        if user is None or enrolment is None:
            return StepResult()
        account, stopped = await self._unchanged(visit, login, user)
        if stopped or account is None:
            return stopped or StepResult()
        if not await self._approved(visit, login, account):
            return self._refused(visit, user, "enrolment not approved")
        codes = backup_code.make(login.policy.backup_codes, self.random) if login.first_enrolment else ()
        saved = await self.enrolments.add(visit.tenant, user.id, login.enrolments, enrolment, codes)
        if saved is None:
            self.reports.tell(visit, AuditEvent.ENROLMENT_CONFLICT, user, factor=enrolment.factor.value)
            return StepResult((Stopped(ProblemDetail(Problem.ENROLMENT_CHANGED)),))
        if await self.once.claim(visit.tenant.id, ("registered", login.id), TOLD):  # two replicas may both have saved
            self.reports.tell(visit, AuditEvent.ENROLMENT_ADDED, user, factor=enrolment.factor.value)
            change = AccountChange(Change.ENROLLED, enrolment.factor, enrolment.address)
            await self.notify(visit, login, change, (login.enrolments, saved))
        return StepResult((Saved(saved),))

    async def open(self, visit: LoginRequest, login: Login) -> StepResult:
        """Read account, enrolments and policy once more, then make the session.

        The session's secret is derived from the login secret that this request spends; it is kept nowhere.
        """
        user, tokens, secret = login.user, login.tokens, visit.secret
        if user is None or tokens is None or secret is None:
            return StepResult((Stopped(ProblemDetail(Problem.PASSWORD_CHANGED)),))
        if stopped := await self._not_proved(visit, login, user):
            return stopped
        satisfied, rule = machine.satisfied(login)
        session, _ = await self.sessions.open(
            visit.tenant,
            NewSession(
                user=user,
                tokens=tokens,
                password_at=login.password_at,
                satisfied=satisfied,
                rule=rule,
                proved_at=login.proved_at,
                routes=_may_open(visit, login),
            ),
            tag=login.tag,
            secret=self.secrets.session(secret),
        )
        other_user = False
        if visit.browser_id:
            name = self.names.sign(visit.tenant.id, normalised(user.username))
            other_user = await self.browsers.remember(visit.tenant.id, visit.browser_id, name)
        trust = await self._trust(visit, login, user, satisfied, secret)
        opened = Opened(session.id, self.clock.now(), trust_tag=trust, other_user=other_user)
        return StepResult((SessionOpened(opened),))

    async def touch(self, visit: LoginRequest, login: Login) -> StepResult:
        """Note in the session what was proved, and that it may open the route it was asked for; under a new cookie."""
        user, secret = login.user, visit.secret
        if user is None or secret is None:
            return StepResult((Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),))
        if stopped := await self._not_proved(visit, login, user):
            return stopped
        satisfied, rule = machine.satisfied(login)

        def proved(session: Session) -> Session:
            if login.proved_at is not None:
                return replace(session, proved_at=login.proved_at, satisfied=Satisfied.PROVED, rule="", routes=None)
            if login.recent:
                return session
            return replace(session, satisfied=satisfied, rule=rule, routes=None)

        cookie = {"tag": login.tag, "secret": self.secrets.session(secret)}
        if await self.sessions.reissue(visit.tenant, login.session, proved, **cookie) is None:
            return StepResult((Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),))
        return StepResult((SessionOpened(Opened(login.session, self.clock.now())),))

    async def act(self, visit: LoginRequest, login: Login) -> StepResult:
        """Carry out the one act of the account page that this login's proof was given for."""
        user, act = login.user, login.act
        if user is None or act is None:
            return StepResult((Stopped(ProblemDetail(Problem.LOGIN_EXPIRED)),))
        if stopped := await self._not_proved(visit, login, user):
            return stopped
        if not await self.once.claim(visit.tenant.id, ("act", login.id), TOLD):
            return StepResult()  # another request carries it out
        try:
            problem = await self.acts.carry_out(visit, login, user, act)
        except BaseException:
            await self.once.release(visit.tenant.id, ("act", login.id))
            raise
        if problem:
            return StepResult((Stopped(ProblemDetail(problem)),))
        return StepResult((SessionOpened(Opened(login.session, self.clock.now(), new_session=False)),))

    async def _trust(self, visit: LoginRequest, login: Login, user: User, satisfied: Satisfied, secret: str) -> str:
        """The tag of the trust cookie to set: a new secret after it was used, or the first one the user asked for.

        The secret is derived from the login secret, so that doing this twice gives the same one.
        """
        new, tenant, held = self.secrets.trust(secret), visit.tenant.id, visit.trust
        if satisfied is Satisfied.TRUSTED and held:
            return held.tag if await self.trust.rotate(tenant, held, new) else ""
        if not (login.remember and login.proved):
            return ""
        tag = held.tag if held else self.secrets.trust_tag(secret)
        holder = Holder(user.id, login.credential_date, login.enrolments.trust_epoch)
        await self.trust.give(tenant, TrustCookie(tag, new), holder)
        self.reports.tell(visit, AuditEvent.BROWSER_TRUSTED, user, days=login.policy.trust_browser_days)
        return tag

    async def _not_proved(self, visit: LoginRequest, login: Login, user: User) -> StepResult | None:
        """The end of a login that has not proved what is required now, or whose account is not the same any more.

        Account, enrolments and policy are read again. Each proof that is required now was accepted in this login.
        """
        account, stopped = await self._unchanged(visit, login, user)
        if stopped or account is None:
            return stopped
        policy = visit.tenant.policy
        kept = EnrolmentSet()
        if login.policy.enabled or policy.enabled or login.recent:
            found = await self.enrolments.read(visit.tenant, user.id)
            if isinstance(found, Tampered) or not found.same_factors(login.enrolments):
                # a factor was added or taken away, or "sign out everywhere": the proof may be of another person
                return self._refused(visit, user, "enrolments")
            kept = found
        if login.enrolled and not await self._approved(visit, login, account):
            return self._refused(visit, user, "enrolment not approved")
        if not evidence.suffices(login, policy, kept, contacts.of_user(account.user)):
            return self._refused(visit, user, "policy")
        return None

    async def _approved(self, visit: LoginRequest, login: Login, account: Account) -> bool:
        """Whether the new enrolment may be kept: by the login's policy and contacts, and by today's.

        An approval was sent to an address of the profile; a profile with another one by now has approved nothing.
        """
        policy, new, known = visit.tenant.policy, login.enrolled, contacts.of_user(account.user)
        if new is None or not evidence.approved(login):
            return new is None
        if pending_proof.needs_approval(login, new) and known != login.contacts:
            return False
        if new.address and not requirement.takes_address(policy, known, new.factor, new.address):
            return False
        window = await self.window.is_open(visit.tenant, account)
        return not policy.enabled or evidence.approved(
            replace(login, policy=policy, contacts=known, open_registration=window)
        )

    async def _unchanged(
        self, visit: LoginRequest, login: Login, user: User
    ) -> tuple[Account | None, StepResult | None]:
        """The account as Keycloak has it now, or the end of a login whose account is another one by now (F16)."""
        account = await self.users.account(visit.tenant.keycloak, user.id)
        finding = _changed(login, account)
        return (account, None) if not finding else (None, self._refused(visit, user, finding))

    def _refused(self, visit: LoginRequest, user: User, finding: str) -> StepResult:
        self.reports.tell(visit, AuditEvent.LOGIN_STOPPED, user, problem="account-changed", finding=finding)
        return StepResult((Stopped(ProblemDetail(Problem.ACCOUNT_CHANGED)),))


def _changed(login: Login, account: Account | None) -> str:
    """What changed at the account since the password was right; "" when nothing did."""
    if account is None:
        return "gone"
    if not account.enabled:
        return "disabled"
    expected = (UPDATE_PASSWORD,) if login.due and not login.changed else ()
    if account.required_actions != expected:
        return "required actions"
    if account.credential_date != login.credential_date:
        return "password"
    return ""


def _may_open(visit: LoginRequest, login: Login) -> tuple[str, ...] | None:
    """The routes the session opens: all; where nothing was asked because the route asks nothing, such routes only."""
    if login.proved or login.route_asks or not login.policy.enabled:
        return None
    return tuple(route.path for route in visit.tenant.routes if route.second_factor is RouteFactor.OFF)
