"""How are the login, the second factor and the sessions put together?

The parts of the composition root that `app` builds its application of; what they stand on is one value, `Services`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.crypto.signing import Signer
from gateway.delivery.send_rate import SendRate
from gateway.delivery.smtp import Mailer
from gateway.domain.channel import ChannelKind
from gateway.domain.configuration import Configuration
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, Random
from gateway.domain.session import Session, Tokens
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak import token_endpoint as keycloak
from gateway.keycloak.grant_queue import GrantQueue
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.profile import UserProfiles
from gateway.keycloak.users import Users
from gateway.login.abandoned_logins import AbandonedLogins
from gateway.login.account_change_mails import AccountChangeMails
from gateway.login.begin_in_session import BeginInSession
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.check_code import CodeCheck
from gateway.login.effects.account_action import AccountAction
from gateway.login.effects.create_secret import CreateSecret
from gateway.login.effects.open_session import OpenSession
from gateway.login.effects.save_enrolment import SaveEnrolment
from gateway.login.effects.send_code import SendCode
from gateway.login.evidence import Evidence
from gateway.login.flow import EffectRunner, Flow, Page
from gateway.login.handlers import LoginHandlers
from gateway.login.known_browsers import KnownBrowsers, KnownUsers
from gateway.login.login_records import LoginRecords, Slot
from gateway.login.login_request import LoginRequests
from gateway.login.login_secrets import PURPOSE as LOGIN_SECRETS
from gateway.login.login_secrets import LoginSecrets
from gateway.login.record import Effect, Login, Step
from gateway.login.responses import LoginResponses
from gateway.login.steps.backup_codes import BackupCodesPage
from gateway.login.steps.confirm import ConfirmPage
from gateway.login.steps.new_password import NewPasswordPage
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.register import RegisterPage
from gateway.login.steps.stopped import StoppedPage
from gateway.login.steps.verify import VerifyPage
from gateway.observe.audit import Audit, AuditEvent
from gateway.rendering.mails import Mails
from gateway.second_factor import admin_codes
from gateway.second_factor.admin_codes import AdminCode, AdminCodes
from gateway.second_factor.challenges import Challenges, Factors
from gateway.second_factor.enrolment_grace_period import EnrolmentGracePeriod
from gateway.second_factor.enrolments import Enrolments
from gateway.second_factor.factors.admin_code import AdminCodeFactor
from gateway.second_factor.factors.backup_code import BackupCodeFactor
from gateway.second_factor.factors.email import EmailFactor
from gateway.second_factor.factors.totp import TotpFactor
from gateway.second_factor.rate_limiter import RateLimiter
from gateway.second_factor.trusted_browsers import TrustedBrowser, TrustedBrowsers
from gateway.second_factor.used_codes import UsedCodes
from gateway.sessions import sessions as events
from gateway.sessions.refresh import RefreshUnknown, SessionEnded
from gateway.sessions.sessions import Sessions
from gateway.store.locks import StoreLock
from gateway.store.protocol import Store
from gateway.store.records import Records
from gateway.store.replica_events import ReplicaEvents
from gateway.store.single_use import SingleUse
from gateway.web.csrf import Csrf
from gateway.web.error_responses import ErrorResponses
from gateway.web.pages import Pages

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What everything else stands on: given once to `build`."""

    configuration: Callable[[], Configuration]
    ring: KeyRing
    clock: Clock
    random: Random
    audit: Audit
    store: Store
    lock: StoreLock
    once: SingleUse
    replica_events: ReplicaEvents
    sign_in: keycloak.TokenEndpoint
    queue: GrantQueue
    endings: LogoutRetries
    users: Users
    profile: UserProfiles
    mailer: Mailer
    mails: Mails
    pages: Pages
    forms: Csrf

    def sealer(self, purpose: str) -> Sealer:
        """A sealer for one purpose."""
        return Sealer(self.ring, purpose, self.random)

    def records(self, name: str, of: type[T], schema: int = 1) -> Records[T]:
        """Records of one kind."""
        return Records(store=self.store, sealer=self.sealer(name), clock=self.clock, name=name, of=of, schema=schema)


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """All of 2FA that is not a page."""

    attempts: RateLimiter
    email: EmailFactor
    challenges: Challenges
    enrolments: Enrolments
    consuming: UsedCodes
    trust: TrustedBrowsers
    window: EnrolmentGracePeriod


