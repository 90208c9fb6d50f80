"""What does the gateway do itself between the pages of a login?

Each effect runs after the record says it is due, is idempotent or claimed, and is tried again by the next GET when it
failed: `draft` makes an app's secret, `challenge` sends a code, `save` writes the sealed set to Keycloak, `open` makes
the session, `touch` notes in it what was proved.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.crypto.signing import Signer
from gateway.domain.challenge import Draft, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.ports import Chance, Clock
from gateway.domain.problem import Problem, Trouble
from gateway.domain.session import Satisfied, Session
from gateway.domain.tenant import RouteFactor
from gateway.domain.user import User
from gateway.keycloak.sign_in_queue import normalised
from gateway.keycloak.users import Users
from gateway.login import aims, machine
from gateway.login.browsers import Browsers
from gateway.login.flow import Acted, EffectRunner
from gateway.login.proofs import Proofs
from gateway.login.record import Drafted, Effect, Login, Opened, Saved, SessionOpened, Stopped
from gateway.login.reports import Reports
from gateway.login.sending import Sending
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.second_factor.factors import backup_code
from gateway.second_factor.trust import Holder, Trust, TrustCookie
from gateway.sessions.sessions import NewSession, Sessions
from gateway.store.once import Once
from gateway.web.cookies import BrowserSecret

UPDATE_PASSWORD = "UPDATE_PASSWORD"  # noqa: S105 - Keycloak's name of a required action
TOLD = 7200.0
"""Seconds for which a registration is not told of again; longer than any login lives."""
Notify = Callable[[Visit, Login, Enrolment], Awaitable[None]]
"""Tells the user's profile address of a new enrolment, in the background."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The runners, by effect."""

    sending: Sending
    enrolments: Enrolments
    users: Users
    once: Once
    sessions: Sessions
    browsers: Browsers
    names: Signer
    clock: Clock
    reports: Reports
    challenges: Challenges
    proofs: Proofs
    trust: Trust
    chance: Chance
    tell_profile_address: Notify

    @property
    def runners(self) -> dict[Effect, EffectRunner]:
        """What `flow` runs."""
        return {
            Effect.DRAFT: self.draft,
            Effect.CHALLENGE: self.sending.begin,
            Effect.SAVE: self.save,
            Effect.OPEN: self.open,
            Effect.TOUCH: self.touch,
        }

    async def draft(self, visit: Visit, login: Login) -> Acted:
        """Make the secret that the register page shows; whoever else made one meanwhile was first."""
        kind, user = aims.registering(login), login.user
        if kind is None or user is None:
            return Acted()
        about = self.proofs.about(visit, login, kind)
        match await self.challenges.factor(about, kind).register(user, "", about):
            case Draft() as draft:
                return Acted((Drafted(draft),))
            case Rejected(problem=problem):
                return Acted((Stopped(Trouble(problem)),))

    async def save(self, visit: Visit, login: Login) -> Acted:
        """Write the user's set with the new enrolment; a set changed elsewhere stops the login."""
        user, enrolment = login.user, login.enrolled
        if user is None or enrolment is None:
            return Acted()
        if stopped := await self._changed_meanwhile(visit, login, user):
            return stopped  # before anything is written: the account may have been taken back from whoever registers
        codes = backup_code.make(login.policy.backup_codes, self.chance) if login.first_enrolment else ()
        saved = await self.enrolments.add(visit.tenant, user.id, login.enrolments, enrolment, codes)
        if saved is None:
            self.reports.tell(visit, AuditEvent.ENROLMENT_CONFLICT, user, factor=enrolment.factor.value)
            return Acted((Stopped(Trouble(Problem.ENROLMENT_CHANGED)),))
        if await self.once.claim(visit.tenant.id, ("registered", login.id), TOLD):  # two replicas may both have saved
            self.reports.tell(visit, AuditEvent.ENROLMENT_REGISTERED, user, factor=enrolment.factor.value)
            await self.tell_profile_address(visit, login, enrolment)
        return Acted((Saved(saved),))

    async def open(self, visit: Visit, login: Login) -> Acted:
        """Read the account once more, then make the session. The session's secret is the login's: one distinct one."""
        user, tokens = login.user, login.tokens
        if user is None or tokens is None:
            return Acted((Stopped(Trouble(Problem.PASSWORD_CHANGED)),))
        if stopped := await self._changed_meanwhile(visit, login, user, registrations=True):
            return stopped
        satisfied, rule = machine.satisfied(login)
        session, cookie = await self.sessions.open(
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
            secret=login.session_secret,
        )
        if visit.browser_id:
            digest = self.names.sign(visit.tenant.id, normalised(user.username))
            await self.browsers.remember(visit.tenant.id, visit.browser_id, digest)
        trust = await self._trust(visit, login, user, satisfied)
        return Acted((SessionOpened(Opened(session.id, cookie, self.clock.now(), trust)),))

    async def touch(self, visit: Visit, login: Login) -> Acted:
        """Note in the session what was proved, and that it may open the route it was asked for."""
        user = login.user
        if user is None:
            return Acted((Stopped(Trouble(Problem.LOGIN_EXPIRED)),))
        if stopped := await self._changed_meanwhile(visit, login, user, registrations=True):
            return stopped
        satisfied, rule = machine.satisfied(login)

        def proved(session: Session) -> Session:
            if login.proved_at is not None:
                return replace(session, proved_at=login.proved_at, satisfied=Satisfied.PROVED, rule="", routes=None)
            if login.recent:
                return session
            return replace(session, satisfied=satisfied, rule=rule, routes=None)

        if await self.sessions.touch(visit.tenant, login.session, proved) is None:
            return Acted((Stopped(Trouble(Problem.LOGIN_EXPIRED)),))
        return Acted((SessionOpened(Opened(login.session, "", self.clock.now())),))

    async def _trust(self, visit: Visit, login: Login, user: User, satisfied: Satisfied) -> str:
        """The trust cookie to set: a new secret after it was used, or the first one when the user asked for it.

        The secret is derived from the login's, so that doing this twice gives the same one.
        """
        digest = hashlib.sha256(f"trust:{login.session_secret}".encode()).digest()
        secret = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        tenant, held = visit.tenant.id, visit.trust
        if satisfied is Satisfied.TRUSTED and held:
            kept = await self.trust.rotate(tenant, held, secret)
            return BrowserSecret(held.tag, secret).value if kept else ""
        if not (login.remember and login.proved):
            return ""
        tag = held.tag if held else login.tag
        holder = Holder(user.id, login.credential_date, login.enrolments.trust_epoch)
        await self.trust.give(tenant, TrustCookie(tag, secret), holder)
        self.reports.tell(visit, AuditEvent.TRUST_GIVEN, user, days=login.policy.trust_browser_days)
        return BrowserSecret(tag, secret).value

    async def _changed_meanwhile(
        self, visit: Visit, login: Login, user: User, *, registrations: bool = False
    ) -> Acted | None:
        """The end of a login whose account is no longer the one that the password was right for.

        `registrations`: nor are they; a write looks at them itself.
        """
        finding = await self._changed(visit, login, user)
        if not finding and registrations and login.policy.enabled:
            kept = await self.enrolments.read(visit.tenant, user.id)
            if isinstance(kept, Tampered) or kept.trust_epoch != login.enrolments.trust_epoch:
                finding = "registrations"  # a factor went, or "sign out everywhere": what was proved may be a thief's
        if not finding:
            return None
        self.reports.tell(visit, AuditEvent.LOGIN_REFUSED, user, problem="account-changed", finding=finding)
        return Acted((Stopped(Trouble(Problem.ACCOUNT_CHANGED)),))

    async def _changed(self, visit: Visit, login: Login, user: User) -> str:
        """What changed at the account since the password was right; "" when nothing did (`security.md` F16)."""
        account = await self.users.account(visit.tenant.keycloak, user.id)
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


def _may_open(visit: Visit, login: Login) -> tuple[str, ...] | None:
    """The routes the session opens: all; where nothing was asked because the route asks nothing, such routes only."""
    if login.proved or login.route_asks or not login.policy.enabled:
        return None
    return tuple(route.path for route in visit.tenant.routes if route.second_factor is RouteFactor.OFF)
