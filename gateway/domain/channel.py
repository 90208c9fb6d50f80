"""A pre-configured way to deliver or judge codes, named by its service identifier."""

from dataclasses import dataclass, field
from enum import Enum

from gateway.domain.secret import Secret


class ChannelType(Enum):
    """`channelType` of a tenant, in EFCX's words."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    APP = "APP"
    RSA = "RSA"
    EXTERNAL = "EXTERNAL"


class ChannelKind(Enum):
    """What does the work behind a channel."""

    SMTP = "smtp"
    OTP_MANAGER = "otp-manager"
    SINCH = "sinch"
    SMS_HTTP = "sms-http"
    RSA = "rsa"
    WEB_SERVICES = "web-services"


class MailSecurity(Enum):
    """How the connection to a relay is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Trust and identity of one outgoing connection; paths of PEM files. None means the system's own trust."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """One SMTP server."""

    host: str
    port: int
    security: MailSecurity = MailSecurity.STARTTLS
    username: str | None = None
    password: Secret | None = None
    tls: TlsSettings = TlsSettings()
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of `channels:`. `relays` (tried in order on connection failure only) belongs to kind `smtp`."""

    service_identifier: str
    type: ChannelType
    kind: ChannelKind
    sender: str = ""
    sender_name: str = ""
    subject: str = ""
    relays: tuple[Relay, ...] = field(default=())
    rate_per_minute: int | None = None
