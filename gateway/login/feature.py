"""Puts the login together: machine, steps, effects and handlers, on the services that all features share."""

from contextlib import suppress
from dataclasses import replace

from gateway.domain.errors import GatewayError
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.keycloak.token_endpoint import RefreshUnknown, SessionEnded
from gateway.login.abandoned_logins import AbandonedLogins
from gateway.login.account_acts import AccountActs
from gateway.login.account_change_mails import AccountChangeMails
from gateway.login.begin_in_session import BeginInSession
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.check_code import CodeCheck
from gateway.login.effects import Effects
from gateway.login.flow import Flow, Page
from gateway.login.handlers import LoginHandlers
from gateway.login.known_browsers import KnownBrowsers, KnownUsers
from gateway.login.login_records import LoginRecords, Slot
from gateway.login.login_request import LoginRequests
from gateway.login.login_secrets import PURPOSE as LOGIN_SECRETS
from gateway.login.login_secrets import LoginSecrets
from gateway.login.record import Login, Step
from gateway.login.reports import Reports
from gateway.login.responses import LoginResponses
from gateway.login.sending import CodeSending
from gateway.login.steps.backup_codes import BackupCodesPage
from gateway.login.steps.confirm import ConfirmPage
from gateway.login.steps.new_password import NewPasswordPage
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.register import RegisterPage
from gateway.login.steps.stopped import StoppedPage
from gateway.login.steps.verify import VerifyPage
from gateway.login.trusting import Trusting
from gateway.services import Services
from gateway.store.records import Records


def logins(services: Services) -> Records[Slot]:
    """The records of logins; those of schema 1 had fields of other names, and such a login starts anew."""
    return services.records("login", Slot, schema=2)


def abandoned_logins(services: Services) -> AbandonedLogins:
    """Notes logins, and ends the Keycloak sessions of those that no user finishes."""
    return AbandonedLogins(
        services.store,
        services.single_use,
        logins(services),
        services.clock,
        services.configuration,
        services.logout_retries.begin,
    )


def build(services: Services) -> LoginHandlers:
    """The handlers of `/-/login`."""
    clock, random, languages = services.clock, services.random, services.pages.languages
    reports, proofs, names = Reports(services.audit), ChallengeContexts(clock, random), services.signer("user-names")
    browsers = KnownBrowsers(services.records("browser", KnownUsers), clock)
    challenges, enrolments, grace_period = services.challenges, services.enrolments, services.enrolment_grace_period
    answering = CodeCheck(challenges, proofs, clock, reports)

    async def renew(tenant: Tenant, tokens: Tokens) -> Tokens | None:
        match await services.token_endpoint.refresh(tenant.keycloak, tokens):
            case SessionEnded():
                return None
            case RefreshUnknown(refresh=refresh):
                return replace(tokens, refresh=refresh.reveal())
            case Tokens() as renewed:
                return renewed

    sending = CodeSending(challenges, services.single_use, proofs, random, reports, services.send_rate, renew)

    async def end_everything(tenant: Tenant, user: User) -> None:
        await services.sessions.end_all(tenant, user.id, reason="password")
        with suppress(GatewayError):  # those at Keycloak that are not ours; a password change ends none (measured)
            await services.users.end_sessions(tenant.keycloak, user.id)

    trusting = Trusting(services.trusted_browsers, reports)
    steps: dict[Step, Page] = {
        Step.PASSWORD: PasswordPage(
            sign_in=services.token_endpoint,
            queue=services.grant_queue,
            users=services.users,
            enrolments=enrolments,
            attempts=services.rate_limiter,
            browsers=browsers,
            trusting=trusting,
            window=grace_period,
            names=names,
            clock=clock,
            reports=reports,
            end_session=services.logout_retries.begin,
        ),
        Step.REGISTER: RegisterPage(challenges, answering, proofs, languages, clock, reports),
        Step.CONFIRM: ConfirmPage(clock),
        Step.VERIFY: VerifyPage(challenges, answering, sending, proofs, languages, clock),
        Step.BACKUP_CODES: BackupCodesPage(clock),
        Step.NEW_PASSWORD: NewPasswordPage(
            sign_in=services.token_endpoint,
            users=services.users,
            once=services.single_use,
            clock=clock,
            random=random,
            reports=reports,
            lock=services.lock,
            enrolments=enrolments,
            end_everything=end_everything,
            end_session=services.logout_retries.begin,
        ),
        Step.STOPPED: StoppedPage(clock),
    }
    mails = AccountChangeMails(services.email, languages, proofs, reports, services.send_rate, clock, services.tasks)
    notify = mails.tell
    acts = AccountActs(enrolments, services.sessions, random, reports, notify)
    secrets = LoginSecrets(services.signer(LOGIN_SECRETS), random)
    effects = Effects(
        sending=sending,
        enrolments=enrolments,
        users=services.users,
        once=services.single_use,
        sessions=services.sessions,
        browsers=browsers,
        names=names,
        clock=clock,
        reports=reports,
        challenges=challenges,
        proofs=proofs,
        trust=services.trusted_browsers,
        window=grace_period,
        secrets=secrets,
        random=random,
        acts=acts,
        notify=notify,
    )

    def dead(tenant: Tenant, login: Login) -> None:
        if login.tokens:
            services.logout_retries.begin(tenant, login.tokens)

    kept = LoginRecords(logins(services), clock, on_begun=abandoned_logins(services).note, on_dead=dead)
    flow = Flow(kept, steps, effects.runners, secrets, clock, random)
    answers = LoginResponses(flow, services.sessions, services.pages, clock, random, reports, acts)
    in_session = BeginInSession(flow, services.users, enrolments, grace_period, trusting, clock, reports)
    visits = LoginRequests(services.csrf, random)
    return LoginHandlers(flow, in_session, visits, answers, services.error_responses, reports, clock)
