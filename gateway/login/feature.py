"""Puts the login together: machine, steps, effects and handlers, on the services that all features share."""

from gateway.login import single_sign_on
from gateway.login.account_change_mails import AccountChangeMails
from gateway.login.begin_in_session import BeginInSession
from gateway.login.effects.account_action import AccountAction
from gateway.login.effects.open_session import OpenSession
from gateway.login.effects.save_enrolment import SaveEnrolment
from gateway.login.effects.send_code import ChallengeContexts, SendCode
from gateway.login.final_checks import FinalChecks
from gateway.login.flow import EffectRunner, Flow, Page
from gateway.login.handlers import LoginHandlers
from gateway.login.handover import HandOver, Ticket
from gateway.login.identified_user import IdentifiedUser
from gateway.login.login_records import SECRETS, BrowserUsers, KnownUsers, LoginRecords, LoginSecrets
from gateway.login.password_check import PasswordCheck
from gateway.login.record import Slot
from gateway.login.responses import LoginResponses
from gateway.login.single_sign_on import SingleSignOn
from gateway.login.state_machine import Effect, Step
from gateway.login.steps.backup_codes import BackupCodesPage
from gateway.login.steps.choose import Choices, ChoosePage
from gateway.login.steps.confirm import ConfirmPage
from gateway.login.steps.new_password import NewPasswordPage
from gateway.login.steps.password import PasswordPage
from gateway.login.steps.register import RegisterPage
from gateway.login.steps.sso import SsoPage
from gateway.login.steps.verify import CodeCheck, VerifyPage
from gateway.login.wrong_code_mails import WrongCodeMails
from gateway.services import Services


def login_records(services: Services) -> LoginRecords:
    """The records of logins; those of schema 1 had fields of other names, and such a login starts anew."""
    return LoginRecords(
        services.records("login", Slot, schema=2),
        services.store,
        services.single_use,
        services.clock,
        services.configuration,
        services.logout_retries,
        services.sessions,
    )


def handover(services: Services) -> HandOver:
    """The handler of `/-/handover`."""
    clock, tickets = services.clock, services.records("ticket", Ticket)
    return HandOver(tickets, services.sessions, _browsers(services), services.user_names, clock, services.random)


def _browsers(services: Services) -> BrowserUsers:
    return BrowserUsers(services.records("browser", KnownUsers), services.clock)


def build(services: Services) -> LoginHandlers:
    """The handlers of `/-/login`."""
    clock, random, languages = services.clock, services.random, services.pages.languages
    challenges, enrolments, single_use = services.challenges, services.enrolments, services.single_use
    sessions, trust = services.sessions, services.trusted_browsers
    contexts, names = ChallengeContexts(clock, random), services.user_names
    secrets = LoginSecrets(services.signer(SECRETS), random)
    browsers = _browsers(services)
    mails = AccountChangeMails(services.email, languages, contexts, services.send_rate, clock, services.tasks)
    wrong_codes = WrongCodeMails(services.rate_limiter, single_use, mails)
    check = CodeCheck(challenges, contexts, clock, wrong_codes, services.factor_uses)
    send_code = SendCode(challenges, single_use, contexts, random, services.send_rate, services.token_endpoint)
    password_check = PasswordCheck(
        services.token_endpoint, services.grant_queue, services.users, services.rate_limiter, browsers, names
    )
    identified = IdentifiedUser(services.users, services.contacts, enrolments, trust, clock, services.logout_retries)
    password = PasswordPage(password_check, browsers, services.users, identified)
    sso_sealer, sso_signer = services.sealer(single_sign_on.PURPOSE), services.signer(single_sign_on.PURPOSE)
    sso = SsoPage(
        services.token_endpoint, SingleSignOn(sso_sealer, sso_signer, clock, random), single_use, identified, clock
    )
    new_password = NewPasswordPage(
        password_check=password_check,
        token_endpoint=services.token_endpoint,
        users=services.users,
        single_use=single_use,
        clock=clock,
        random=random,
        lock=services.lock,
        enrolments=enrolments,
        sessions=sessions,
        logout_retries=services.logout_retries,
        languages=languages,
        mails=mails,
    )
    register = RegisterPage(challenges, check, contexts, languages)
    choices = Choices(challenges, contexts, languages)
    steps: dict[Step, Page] = {
        Step.PASSWORD: password,
        Step.SSO: sso,
        Step.REGISTER: register,
        Step.CONFIRM: ConfirmPage(),
        Step.CHOOSE: ChoosePage(choices),
        Step.VERIFY: VerifyPage(challenges, check, send_code, contexts, choices, languages, clock),
        Step.BACKUP_CODES: BackupCodesPage(languages),
        Step.NEW_PASSWORD: new_password,
    }
    final_checks = FinalChecks(services.users, enrolments, clock)
    action = AccountAction(final_checks, enrolments, sessions, trust, single_use, clock, random, mails)
    limits = services.rate_limiter
    session = OpenSession(final_checks, sessions, browsers, names, trust, limits, secrets, clock, mails)
    effects: dict[Effect, EffectRunner] = {
        Effect.DRAFT: register.create_secret,
        Effect.CHALLENGE: send_code.run,
        Effect.SAVE: SaveEnrolment(final_checks, enrolments, single_use, random, mails).run,
        Effect.ACT: action.run,
        Effect.OPEN: session.open,
        Effect.TOUCH: session.touch,
    }
    flow = Flow(login_records(services), steps, effects, secrets, clock, random)
    responses = LoginResponses(steps, password, sso, sessions, languages, clock, random, action)
    in_session = BeginInSession(flow, services.users, services.contacts, enrolments, trust, sessions)
    return LoginHandlers(flow, in_session, responses, sso, clock, random)
