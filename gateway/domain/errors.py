"""The four ways something unexpected ends.

Expected endings are values that carry a `Problem`; these are raised `from` their cause and only `web.failures` turns
them into a response. None of them ever means "wrong password", "wrong code" or "signed out".
"""


class GatewayError(Exception):
    """Base of the four; `what` names the neighbour or setting in an operator's words, never a secret."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.what = what
        self.detail = detail


class Unreachable(GatewayError):
    """A neighbour (Keycloak, store, SMTP relay, app) did not answer, or answered nonsense: try again later."""


class Refused(GatewayError):
    """A neighbour answered and said no to the gateway itself: a client secret, a missing role."""


class Conflict(GatewayError):
    """Somebody else changed or holds what was to be changed."""


class Misconfigured(GatewayError):
    """A setting, or the set-up of a neighbour, is wrong; an operator must act."""
