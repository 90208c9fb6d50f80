"""Makes what every page of a login shows; a step adds its own with `dataclasses.replace`."""

from gateway.login.record import Login, Step
from gateway.login.visit import LoginRequest
from gateway.rendering.step_view import StepView


def view_of(step: Step, visit: LoginRequest, login: Login, now: float) -> StepView:
    """The page of `step`: the user's name, what the form names (its login, round and own id), and the target."""
    return StepView(
        step=step.value,
        purpose=login.purpose.value,
        act=login.act.kind.value if login.act else "",
        act_on=_factor_of(login),
        login=login.id if login.user else "",
        round=login.round,
        form=visit.form,
        now=now,
        csrf=visit.csrf,
        to=visit.to,
        host=visit.host,
        username=login.user.display_name if login.user else "",
    )


def _factor_of(login: Login) -> str:
    """The factor that an act or an enrolment of the account page is about; "" for none."""
    factor = login.act.factor if login.act else login.wanted
    return factor.value if factor else ""
