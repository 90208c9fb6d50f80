"""What does every page of a login show, whichever step it is? A step adds its own with `dataclasses.replace`."""

from gateway.login.record import Login, Step
from gateway.login.visit import Visit
from gateway.rendering.step_view import StepView


def view_of(step: Step, visit: Visit, login: Login, now: float) -> StepView:
    """The page of `step` for whoever signs in: his name, his form's token, and where he is going."""
    return StepView(
        step=step.value,
        purpose=login.purpose.value,
        now=now,
        csrf=visit.csrf,
        to=visit.to,
        host=visit.host,
        username=login.user.display_name if login.user else "",
    )
