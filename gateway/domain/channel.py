"""A configured service that delivers or verifies codes, named by its service identifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Annotated

from annotated_types import Interval, MinLen

from gateway.domain.secret import Secret
from gateway.domain.setting_types import SECTION, Line, Seconds


class ChannelType(Enum):
    """`channelType` of a tenant, in EFCX's words."""

    EMAIL = "EMAIL"
    SMS = "SMS"
    APP = "APP"
    RSA = "RSA"
    EXTERNAL = "EXTERNAL"


class ChannelKind(Enum):
    """The service that delivers or verifies the codes of a channel."""

    SMTP = "smtp"
    OTP_MANAGER = "otp-manager"
    SINCH = "sinch"
    SMS_HTTP = "sms-http"
    RSA = "rsa"
    WEB_SERVICES = "web-services"


KINDS_OF: Mapping[ChannelType, tuple[ChannelKind, ...]] = MappingProxyType(
    {
        ChannelType.EMAIL: (ChannelKind.SMTP, ChannelKind.OTP_MANAGER, ChannelKind.SINCH),
        ChannelType.SMS: (ChannelKind.SMS_HTTP, ChannelKind.OTP_MANAGER, ChannelKind.SINCH),
        ChannelType.APP: (),
        ChannelType.RSA: (ChannelKind.RSA,),
        ChannelType.EXTERNAL: (ChannelKind.WEB_SERVICES,),
    }
)
"""The kinds that serve each type; an authenticator app needs no channel."""
MAIL_KINDS = (ChannelKind.SMTP, ChannelKind.SINCH)
"""The kinds whose mails the gateway sends itself: Sinch's API for mail is not public."""
REJECTIONS = ("OTP_INVALID", "OTP_EXPIRED", "OTP_MAX_ATTEMPTS")
"""The words with which an otp-manager rejects a code."""


class MailSecurity(Enum):
    """Protection of the connection to a relay."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Trust and identity of outgoing connections: names of PEM files, relative to the folder of `gateway.yaml`."""

    __pydantic_config__ = SECTION

    ca_file: str | None = None
    """Certificates of the authorities to trust. Default: those of the system."""

    certificate_file: str | None = None
    """Certificate of the gateway with its chain, for a peer that asks for one."""

    key_file: str | None = None
    """Private key of `certificate_file`. Default: the key in that file."""


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
    greeting: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptions:
    """The keys of an entry of `channels:` whose values are used as the file has them."""

    __pydantic_config__ = SECTION

    subject: Line = ""
    """Subject of the mail, which never contains the code. Default: a translated text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpService:
    """Base of the services that the gateway calls by HTTP; each kind has one class with its own settings.

    `tls` has the files of this service, else those of the operator.
    """

    __pydantic_config__ = SECTION

    timeout: Seconds = 10.0
    """Maximum seconds for one call."""

    tls: TlsSettings | None = None
    """Trust and client certificate for this service alone. Default: those of `tls`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtpManagerService(HttpService):
    """EFCX's otp-manager, which makes, sends and verifies codes at the `Otp_Manager_Url` of each tenant."""

    __pydantic_config__ = SECTION

    accepted: Annotated[Mapping[Line, str | int | bool], MinLen(1)] = field(hash=False)
    """Keys of the response with which the otp-manager accepts a code, each with its exact value, as
    `{message: OTP_VERIFIED}`. A dot leads into an inner object. EFCX does not publish this response, so it has no
    default: look at yours."""

    app_name: Annotated[Line, MinLen(1)] = "efcx-gateway"
    """Name of the app in each request. A code belongs to one app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaOptions(HttpService):
    """The keys of an RSA Authentication Manager whose values are used as the file has them."""

    __pydantic_config__ = SECTION

    shortest: Annotated[int, Interval(ge=4, le=64)] = 14
    """Minimum number of characters of a passcode: the PIN and the code of the token. EFCX: 8 and 6."""

    longest: Annotated[int, Interval(ge=4, le=64)] = 14
    """Maximum number of characters of a passcode."""

    assurance_policy: Line = ""
    """Name of the access policy, for RSA's Cloud Authentication Service only."""


@dataclass(frozen=True, slots=True)
class RsaServer:
    """An RSA Authentication Manager, and the agent as which the gateway calls it. `url` ends in `/`."""

    url: str
    client_id: str
    client_key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaService(RsaOptions):
    """`server` is for tenants without their own."""

    server: RsaServer | None = None


class SinchAuthentication(Enum):
    """How requests to the Sinch Verification API prove that they are ours."""

    BASIC = "basic"
    SIGNED = "application-signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SinchService(HttpService):
    """The Sinch Verification API at `endpoint` (no path). `secret` belongs to the app `key` of the operator there."""

    endpoint: str
    authentication: SinchAuthentication
    key: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Channel(ChannelOptions):
    """One entry of `channels:`.

    `relays` (tried in order on connection failure only) belongs to kind `smtp`, `service` to the kinds that use HTTP.
    """

    service_identifier: str
    type: ChannelType
    kind: ChannelKind
    sender: str = ""
    sender_name: str = ""
    relays: tuple[Relay, ...] = ()
    rate_per_minute: int | None = None
    service: HttpService | None = None
