"""The page that leads to Keycloak's own sign-in page, and the exchange of the code that a browser brings back.

Its button leads to Keycloak. The act is not that of its form: `handlers` call it when the browser is back, with the
fields `state` and `code`. Each `state` is good for one exchange.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gateway.domain import errors
from gateway.domain.ports import Clock
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.secret import Secret
from gateway.keycloak.token_endpoint import CodeRefused, TokenEndpoint
from gateway.login.flow import FormFields, StepResult
from gateway.login.identified_user import IdentifiedUser
from gateway.login.login_request import LoginRequest
from gateway.login.single_sign_on import SingleSignOn
from gateway.login.state_machine import LoginState, Step
from gateway.observe.audit import AuditEvent
from gateway.rendering.step_view import StepView
from gateway.store.single_use import SingleUse


@dataclass(frozen=True, slots=True, kw_only=True)
class SsoView(StepView):
    """`location` is where a browser begins the sign-in."""

    location: str

    def own_json(self) -> dict[str, Any]:
        """The way to the sign-in page."""
        return {"location": self.location}


@dataclass(frozen=True, slots=True)
class SsoPage:
    """See the module's text."""

    token_endpoint: TokenEndpoint
    single_sign_on: SingleSignOn
    single_use: SingleUse
    identified: IdentifiedUser
    clock: Clock

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Exchange the code."""
        text, code, access = fields.get("state", ""), fields.get("code", ""), request.tenant.keycloak
        started = self.single_sign_on.started(request, text)
        if started is None or not code or access.sso is None:
            return StepResult(problem_detail=ProblemDetail(Problem.NOT_STARTED_HERE))
        kept = request.configuration.gateway.limits.login_absolute
        if self.clock.now() >= started.at + kept:
            return StepResult(problem_detail=ProblemDetail(Problem.LOGIN_EXPIRED))
        if not await self.single_use.claim(request.tenant.id, ("single-sign-on", started.id), kept):
            return rejected(request, "used before", Problem.LOGIN_EXPIRED)
        try:
            answer = await self.token_endpoint.code(
                access,
                Secret(code),
                verifier=self.single_sign_on.verifier(text),
                asked=self.single_sign_on.asked(text, started),
                client_address=request.client,
            )
        except errors.GatewayError as error:
            return unavailable(request, error)
        if isinstance(answer, CodeRefused):
            return rejected(request, answer.reason, Problem.LOGIN_EXPIRED)
        factor = access.sso.second_factor_by.named(answer.acr, answer.amr)
        request.audit.write(AuditEvent.PROVIDER_SIGN_IN_ACCEPTED, answer.user, second_factor=factor or None)
        return await self.identified.signed_in(request, state.login, answer.user, answer.tokens, factor)

    async def view(self, request: LoginRequest, state: LoginState | None, fields: FormFields) -> SsoView:
        """A button."""
        login, prefix = state.login if state else None, request.configuration.gateway.prefix
        return SsoView(**request.head(Step.SSO, login), location=f"{prefix}login?to={quote(request.to, safe='/')}")


def rejected(request: LoginRequest, reason: str, problem: Problem) -> StepResult:
    """What the browser brought back does not count."""
    request.audit.write(AuditEvent.PROVIDER_SIGN_IN_REJECTED, reason=reason)
    return StepResult(problem_detail=ProblemDetail(problem))


def unavailable(request: LoginRequest, error: errors.GatewayError) -> StepResult:
    """Keycloak gave no verdict, or one that is the operator's matter."""
    unreachable = isinstance(error, errors.Unreachable)
    problem = Problem.SIGN_IN_UNAVAILABLE if unreachable else Problem.SIGN_IN_MISCONFIGURED
    request.audit.write(AuditEvent.LOGIN_UNAVAILABLE, problem=problem.value, what=error.what, detail=error.detail)
    return StepResult(problem_detail=ProblemDetail(problem))
