"""Puts the login together: machine, steps, effects and handlers, on the services that all features share."""

from gateway.login.abandoned_logins import AbandonedLogins
from gateway.login.account_change_mails import AccountChangeMails
from gateway.login.begin_in_session import BeginInSession
from gateway.login.check_code import ChallengeContexts, CodeCheck
from gateway.login.effects.account_action import AccountAction
from gateway.login.effects.create_secret import CreateSecret
from gateway.login.effects.open_session import OpenSession
from gateway.login.effects.save_enrolment import SaveEnrolment
from gateway.login.effects.send_code import SendCode
from gateway.login.final_checks import FinalChecks
from gateway.login.flow import EffectRunner, Flow, Page
from gateway.login.handlers import LoginHandlers
from gateway.login.known_browsers import KnownBrowsers, KnownUsers
from gateway.login.login_records import LoginRecords
from gateway.login.login_secrets import PURPOSE as LOGIN_SECRETS
from gateway.login.login_secrets import LoginSecrets
from gateway.login.record import Effect, Slot, Step
from gateway.login.responses import LoginResponses
from gateway.login.steps.backup_codes import BackupCodesPage
from gateway.login.steps.confirm import ConfirmPage
from gateway.login.steps.new_password import NewPasswordPage
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.register import RegisterPage
from gateway.login.steps.stopped import StoppedPage
from gateway.login.steps.verify import VerifyPage
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
        services.logout_retries,
    )


def build(services: Services) -> LoginHandlers:
    """The handlers of `/-/login`."""
    clock, random, languages = services.clock, services.random, services.pages.languages
    challenges, enrolments, single_use = services.challenges, services.enrolments, services.single_use
    sessions, trust = services.sessions, services.trusted_browsers
    contexts, names = ChallengeContexts(clock, random), services.signer("user-names")
    secrets = LoginSecrets(services.signer(LOGIN_SECRETS), random)
    browsers = KnownBrowsers(services.records("browser", KnownUsers), clock)
    check = CodeCheck(challenges, contexts, clock)
    send_code = SendCode(challenges, single_use, contexts, random, services.send_rate, services.token_endpoint)
    password = PasswordPage(
        sign_in=services.token_endpoint,
        queue=services.grant_queue,
        users=services.users,
        enrolments=enrolments,
        attempts=services.rate_limiter,
        browsers=browsers,
        trust=trust,
        names=names,
        clock=clock,
        logout_retries=services.logout_retries,
    )
    new_password = NewPasswordPage(
        sign_in=services.token_endpoint,
        users=services.users,
        once=single_use,
        clock=clock,
        random=random,
        lock=services.lock,
        enrolments=enrolments,
        sessions=sessions,
        logout_retries=services.logout_retries,
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
    mails = AccountChangeMails(services.email, languages, contexts, services.send_rate, clock, services.tasks)
    final_checks = FinalChecks(services.users, enrolments)
    action = AccountAction(final_checks, enrolments, sessions, single_use, clock, random, mails)
    session = OpenSession(final_checks, sessions, browsers, names, trust, secrets, clock)
    effects: dict[Effect, EffectRunner] = {
        Effect.DRAFT: CreateSecret(challenges, contexts).run,
        Effect.CHALLENGE: send_code.run,
        Effect.SAVE: SaveEnrolment(final_checks, enrolments, single_use, random, mails).run,
        Effect.ACT: action.run,
        Effect.OPEN: session.open,
        Effect.TOUCH: session.touch,
    }
    records = LoginRecords(logins(services), clock, abandoned_logins(services), services.logout_retries)
    flow = Flow(records, steps, effects, secrets, clock, random)
    responses = LoginResponses(steps, password, sessions, languages, clock, random, action)
    in_session = BeginInSession(flow, services.users, enrolments, trust)
    return LoginHandlers(flow, in_session, responses, clock, random)