def second_factor(services: Services) -> SecondFactor:
    """The factors and what judges, counts and keeps them."""
    clock, random, ring, store = services.clock, services.random, services.ring, services.store
    attempts, admin_signer = RateLimiter(store, clock), Signer(ring, admin_codes.PURPOSE)
    email = EmailFactor(mailer=services.mailer, mails=services.mails, signer=Signer(ring, "message-code"))
    factors: Factors = {
        (FactorKind.EMAIL, ChannelKind.SMTP): email,
        (FactorKind.TOTP, None): TotpFactor(),
        (FactorKind.BACKUP_CODE, None): BackupCodeFactor(),
        (FactorKind.ADMIN_CODE, None): AdminCodeFactor(admin_signer),
    }
    enrolments = Enrolments(
        profile=services.profile,
        store=store,
        sets=services.sealer("enrolments"),
        guards=services.sealer("guards"),
        lock=services.lock,
        clock=clock,
        on_unguarded=lambda tenant, user: services.audit.write(
            AuditEvent.ENROLMENT_UNGUARDED, tenant=tenant.id, user_id=user
        ),
    )
    issued = AdminCodes(services.records(admin_codes.RECORD, AdminCode), admin_signer, clock, random)
    consuming = UsedCodes(services.once, store, enrolments, issued, clock)
    challenges = Challenges(
        factors=factors,
        attempts=attempts,
        consuming=consuming,
        store=store,
        addresses=Signer(ring, "addresses"),
        clock=clock,
        random=random,
    )
    trust = TrustedBrowsers(services.records("trusted-browser", TrustedBrowser), clock)
    return SecondFactor(attempts, email, challenges, enrolments, consuming, trust, EnrolmentGracePeriod(store, clock))


