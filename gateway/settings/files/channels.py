"""Which ways to deliver codes did the operator configure?

`channels:` of `gateway.yaml` becomes `domain.channel.Channel` values by service identifier, one for each identifier.
A kind that is not built is an error that names those that are.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay, TlsSettings
from gateway.settings.features import Features
from gateway.settings.files.field_types import Choice, Count, HostName, Line, Seconds, Section, TlsSection, seen_as
from gateway.settings.files.urls import is_loopback
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.resolve import Resolver
from gateway.settings.source.secret_refs import SecretSource
from gateway.settings.source.yaml_source import Path

KINDS_OF: Mapping[ChannelType, tuple[ChannelKind, ...]] = MappingProxyType(
    {
        ChannelType.EMAIL: (ChannelKind.SMTP, ChannelKind.OTP_MANAGER, ChannelKind.SINCH),
        ChannelType.SMS: (ChannelKind.SMS_HTTP, ChannelKind.OTP_MANAGER, ChannelKind.SINCH),
        ChannelType.APP: (),
        ChannelType.RSA: (ChannelKind.RSA,),
        ChannelType.EXTERNAL: (ChannelKind.WEB_SERVICES,),
    }
)
_PORTS = {MailSecurity.STARTTLS: 587, MailSecurity.TLS: 465, MailSecurity.NONE: 25}


def _mail_address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as error:
        raise ValueError("must be one mail address as otp@example.com") from error


MailAddress = Annotated[str, AfterValidator(_mail_address), seen_as(pattern="^[^ @]+@[^ @]+$")]


class RelaySection(Section):
    """One SMTP server."""

    host: HostName
    """Name of the SMTP server."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Its port; default 587 for `starttls`, 465 for `tls`, 25 for `none`."""

    security: Choice[MailSecurity] = MailSecurity.STARTTLS
    """How the connection is protected: `starttls` (demanded, never optional), `tls` from the first byte, or `none`."""

    username: str | None = None
    """Name to sign in with; none means no sign-in."""

    password: SecretSource | None = None
    """Password to sign in with."""

    timeout: Seconds = 10.0
    """Seconds for connecting and for each answer."""

    tls: TlsSection | None = None
    """Trust and client certificate for this server alone."""


class ChannelSection(Section):
    """One pre-configured way to deliver codes."""

    serviceIdentifier: Annotated[Line, Field(min_length=1)]
    """The name that a tenant's `channelServiceIdentifier` uses; for mail, as in EFCX, the mailbox."""

    type: Choice[ChannelType]
    """EMAIL, SMS, RSA or EXTERNAL; a tenant's `channelType` must be the same."""

    kind: Choice[ChannelKind]
    """What does the work: `smtp` = the gateway makes the code and mails it."""

    sender: MailAddress | None = Field(default=None, alias="from")
    """The address in the mail's From; default the service identifier."""

    from_name: Line = ""
    """The name in the mail's From; default the tenant's name."""

    subject: Line = ""
    """The mail's subject; default a translated one. Never contains the code."""

    relays: list[RelaySection] = Field(default_factory=list)
    """SMTP servers, tried in this order when a connection fails."""

    rate: Count | None = None
    """Most mails a minute that the servers take."""


def build(
    sections: list[ChannelSection], report: Diagnostics, opener: Resolver, tls: TlsSettings, features: Features
) -> Mapping[str, Channel]:
    """The channels by service identifier; what is wrong goes to `report`. `tls` is for relays without their own."""
    channels: dict[str, Channel] = {}
    for index, section in enumerate(sections):
        here = ("channels", index)
        if section.serviceIdentifier in channels:
            report.error(
                (*here, "serviceIdentifier"),
                f"{section.serviceIdentifier} is configured twice; a service identifier names one channel",
            )
            continue
        if section.kind not in features.kinds:
            report.error((*here, "kind"), f"{section.kind.value} is not built yet; built: {_kinds(features.kinds)}")
            continue
        kinds = KINDS_OF[section.type]
        if section.kind not in kinds:
            allowed = f"use {_kinds(kinds)}" if kinds else "it needs no channel"
            report.error((*here, "kind"), f"{section.kind.value} does not serve {section.type.value}; {allowed}")
            continue
        channels[section.serviceIdentifier] = _mail_channel(section, here, report, opener, tls)
    return MappingProxyType(channels)


def invalid_names(written: object, good: Mapping[str, Channel]) -> frozenset[str]:
    """The service identifiers in `channels:` as it is written of which no channel came; "" for one without."""
    items = written if isinstance(written, list) else [None]
    names = [item.get("serviceIdentifier") if isinstance(item, dict) else None for item in items]
    return frozenset(name if isinstance(name, str) else "" for name in names) - good.keys()


def _kinds(kinds: tuple[ChannelKind, ...]) -> str:
    return one_of(kind.value for kind in kinds)


def _mail_channel(
    section: ChannelSection, at: Path, report: Diagnostics, opener: Resolver, tls: TlsSettings
) -> Channel:
    sender = section.sender
    if sender is None:
        try:
            sender = _mail_address(section.serviceIdentifier)
        except ValueError:
            report.error((*at, "from"), "is missing: the service identifier is no mail address, so name the sender")
            sender = ""
    if not section.relays:
        report.error((*at, "relays"), "is missing: a channel of kind smtp needs at least one SMTP server")
    return Channel(
        section.serviceIdentifier,
        section.type,
        section.kind,
        sender=sender,
        sender_name=section.from_name,
        subject=section.subject,
        relays=tuple(_relay(r, (*at, "relays", n), report, opener, tls) for n, r in enumerate(section.relays)),
        rate_per_minute=section.rate,
    )


def _relay(section: RelaySection, at: Path, report: Diagnostics, opener: Resolver, tls: TlsSettings) -> Relay:
    if (section.username is None) != (section.password is None):
        report.error(at, "username and password belong together; give both or none")
    if section.security is MailSecurity.NONE and not is_loopback(section.host):
        if section.username is not None:
            report.warning((*at, "security"), "none sends the mail password and the codes unprotected")
        else:
            report.hint((*at, "security"), "none sends the codes unprotected; use starttls or tls where you can")
    return Relay(
        section.host,
        section.port or _PORTS[section.security],
        section.security,
        section.username,
        opener.secret(section.password, (*at, "password")) if section.password else None,
        opener.tls(section.tls, (*at, "tls"), tls),
        section.timeout,
    )
