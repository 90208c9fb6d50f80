"""The four exceptions for unexpected endings.

Expected endings are values that carry a `Problem`. These exceptions are raised `from` their cause, and only
`web.error_responses` turns them into a response. None of them means "wrong password", "wrong code" or "signed out".
"""


class GatewayError(Exception):
    """Base of the four. `what` names the dependency or setting in an operator's words, never a secret."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.what = what
        self.detail = detail


class Unreachable(GatewayError):
    """A dependency (Keycloak, store, SMTP server, app) did not answer, or its answer made no sense: try again later."""


class Refused(GatewayError):
    """A dependency rejected the gateway itself: a wrong client secret, a missing role."""


class Conflict(GatewayError):
    """Another request changed the value first, or holds its lock."""


class Misconfigured(GatewayError):
    """A setting, or the set-up of a dependency, is wrong; an operator must act."""
