"""Every page in the states worth viewing: sample data for the preview, the accessibility test and the CSP test."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC
from functools import partial
from typing import Any

import pyotp
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.account.overview import overview
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import EnrolmentRule, FactorKind, Method, Policy
from gateway.domain.problem import Problem
from gateway.domain.secret import Secret
from gateway.domain.session import Satisfied, Session, Tokens
from gateway.domain.tenant import Branding, Credentials, Help, KeycloakAccess, Tenant
from gateway.login.responses import DoneView
from gateway.login.steps.backup_codes import BackupCodesView
from gateway.login.steps.confirm import ConfirmView
from gateway.login.steps.new_password import NewPasswordView
from gateway.login.steps.password import PasswordView
from gateway.login.steps.register import RegisterView
from gateway.login.steps.verify import VerifyView
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import Language, load_languages
from gateway.rendering.mails import Mails, MailText
from gateway.rendering.problem_view import problem_view
from gateway.rendering.step_view import MethodView, StepView, codes_file
from gateway.rendering.templates import build_environments
from gateway.second_factor.factors import backup_code, table
from gateway.web.assets import Assets
from gateway.web.pages import Pages
from gateway.web.request_context import LANGUAGE, REFERENCE, TENANT
from tests.clock import START, SeededRandom

NOW = START
LANGUAGES = ("en", "ar", "ur")
REFERENCE_CODE = "K7QM-4TZP"
HELP = Help(
    text="The service desk is there around the clock.",
    phone="+92 51 111 4711",
    url="https://help.example.com/sign-in",
    forgot_password="https://help.example.com/password",
)


def tenant(branding: Branding | None = None, public_url: str = "https://cc.example.com") -> Tenant:
    """Returns a sample tenant."""
    return Tenant(
        id="expertflow",
        name="expertflow",
        active=True,
        public_url=public_url,
        routes=(),
        keycloak=KeycloakAccess("http://kc/", "expertflow", "http://kc/", _CLIENT, _CLIENT),
        policy=Policy(preset="efcx", enabled=True, methods=()),
        branding=branding or Branding(name="Northwind Contact Centre", help=HELP),
        home="/unified-admin/",
    )


_CLIENT = Credentials("gateway-login", Secret("made-up"))
_LANGUAGES = load_languages(data_root() / "locales", LANGUAGES)


def pages(seed: int = 1) -> Pages:
    """Returns real pages from the templates of the checkout."""
    root = data_root()
    languages = load_languages(root / "locales", LANGUAGES)
    return Pages(build_environments(root, languages), languages, Assets(root / "static"), SeededRandom(seed))


def request(
    path: str = "/-/login?to=%2Funified-admin%2F",
    *,
    method: str = "GET",
    language: str | None = "en",
    of: Tenant | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Request:
    """Returns a request as the middleware passes it on; with `language` None the page decides."""
    made = make_mocked_request(method, path, headers=headers or {})
    if of is not None:
        made[TENANT] = of
    if language is not None:
        made[LANGUAGE] = _LANGUAGES.get(language)
    made[REFERENCE] = REFERENCE_CODE
    return made


VIEWS: Mapping[str, type[StepView]] = {
    "password": PasswordView,
    "register": RegisterView,
    "choose": RegisterView,
    "confirm": ConfirmView,
    "verify": VerifyView,
    "backup-codes": BackupCodesView,
    "new-password": NewPasswordView,
    "stopped": StepView,
    "done": DoneView,
}


def view(step: str, **more: Any) -> StepView:
    """Returns a step of a sign-in by e-mail."""
    of = VIEWS.get(step, StepView)
    own = {"now": NOW, "host": "cc.example.com", "factor": "email", "address": "", "digits": 6, "location": "/"}
    given: dict[str, Any] = {
        **{name: value for name, value in own.items() if name in {field.name for field in fields(of)}},
        "step": step,
        "purpose": "sign-in",
        "csrf": "made-up-token",
        "to": "/unified-admin/",
        "login": "" if step == "password" else "made-up-login",
        "form": "made-up-form",
        "username": "" if step == "password" else "amira.haddad",
    }
    shown = {**given, **more}
    kind = FactorKind(shown["factor"]) if shown.get("factor") else None
    return of(**{"sent": kind in table.SENT, "icon": table.icon(kind), **shown})


def verify(**more: Any) -> StepView:
    """Returns the code page with a code under way."""
    under_way = {
        "sent_to": "a***@e***.com",
        "expires_at": NOW + 272,
        "resend_at": NOW + 45,
        "can_resend": True,
        "can_edit": True,
    }
    return view("verify", **{**under_way, **more})


BACKUP_CODES = tuple(backup_code.shown(code) for code in backup_code.make(10, SeededRandom(4)))


def session() -> Session:
    """Returns the session of a signed-in user."""
    return Session(
        id="made-up",
        tenant="expertflow",
        user_id="made-up",
        username="amira.haddad",
        display_name="amira.haddad",
        roles=(),
        tokens=Tokens("", "", NOW + 300, None),
        created_at=NOW,
        used_at=NOW,
        ends_at=NOW + 3600,
        password_at=NOW,
        satisfied=Satisfied.PROVED,
        proved_at=NOW,
    )


MAILS: Mapping[str, Mapping[str, Any]] = {
    "message": {"code": "402817", "expires_in": 300, "tag": "K7Q"},
    "enrolled": {"factor": "Code by email", "sent_to": "a***@e***.com"},
    "turned-off": {"factor": "Authenticator app", "sent_to": ""},
    "new-codes": {"factor": "", "sent_to": ""},
}


def mail(name: str, language: str = "en", **more: Any) -> MailText:
    """Returns a mail of the e-mail factor."""
    root = data_root()
    languages = load_languages(root / "locales", LANGUAGES, UTC)
    mails = Mails(build_environments(root, languages), languages)
    given = {
        "branding": Branding(name="Northwind Contact Centre", help=HELP),
        "host": "cc.example.com",
        "browser": "Chrome on Windows",
        "at": NOW,
        "reference": REFERENCE_CODE,
    }
    return mails.render(f"factors/email/{name}", language, **{**given, **MAILS[name], **more})


State = Callable[[Language], tuple[str, dict[str, Any]]]


def _step(template: str, seen: StepView, problem: Problem | None = None, wait: float | None = None) -> State:
    def state(language: Language) -> tuple[str, dict[str, Any]]:
        until = NOW + wait if wait else None
        shown = problem_view(problem, language, until, NOW, REFERENCE_CODE) if problem else None
        return f"steps/{template}.html", {"view": seen, "problem": shown}

    return state


def _problem(problem: Problem, wait: float | None = None) -> State:
    def state(language: Language) -> tuple[str, dict[str, Any]]:
        until = NOW + wait if wait else None
        return "problem.html", {"problem": problem_view(problem, language, until, NOW, REFERENCE_CODE)}

    return state


def _choose(language: Language) -> tuple[str, dict[str, Any]]:
    methods = tuple(
        replace(table.view(kind, language), sent_to=to)
        for kind, to in ((FactorKind.EMAIL, "a***@e***.com"), (FactorKind.TOTP, ""), (FactorKind.SMS, "***12"))
    )
    return "steps/choose.html", {"view": view("choose", methods=methods)}


def _methods(language: Language, *kinds: FactorKind) -> tuple[MethodView, ...]:
    return tuple(table.view(kind, language) for kind in kinds)


REGISTRABLE = (FactorKind.EMAIL, FactorKind.TOTP)
"""The methods that a tenant with two methods lets a user set up."""
ANY_CODE = (FactorKind.TOTP, FactorKind.EMAIL, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE)
"""The methods that the code page of such a tenant accepts."""


def totp_view(**more: Any) -> RegisterView:
    """Returns the page that sets up an app, with a new secret."""
    secret = pyotp.random_base32()
    given = {
        "factor": "totp",
        "totp_secret": secret,
        "otpauth": pyotp.TOTP(secret).provisioning_uri(name="amira.haddad", issuer_name="Northwind"),
    }
    made = view("register", **{**given, **more})
    assert isinstance(made, RegisterView)
    return made


def _register(factor: str = "") -> State:
    def state(language: Language) -> tuple[str, dict[str, Any]]:
        made = totp_view if factor == "totp" else partial(view, "register", factor=factor)
        return "steps/register.html", {"view": made(methods=_methods(language, *REGISTRABLE)), "problem": None}

    return state


def _verify(
    *kinds: FactorKind, factor: str = "", problem: Problem | None = None, wait: float | None = None, **more: Any
) -> State:
    """Returns the code page that accepts codes of several kinds."""

    def state(language: Language) -> tuple[str, dict[str, Any]]:
        found = {"factor": factor, "any_of": _methods(language, *kinds), "can_edit": False, "message": "email", **more}
        return _step("verify", verify(**found), problem, wait)(language)

    return state


def _account(
    *on: FactorKind,
    codes: int = 8,
    had: bool = True,
    optional: bool = True,
    done: str = "",
) -> State:
    """Returns the account page of a tenant that offers both methods, or of one without a second factor."""

    def state(language: Language) -> tuple[str, dict[str, Any]]:
        methods = (Method(FactorKind.TOTP), Method(FactorKind.EMAIL, "otp@example.com"))
        rule = EnrolmentRule.OPTIONAL if optional else EnrolmentRule.REQUIRED
        policy = Policy(preset="cloudcx", enabled=True, methods=methods, enrolment=rule, backup_codes=10)
        addresses = {FactorKind.EMAIL: "amira@example.com"}
        enrolments = EnrolmentSet(
            enrolments=tuple(Enrolment(kind, addresses.get(kind, "")) for kind in on),
            backup_codes=BACKUP_CODES[:codes],
            last_burn="of somebody" if had else "",
        )
        given = {
            "page": overview(policy, session(), enrolments, language),
            "token": lambda kind, factor="": f"made-up token of {kind} {factor}".strip(),
            "version": 7,
            "form": "made-up-form",
            "done": done,
            "here": "/-/account",
        }
        return "account.html", given

    return state


def _codes(*codes: str) -> State:
    file = codes_file("Northwind Contact Centre", "cc.example.com", codes)
    given = {"codes": codes, "file": file, "username": "amira.haddad", "csrf": "", "here": "/-/account"}
    return lambda language: ("account_codes.html", given)


ACTS = {"turn-off": "totp", "show-codes": "", "new-codes": "", "sign-out-everywhere": ""}
"""The acts of the account page, with the factor of each."""


def _acts() -> dict[str, State]:
    """Returns the pages for the proof of each act: a code, any code, and the password without a factor."""
    found: dict[str, State] = {}
    for kind, factor in ACTS.items():
        act = {"purpose": "step-up", "act": kind, "act_on": factor}
        again = view("password", username="amira.haddad", login="made-up-login", **act)
        found |= {
            f"within-verify-{kind}": _step("verify", verify(can_edit=False, **act)),
            f"within-password-{kind}": _step("password", again),
        }
    enrol = {"purpose": "enrol", "act_on": "totp"}
    found["within-password-enrol"] = _step(
        "password", view("password", username="amira.haddad", login="made-up-login", **enrol)
    )
    found["within-verify-enrol"] = _step("verify", verify(can_edit=False, **enrol))
    found["within-verify-any"] = _verify(
        *ANY_CODE,
        expires_at=None,
        resend_at=NOW,
        attempts_left=5,
        purpose="step-up",
        act="turn-off",
        act_on="email",
    )
    return found


STATES: Mapping[str, State] = {
    "password": _step("password", view("password")),
    "password-wrong": _step("password", view("password", username="amira.haddad"), Problem.WRONG_PASSWORD),
    "password-locked": _step("password", view("password", username="amira.haddad"), Problem.LOCKED, 290),
    "asked-again": _step("password", view("password", username="amira.haddad", purpose="enrol")),
    "asked-again-wrong": _step(
        "password", view("password", username="amira.haddad", purpose="enrol"), Problem.WRONG_PASSWORD
    ),
    "password-sso": _step("password", view("password", sso=True)),
    "register-email": _step("register", view("register")),
    "within-register": _step("register", view("register", purpose="enrol")),
    "register-email-bad": _step("register", view("register", address="amira@"), Problem.BAD_ADDRESS),
    "register-sms": _step("register", view("register", factor="sms")),
    "register-totp": _step("register", totp_view()),
    "register-totp-wrong": _step("register", totp_view(), Problem.WRONG_CODE),
    "register-choose": _register(),
    "register-several-email": _register("email"),
    "register-several-totp": _register("totp"),
    "confirm": _step("confirm", view("confirm", address="amira.haddad@example.com")),
    "choose": _choose,
    "verify": _step("verify", verify()),
    "verify-wrong": _step("verify", verify(failures=2, attempts_left=3, resend_at=NOW - 1), Problem.WRONG_CODE),
    "verify-expired": _step("verify", verify(expires_at=NOW - 1, resend_at=NOW - 1), Problem.CODE_EXPIRED),
    "verify-limit": _step("verify", verify(failures=5, attempts_left=0), Problem.LIMIT_EXCEEDED, 45),
    "verify-over": _step("verify", verify(expires_at=NOW - 1, resend_at=NOW - 1)),
    "verify-locked": _step("verify", view("verify", factor="totp", attempts_left=0, failures=5), Problem.LOCKED, 290),
    "verify-locked-unsent": _step(
        "verify", verify(expires_at=None, resend_at=NOW - 1, attempts_left=0, failures=5), Problem.LOCKED, 290
    ),
    "verify-on-its-way": _step("verify", verify(expires_at=None, resend_at=None)),
    "verify-wait": _step("verify", verify(expires_at=None), Problem.WAIT, 45),
    "verify-queued": _step("verify", verify(expires_at=None, resend_at=None), Problem.QUEUED, 600),
    "verify-send-failed": _step("verify", verify(expires_at=None, resend_at=None), Problem.SEND_FAILED),
    "verify-tag-remember": _step(
        "verify", verify(tag="K7Q", remember_days=14, resend_at=NOW, methods=(MethodView("totp", "x"),))
    ),
    "verify-totp": _step("verify", view("verify", factor="totp")),
    "verify-totp-used": _step("verify", view("verify", factor="totp"), Problem.NEXT_CODE, 23),
    "verify-totp-clock": _step("verify", view("verify", factor="totp", failures=1, attempts_left=4), Problem.CLOCK_OFF),
    "verify-after-password": _step("verify", view("verify", factor="totp", after_password=True)),
    "verify-extras": _verify(FactorKind.EMAIL, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE, factor="email"),
    "verify-extras-queued": _verify(
        FactorKind.EMAIL,
        FactorKind.BACKUP_CODE,
        factor="email",
        problem=Problem.QUEUED,
        wait=600,
        expires_at=None,
        resend_at=None,
    ),
    "verify-extras-unsent": _verify(
        FactorKind.EMAIL, FactorKind.BACKUP_CODE, factor="email", expires_at=None, resend_at=None
    ),
    "verify-used-up": _verify(
        FactorKind.EMAIL, FactorKind.ADMIN_CODE, factor="email", no_codes_left=True, remember_days=30
    ),
    "verify-any": _verify(
        *ANY_CODE, expires_at=None, resend_at=NOW, attempts_left=5, remember_days=30, no_codes_left=False
    ),
    "verify-any-sent": _verify(*ANY_CODE, sent_already=True, remember_days=30),
    "verify-any-expired": _verify(*ANY_CODE, sent_already=True, expires_at=NOW - 1, resend_at=NOW - 1),
    "verify-any-warning": _verify(*ANY_CODE, problem=Problem.WARNING, expires_at=None, failures=3, attempts_left=2),
    "verify-any-cooling": _verify(*ANY_CODE, problem=Problem.WAIT, wait=45, expires_at=None),
    "verify-approval": _verify(FactorKind.EMAIL, FactorKind.ADMIN_CODE, factor="email", approving_first=True),
    "verify-approval-admin": _step("verify", view("verify", factor="", approving_first=True)),
    "backup-codes": _step("backup_codes", view("backup-codes", codes=BACKUP_CODES)),
    "backup-codes-shown": _step("backup_codes", view("backup-codes")),
    "within-backup-codes": _step("backup_codes", view("backup-codes", codes=BACKUP_CODES, purpose="enrol")),
    "new-password": _step("new_password", view("new-password", another_code=True)),
    "new-password-current": _step("new_password", view("new-password", another_code=True, asks_current=True)),
    "new-password-current-wrong": _step(
        "new_password", view("new-password", another_code=True, asks_current=True), Problem.WRONG_PASSWORD
    ),
    "new-password-refused": lambda language: (
        "steps/new_password.html",
        {
            "view": view("new-password", another_code=True),
            "problem": replace(
                problem_view(Problem.PASSWORD_REFUSED, language, None, NOW, REFERENCE_CODE),
                next="Invalid password: must contain at least 2 numerical digits.",
            ),
        },
    ),
    "account-none": _account(codes=0),
    "account-email": _account(FactorKind.EMAIL),
    "account-both": _account(FactorKind.EMAIL, FactorKind.TOTP),
    "account-signed-out": _account(FactorKind.EMAIL, done="sign-out-everywhere"),
    "account-turned-off": _account(FactorKind.EMAIL, done="turn-off"),
    "account-used-up": _account(FactorKind.TOTP, codes=0, optional=False),
    "account-never-had": _account(FactorKind.TOTP, codes=0, had=False),
    "account-codes": _codes(*BACKUP_CODES),
    "account-codes-none": _codes(),
    **_acts(),
    "stopped": _step("stopped", view("stopped"), Problem.ACCOUNT_CHANGED),
    "stopped-locked": _step("stopped", view("stopped"), Problem.LOCKED, 1790),
    "stopped-codes": _step("stopped", view("stopped"), Problem.TOO_MANY_CODES),
    "problem-not-found": _problem(Problem.NOT_FOUND),
    "problem-unavailable": _problem(Problem.SIGN_IN_UNAVAILABLE),
    "problem-sign-in-here": _problem(Problem.SIGN_IN_HERE),
    "logout": lambda language: ("logout.html", {"csrf": "made-up-token", "to": ""}),
}
