"""The verify page: what is the code?

Form: `code`, `remember`; `action` `send` or `resend` asks for a (new) code, `edit` goes back to the address while
registering. One page for every factor; with `choosePage: combined` it takes whichever code. Wrong, superseded and used
codes are told by one sentence.
"""

from dataclasses import dataclass, replace

from gateway.domain.ports import Clock
from gateway.domain.problem import Problem
from gateway.login import pending_proof
from gateway.login.challenge_context import ChallengeContexts
from gateway.login.check_code import CodeCheck
from gateway.login.flow import FormFields, StepResult
from gateway.login.record import AddressGiven, Login, Purpose, Step
from gateway.login.sending import CodeSending
from gateway.login.viewing import view_of
from gateway.login.visit import LoginRequest
from gateway.rendering.languages import Languages
from gateway.rendering.masking import mask_address
from gateway.rendering.step_view import StepView
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True)
class VerifyPage:
    """See the module's text."""

    challenges: Challenges
    answering: CodeCheck
    sending: CodeSending
    proofs: ChallengeContexts
    languages: Languages
    clock: Clock

    async def act(self, visit: LoginRequest, login: Login, action: str, fields: FormFields) -> StepResult:
        """Judge a code, send one, or go back to the address."""
        match action:
            case "cancel":
                return StepResult(cancelled=True)
            case "edit":
                return StepResult((AddressGiven(None),))
            case "resend" | "send":
                return await self.sending.send(visit, login)
        remember = bool(fields.get("remember")) and _may_remember(visit, login)
        return await self.answering.judge(visit, login, fields.get("code", ""), remember=remember)

    async def view(self, visit: LoginRequest, login: Login, fields: FormFields) -> StepView:
        """Where a code went, how long it works, when a new one may be asked for, what else may be typed."""
        case, challenge = self.proofs.case(visit, login), login.challenge
        now = self.clock.now()
        if case is None:
            return view_of(Step.VERIFY, visit, login, now)
        left = await self.challenges.left(case, challenge)
        expires_at = challenge.expires_at if challenge else None
        if expires_at and left.held and left.held.problem is Problem.LIMIT_EXCEEDED:
            expires_at = min(expires_at, now)  # wrong too often: its life is over
        message, language = pending_proof.message(login), self.languages.get(visit.language)
        only = case.only
        kinds = [m.factor for m in case.methods] + list(case.extras)
        return replace(
            view_of(Step.VERIFY, visit, login, now),
            factor=only.value if only else "",
            sent_to=mask_address(message.address) if message else "",
            sent=table.sends(only),
            icon=table.icon(only),
            digits=table.digits(only, login.policy.otp_length) or login.policy.otp_length,
            expires_at=expires_at,
            resend_at=left.resend_at,
            can_resend=message is not None,
            can_edit=pending_proof.registering(login) is not None,
            attempts_left=left.attempts,
            failures=left.failures,
            any_of=tuple(table.view(k, language) for k in kinds) if len(kinds) > 1 else (),
            remember_days=login.policy.trust_browser_days if _may_remember(visit, login) else 0,
            tag=challenge.tag if challenge else "",
            message=message.factor.value if message else "",
            sent_already=challenge is not None and challenge.sent_to != "",
            answerable=challenge is not None,
            no_codes_left=_used_up(login),
            approving_first=isinstance(pending_proof.current_proof(login), pending_proof.Approval),
            after_password=login.changed,
            held=left.held,
        )


def _may_remember(visit: LoginRequest, login: Login) -> bool:
    """Whether "don't ask again" is offered: at sign-in, where the tenant allows it, never while a password is due."""
    asked = login.purpose is Purpose.SIGN_IN and not login.due
    return asked and login.policy.trust_browser_days > 0 and visit.tenant.may_trust_from(visit.client)


def _used_up(login: Login) -> bool:
    """Whether the user had backup codes and used them all (CC-07)."""
    return bool(login.policy.backup_codes and login.enrolments.enrolments and login.enrolments.used_all_codes)
