"""What does `gateway.yaml` give to every tenant?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.channel import Channel, TlsSettings
from gateway.settings.built import Built


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What `gateway.yaml` gives to every tenant."""

    channels: Mapping[str, Channel]
    defaults: Mapping[str, Any]
    insecure_http: bool
    prefix: str
    languages: tuple[str, ...]
    built: Built
    keycloak_tls: TlsSettings = field(default=TlsSettings())
    upstream_tls: TlsSettings = field(default=TlsSettings())
