"""The verify page: takes a code.

Form: `code`, `remember`, `way` (the kind of code that the user said to have, for the page only); `action` `send` or
`resend` asks for a (new) code, `edit` goes back to the address while enrolling, `other-method` to the choice. One page
for every factor; with `choosePage: combined` it takes any code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from math import ceil
from typing import Any

from gateway.domain.challenge import ProofPurpose
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind, LockScope, OnMaximum, OnWrongCode, RegistrationContact
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.account_change_mails import AccountChange, Change
from gateway.login.effects.send_code import ChallengeContexts, SendCode
from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.pending_proof import Approval, PendingProof
from gateway.login.record import AddressGiven, Chosen, EntryContinued, Login, Proved, Purpose, Stopped
from gateway.login.state_machine import LoginState, Step
from gateway.login.steps.choose import Choices
from gateway.login.wrong_code_mails import WrongCodeMails
from gateway.observe.audit import AuditEvent, utc_time
from gateway.observe.redaction import address_hint
from gateway.rendering.languages import Languages
from gateway.rendering.step_view import DIGITS, MethodView, StepView, methods_json
from gateway.second_factor.challenges import ChallengeContext, Challenges, Continued, Denied, Verified, fold
from gateway.second_factor.factor_uses import FactorUses
from gateway.second_factor.factors import table
from gateway.second_factor.factors.protocol import Digits


class Stage(Enum):
    """What has become of the code that the page is about; its heading says so."""

    ALIVE = "alive"
    SENDING = "sending"
    UNSENT = "unsent"
    WAITING = "waiting"
    FAILED = "failed"
    EXPIRED = "expired"
    TRIED_OUT = "tried-out"
    REPLACED = "replaced"
    LOCKED = "locked"


_UNSENT_BY_PROBLEM = {
    Problem.WAIT.value: Stage.WAITING,
    Problem.QUEUED.value: Stage.WAITING,
    Problem.SEND_FAILED.value: Stage.FAILED,
    Problem.MAX_SENDS.value: Stage.FAILED,
}
_ANSWERED_WRONGLY = (Problem.WRONG_CODE, Problem.WARNING, Problem.CODE_EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyView(StepView):
    """Times in seconds since the epoch, judged against `now`.

    `factor` is empty where several methods are meant, `any_of` are the codes that the page takes, `sent_to` is the
    address as this page may show it. `can_resend` is whether another code can be asked for at all, `can_edit` whether
    the address can still be changed. `no_more_sends` is why no further code can be sent, with the time at which one
    can. `remember_days` 0 offers no trusted browser. `message` is the factor by which a code can be sent,
    `sent_already` whether one was, `answerable` whether a code would be judged now. `way` is the kind of code that the
    user said to have. `no_codes_left`: all backup codes are used; `approving_first`: the enrolment must be approved
    first; `after_password`: a new password has just been set; `replaced`: a newer code went to the same mailbox; `held`
    is why no entry would be judged now, which is shown when there is nothing newer to show. `again_in` is when a page
    with a field asks again by itself, in seconds. `digits` is the maximum where `any_length`. `prompt` is what a
    service asks for after the first entry, an English sentence. `alphanumeric`: the page's own code may hold letters;
    `hidden`: the page hides what is typed, until the user shows it. `leads_on`: where no further code can be sent,
    asking for one leads to a named path. `app_name` is the operator's name of the app that shows the code.
    """

    now: float
    factor: str = ""
    sent_to: str = ""
    digits: int = DIGITS
    any_length: bool = False
    alphanumeric: bool = False
    hidden: bool = False
    prompt: str = ""
    app_name: str = ""
    expires_at: float | None = None
    resend_at: float | None = None
    can_resend: bool = False
    can_edit: bool = False
    attempts_left: int | None = None
    failures: int = 0
    methods: Sequence[MethodView] = ()
    any_of: Sequence[MethodView] = ()
    remember_days: int = 0
    tag: str = ""
    message: str = ""
    sent_already: bool = False
    answerable: bool = True
    no_codes_left: bool = False
    approving_first: bool = False
    after_password: bool = False
    replaced: bool = False
    held: ProblemDetail | None = None
    no_more_sends: ProblemDetail | None = None
    leads_on: bool = False
    way: str = ""
    again_in: int | None = None

    def stage(self, problem: str) -> Stage:
        """The state of the code beside a problem (its code, "" for none)."""
        if problem == Problem.LOCKED.value:
            return Stage.LOCKED
        if self.sent and self.expires_at is None:
            unsent = Stage.UNSENT if self.answerable and self.any_of else Stage.SENDING
            return _UNSENT_BY_PROBLEM.get(problem, unsent)
        if not self.sent:  # another code works, whatever became of one that was sent
            return Stage.ALIVE
        if self.attempts_left == 0 or problem == Problem.LIMIT_EXCEEDED.value:
            return Stage.TRIED_OUT
        if self.replaced or problem == Problem.CODE_REPLACED.value:
            return Stage.REPLACED
        over = self.expires_in == 0 or problem == Problem.CODE_EXPIRED.value
        return Stage.EXPIRED if over else Stage.ALIVE

    @property
    def expires_in(self) -> int | None:
        """Whole seconds the code still works; 0 when it is over, None when it does not expire."""
        return None if self.expires_at is None else max(0, ceil(self.expires_at - self.now))

    @property
    def resend_in(self) -> int | None:
        """Whole seconds until another code may be asked for; None when there is none to ask for."""
        return max(0, ceil((self.resend_at or self.now) - self.now)) if self.can_resend else None

    @property
    def letters(self) -> bool:
        """Whether a code typed here may hold letters: then a phone must not offer digits only."""
        return self.alphanumeric or any(method.letters for method in self.any_of)

    def takes(self, factor: str) -> bool:
        """Whether the page takes such codes besides its own."""
        return any(method.factor == factor for method in self.any_of)

    def own_json(self) -> dict[str, Any]:
        """The code, its life, and what else may be typed."""
        body: dict[str, Any] = {
            "factor": self.factor or None,
            "sent_to": self.sent_to or None,
            "digits": self.digits,
            "expires_in": self.expires_in,
            "resend_in": self.resend_in,
            "attempts_left": self.attempts_left,
            "methods": methods_json(self.methods),
        }
        if self.prompt:
            body["prompt"] = self.prompt
        if self.any_length:
            body["any_length"] = True
        if self.tag:
            body["tag"] = self.tag
        if self.any_of:
            body["any_of"] = [m.factor for m in self.any_of]
        if self.approving_first:
            body["vouching"] = True
        return body


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """Checks a typed code: it becomes an event, a problem to show, or the end of the login.

    The page that verifies and the page that enrols an app use it.
    """

    challenges: Challenges
    contexts: ChallengeContexts
    clock: Clock
    wrong_code_mails: WrongCodeMails
    uses: FactorUses

    async def judge(
        self, request: LoginRequest, state: LoginState, typed: str, *, remember: bool = False, name: str = ""
    ) -> StepResult:
        """Judge `typed` against what is pending. `name` is that of the device which it enrols."""
        context, challenge = self.contexts.challenge(request, state), state.login.verification.challenge
        if context is None or challenge is None:
            return StepResult()
        delivery_of = partial(self.contexts.verification, request, state.login)
        only = context.only if not context.extras else None
        digits = self.challenges.digits(delivery_of(only), only) if only else None
        if not _may_be_code(digits, fold(typed)):
            return StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))  # no guess: it costs no attempt
        match await self.challenges.answer(context, delivery_of, challenge, typed):
            case Verified(factor=factor, enrolments=enrolments, by=app):
                await self.wrong_code_mails.right(request, state.login)
                request.audit.write(AuditEvent.CODE_ACCEPTED, context.user, factor=factor.value)
                self.uses.note(request.tenant.id, context.user.id, factor, app)
                if factor is FactorKind.BACKUP_CODE and enrolments:
                    change = AccountChange(Change.CODE_USED, count=len(enrolments.backup_codes))
                    await self.wrong_code_mails.mails.notify(request, state.login, change)
                return StepResult((Proved(challenge, factor, self.clock.now(), remember, enrolments, name),))
            case Continued(challenge=further, before=before):
                factor_name = further.factor.value if further.factor else "any"
                request.audit.write(AuditEvent.FURTHER_CODE_ASKED, context.user, factor=factor_name)
                return StepResult((EntryContinued(further, before),))
            case Denied(problem_detail=problem_detail, stops=stops) as denied:
                _audit(request, context, denied)
                guessed = denied.failures and problem_detail.problem is not Problem.CLOCK_OFF
                if guessed and context.bound_to.purpose is ProofPurpose.VERIFY:
                    await self.wrong_code_mails.wrong(request, state.login)
                # A lock ends the login only if this code is still under way; a maximum or a service, in any case.
                of = challenge.id if problem_detail.problem is Problem.LOCKED else None
                return StepResult((Stopped(problem_detail, of),) if stops else (), problem_detail)


@dataclass(frozen=True, slots=True)
class VerifyPage:
    """See the module's text."""

    challenges: Challenges
    check: CodeCheck
    send_code: SendCode
    contexts: ChallengeContexts
    choices: Choices
    languages: Languages
    clock: Clock

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Judge a code, send one, or go back to the address."""
        match action:
            case "edit":
                return StepResult((AddressGiven(None),))
            case "other-method":
                return StepResult((Chosen(None),))
            case "resend" | "send":
                return await self.send_code.send(request, state)
        remember = bool(fields.get("remember")) and _may_remember(request, state.login)
        judged = await self.check.judge(request, state, fields.get("code", ""), remember=remember)
        return await self._resent(request, state, judged) if _replaces_code(state, judged) else judged

    async def _resent(self, request: LoginRequest, state: LoginState, judged: StepResult) -> StepResult:
        """Sends a new code instead of one that was answered wrongly, where the tenant says so."""
        sent = await self.send_code.send(request, state, replaces=True)
        if sent.events and sent.problem_detail is None:
            return replace(sent, problem_detail=ProblemDetail(Problem.CODE_RESENT))
        return sent if sent.problem_detail else judged  # another request sends it

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> VerifyView:
        """Where a code was sent, how long it works, when a new one may be asked for, what else may be typed."""
        login, proof, challenge = state.login, state.proof, state.login.verification.challenge
        context, now, head = self.contexts.challenge(request, state), self.clock.now(), request.head(Step.VERIFY, login)
        if context is None:
            return VerifyView(**head, now=now)
        message, language = proof.message, self.languages.get(request.language)
        left = await self.challenges.left(context, challenge, message)
        expires_at = challenge.expires_at if challenge else None
        if expires_at and left.held and left.held.problem is Problem.LIMIT_EXCEEDED:
            expires_at = min(expires_at, now)  # wrong too often: its life is over
        kinds = proof.kinds if len(proof.kinds) > 1 else ()
        only = context.only if kinds else proof.kinds[0]
        digits = self.challenges.digits(self.contexts.verification(request, login, only), only) if only else None
        return VerifyView(
            **head,
            now=now,
            factor=only.value if only else "",
            sent_to=_shown(login, proof, message) if message and message.address else "",
            sent=only in table.SENT,
            icon=table.icon(only),
            digits=digits.most if digits else login.policy.otp_length,
            any_length=digits is not None and digits.exact is None,
            alphanumeric=only is not None and digits is None,
            hidden=only is not None and not kinds and table.TYPES[only].hidden,
            prompt=challenge.prompt if challenge else "",
            expires_at=expires_at,
            resend_at=left.resend_at,
            can_resend=message is not None and left.no_more_sends is None,
            no_more_sends=left.no_more_sends,
            leads_on=login.policy.on_max_sends is OnMaximum.PATH,
            can_edit=proof.enrolling is not None and login.policy.registration_contact is RegistrationContact.ANY,
            attempts_left=left.attempts,
            failures=left.failures,
            any_of=tuple(table.view(k, language) for k in kinds),
            remember_days=login.policy.trust_browser_days if _may_remember(request, login) else 0,
            tag=challenge.tag if challenge else "",
            message=message.factor.value if message else "",
            sent_already=challenge is not None and challenge.sent_to != "",
            answerable=challenge is not None,
            no_codes_left=_used_up(login),
            methods=self.choices.of(request, state),
            app_name=self.choices.name(request, state, only) if only else "",
            approving_first=isinstance(proof.current, Approval),
            after_password=login.changed,
            replaced=left.replaced,
            held=left.held,
            way=fields.get("way", ""),
        )


def _replaces_code(state: LoginState, judged: StepResult) -> bool:
    """Whether the answer of `judged` was a wrong or late one to a code that a new one replaces."""
    challenge, why = state.login.verification.challenge, judged.problem_detail
    if judged.events or why is None or challenge is None or challenge.factor not in table.SENT:
        return False
    return state.login.policy.on_wrong_code is OnWrongCode.RESEND and why.problem in _ANSWERED_WRONGLY


def _shown(login: Login, proof: PendingProof, message: Enrolment) -> str:
    """An address that the user typed in this login is shown in full; any other one is masked."""
    if proof.enrolling is not None and login.policy.registration_contact is RegistrationContact.ANY:
        return table.TYPES[message.factor].shown(message.address)
    return address_hint(message.address, login.policy.address_hint)


def _may_remember(request: LoginRequest, login: Login) -> bool:
    """Whether "don't ask again" is offered: at sign-in, where the tenant allows it.

    Never while a password is due, nor where no date tells whether the password is still the same.
    """
    asked = login.purpose is Purpose.SIGN_IN and not login.due and login.credential_date is not None
    return asked and login.policy.trust_browser_days > 0 and request.tenant.may_trust_from(request.client)


def _used_up(login: Login) -> bool:
    """Whether the user had backup codes and used them all."""
    return bool(login.policy.backup_codes and login.enrolments.used_all_codes)


def _audit(request: LoginRequest, context: ChallengeContext, denied: Denied) -> None:
    problem_detail, user = denied.problem_detail, context.user
    factor = context.counted_as.value if context.counted_as else "any"
    limit = problem_detail.limit or None
    event = AuditEvent.LIMIT_REACHED if limit else AuditEvent.CODE_NOT_CHECKED
    if denied.judged:
        event = AuditEvent.CODE_REJECTED
    elif problem_detail.problem is Problem.CODE_EXPIRED:
        event = AuditEvent.CODE_EXPIRED
    facts = {"factor": factor, "limit": limit}
    request.audit.write(event, user, **facts, problem=problem_detail.problem.value, failures=denied.failures)
    if denied.judged and problem_detail.problem is Problem.LOCKED and problem_detail.until:
        app = context.app if limit == "otpMaxAttempts" and context.policy.lock_scope is LockScope.APP else None
        request.audit.write(AuditEvent.LOCK_SET, user, **facts, until=utc_time(problem_detail.until), app=app)


def _may_be_code(digits: Digits | None, entry: str) -> bool:
    """Whether `entry` (folded) can be meant as a code; where only digits are asked for, letters cannot."""
    return bool(entry) and (digits is None or (entry.isascii() and entry.isdigit()))
