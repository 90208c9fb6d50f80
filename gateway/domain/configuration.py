"""What may one request know of settings?

`Configuration` is one frozen value, swapped whole on reload: tenant, channel and policy are read from it and passed
on as arguments. A login pins the policy it began with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from gateway.domain.channel import Channel, TlsSettings
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Address:
    """A listening socket."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`url` is `memory://`, `redis://…`, `rediss://…` or `unix://…`; `prefix` stands before every key."""

    url: Secret
    prefix: str = "efcx:"
    timeout: float = 0.25
    tls: TlsSettings = TlsSettings()

    @property
    def in_memory(self) -> bool:
        """Whether state lives in this one process."""
        return self.url.reveal().startswith("memory:")


@dataclass(frozen=True, slots=True)
class OperatorLimits:
    """The operator's numbers, for every tenant. Seconds where a time is meant.

    `failure_steps`: failures of one user and factor over all logins → locked for (FEATURES, "In every preset").
    """

    failure_steps: tuple[tuple[int, float], ...] = ((10, 300.0), (20, 1800.0), (50, 86400.0))
    sends_per_user: int = 10
    sends_per_address: int = 200
    sends_window: float = 3600.0
    password_failures_per_user: int = 10
    password_failures_per_client: int = 300
    password_failures_window: float = 300.0
    grants_per_user_waiting: int = 5
    grants_per_user_and_client: int = 2
    grants_at_once: int = 20
    grant_wait: float = 20.0
    login_idle: float = 900.0
    login_absolute: float = 3600.0


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the gateway runs."""

    listen: Address
    operations: Address
    store: StoreSettings
    operations_token: Secret = Secret("")
    keys_file: str = ""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    prefix: str = "/-/"
    insecure_http: bool = False
    languages: tuple[str, ...] = ("en", "ar", "ur")
    limits: OperatorLimits = OperatorLimits()
    shutdown_timeout: float = 30.0
    log_level: str = "info"
    audit_file: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that settings say, checked as a whole. `fingerprint` names exactly these bytes."""

    gateway: GatewaySettings
    tenants: tuple[Tenant, ...]
    channels: Mapping[str, Channel] = field(default_factory=lambda: MappingProxyType({}))
    fingerprint: str = ""

    def tenant_of_host(self, host: str) -> Tenant | None:
        """The tenant that `host` (lower case, without a port) reaches; None is a 421."""
        return next((t for t in self.tenants if host in t.all_hosts), None)

    def tenant(self, tenant_id: str) -> Tenant | None:
        """The tenant named `tenant_id`."""
        return next((t for t in self.tenants if t.id == tenant_id), None)
