"""The choose page: the user chooses one of their methods. It is skipped for a user with exactly one.

Form: `factor`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.effects.send_code import ChallengeContexts
from gateway.login.flow import FormFields, StepResult
from gateway.login.login_request import LoginRequest
from gateway.login.record import Chosen
from gateway.login.state_machine import LoginState, Step
from gateway.observe.redaction import address_hint
from gateway.rendering.languages import Languages
from gateway.rendering.step_view import MethodView, StepView, methods_json
from gateway.second_factor.challenges import Challenges
from gateway.second_factor.factors import table


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseView(StepView):
    """`methods` are in the tenant's order, with their masked addresses."""

    methods: Sequence[MethodView] = ()

    def own_json(self) -> dict[str, Any]:
        """The methods."""
        return {"methods": methods_json(self.methods)}


@dataclass(frozen=True, slots=True)
class Choices:
    """Makes the views of the methods of which a page asks for one."""

    challenges: Challenges
    contexts: ChallengeContexts
    languages: Languages

    def of(self, request: LoginRequest, state: LoginState) -> tuple[MethodView, ...]:
        """The methods of the user; none where they have no choice."""
        return tuple(self._view(request, state, method) for method in state.proof.choices)

    def name(self, request: LoginRequest, state: LoginState, kind: FactorKind) -> str:
        """The operator's own name for what shows a code of `kind`; "" for none."""
        return self.challenges.given_name(self.contexts.delivery(request, state.login, kind), kind)

    def _view(self, request: LoginRequest, state: LoginState, method: Enrolment) -> MethodView:
        shown = method.address if method.factor in table.SENT else ""
        sent_to = address_hint(shown, state.login.policy.address_hint) if shown else ""
        view = table.view(method.factor, self.languages.get(request.language), sent_to)
        return replace(view, label=self.name(request, state, method.factor) or view.label)


@dataclass(frozen=True, slots=True)
class ChoosePage:
    """See the module's text."""

    choices: Choices

    async def act(self, request: LoginRequest, state: LoginState, action: str, fields: FormFields) -> StepResult:
        """Choose."""
        wanted = fields.get("factor")
        found = next((m.factor for m in state.proof.choices if m.factor.value == wanted), None)
        return StepResult((Chosen(found),)) if found else StepResult(problem_detail=ProblemDetail(Problem.BAD_INPUT))

    async def view(self, request: LoginRequest, state: LoginState, fields: FormFields) -> ChooseView:
        """The methods of the user."""
        return ChooseView(**request.head(Step.CHOOSE, state.login), methods=self.choices.of(request, state))
