"""The configuration in force: one frozen value, swapped whole on reload.

A request reads tenant, channel and policy from it and passes them on as arguments. A login keeps the policy with which
it began.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from gateway.domain.channel import Channel, TlsSettings
from gateway.domain.secret import Secret
from gateway.domain.setting_types import SECTION, Change, Checked, Count, Network, PageAddress, Seconds, like
from gateway.domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Address:
    """A listening socket."""

    host: str
    port: int

    @property
    def everywhere(self) -> bool:
        """Whether the socket listens on all addresses of the machine."""
        return self.host in ("", "0.0.0.0", "::")  # noqa: S104 - a comparison


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`url` is `memory://`, `redis://…`, `rediss://…` or `unix://…`; `prefix` begins every key.

    `session_copies` is the number of seconds for which a local copy of a session counts.
    """

    url: Secret
    prefix: str = "efcx:"
    timeout: float = 0.25
    session_copies: float = 5.0
    tls: TlsSettings = TlsSettings()

    @property
    def in_memory(self) -> bool:
        """Whether state lives in this one process."""
        return self.url.value.startswith("memory:")


def _failure_steps(value: Any) -> tuple[tuple[int, float], ...]:
    """Lists of two numbers, the counts rising."""
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list as [[10, 300], [20, 1800]]: failures, then seconds")
    last = 0
    for step in value:
        if not isinstance(step, list) or len(step) != 2 or not all(type(n) in (int, float) and n > 0 for n in step):
            raise ValueError("must be a list as [[10, 300], [20, 1800]]: failures, then seconds")
        if type(step[0]) is not int or step[0] <= last:
            raise ValueError("must have whole, rising numbers of failures")
        last = step[0]
    return tuple((failures, float(seconds)) for failures, seconds in value)


