"""How are the login, the second factor and the sessions put together?

The parts of the composition root that `app` builds its application of; what they stand on is one value, `World`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.crypto.signing import Signer
from gateway.delivery.mail import Mailer
from gateway.delivery.pace import Pace
from gateway.domain.channel import ChannelKind
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Chance, Clock
from gateway.domain.session import Session, Tokens
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak import sign_in as keycloak
from gateway.keycloak.endings import Endings
from gateway.keycloak.profile import Profile
from gateway.keycloak.sign_in_queue import SignInQueue
from gateway.keycloak.users import Users
from gateway.login.account_acts import AccountActs
from gateway.login.announcing import Announcing
from gateway.login.answering import Answering
from gateway.login.answers import Answers
from gateway.login.begin_in_session import BeginInSession
from gateway.login.browsers import Browsers, Seen
from gateway.login.effects import Effects
from gateway.login.flow import Flow, Page
from gateway.login.handlers import LoginHandlers
from gateway.login.login_records import LoginRecords, Slot
from gateway.login.proofs import Proofs
from gateway.login.reaper import Reaper
from gateway.login.record import Login, Step
from gateway.login.reports import Reports
from gateway.login.secrets import PURPOSE as LOGIN_SECRETS
from gateway.login.secrets import LoginSecrets
from gateway.login.sending import Sending
from gateway.login.steps.backup_codes import BackupCodesPage
from gateway.login.steps.confirm import ConfirmPage
from gateway.login.steps.new_password import NewPasswordPage
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.register import RegisterPage
from gateway.login.steps.stopped import StoppedPage
from gateway.login.steps.verify import VerifyPage
from gateway.login.trusting import Trusting
from gateway.login.visits import Visits
from gateway.observe.audit import Audit, AuditEvent
from gateway.rendering.mails import Mails
from gateway.second_factor import admin_codes
from gateway.second_factor.admin_codes import AdminCode, AdminCodes
from gateway.second_factor.attempts import Attempts
from gateway.second_factor.challenges import Challenges, Factors
from gateway.second_factor.consuming import Consuming
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors.admin_code import AdminCodeFactor
from gateway.second_factor.factors.backup_code import BackupCodeFactor
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.totp import TotpFactor
from gateway.second_factor.registration_window import RegistrationWindow
from gateway.second_factor.trust import Trust, TrustedBrowser
from gateway.sessions import sessions as events
from gateway.sessions.refresh import Ended, Unjudged
from gateway.sessions.sessions import Sessions
from gateway.settings.snapshot import Configuration
from gateway.store.interface import Store
from gateway.store.locks import StoreLock
from gateway.store.notices import Notices
from gateway.store.once import Once
from gateway.store.records import Records
from gateway.web.csrf import Csrf
from gateway.web.failures import Failures
from gateway.web.pages import Pages

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """What everything else stands on: given once to `build`."""

    configuration: Callable[[], Configuration]
    ring: KeyRing
    clock: Clock
    chance: Chance
    audit: Audit
    store: Store
    lock: StoreLock
    once: Once
    notices: Notices
    sign_in: keycloak.SignIn
    queue: SignInQueue
    endings: Endings
    users: Users
    profile: Profile
    mailer: Mailer
    mails: Mails
    pages: Pages
    forms: Csrf

    def sealer(self, purpose: str) -> Sealer:
        """A sealer for one purpose."""
        return Sealer(self.ring, purpose, self.chance)

    def records(self, name: str, of: type[T]) -> Records[T]:
        """Records of one kind."""
        return Records(store=self.store, sealer=self.sealer(name), clock=self.clock, name=name, of=of)


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """All of 2FA that is not a page."""

    attempts: Attempts
    email: EmailFactor
    challenges: Challenges
    enrolments: Enrolments
    consuming: Consuming
    trust: Trust
    window: RegistrationWindow


def second_factor(world: World) -> SecondFactor:
    """The factors and what judges, counts and keeps them."""
    clock, chance, ring, store = world.clock, world.chance, world.ring, world.store
    attempts, admin_signer = Attempts(store, clock), Signer(ring, admin_codes.PURPOSE)
    email = EmailFactor(mailer=world.mailer, mails=world.mails, signer=Signer(ring, "message-code"))
    factors: Factors = {
        (FactorKind.EMAIL, ChannelKind.SMTP): email,
        (FactorKind.TOTP, None): TotpFactor(),
        (FactorKind.BACKUP_CODE, None): BackupCodeFactor(),
        (FactorKind.ADMIN_CODE, None): AdminCodeFactor(admin_signer),
    }
    enrolments = Enrolments(
        profile=world.profile,
        store=store,
        sets=world.sealer("enrolments"),
        guards=world.sealer("guards"),
        lock=world.lock,
        clock=clock,
        on_unguarded=lambda tenant, user: world.audit.write(
            AuditEvent.ENROLMENT_UNGUARDED, tenant=tenant.id, user_id=user
        ),
    )
    issued = AdminCodes(world.records(admin_codes.RECORD, AdminCode), admin_signer, clock, chance)
    consuming = Consuming(world.once, store, enrolments, issued, clock)
    challenges = Challenges(
        factors=factors,
        attempts=attempts,
        consuming=consuming,
        store=store,
        addresses=Signer(ring, "addresses"),
        clock=clock,
        chance=chance,
    )
    trust = Trust(world.records("trusted-browser", TrustedBrowser), clock)
    return SecondFactor(attempts, email, challenges, enrolments, consuming, trust, RegistrationWindow(store, clock))


def login(world: World, factors: SecondFactor, live: Sessions, failures: Failures) -> tuple[Reaper, LoginHandlers]:
    """The login: machine, steps, effects, handlers."""
    clock, chance, languages = world.clock, world.chance, world.pages.languages
    reports, proofs, names = Reports(world.audit), Proofs(clock, chance), Signer(world.ring, "user-names")
    logins, browsers = world.records("login", Slot), Browsers(world.records("browser", Seen), clock)
    challenges = factors.challenges
    answering = Answering(challenges, proofs, clock, reports)
    pace = Pace(world.store, clock)

    async def renew(tenant: Tenant, tokens: Tokens) -> Tokens | None:
        match await world.sign_in.refresh(tenant.keycloak, tokens):
            case keycloak.Ended():
                return None
            case keycloak.Unjudged(refresh=refresh):
                return replace(tokens, refresh=refresh.reveal())
            case Tokens() as renewed:
                return renewed

    sending = Sending(challenges, world.once, proofs, chance, reports, pace, renew)
    reaper = Reaper(world.store, world.once, logins, clock, world.configuration, world.endings.begin)

    async def end_everything(tenant: Tenant, user: User) -> None:
        await live.end_all(tenant, user.id, reason="password")
        with suppress(GatewayError):  # those at Keycloak that are not ours; a password change ends none (measured)
            await world.users.end_sessions(tenant.keycloak, user.id)

    trusting = Trusting(factors.trust, reports)
    steps: dict[Step, Page] = {
        Step.PASSWORD: PasswordPage(
            sign_in=world.sign_in,
            queue=world.queue,
            users=world.users,
            enrolments=factors.enrolments,
            attempts=factors.attempts,
            browsers=browsers,
            trusting=trusting,
            window=factors.window,
            names=names,
            clock=clock,
            reports=reports,
            end_session=world.endings.begin,
        ),
        Step.REGISTER: RegisterPage(challenges, answering, proofs, languages, clock, reports),
        Step.CONFIRM: ConfirmPage(clock),
        Step.VERIFY: VerifyPage(challenges, answering, sending, proofs, languages, clock),
        Step.BACKUP_CODES: BackupCodesPage(clock),
        Step.NEW_PASSWORD: NewPasswordPage(
            sign_in=world.sign_in,
            users=world.users,
            once=world.once,
            clock=clock,
            chance=chance,
            reports=reports,
            lock=world.lock,
            enrolments=factors.enrolments,
            end_everything=end_everything,
            end_session=world.endings.begin,
        ),
        Step.STOPPED: StoppedPage(clock),
    }
    notify = Announcing(factors.email, languages, proofs, reports, pace, clock).tell
    acts = AccountActs(factors.enrolments, live, chance, reports, notify)
    secrets = LoginSecrets(Signer(world.ring, LOGIN_SECRETS), chance)
    effects = Effects(
        sending=sending,
        enrolments=factors.enrolments,
        users=world.users,
        once=world.once,
        sessions=live,
        browsers=browsers,
        names=names,
        clock=clock,
        reports=reports,
        challenges=challenges,
        proofs=proofs,
        trust=factors.trust,
        window=factors.window,
        secrets=secrets,
        chance=chance,
        acts=acts,
        notify=notify,
    )

    def dead(tenant: Tenant, login: Login) -> None:
        if login.tokens:
            world.endings.begin(tenant, login.tokens)

    kept = LoginRecords(logins, clock, on_begun=reaper.note, on_dead=dead)
    flow = Flow(kept, steps, effects.runners, secrets, clock, chance)
    answers = Answers(flow, live, world.pages, clock, chance, reports, acts)
    in_session = BeginInSession(flow, world.users, factors.enrolments, factors.window, trusting, clock, reports)
    visits = Visits(world.forms, chance)
    return reaper, LoginHandlers(flow, in_session, visits, answers, failures, reports, clock)


def sessions(world: World) -> Sessions:
    """The sessions, their refresh at Keycloak, and what is audited of them."""

    def tenant_of(tenant_id: str) -> Tenant | None:
        return world.configuration().tenant(tenant_id)

    async def refresh(tenant: Tenant, tokens: Tokens) -> Tokens | Ended | Unjudged:
        match await world.sign_in.refresh(tenant.keycloak, tokens):
            case keycloak.Ended(reason=reason):
                return Ended(reason)
            case keycloak.Unjudged(refresh=spent_for, why=why):
                return Unjudged(spent_for, why)
            case Tokens() as renewed:
                return renewed

    def heard(event: str, session: Session, details: Mapping[str, str]) -> None:
        names = {events.OPENED: AuditEvent.SESSION_OPENED, events.ENDED: AuditEvent.SESSION_ENDED}
        if audited := names.get(event):
            world.audit.write(
                audited,
                tenant=session.tenant,
                user_id=session.user_id,
                username=session.username,
                session=session.id,
                **details,
            )
        tenant = tenant_of(session.tenant)
        if event == events.ENDED and details.get("reason") != "keycloak" and tenant:
            world.endings.begin(tenant, session.tokens)

    return Sessions(
        store=world.store,
        sealer=world.sealer("session"),
        clock=world.clock,
        lock=world.lock,
        notices=world.notices,
        refresher=refresh,
        tenants=tenant_of,
        on_event=heard,
    )
