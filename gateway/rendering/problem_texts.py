"""The text, the tone and the status of each problem.

Each `domain.problem.Problem` has one row. No text tells whether a user or an address exists. Wrong, replaced and used
codes share one sentence, and expired codes have their own. Sentences are English here and translated when shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import Any

from gateway.domain.problem import Problem
from gateway.rendering.languages import Language


class Tone(Enum):
    """How a problem is shown: something to correct, a wait, a remark, or the end of this login."""

    ERROR = "error"
    WAIT = "wait"
    INFO = "info"
    STOP = "stop"


class Way(Enum):
    """What the button of a problem page does."""

    RETRY = "retry"
    SIGN_IN = "sign-in"
    HOME = "home"
    NONE = "none"


def _(message: str) -> str:
    """Marks a text for extraction; it is translated when shown."""
    return message


WHOLE = _("%(title)s. %(text)s %(next)s")


@dataclass(frozen=True, slots=True)
class ProblemText:
    """One row: `next` is what the user does now; while a known wait lasts it is `waiting`, and then `over`."""

    status: int
    tone: Tone
    title: str
    text: str
    next: str
    way: Way = Way.NONE
    waiting: str = _("You can try again in %(wait)s, at %(time)s.")
    over: str = _("You can try again now.")


@dataclass(frozen=True, slots=True)
class ProblemView:
    """A problem as one user sees it, in their language.

    `retry_after` is whole seconds, `wait` the same in words, `retry_at` the local time of day and `retry_time` the same
    moment in ISO 8601; all of them None or empty when no wait is known. `waiting` is the message, still English, into
    which a page puts its own elements for `wait` and `time`; `over` replaces it then. `whole` joins all for programs.
    """

    code: str
    status: int
    tone: str
    title: str
    text: str
    next: str
    way: str = Way.NONE.value
    retry_after: int | None = None
    wait: str = ""
    retry_at: str = ""
    retry_time: str = ""
    reference: str = ""
    waiting: str = ""
    over: str = ""
    whole: str = WHOLE

    def as_json(self) -> dict[str, Any]:
        """The `problem` of every JSON answer: code, text, retry_after, reference."""
        return {
            "code": self.code,
            "text": self.whole % {"title": self.title, "text": self.text, "next": self.next},
            "retry_after": self.retry_after,
            "reference": self.reference or None,
        }


def problem_view(
    problem: Problem, language: Language, until: float | None, now: float, reference: str = ""
) -> ProblemView:
    """`problem` in `language`; `until` (seconds since the epoch) is when its wait ends, None if there is none."""
    row = TEXTS[problem]
    wait = ceil(until - now) if until is not None and until > now else None
    words = language.duration(wait) if wait else ""
    at = language.time(until) if wait and until is not None else ""
    then = language.gettext(row.waiting) % {"wait": words, "time": at}
    return ProblemView(
        code=problem.value,
        status=row.status,
        tone=row.tone.value,
        title=language.gettext(row.title),
        text=language.gettext(row.text),
        next=then if wait else language.gettext(row.next),
        way=row.way.value,
        retry_after=wait,
        wait=words,
        retry_at=at,
        retry_time=language.iso(until) if wait and until is not None else "",
        reference=reference,
        waiting=row.waiting,
        over=language.gettext(row.over),
        whole=language.gettext(WHOLE),
    )


# One row is easier to read in four lines than in seven.
# fmt: off
TEXTS: Mapping[Problem, ProblemText] = {
    # what the user typed or did
    Problem.BAD_INPUT: ProblemText(
        422, Tone.ERROR, _("Check what you entered"),
        _("Something is missing or can't be read."),
        _("Correct it and try again."), Way.RETRY,
    ),
    Problem.BAD_ADDRESS: ProblemText(
        422, Tone.ERROR, _("We can't use this address"),
        _("Enter your full email address."),
        _("Check it for typos, or ask your administrator which address to use."),
    ),
    Problem.UNKNOWN_ADDRESS: ProblemText(
        422, Tone.ERROR, _("We can't use this address"),
        _("We send codes only to an address your organisation has for you."),
        _("Ask your administrator which address to use."),
    ),
    Problem.WRONG_PASSWORD: ProblemText(
        401, Tone.ERROR, _("Wrong username or password"),
        _("Check both and try again."),
        _("Make sure Caps Lock is off."),
    ),
    Problem.WRONG_CODE: ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("Check it for typos, and use your newest code."),
        _("Each code works only once."),
    ),
    Problem.NEXT_CODE: ProblemText(
        422, Tone.ERROR, _("This code has already been used"),
        _("Each code from your app works once."),
        _("Wait up to 30 seconds and enter the next one."),
        waiting=_("Your app shows the next one in %(wait)s."),
        over=_("Enter the code your app shows now."),
    ),
    Problem.CLOCK_OFF: ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("Your phone's clock seems to be wrong."),
        _("Set it to automatic, then enter the code your app shows."),
    ),
    Problem.CODE_EXPIRED: ProblemText(
        422, Tone.ERROR, _("This code has expired"),
        _("Codes work only for a short time."),
        _("Send yourself a new one to continue."),
    ),
    Problem.FORM_EXPIRED: ProblemText(
        403, Tone.ERROR, _("This page has expired"),
        _("For your security, we didn't submit the form."),
        _("Try again."), Way.RETRY,
    ),
    Problem.NO_COOKIE: ProblemText(
        403, Tone.ERROR, _("Cookies may be blocked"),
        _("Your browser didn't send the cookie this page needs."),
        _("Allow cookies for this site and try again."),
    ),
    Problem.LOGIN_EXPIRED: ProblemText(
        403, Tone.STOP, _("Your sign-in timed out"),
        _("We ended it to protect your account."),
        _("Please start again."),
        Way.SIGN_IN,
    ),
    Problem.CANCELLED: ProblemText(
        200, Tone.INFO, _("Sign-in cancelled"),
        _("You aren't signed in."),
        _("You can sign in with another username."),
        Way.SIGN_IN,
    ),
    Problem.OUT_OF_ORDER: ProblemText(
        409, Tone.INFO, _("You're past this step"),
        _("Your sign-in has moved on, perhaps in another tab."),
        _("Continue from here."),
        Way.SIGN_IN,
    ),
    # limits
    Problem.LIMIT_EXCEEDED: ProblemText(
        429, Tone.WAIT, _("Too many wrong codes"),
        _("This code no longer works."),
        _("Send yourself a new one to continue."),
        waiting=_("You can get a new code in %(wait)s, at %(time)s."),
        over=_("You can get a new code now."),
    ),
    Problem.TOO_MANY_CODES: ProblemText(
        403, Tone.STOP, _("Too many wrong codes"),
        _("To protect your account, we ended this sign-in."),
        _("Sign in again."),
    ),
    Problem.WAIT: ProblemText(
        429, Tone.WAIT, _("Please wait"),
        _("There's a short wait between codes."),
        _("Try again in a moment."), Way.RETRY,
        waiting=_("You can get a new code in %(wait)s, at %(time)s."),
        over=_("You can get a new code now."),
    ),
    Problem.SAVING: ProblemText(
        429, Tone.WAIT, _("Please wait"),
        _("We're saving your new password."),
        _("Try again in a moment."), Way.RETRY,
    ),
    Problem.QUEUED: ProblemText(
        202, Tone.WAIT, _("We'll send your code shortly"),
        _("Many people are signing in right now. You keep your place in the queue."),
        _("We can send your code now."),
        Way.RETRY,
        waiting=_("We'll send your code in %(wait)s, at %(time)s."),
        over=_("We're sending your code now."),
    ),
    Problem.WARNING: ProblemText(
        422, Tone.ERROR, _("That code didn't work"),
        _("Only a few attempts are left."),
        _("Please try again in five minutes."),
    ),
    Problem.LOCKED: ProblemText(
        429, Tone.WAIT, _("Sign-in is paused"),
        _("There were too many failed attempts."),
        _("Try again later, or ask your administrator."),
        Way.SIGN_IN,
    ),
    Problem.MAX_SENDS: ProblemText(
        429, Tone.WAIT, _("No more codes for now"),
        _("Too many codes have been sent."),
        _("Try again later, or ask your administrator."),
        Way.SIGN_IN,
    ),
    Problem.TOO_MANY_LOGINS: ProblemText(
        429, Tone.WAIT, _("Too many sign-in attempts"),
        _("We haven't checked your password."),
        _("Try again in a moment."), Way.RETRY,
    ),
    Problem.TOO_MANY_STREAMS: ProblemText(
        429, Tone.ERROR, _("Too many open connections"),
        _("This app is open in too many tabs or windows."),
        _("Close some of them and try again."), Way.RETRY,
    ),
    # what stops a login
    Problem.NO_CONTACT: ProblemText(
        403, Tone.STOP, _("We can't send you a code"),
        _("Your account has no address we can send codes to."),
        _("Ask your administrator to add one, then sign in again."),
        Way.SIGN_IN,
    ),
    Problem.ACTION_REQUIRED: ProblemText(
        403, Tone.STOP, _("Your account needs attention"),
        _("Your administrator must finish setting it up."),
        _("Contact your administrator."),
        Way.SIGN_IN,
    ),
    Problem.PASSWORD_CHANGED: ProblemText(
        403, Tone.INFO, _("Your password was changed"),
        _("Only the new password works now."),
        _("Sign in again with your new password."),
        Way.SIGN_IN,
    ),
    Problem.PASSWORD_REFUSED: ProblemText(
        422, Tone.ERROR, _("You can't use this password"),
        _("Your organisation's rules don't allow it."),
        _("Choose another one."),
    ),
    Problem.ACCOUNT_CHANGED: ProblemText(
        403, Tone.STOP, _("Your account has changed"),
        _("To protect it, we ended this sign-in."),
        _("Sign in again."),
        Way.SIGN_IN,
    ),
    Problem.ENROLMENT_CHANGED: ProblemText(
        403, Tone.STOP, _("Your sign-in methods have changed"),
        _("To protect your account, we ended this sign-in."),
        _("Sign in again."),
        Way.SIGN_IN,
    ),
    Problem.ENROLMENT_UNREADABLE: ProblemText(
        403, Tone.STOP, _("We couldn't verify your sign-in method"),
        _("To protect your account, we stopped here."),
        _("Contact your administrator and give them the reference."),
    ),
    Problem.OTHER_USER: ProblemText(
        403, Tone.ERROR, _("That's a different user"),
        _("Only the signed-in user can confirm this."),
        _("Enter your own username and password."),
    ),
    # what is not the user's doing
    Problem.SEND_FAILED: ProblemText(
        503, Tone.ERROR, _("We couldn't send your code"),
        _("This attempt doesn't count."),
        _("Try again in a minute."),
    ),
    Problem.SIGN_IN_UNAVAILABLE: ProblemText(
        503, Tone.ERROR, _("You can't sign in right now"),
        _("The sign-in service isn't responding."),
        _("Try again in a minute."), Way.RETRY,
    ),
    Problem.SIGN_IN_MISCONFIGURED: ProblemText(
        503, Tone.ERROR, _("Sign-in isn't set up correctly"),
        _("An administrator must correct a setting first."),
        _("Contact your administrator and give them the reference."), Way.RETRY,
    ),
    Problem.STORE_UNAVAILABLE: ProblemText(
        503, Tone.ERROR, _("This service isn't available right now"),
        _("Part of it isn't responding."),
        _("Try again in a minute."), Way.RETRY,
    ),
    Problem.TENANT_NOT_AVAILABLE: ProblemText(
        503, Tone.STOP, _("Not available"),
        _("Sign-in is turned off here at the moment."),
        _("Contact your administrator."),
    ),
    Problem.UNKNOWN_HOST: ProblemText(
        421, Tone.STOP, _("There's nothing at this address"),
        _("This name doesn't belong to a service here."),
        _("Check the address in your browser."),
    ),
    Problem.NOT_FOUND: ProblemText(
        404, Tone.ERROR, _("Page not found"),
        _("Check the address for typos."),
        _("You can also continue on the start page."),
        Way.HOME,
    ),
    Problem.METHOD_NOT_ALLOWED: ProblemText(
        405, Tone.ERROR, _("This isn't possible here"),
        _("This page can't handle this kind of request."),
        _("Go to the start page and try again."),
        Way.HOME,
    ),
    Problem.BAD_REQUEST: ProblemText(
        400, Tone.ERROR, _("We can't read this request"),
        _("Your browser sent something that isn't valid."),
        _("Go to the start page and try again."),
        Way.HOME,
    ),
    Problem.REQUEST_TOO_LARGE: ProblemText(
        413, Tone.ERROR, _("The request is too large"),
        _("It's larger than this site accepts."),
        _("Send less and try again."),
        Way.HOME,
    ),
    Problem.HEADERS_TOO_LARGE: ProblemText(
        431, Tone.ERROR, _("Your browser sent too much data"),
        _("It may have too many cookies for this site."),
        _("Delete this site's cookies, then sign in again."),
        Way.HOME,
    ),
    Problem.SIGN_IN_FIRST: ProblemText(
        401, Tone.INFO, _("Sign in to continue"),
        _("Only signed-in users can do this."),
        _("Sign in and try again."),
        Way.SIGN_IN,
    ),
    Problem.SIGN_IN_HERE: ProblemText(
        403, Tone.STOP, _("Sign in here instead"),
        _("The app's own sign-in is turned off."),
        _("Use this site's sign-in page."),
        Way.SIGN_IN,
    ),
    Problem.ORIGIN_REFUSED: ProblemText(
        403, Tone.STOP, _("We blocked this request"),
        _("It came from a page that isn't allowed to send it."),
        _("Go to the start page and try again."),
        Way.HOME,
    ),
    Problem.APP_UNAVAILABLE: ProblemText(
        502, Tone.ERROR, _("This app isn't responding"),
        _("We can't reach the app right now."),
        _("Try again in a minute."),
        Way.RETRY,
    ),
    Problem.APP_TOO_SLOW: ProblemText(
        504, Tone.ERROR, _("This app is taking too long"),
        _("It didn't answer in time."),
        _("Try again in a minute."),
        Way.RETRY,
    ),
    Problem.INTERNAL: ProblemText(
        500, Tone.ERROR, _("Something went wrong"),
        _("We've logged the error."),
        _("Try again. If it happens again, contact your administrator and give them the reference."),
        Way.RETRY,
    ),
}
# fmt: on