def login(
    services: Services, factors: SecondFactor, live: Sessions, failures: ErrorResponses
) -> tuple[AbandonedLogins, LoginHandlers]:
    """The login: machine, steps, effects, handlers."""
    clock, random, languages = services.clock, services.random, services.pages.languages
    challenges, enrolments, once = factors.challenges, factors.enrolments, services.once
    contexts, names = ChallengeContexts(clock, random), Signer(services.ring, "user-names")
    secrets = LoginSecrets(Signer(services.ring, LOGIN_SECRETS), random)
    records = services.records("login", Slot, schema=2)  # 1: fields of other names; such a login starts anew
    browsers = KnownBrowsers(services.records("browser", KnownUsers), clock)
    check, send_rate = CodeCheck(challenges, contexts, clock), SendRate(services.store, clock)

    async def renew(tenant: Tenant, tokens: Tokens) -> Tokens | None:
        match await services.sign_in.refresh(tenant.keycloak, tokens):
            case keycloak.SessionEnded():
                return None
            case keycloak.RefreshUnknown(refresh=refresh):
                return replace(tokens, refresh=refresh.reveal())
            case Tokens() as renewed:
                return renewed

    send_code = SendCode(challenges, once, contexts, random, send_rate, renew)
    abandoned = AbandonedLogins(services.store, once, records, clock, services.configuration, services.endings.begin)

    async def end_everything(tenant: Tenant, user: User) -> None:
        await live.end_all(tenant, user.id, reason="password")
        with suppress(GatewayError):  # those at Keycloak that are not ours; a password change ends none (measured)
            await services.users.end_sessions(tenant.keycloak, user.id)

    password = PasswordPage(
        sign_in=services.sign_in,
        queue=services.queue,
        users=services.users,
        enrolments=enrolments,
        attempts=factors.attempts,
        browsers=browsers,
        trust=factors.trust,
        window=factors.window,
        names=names,
        clock=clock,
        end_session=services.endings.begin,
    )
    new_password = NewPasswordPage(
        sign_in=services.sign_in,
        users=services.users,
        once=once,
        clock=clock,
        random=random,
        lock=services.lock,
        enrolments=enrolments,
        end_everything=end_everything,
        end_session=services.endings.begin,
    )
    steps: dict[Step, Page] = {
        Step.PASSWORD: password,
        Step.REGISTER: RegisterPage(challenges, check, contexts, languages),
        Step.CONFIRM: ConfirmPage(),
        Step.VERIFY: VerifyPage(challenges, check, send_code, contexts, languages, clock),
        Step.BACKUP_CODES: BackupCodesPage(),
        Step.NEW_PASSWORD: new_password,
        Step.STOPPED: StoppedPage(),
    }
    mails = AccountChangeMails(factors.email, languages, contexts, send_rate, clock)
    evidence = Evidence(services.users, enrolments, factors.window)
    action = AccountAction(evidence, enrolments, live, once, clock, random, mails)
    session = OpenSession(evidence, live, browsers, names, factors.trust, secrets, clock)
    effects: dict[Effect, EffectRunner] = {
        Effect.DRAFT: CreateSecret(challenges, contexts).run,
        Effect.CHALLENGE: send_code.run,
        Effect.SAVE: SaveEnrolment(evidence, enrolments, once, random, mails).run,
        Effect.ACT: action.run,
        Effect.OPEN: session.open,
        Effect.TOUCH: session.touch,
    }

    def dead(tenant: Tenant, login: Login) -> None:
        if login.tokens:
            services.endings.begin(tenant, login.tokens)

    logins = LoginRecords(records, clock, on_begun=abandoned.note, on_dead=dead)
    flow = Flow(logins, steps, effects, secrets, clock, random)
    responses = LoginResponses(steps, password, live, services.pages, clock, random, action)
    in_session = BeginInSession(flow, services.users, enrolments, factors.window, factors.trust)
    requests = LoginRequests(services.forms, random, live, services.audit)
    return abandoned, LoginHandlers(flow, in_session, requests, responses, failures, clock)


def sessions(services: Services) -> Sessions:
    """The sessions, their refresh at Keycloak, and what is audited of them."""

    def tenant_of(tenant_id: str) -> Tenant | None:
        return services.configuration().tenant(tenant_id)

    async def refresh(tenant: Tenant, tokens: Tokens) -> Tokens | SessionEnded | RefreshUnknown:
        match await services.sign_in.refresh(tenant.keycloak, tokens):
            case keycloak.SessionEnded(reason=reason):
                return SessionEnded(reason)
            case keycloak.RefreshUnknown(refresh=spent_for, why=why):
                return RefreshUnknown(spent_for, why)
            case Tokens() as renewed:
                return renewed

    def heard(event: str, session: Session, details: Mapping[str, str]) -> None:
        names = {events.OPENED: AuditEvent.SESSION_OPENED, events.ENDED: AuditEvent.SESSION_ENDED}
        if audited := names.get(event):
            services.audit.write(
                audited,
                tenant=session.tenant,
                user_id=session.user_id,
                username=session.username,
                session=session.id,
                **details,
            )
        tenant = tenant_of(session.tenant)
        if event == events.ENDED and details.get("reason") != "keycloak" and tenant:
            services.endings.begin(tenant, session.tokens)

    return Sessions(
        store=services.store,
        sealer=services.sealer("session"),
        clock=services.clock,
        lock=services.lock,
        replica_events=services.replica_events,
        refresher=refresh,
        tenants=tenant_of,
        on_event=heard,
    )
