"""What does `gateway.yaml` give to every tenant?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.channel import Channel, TlsSettings
from gateway.settings.features import Features


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """What `gateway.yaml` gives to every tenant.

    `invalid_channels` are the service identifiers of channels that have faults of their own, already told; "" is one
    whose identifier cannot be read.
    """

    channels: Mapping[str, Channel]
    invalid_channels: frozenset[str]
    defaults: Mapping[str, Any]
    insecure_http: bool
    prefix: str
    languages: tuple[str, ...]
    features: Features
    keycloak_tls: TlsSettings = field(default=TlsSettings())
    upstream_tls: TlsSettings = field(default=TlsSettings())
