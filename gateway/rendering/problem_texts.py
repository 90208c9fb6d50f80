"""What is a user told, and with which status, for each reason the gateway can give?

Promises one row for every `domain.problem.Problem`. Texts are generic: none tells whether a user or an address exists;
wrong, superseded and replayed codes share one sentence, expired ones have their own (EF-18). Sentences are English
here and translated when shown.
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
    """A problem as one user sees it, in his language.

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
        422, Tone.ERROR, _("Please check what you typed"),
        _("Something is missing, or cannot be read."),
        _("Correct it and try again."), Way.RETRY,
    ),
    Problem.BAD_ADDRESS: ProblemText(
        422, Tone.ERROR, _("This address cannot be used"),
        _("Please enter one complete address of your own."),
        _("Check it for typing mistakes, or ask your administrator which address to use."),
    ),
    Problem.UNKNOWN_ADDRESS: ProblemText(
        422, Tone.ERROR, _("This address cannot be used"),
        _("Only an address that your organisation has on record for you can receive codes."),
        _("Ask your administrator which address to use."),
    ),
    Problem.WRONG_PASSWORD: ProblemText(
        401, Tone.ERROR, _("That did not work"),
        _("We could not sign you in with this user name and password."),
        _("Check both, and the Caps Lock key, and try again."),
    ),
    Problem.WRONG_CODE: ProblemText(
        422, Tone.ERROR, _("This code is not valid"),
        _("It is mistyped, was used already, or a newer code has replaced it."),
        _("Check the newest code and enter it again."),
    ),
    Problem.NEXT_CODE: ProblemText(
        422, Tone.ERROR, _("This code was used already"),
        _("Each code of your app works once."),
        _("Wait for the next one, at most 30 seconds, and enter it."),
        waiting=_("Your app shows the next one in %(wait)s."),
        over=_("Enter the code that your app shows now."),
    ),
    Problem.CLOCK_OFF: ProblemText(
        422, Tone.ERROR, _("This code is not valid"),
        _("The clock of your phone seems to be wrong, so its codes are wrong too."),
        _("Set the phone's time to automatic, then enter the code it shows."),
    ),
    Problem.CODE_EXPIRED: ProblemText(
        422, Tone.ERROR, _("This code has expired"),
        _("Codes work for a short time only. Nothing is lost."),
        _("Ask for a new code and enter that one."),
    ),
    Problem.FORM_EXPIRED: ProblemText(
        403, Tone.ERROR, _("This page is no longer valid"),
        _("For your safety, what it sent was not used."),
        _("Please try again."), Way.RETRY,
    ),
    Problem.NO_COOKIE: ProblemText(
        403, Tone.ERROR, _("Your browser sent no cookie"),
        _("Without the cookie of this page we cannot tell that it is yours."),
        _("Please try again. If this comes back, allow cookies for this site."),
    ),
    Problem.LOGIN_EXPIRED: ProblemText(
        403, Tone.STOP, _("This sign-in took too long"),
        _("For your safety it was ended."),
        _("Please sign in again."),
        Way.SIGN_IN,
    ),
    Problem.CANCELLED: ProblemText(
        200, Tone.INFO, _("Sign-in cancelled"),
        _("Nobody was signed in."),
        _("You can sign in with another name."),
        Way.SIGN_IN,
    ),
    Problem.OUT_OF_ORDER: ProblemText(
        409, Tone.INFO, _("You are past this step"),
        _("This sign-in has moved on, perhaps in another tab."),
        _("Go on from here."),
        Way.SIGN_IN,
    ),
    # limits
    Problem.LIMIT_EXCEEDED: ProblemText(
        429, Tone.WAIT, _("Too many wrong codes"),
        _("This code no longer works."),
        _("Ask for a new code and enter that one."),
        waiting=_("You can ask for a new code in %(wait)s, at %(time)s."),
        over=_("You can ask for a new code now."),
    ),
    Problem.TOO_MANY_CODES: ProblemText(
        403, Tone.STOP, _("Too many wrong codes"),
        _("For your safety this sign-in was ended."),
        _("Please sign in again."),
    ),
    Problem.WAIT: ProblemText(
        429, Tone.WAIT, _("One moment, please"),
        _("Codes go out with a short pause between them."),
        _("Please try again in a moment."), Way.RETRY,
        waiting=_("The next code can be sent in %(wait)s, at %(time)s."),
        over=_("The next code can be sent now."),
    ),
    Problem.SAVING: ProblemText(
        429, Tone.WAIT, _("One moment, please"),
        _("Your new password is just being saved."),
        _("Please try again in a moment."), Way.RETRY,
    ),
    Problem.QUEUED: ProblemText(
        202, Tone.WAIT, _("Your code will be sent shortly"),
        _("Many people are signing in right now, so codes are sent one after the other. You keep your place."),
        _("Your code can be sent now."),
        Way.RETRY,
        waiting=_("Your code will be sent in %(wait)s, at %(time)s."),
        over=_("Your code is being sent now."),
    ),
    Problem.WARNING: ProblemText(
        422, Tone.ERROR, _("This code is not valid"),
        _("Several attempts have failed, and only a few are left."),
        _("Please try again in five minutes."),
    ),
    Problem.LOCKED: ProblemText(
        429, Tone.WAIT, _("Signing in is paused"),
        _("There were too many failed attempts."),
        _("Please try again later, or ask your administrator."),
        Way.SIGN_IN,
    ),
    Problem.MAX_SENDS: ProblemText(
        429, Tone.WAIT, _("No further codes for now"),
        _("The number of codes that can be sent has been reached."),
        _("Please try again later, or ask your administrator."),
        Way.SIGN_IN,
    ),
    Problem.TOO_MANY_LOGINS: ProblemText(
        429, Tone.WAIT, _("Too many sign-ins at once"),
        _("More sign-ins are under way than can be handled."),
        _("Please try again in a moment."), Way.RETRY,
    ),
    Problem.TOO_MANY_STREAMS: ProblemText(
        429, Tone.ERROR, _("Too many open connections"),
        _("This app is open in too many tabs or windows."),
        _("Close some of them, then try again."), Way.RETRY,
    ),
    # what stops a login
    Problem.NO_CONTACT: ProblemText(
        403, Tone.STOP, _("A code cannot be sent to you"),
        _("Your account has no address that can be used for codes."),
        _("Ask your administrator to add one, then sign in again."),
        Way.SIGN_IN,
    ),
    Problem.ACTION_REQUIRED: ProblemText(
        403, Tone.STOP, _("Your account is not ready yet"),
        _("Something must be completed in your account before you can sign in."),
        _("Please contact your administrator."),
        Way.SIGN_IN,
    ),
    Problem.PASSWORD_CHANGED: ProblemText(
        403, Tone.INFO, _("Your password was changed"),
        _("From now on only the new password works."),
        _("Please sign in again with your new password."),
        Way.SIGN_IN,
    ),
    Problem.PASSWORD_REFUSED: ProblemText(
        422, Tone.ERROR, _("This password cannot be used"),
        _("It does not meet your organisation's rules, or you have used it before."),
        _("Please choose another one."),
    ),
    Problem.ACCOUNT_CHANGED: ProblemText(
        403, Tone.STOP, _("Please sign in again"),
        _("Your account was changed while you were signing in."),
        _("For your safety this sign-in was ended."),
        Way.SIGN_IN,
    ),
    Problem.ENROLMENT_CHANGED: ProblemText(
        403, Tone.STOP, _("Please sign in again"),
        _("Your sign-in methods were changed elsewhere in the meantime."),
        _("For your safety this sign-in was ended."),
        Way.SIGN_IN,
    ),
    Problem.ENROLMENT_UNREADABLE: ProblemText(
        403, Tone.STOP, _("Your sign-in method cannot be checked"),
        _("What is stored about it does not fit, so nothing was opened."),
        _("Please contact your administrator and name the reference."),
    ),
    Problem.OTHER_USER: ProblemText(
        403, Tone.ERROR, _("This is another user"),
        _("Only the user who is signed in can confirm this."),
        _("Enter your own user name and password."),
    ),
    # what is not the user's doing
    Problem.SEND_FAILED: ProblemText(
        503, Tone.ERROR, _("The code could not be sent"),
        _("The message did not go out. This does not count against you."),
        _("Please try again in a moment."),
    ),
    Problem.SIGN_IN_UNAVAILABLE: ProblemText(
        503, Tone.ERROR, _("Signing in is not possible right now"),
        _("The service that checks sign-ins does not answer. This is not your mistake."),
        _("Please try again in a minute."), Way.RETRY,
    ),
    Problem.SIGN_IN_MISCONFIGURED: ProblemText(
        503, Tone.ERROR, _("Signing in is not set up correctly"),
        _("This is not your mistake: a setting must be corrected first."),
        _("Please contact your administrator and name the reference."), Way.RETRY,
    ),
    Problem.STORE_UNAVAILABLE: ProblemText(
        503, Tone.ERROR, _("This service is not available right now"),
        _("A part of it does not answer. This is not your mistake."),
        _("Please try again in a minute."), Way.RETRY,
    ),
    Problem.TENANT_NOT_AVAILABLE: ProblemText(
        503, Tone.STOP, _("Not available"),
        _("Signing in is switched off here at the moment."),
        _("Please contact your administrator."),
    ),
    Problem.UNKNOWN_HOST: ProblemText(
        421, Tone.STOP, _("There is nothing at this address"),
        _("This name does not belong to a service here."),
        _("Check the address in your browser."),
    ),
    Problem.NOT_FOUND: ProblemText(
        404, Tone.ERROR, _("Page not found"),
        _("There is nothing at this address."),
        _("Check the address, or go to the start page."),
        Way.HOME,
    ),
    Problem.METHOD_NOT_ALLOWED: ProblemText(
        405, Tone.ERROR, _("This is not possible here"),
        _("The address exists, but not for this kind of request."),
        _("Go to the start page and try again from there."),
        Way.HOME,
    ),
    Problem.BAD_REQUEST: ProblemText(
        400, Tone.ERROR, _("This request cannot be understood"),
        _("Your browser sent something that is not well formed."),
        _("Go to the start page and try again from there."),
        Way.HOME,
    ),
    Problem.REQUEST_TOO_LARGE: ProblemText(
        413, Tone.ERROR, _("That is too large"),
        _("More was sent than is accepted here."),
        _("Send less, and try again."),
        Way.HOME,
    ),
    Problem.HEADERS_TOO_LARGE: ProblemText(
        431, Tone.ERROR, _("Your browser sends too much"),
        _("It has collected too many cookies for this site."),
        _("Delete the cookies of this site, then sign in again."),
        Way.HOME,
    ),
    Problem.SIGN_IN_FIRST: ProblemText(
        401, Tone.INFO, _("Please sign in"),
        _("This is open only to users who are signed in."),
        _("Sign in and try again."),
        Way.SIGN_IN,
    ),
    Problem.SIGN_IN_HERE: ProblemText(
        403, Tone.STOP, _("Please sign in here"),
        _("The app's own sign-in is closed: signing in needs a second step."),
        _("Use the sign-in page of this site."),
        Way.SIGN_IN,
    ),
    Problem.ORIGIN_REFUSED: ProblemText(
        403, Tone.STOP, _("Not accepted from another site"),
        _("This request came from a page that is not allowed to send it."),
        _("Go to the start page and try again from there."),
        Way.HOME,
    ),
    Problem.APP_UNAVAILABLE: ProblemText(
        502, Tone.ERROR, _("The app does not answer"),
        _("You are signed in, but the app behind this page cannot be reached."),
        _("Please try again in a minute."),
        Way.RETRY,
    ),
    Problem.APP_TOO_SLOW: ProblemText(
        504, Tone.ERROR, _("The app takes too long"),
        _("You are signed in, but the app behind this page did not answer in time."),
        _("Please try again in a minute."),
        Way.RETRY,
    ),
    Problem.INTERNAL: ProblemText(
        500, Tone.ERROR, _("Something went wrong"),
        _("This is not your mistake, and it has been noted."),
        _("Please try again. If it happens again, contact your administrator and name the reference."),
        Way.RETRY,
    ),
}
# fmt: on
