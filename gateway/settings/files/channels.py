"""The services for the delivery of codes that the operator configured, by service identifier.

A kind that is not built is an error that names the built ones. Plain keys are those of `domain.channel.ChannelOptions`.
The others are here, because the file may only name the place of a password, and has EFCX's names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import Field

from gateway.delivery.smtp import one_address
from gateway.domain.channel import (
    KINDS_OF,
    MAIL_KINDS,
    REJECTIONS,
    Channel,
    ChannelKind,
    ChannelOptions,
    ChannelType,
    HttpService,
    MailSecurity,
    OtpManagerService,
    Relay,
    RsaOptions,
    RsaServer,
    RsaService,
    TlsSettings,
)
from gateway.domain.setting_types import SECTION, Count, HostName, InternalHost, Line, Seconds, ServiceUrl, matching
from gateway.domain.urls import is_loopback
from gateway.settings.files.service_section import ServiceSection
from gateway.settings.files.sinch import SinchSection
from gateway.settings.files.sms_http import SmsHttpSection
from gateway.settings.files.web_services import WebServicesSection
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.secret_refs import Resolver, SecretSource
from gateway.settings.source.validation import Section
from gateway.settings.source.yaml_source import Path

_MIXED_UP = (
    (MailSecurity.STARTTLS, 465, "tls, or port: 587"),
    (MailSecurity.TLS, 587, "starttls, or port: 465"),
    (MailSecurity.TLS, 25, "starttls, or port: 465"),
    (MailSecurity.NONE, 465, "tls, or port: 25"),
)
_PORTS = {MailSecurity.STARTTLS: 587, MailSecurity.TLS: 465, MailSecurity.NONE: 25}


def _mail_address(text: str) -> str:
    """The address as mails carry it: the domain in ASCII (IDNA). Few relays accept another local part."""
    address = one_address(text, unqualified=True)
    if address is None:
        raise ValueError("must be one mail address as otp@example.com")
    return address


MailAddress = Annotated[str, matching(_mail_address, "^[^ @]+@[^ @]+$")]
_RELAY = Relay("", 0)


SERVICE_KEYS: Mapping[ChannelKind, str] = MappingProxyType(
    {
        ChannelKind.SMS_HTTP: "sms_http",
        ChannelKind.OTP_MANAGER: "otp_manager",
        ChannelKind.RSA: "rsa",
        ChannelKind.WEB_SERVICES: "web_services",
        ChannelKind.SINCH: ChannelKind.SINCH.value,
    }
)
"""The key of the section that each kind of channel needs, in `ChannelSection`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtpManagerSection(OtpManagerService, ServiceSection):
    """EFCX's otp-manager, which makes, sends and verifies codes at the `Otp_Manager_Url` of each tenant."""

    __pydantic_config__ = SECTION

    def build(self, channel: "ChannelSection", at: Path, report: Diagnostics, resolver: Resolver) -> OtpManagerService:
        """The service."""
        for key, value in self.accepted.items():
            if value in REJECTIONS:
                report.error((*at, "accepted", key), f"{value} is how an otp-manager rejects a code")
        return OtpManagerService(**plain(self, OtpManagerService))


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaSection(RsaOptions, ServiceSection):
    """RSA Authentication Manager, called by its Authentication API."""

    __pydantic_config__ = SECTION

    url: ServiceUrl | None = None
    """Address of the Authentication API, as https://rsa.example.com:5555/. Default: each tenant's `RSA_Server_URL`."""

    client_id: Annotated[Line, MinLen(1)] | None = None
    """Name of the authentication agent that is registered for the gateway."""

    client_key: SecretSource | None = None
    """Access key of the Authentication API."""

    def build(self, channel: "ChannelSection", at: Path, report: Diagnostics, resolver: Resolver) -> RsaService:
        """The service; its server is None where the file names none."""
        if self.longest < self.shortest:
            report.error((*at, "longest"), f"{self.longest} is less than shortest ({self.shortest})")
        given = (self.url, self.client_id, self.client_key)
        server = None
        if self.url and self.client_id and self.client_key:
            server = RsaServer(self.url, self.client_id, resolver.secret(self.client_key, (*at, "client_key")))
        elif any(given):
            report.error(at, "url, client_id and client_key belong together; give all or none")
        return RsaService(server=server, **plain(self, RsaOptions))


class RelaySection(Section):
    """One SMTP server."""

    host: InternalHost
    """Name or address of the SMTP server."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the SMTP server. Default: 587 for `starttls`, 465 for `tls`, 25 for `none`."""

    security: MailSecurity = _RELAY.security
    """Protection of the connection: `starttls` (required, never optional), `tls` from the first byte, or `none`."""

    username: str | None = None
    """User name at the SMTP server. Default: no sign-in."""

    password: SecretSource | None = None
    """Password of `username`."""

    timeout: Seconds = _RELAY.timeout
    """Maximum seconds for the connection, and for each response."""

    tls: TlsSettings | None = None
    """Trust and client certificate for this server alone. Default: those of `tls`."""

    greeting: HostName = ""
    """Name with which the gateway greets the server (EHLO). Default: the name of this host, in a container a short
    one that some servers reject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSection(ChannelOptions):
    """One configured service for the delivery of codes."""

    __pydantic_config__ = SECTION

    serviceIdentifier: Annotated[Line, MinLen(1)]
    """Name for `channelServiceIdentifier` of a tenant; for mail, as in EFCX, the mailbox."""

    type: ChannelType
    """EMAIL, SMS, RSA or EXTERNAL. The `channelType` of a tenant must be the same."""

    kind: ChannelKind
    """Service that does the work. With `smtp` and `sms-http` the gateway makes the code and sends it."""

    sender: Annotated[MailAddress | None, Field(alias="from")] = None
    """Address in the mail's From. Default: the service identifier."""

    from_name: Line = ""
    """Name in the mail's From. Default: the tenant's name."""

    relays: tuple[RelaySection, ...] = ()
    """SMTP servers. When a connection fails, the gateway tries the next one."""

    rate: Count | None = None
    """Maximum number of messages a minute that the servers accept. Default: no limit."""

    sms_http: SmsHttpSection | None = None
    """SMS gateway of a channel of kind `sms-http`."""

    otp_manager: OtpManagerSection | None = None
    """EFCX's otp-manager of a channel of kind `otp-manager`."""

    web_services: WebServicesSection | None = None
    """Three XML web services of a channel of kind `web-services`."""

    rsa: RsaSection | None = None
    """RSA Authentication Manager of a channel of kind `rsa`."""

    sinch: SinchSection | None = None
    """Sinch Verification API, for a channel of type SMS and kind `sinch`."""


