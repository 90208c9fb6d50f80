"""The catalogue of problems: every reason that the gateway gives a user.

A problem has one row, by area. No text tells whether a user or an address exists. Wrong, replaced and used codes share
one sentence, and expired codes have their own. Sentences are English here and translated when shown.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from gateway.domain.texts import marked as _


class Tone(Enum):
    """The look of a problem: something to correct, a wait, a remark, or the end of this login."""

    ERROR = "error"
    WAIT = "wait"
    INFO = "info"
    STOP = "stop"


class Way(Enum):
    """The action of the button on a problem page."""

    RETRY = "retry"
    SIGN_IN = "sign-in"
    HOME = "home"
    ACCOUNT = "account"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ProblemText:
    """`next` is what the user does now. While a known wait lasts it is `waiting`, and then `over`."""

    status: int
    tone: Tone
    title: str
    text: str
    next: str
    way: Way = Way.NONE
    waiting: str = _("You can try again in %(wait)s, at %(time)s.")
    over: str = _("You can try again now.")


# One row is easier to read in four lines than in seven.
# fmt: off
class Problem(Enum):
    """The reason of a rejection. The value is the code in JSON, log, audit and stored records."""

    value: str  # its type; `__new__` sets it
    shown_as: ProblemText

    def __new__(cls, code: str, *row: ProblemText) -> Self:
        """Makes the code alone the value. `Problem(code)` has no row: it finds a problem."""
        problem = object.__new__(cls)
        problem._value_ = code
        [problem.shown_as] = row
        return problem

    # sign-in and password
    BAD_INPUT = "bad-input", ProblemText(
        422, Tone.ERROR, _("Check what you entered"),
        _("Something is missing or can't be read."),
        _("Correct it and try again."), Way.RETRY,
    )
    FORM_EXPIRED = "form-expired", ProblemText(
        403, Tone.ERROR, _("This page has expired"),
        _("For your security, we didn't submit the form."),
        _("Try again."), Way.RETRY,
    )
    NO_COOKIE = "no-cookie", ProblemText(
        403, Tone.ERROR, _("Cookies may be blocked"),
        _("Your browser didn't send the cookie this page needs."),
        _("Allow cookies for this site and try again."),
    )
    LOGIN_EXPIRED = "login-expired", ProblemText(
        403, Tone.INFO, _("Your sign-in timed out"),
        _("We ended it to protect your account."),
        _("Please start again."),
        Way.SIGN_IN,
    )
    IDLED = "session-idle", ProblemText(
        200, Tone.INFO, _("You were signed out"),
        _("There was no activity for a while."),
        _("Sign in to continue."),
    )
    CANCELLED = "cancelled", ProblemText(
        200, Tone.INFO, _("Sign in as someone else"),
        _("The username is cleared."),
        _("Enter your username and password."),
        Way.SIGN_IN,
    )
    SIGN_IN_CANCELLED = "sign-in-cancelled", ProblemText(
        200, Tone.INFO, _("Sign-in was cancelled"),
        _("You aren't signed in."),
        _("You can start again."),
        Way.SIGN_IN,
    )
    NOT_STARTED_HERE = "not-started-here", ProblemText(
        403, Tone.ERROR, _("This sign-in wasn't started here"),
        _("It may belong to another browser, or to a page from before."),
        _("Please start again."),
        Way.SIGN_IN,
    )
    SIGNED_OUT = "signed-out", ProblemText(
        200, Tone.INFO, _("You're signed out"),
        _("All apps in this browser are signed out."),
        _("You can sign in again."),
        Way.SIGN_IN,
    )
    OUT_OF_ORDER = "out-of-order", ProblemText(
        409, Tone.INFO, _("You're past this step"),
        _("Your sign-in has moved on, perhaps in another tab."),
        _("Continue from here."),
        Way.SIGN_IN,
    )
    WRONG_PASSWORD = "wrong-password", ProblemText(
        401, Tone.ERROR, _("Wrong username or password"),
        _("Check both and try again."),
        _("Make sure Caps Lock is off."),
    )
    PASSWORD_CHANGED = "password-changed", ProblemText(
        403, Tone.INFO, _("Your password was changed"),
        _("Only the new password works now."),
        _("Sign in again with your new password."),
        Way.SIGN_IN,
    )
    PASSWORD_REFUSED = "password-refused", ProblemText(
        422, Tone.ERROR, _("You can't use this password"),
        _("Your organisation's rules don't allow it."),
        _("Choose another one."),
    )
    SAVING = "saving", ProblemText(
        429, Tone.WAIT, _("Please wait"),
        _("We're saving your new password."),
        _("Try again in a moment."), Way.RETRY,
    )
    OTHER_USER = "other-user", ProblemText(
        403, Tone.ERROR, _("That's a different user"),
        _("Only the signed-in user can confirm this."),
        _("Enter your own username and password."),
    )
    ACTION_REQUIRED = "action-required", ProblemText(
        403, Tone.STOP, _("Your account needs attention"),
        _("Your administrator must finish setting it up."),
        _("Contact your administrator."),
    )
    ACCOUNT_CHANGED = "account-changed", ProblemText(
        403, Tone.STOP, _("Your account has changed"),
        _("To protect it, we ended this sign-in."),
        _("Sign in again."),
        Way.SIGN_IN,
    )
    SIGN_IN_UNAVAILABLE = "sign-in-unavailable", ProblemText(
        503, Tone.ERROR, _("You can't sign in right now"),
        _("The sign-in service isn't responding."),
        _("Try again in a minute."), Way.RETRY,
    )
    SIGN_IN_MISCONFIGURED = "sign-in-misconfigured", ProblemText(
        503, Tone.ERROR, _("Sign-in isn't set up correctly"),
        _("An administrator must correct a setting first."),
        _("Contact your administrator and give them the reference."), Way.RETRY,
    )

    # codes and enrolments
    WRONG_CODE = "wrong-code", ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("Check it for typos, and use your newest code."),
        _("Each code works only once."),
    )
    NEXT_CODE = "next-code", ProblemText(
        422, Tone.ERROR, _("This code has already been used"),
        _("Each code from your app works once."),
        _("Wait up to 30 seconds and enter the next one."),
        waiting=_("Your app shows the next one in %(wait)s."),
        over=_("Enter the code your app shows now."),
    )
    CLOCK_OFF = "clock-off", ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("Your phone's clock seems to be wrong."),
        _("Set it to automatic, then enter the code your app shows."),
    )
    CODE_EXPIRED = "code-expired", ProblemText(
        422, Tone.ERROR, _("This code has expired"),
        _("Codes work only for a short time."),
        _("Send yourself a new one to continue."),
    )
    CODE_REPLACED = "code-replaced", ProblemText(
        422, Tone.ERROR, _("A newer code has replaced this one"),
        _("It was sent to the same address."),
        _("Send yourself a new one to continue."),
    )
    SEND_FAILED = "send-failed", ProblemText(
        503, Tone.ERROR, _("We couldn't send your code"),
        _("This attempt doesn't count."),
        _("Try again in a minute."),
    )
    CHECK_FAILED = "check-failed", ProblemText(
        503, Tone.ERROR, _("We couldn't check your code"),
        _("This attempt doesn't count."),
        _("Try again in a minute."),
    )
    NEW_PIN = "new-pin", ProblemText(
        403, Tone.ERROR, _("Your PIN must be changed first"),
        _("Your token needs a new PIN."),
        _("Set it where your organisation manages tokens, or contact your administrator."),
    )
    CODE_RESENT = "code-resent", ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("It was wrong or too old, so we sent you a new one."),
        _("Enter the code from the newest message."),
    )
    BAD_ADDRESS = "bad-address", ProblemText(
        422, Tone.ERROR, _("We can't use this address"),
        _("Enter your full email address."),
        _("Check it for typos, or ask your administrator which address to use."),
    )
    UNKNOWN_ADDRESS = "unknown-address", ProblemText(
        422, Tone.ERROR, _("We can't use this address"),
        _("We send codes only to an address your organisation has for you."),
        _("Ask your administrator which address to use."),
    )
    BAD_NUMBER = "bad-number", ProblemText(
        422, Tone.ERROR, _("We can't use this number"),
        _("Enter your full mobile number with the country code."),
        _("Check it for typos, or ask your administrator which number to use."),
    )
    NUMBER_NOT_ALLOWED = "number-not-allowed", ProblemText(
        422, Tone.ERROR, _("We can't use this number"),
        _("We don't send codes to this country or kind of number."),
        _("Enter another number, or ask your administrator."),
    )
    NO_CONTACT = "no-contact", ProblemText(
        403, Tone.STOP, _("We can't send you a code"),
        _("Your account has no address we can send codes to."),
        _("Ask your administrator to add one, then sign in again."),
        Way.SIGN_IN,
    )
    ENROLMENT_CHANGED = "enrolment-changed", ProblemText(
        403, Tone.STOP, _("Your sign-in methods have changed"),
        _("To protect your account, we ended this sign-in."),
        _("Sign in again."),
        Way.SIGN_IN,
    )
    ENROLMENT_UNREADABLE = "enrolment-unreadable", ProblemText(
        403, Tone.STOP, _("We couldn't verify your sign-in method"),
        _("To protect your account, we stopped here."),
        _("Contact your administrator and give them the reference."),
    )

    # limits
    LIMIT_EXCEEDED = "limit-exceeded", ProblemText(
        429, Tone.WAIT, _("That was too many tries"),
        _("This code no longer works."),
        _("Send yourself a new one to continue."),
        waiting=_("You can get a new code in %(wait)s, at %(time)s."),
        over=_("You can get a new code now."),
    )
    TOO_MANY_CODES = "too-many-codes", ProblemText(
        403, Tone.STOP, _("Too many wrong codes"),
        _("To protect your account, we ended this sign-in."),
        _("Sign in again."),
        Way.SIGN_IN,
    )
    WAIT = "wait", ProblemText(
        429, Tone.WAIT, _("Please wait"),
        _("There's a short wait between codes."),
        _("Try again in a moment."), Way.RETRY,
        waiting=_("You can get a new code in %(wait)s, at %(time)s."),
        over=_("You can get a new code now."),
    )
    QUEUED = "queued", ProblemText(
        202, Tone.WAIT, _("Your code will be sent soon"),
        _("Many people are signing in right now. You keep your place in the queue."),
        _("We can send your code now."),
        Way.RETRY,
        waiting=_("We'll send your code in %(wait)s, at %(time)s."),
        over=_("We're sending your code now."),
    )
    WARNING = "warning", ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("Only a few attempts are left."),
        _("Please try again in five minutes."),
    )
    LOCKED = "locked", ProblemText(
        429, Tone.WAIT, _("Sign-in is paused"),
        _("There were too many failed attempts."),
        _("Try again later, or ask your administrator."),
        Way.SIGN_IN,
    )
    MAX_SENDS = "max-sends", ProblemText(
        429, Tone.WAIT, _("No more codes for now"),
        _("Too many codes have been sent."),
        _("Sign in again to start over."),
        Way.SIGN_IN,
    )
    TOO_MANY_LOGINS = "too-many-logins", ProblemText(
        429, Tone.WAIT, _("Too many sign-in attempts"),
        _("We haven't checked your password."),
        _("Try again in a moment."), Way.RETRY,
    )
    TOO_MANY_PASSWORDS = "too-many-passwords", ProblemText(
        429, Tone.WAIT, _("Too many wrong passwords"),
        _("To protect accounts, we paused sign-in here."),
        _("Try again later, or reset your password."),
    )
    TOO_MANY_STREAMS = "too-many-streams", ProblemText(
        429, Tone.ERROR, _("Too many open connections"),
        _("This app is open in too many tabs or windows."),
        _("Close some of them and try again."), Way.RETRY,
    )

    # requests
    UNKNOWN_HOST = "unknown-host", ProblemText(
        421, Tone.STOP, _("There's nothing at this address"),
        _("This name doesn't belong to a service here."),
        _("Check the address in your browser."),
    )
    TENANT_NOT_AVAILABLE = "tenant-not-available", ProblemText(
        503, Tone.STOP, _("Not available"),
        _("Sign-in is turned off here at the moment."),
        _("Contact your administrator."),
    )
    NOT_FOUND = "not-found", ProblemText(
        404, Tone.INFO, _("Page not found"),
        _("Check the address for typos."),
        _("You can also continue on the start page."),
        Way.HOME,
    )
    METHOD_NOT_ALLOWED = "method-not-allowed", ProblemText(
        405, Tone.ERROR, _("This isn't possible here"),
        _("This page can't handle this kind of request."),
        _("Go to the start page and try again."),
        Way.HOME,
    )
    BAD_REQUEST = "bad-request", ProblemText(
        400, Tone.ERROR, _("We can't read this request"),
        _("Your browser sent something that isn't valid."),
        _("Go to the start page and try again."),
        Way.HOME,
    )
    REQUEST_TOO_LARGE = "request-too-large", ProblemText(
        413, Tone.ERROR, _("The request is too large"),
        _("It's larger than this site accepts."),
        _("Send less and try again."),
        Way.HOME,
    )
    HEADERS_TOO_LARGE = "headers-too-large", ProblemText(
        431, Tone.ERROR, _("Your browser sent too much data"),
        _("It may have too many cookies for this site."),
        _("Delete this site's cookies, then sign in again."),
        Way.HOME,
    )
    ORIGIN_REFUSED = "origin-refused", ProblemText(
        403, Tone.STOP, _("We blocked this request"),
        _("It came from a page that isn't allowed to send it."),
        _("Go to the start page and try again."),
        Way.HOME,
    )

    # apps
    SIGN_IN_FIRST = "sign-in-first", ProblemText(
        401, Tone.INFO, _("Sign in to continue"),
        _("Only signed-in users can do this."),
        _("Sign in and try again."),
        Way.SIGN_IN,
    )
    SIGN_IN_HERE = "sign-in-here", ProblemText(
        403, Tone.STOP, _("Sign in here instead"),
        _("The app's own sign-in is turned off."),
        _("Use this site's sign-in page."),
        Way.SIGN_IN,
    )
    APP_NOT_ALLOWED = "app-not-allowed", ProblemText(
        403, Tone.STOP, _("You can't use this app"),
        _("Your account doesn't have access to it."),
        _("Ask your administrator for access, or sign in as another user."),
        Way.ACCOUNT,
    )
    APP_UNAVAILABLE = "app-unavailable", ProblemText(
        502, Tone.ERROR, _("This app isn't responding"),
        _("We can't reach the app right now."),
        _("Try again in a minute."),
        Way.RETRY,
    )
    APP_TOO_SLOW = "app-too-slow", ProblemText(
        504, Tone.ERROR, _("This app is taking too long"),
        _("It didn't answer in time."),
        _("Try again in a minute."),
        Way.RETRY,
    )

    # administration
    FACTOR_NEEDED = "factor-needed", ProblemText(
        403, Tone.STOP, _("Set up two-step sign-in first"),
        _("Administrators confirm it's them with a code."),
        _("Set up a method on your account page, then come back."),
        Way.ACCOUNT,
    )
    ADMIN_NOT_ALLOWED = "admin-not-allowed", ProblemText(
        403, Tone.STOP, _("You can't open this page"),
        _("Your account doesn't have the right to do this."),
        _("Ask an administrator of your organisation."),
        Way.ACCOUNT,
    )
    ASSISTED = "assisted-session", ProblemText(
        403, Tone.STOP, _("Sign in with your own code first"),
        _("You signed in with a code from an administrator."),
        _("Sign out, then sign in with your own method."),
        Way.ACCOUNT,
    )
    USER_GONE = "user-gone", ProblemText(
        404, Tone.INFO, _("There's no such user"),
        _("They may have been deleted or renamed."),
        _("Search for them again."),
    )

    ENDED_BY_SERVICE = "ended-by-service", ProblemText(
        403, Tone.STOP, _("You can't sign in now"),
        _("The service that checks your codes ended this sign-in."),
        _("Contact your administrator."),
    )

    # the gateway itself
    STORE_UNAVAILABLE = "store-unavailable", ProblemText(
        503, Tone.ERROR, _("This service isn't available right now"),
        _("Part of it isn't responding."),
        _("Try again in a minute."), Way.RETRY,
    )
    INTERNAL = "internal", ProblemText(
        500, Tone.ERROR, _("Something went wrong"),
        _("We've logged the error."),
        _("Try again. If it happens again, contact your administrator and give them the reference."),
        Way.RETRY,
    )
# fmt: on


@dataclass(frozen=True, slots=True)
class ProblemDetail:
    """A problem as it is shown once: `until` is when the wait it names ends (seconds since the epoch).

    `path` is the name of the path to which the end of the login leads, where the tenant has it (`domain.tenant`).
    `detail` is a dependency's own sentence for the user (Keycloak's password policy). `limit` is the setting of the
    limit that rejected an attempt, for the audit.
    """

    problem: Problem
    until: float | None = None
    path: str | None = None
    detail: str = ""
    limit: str = field(default="", compare=False)