_SEGMENT = re.compile("/([_~-]|[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*)/")
FailureSteps = Annotated[
    tuple[tuple[int, float], ...],
    Checked(_failure_steps, {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, text=False),
]
CountAtStart = Annotated[Count, Change.NEEDS_RESTART]


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """Limits of the operator for every tenant. Times are in seconds."""

    __pydantic_config__ = SECTION

    failure_steps: Annotated[FailureSteps, Change.MAY_BE_WEAKER] = ((10, 300.0), (20, 1800.0), (50, 86400.0))
    """Numbers of failures of one user and factor in all logins, each with the seconds of the lock that follows. Each
    failure beyond the last number locks as that one does. The count begins anew after a success, or after 24 hours in
    which the user was not locked and did not fail."""

    sends_per_user: Count = 10
    """Maximum number of codes to one user in `sends_window`."""

    sends_per_address: Count = 200
    """Maximum number of codes to one e-mail address in `sends_window`, for all users together."""

    texts_per_user: Count = 5
    """Maximum number of codes by text message to one user in `sends_window`."""

    texts_per_number: Count = 10
    """Maximum number of codes to one phone number in `sends_window`, for all users together."""

    texts_per_tenant: Count = 1000
    """Maximum number of codes by text message of one tenant in `sends_window`. It limits the cost of an attack; choose
    a number above that of your busiest hour."""

    sends_window: Seconds = 3600.0
    """Period in which the gateway counts sends."""

    password_failures_per_user: Count = 10
    """Maximum number of wrong passwords of one user in `password_failures_window`."""

    password_failures_per_client: Count = 300
    """Maximum number of wrong passwords from one client address. A whole contact centre may share one address."""

    password_failures_window: Seconds = 300.0
    """Period in which the gateway counts wrong passwords."""

    password_failures_unknown: Count = 20
    """Maximum number of wrong passwords of one user in `password_failures_unknown_window`, from all browsers in which
    that user has not signed in before. Choose a number below Keycloak's *Max login failures* (default 30): then a
    stranger cannot make Keycloak lock the user."""

    password_failures_unknown_window: Seconds = 43200.0
    """Period of `password_failures_unknown`, from the last wrong password. As Keycloak's *Failure reset time*."""

    grants_per_user_waiting: CountAtStart = 5
    """Maximum number of password checks of one user name that wait, in one process."""

    grants_per_user_and_client: CountAtStart = 2
    """Maximum number of password checks of one user name from one client address that wait, in one process."""

    grants_at_once: CountAtStart = 20
    """Maximum number of password checks that run at the same time, in one process."""

    grant_wait: Annotated[Seconds, Change.NEEDS_RESTART] = 20.0
    """Maximum time that a password check waits for its turn."""

    login_idle: Seconds = 900.0
    """Lifetime of an unfinished login after its last step."""

    login_absolute: Seconds = 3600.0
    """Lifetime of an unfinished login in all."""


class ForwardAuthProxy(Enum):
    """A proxy that asks the gateway about each request, and passes the request to the app itself."""

    NGINX = "nginx"
    TRAEFIK = "traefik"
    CADDY = "caddy"
    ENVOY = "envoy"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """The keys of `gateway.yaml` whose values are used as the file has them."""

    __pydantic_config__ = SECTION

    trusted_proxies: tuple[Network, ...] = ()
    """Addresses or networks of proxies. The gateway believes the `X-Forwarded-For` that they send."""

    forward_auth: ForwardAuthProxy | None = None
    """Kind of the proxies in `trusted_proxies` that ask `/-/auth` about each request: `nginx`, `traefik`, `caddy` or
    `envoy`. Default: no proxy asks, and the path does not exist."""

    insecure_http: Annotated[bool, Change.HIGHER_IS_WEAKER] = False
    """Permission for an http `public_url` on other names than loopback. Cookies are then unprotected on the network."""

    prefix: Annotated[str, like(_SEGMENT, "must be one segment between slashes, as /-/"), Change.NEEDS_RESTART] = "/-/"
    """Path of the gateway's own pages, on every host."""

    path_addresses: tuple[PageAddress, ...] = ()
    """Exact https addresses outside of the apps that named paths of tenants may have, as
    https://help.example.com/agent."""

    networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    """Names of places, each with its networks, as `Head office: [192.0.2.0/24]`. The page of a user shows the name
    beside the address of a sign-in."""

    limits: OperatorLimits = OperatorLimits()
    """Limits of the operator for every tenant."""

    languages: Annotated[tuple[str, ...], MinLen(1), Change.NEEDS_RESTART] = ("en", "ar", "ur")
    """Languages of the pages. The first one is used when nothing else decides."""

    shutdown_timeout: Seconds = 30.0
    """Maximum time from SIGTERM to the end of the process, even if requests are still running. The supervisor must wait
    longer before it kills the process."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum log level."""


@dataclass(frozen=True, slots=True)
class OtpManagerSettings:
    """The listener on which the gateway is EFCX's otp-manager; `secret` is the first segment of its paths."""

    listen: Address
    secret: Secret
    clients: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class GatewaySettings(GatewayOptions):
    """The settings of the process."""

    listen: Annotated[Address, Change.NEEDS_RESTART]
    operations: Annotated[Address, Change.NEEDS_RESTART]
    store: Annotated[StoreSettings, Change.NEEDS_RESTART]
    operations_token: Secret = Secret("")
    keys_file: Annotated[str, Change.NEEDS_RESTART] = ""
    keys_variable: Annotated[str, Change.NEEDS_RESTART] = ""
    audit_file: Annotated[str, Change.NEEDS_RESTART] = ""
    otp_manager_server: Annotated[OtpManagerSettings | None, Change.NEEDS_RESTART] = None


@dataclass(frozen=True)
class Configuration:
    """All settings, checked as a whole. `fingerprint` identifies exactly these bytes."""

    gateway: GatewaySettings
    tenants: tuple[Tenant, ...]
    channels: Mapping[str, Channel] = field(default_factory=lambda: MappingProxyType({}))
    fingerprint: str = ""

    @cached_property
    def tenants_by_host(self) -> Mapping[str, Tenant]:
        """Each tenant by the host names that reach it, in lower case and without a port."""
        of_apps = {host: tenant for tenant in self.tenants for host in tenant.all_hosts}
        prefix = self.gateway.prefix
        return of_apps | {one.pages_host: one.at_pages_host(prefix) for one in self.tenants if one.pages_host}

    def tenant(self, tenant_id: str) -> Tenant | None:
        """The tenant named `tenant_id`."""
        return next((t for t in self.tenants if t.id == tenant_id), None)