def build(
    sections: tuple[ChannelSection, ...],
    report: Diagnostics,
    resolver: Resolver,
    mail_tls: TlsSettings,
    tls: TlsSettings,
) -> Mapping[str, Channel]:
    """Makes the channels; reports what is wrong. `mail_tls` is for relays without their own, `tls` for services."""
    channels: dict[str, Channel] = {}
    for index, section in enumerate(sections):
        here, kind, kinds = ("channels", index), section.kind, KINDS_OF[section.type]
        if section.serviceIdentifier in channels:
            report.error(
                (*here, "serviceIdentifier"),
                f"{section.serviceIdentifier} is configured twice; a service identifier names one channel",
            )
        elif kind not in kinds:
            allowed = f"use {_kinds(kinds)}" if kinds else "it needs no channel"
            report.error((*here, "kind"), f"{kind.value} does not serve {section.type.value}; {allowed}")
        else:
            is_mail = _is_mail(section)
            channels[section.serviceIdentifier] = Channel(
                section.serviceIdentifier,
                section.type,
                kind,
                sender=_mail_sender(section, here, report) if is_mail else section.sender or "",
                sender_name=section.from_name,
                relays=tuple(
                    _relay(relay, (*here, "relays", n), report, resolver, mail_tls)
                    for n, relay in enumerate(section.relays)
                ),
                rate_per_minute=section.rate,
                service=_service(section, here, report, resolver, tls),
                **plain(section, ChannelOptions),
            )
    return MappingProxyType(channels)


def plain(section: Any, of: type[Any]) -> dict[str, Any]:
    """The keys of `section` whose values are used as the file has them: the fields of `of`."""
    return {field.name: getattr(section, field.name) for field in fields(of)}


def invalid_names(written: object, good: Mapping[str, Channel]) -> frozenset[str]:
    """The service identifiers in `channels:` that made no channel; "" for an entry without one."""
    items = written if isinstance(written, list) else [None]
    names = [item.get("serviceIdentifier") if isinstance(item, dict) else None for item in items]
    return frozenset(name if isinstance(name, str) else "" for name in names) - good.keys()


def _kinds(kinds: Iterable[ChannelKind]) -> str:
    return one_of(kind.value for kind in kinds)


def _is_mail(section: ChannelSection) -> bool:
    return section.type is ChannelType.EMAIL and section.kind in MAIL_KINDS


def _service(
    section: ChannelSection, at: Path, report: Diagnostics, resolver: Resolver, tls: TlsSettings
) -> HttpService | None:
    """The service of a channel that is called by HTTP; reports the section of another kind."""
    own = None if _is_mail(section) else SERVICE_KEYS.get(section.kind)
    for key in SERVICE_KEYS.values():
        if key != own and getattr(section, key) is not None:
            report.error((*at, key), f"is not for {section.type.value} by {section.kind.value}: leave it out")
    given = getattr(section, own) if own else None
    if own is None:
        return None
    if not isinstance(given, ServiceSection):
        report.error((*at, own), f"is missing: a channel of kind {section.kind.value} needs it")
        return None
    built = given.build(section, (*at, own), report, resolver)
    return replace(built, tls=resolver.tls(built.tls, (*at, own, "tls"), tls))


def _mail_sender(section: ChannelSection, at: Path, report: Diagnostics) -> str:
    """The sender of a channel for mail; reports what the kind lacks."""
    sender = section.sender or ""
    try:
        sender = sender or _mail_address(section.serviceIdentifier)
    except ValueError:
        report.error((*at, "from"), "is missing: the service identifier is no mail address, so name the sender")
    if not section.relays:
        report.error(
            (*at, "relays"), f"is missing: a channel of kind {section.kind.value} needs at least one SMTP server"
        )
    return sender


def _relay(section: RelaySection, at: Path, report: Diagnostics, resolver: Resolver, tls: TlsSettings) -> Relay:
    if (section.username is None) != (section.password is None):
        report.error(at, "username and password belong together; give both or none")
    if section.security is MailSecurity.NONE and not is_loopback(section.host):
        if section.username is not None:
            report.warning((*at, "security"), "none sends the mail password and the codes unprotected")
        else:
            report.hint((*at, "security"), "none sends the codes unprotected; use starttls or tls where you can")
    for security, port, right in _MIXED_UP:
        if section.security is security and section.port == port:
            report.warning((*at, "security"), f"{security.value} does not fit port {port}; write {right}")
    return Relay(
        section.host,
        section.port or _PORTS[section.security],
        section.security,
        section.username,
        resolver.secret(section.password, (*at, "password")) if section.password else None,
        resolver.tls(section.tls, (*at, "tls"), tls),
        section.timeout,
        section.greeting,
    )
