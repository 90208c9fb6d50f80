"""The session that a finished login opens, and its tokens. Only a session opens an app."""

from dataclasses import dataclass, field
from enum import Enum


class Satisfied(Enum):
    """The way in which a login met the requirement of a second factor."""

    NONE = "none"
    NOT_ASKED = "not-asked"
    TRUSTED = "trusted"
    PROVED = "proved"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that Keycloak issued; times in seconds since the epoch by our clock. Never printed."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: float
    refresh_expires_at: float | None
    session_id: str = ""
    id_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser of one tenant.

    `routes` are the path prefixes it may open, None for all. `rule` names why nothing was asked. Times in seconds
    since the epoch; `proved_at` is the time of the last verified factor.
    """

    id: str
    tenant: str
    user_id: str
    username: str
    display_name: str
    roles: tuple[str, ...]
    tokens: Tokens
    created_at: float
    used_at: float
    ends_at: float
    password_at: float
    satisfied: Satisfied
    rule: str = ""
    proved_at: float | None = None
    routes: tuple[str, ...] | None = None
    email: str = ""

    def opens(self, path: str) -> bool:
        """Whether the session opens the route with this path prefix. The proxy and the login both decide by it."""
        return self.routes is None or path in self.routes
