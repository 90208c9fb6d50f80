"""The session that a finished login opens, and its tokens. Only a session opens an app."""

from dataclasses import dataclass, field
from enum import Enum

from gateway.domain.policy import EnrolmentRule, Policy
from gateway.domain.tenant import KeycloakAccess, Route, RouteFactor, SecondFactorBy, Tenant

CONFIRMED_FOR = 300.0
"""Seconds after a confirmation in which an administrator may change something."""


class Satisfied(Enum):
    """The way in which a login met the requirement of a second factor."""

    NONE = "none"
    NOT_ASKED = "not-asked"
    TRUSTED = "trusted"
    PROVED = "proved"


class DecidedBy(Enum):
    """The rule of the requirement for a factor, by its name in the audit."""

    OFF = "2fa-off"
    ROUTE_ASKS_NONE = "route-asks-none"
    IDENTITY_PROVIDER = "identity-provider"
    TRUSTED_BROWSER = "trusted-browser"
    VERIFIED_IN_SESSION = "verified-in-session"
    ENROLLED = "enrolled"
    OPTIONAL_AND_NONE = "optional-and-none-enrolled"
    REQUIRED = "enrolment-required"
    NO_CONTACT = "no-contact"
    NOTHING_TO_REGISTER = "nothing-to-register"
    FRESH_PROOF = "fresh-proof"
    NONE_ENROLLED = "none-enrolled"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that Keycloak issued; times in seconds since the epoch by our clock. Never printed."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_expires_at: float
    refresh_expires_at: float | None
    session_id: str = ""
    id_token: str = field(default="", repr=False)

    def same_session(self, other: "Tokens | None") -> bool:
        """Whether both belong to one session at Keycloak."""
        return other is not None and self.session_id == other.session_id != ""


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser of one tenant.

    `routes` are the path prefixes it may open, None for all. `rule` names why nothing was asked. Times in seconds
    since the epoch; `proved_at` is the time of the last verified factor. Roles and groups are those of the newest
    token, see `domain.user.User`. `confirmed_at` is the time at which the user verified a factor for the administration
    pages; a sign-in is none. `assisted`: a code of an administrator or supervisor counted in this session.
    `browser` (as "Chrome on Windows") and `client` (an address) are of the sign-in; they are "" in sessions of an older
    version.
    `sign_in` is the id of the session at the host of the pages; its sessions at hosts of apps have the same. "" without
    such a host.
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
    client_roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    confirmed_at: float | None = None
    assisted: bool = False
    browser: str = ""
    client: str = ""
    sign_in: str = ""

    def confirmed(self, now: float) -> bool:
        """Whether the user may change something on the administration pages without another factor."""
        return self.confirmed_at is not None and now < self.confirmed_at + CONFIRMED_FOR

    def may_use(self, route: Route) -> bool:
        """Whether the roles or groups of the user admit them to the app of `route`; what no token says, they lack."""
        return route.allow.admits(self.roles, self.client_roles, self.groups)

    def opens(self, tenant: Tenant, path: str) -> bool:
        """Whether the session opens the route with this path prefix, by today's policy and route.

        The proxy and the login both decide by it. If an operator tightens the settings, the user gives the missing
        proof at the next request (a step-up). A path that is not a route is one of the gateway's own pages.
        """
        if self.routes is not None and path not in self.routes:
            return False
        if self.satisfied is Satisfied.PROVED or not tenant.policy.enabled:
            return True
        asks = any(route.path == path and route.second_factor is RouteFactor.REQUIRED for route in tenant.routes)
        return not asks or self._suffices(tenant.policy, tenant.keycloak)

    def _suffices(self, policy: Policy, access: KeycloakAccess) -> bool:
        """Whether the reason why no factor was asked still holds today; an unknown reason does not."""
        by = access.sso.second_factor_by if access.sso else SecondFactorBy()
        holds = {
            DecidedBy.IDENTITY_PROVIDER.value: bool(by.acr or by.amr),
            DecidedBy.TRUSTED_BROWSER.value: policy.trust_browser_days > 0,
            DecidedBy.OPTIONAL_AND_NONE.value: policy.enrolment is EnrolmentRule.OPTIONAL,
            DecidedBy.VERIFIED_IN_SESSION.value: policy.skip_when_verified,
        }
        return holds.get(self.rule, False)
