"""The services for the delivery of codes that the operator configured, by service identifier.

A kind that is not built is an error that names the built ones. The sections are not the types of `domain.channel`: the
file may only name the place of a password, and it has EFCX's names.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import Field

from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay, TlsSettings
from gateway.domain.setting_types import Count, HostName, Line, Seconds, matching
from gateway.domain.urls import is_loopback
from gateway.settings.files.field_types import Section
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.secret_refs import SecretSource
from gateway.settings.source.section_values import Resolver
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


MailAddress = Annotated[str, matching(_mail_address, "^[^ @]+@[^ @]+$")]
_RELAY = Relay("", 0)


class RelaySection(Section):
    """One SMTP server."""

    host: HostName
    """Name of the SMTP server."""

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


class ChannelSection(Section):
    """One configured service for the delivery of codes."""

    serviceIdentifier: Annotated[Line, Field(min_length=1)]
    """Name for `channelServiceIdentifier` of a tenant; for mail, as in EFCX, the mailbox."""

    type: ChannelType
    """EMAIL, SMS, RSA or EXTERNAL. The `channelType` of a tenant must be the same."""

    kind: ChannelKind
    """Service that does the work. With `smtp` the gateway makes the code and mails it."""

    sender: MailAddress | None = Field(default=None, alias="from")
    """Address in the mail's From. Default: the service identifier."""

    from_name: Line = ""
    """Name in the mail's From. Default: the tenant's name."""

    subject: Line = ""
    """Subject of the mail, which never contains the code. Default: a translated text."""

    relays: tuple[RelaySection, ...] = ()
    """SMTP servers. When a connection fails, the gateway tries the next one."""

    rate: Count | None = None
    """Maximum number of mails a minute that the servers accept. Default: no limit."""


def build(
    sections: tuple[ChannelSection, ...], report: Diagnostics, opener: Resolver, tls: TlsSettings
) -> Mapping[str, Channel]:
    """Makes the channels; reports what is wrong. `tls` is for relays without their own."""
    channels: dict[str, Channel] = {}
    for index, section in enumerate(sections):
        here = ("channels", index)
        if section.serviceIdentifier in channels:
            report.error(
                (*here, "serviceIdentifier"),
                f"{section.serviceIdentifier} is configured twice; a service identifier names one channel",
            )
            continue
        if section.kind not in BUILT:
            report.error((*here, "kind"), f"{section.kind.value} is not built yet; built: {_kinds(BUILT)}")
            continue
        kinds = KINDS_OF[section.type]
        if section.kind not in kinds:
            allowed = f"use {_kinds(kinds)}" if kinds else "it needs no channel"
            report.error((*here, "kind"), f"{section.kind.value} does not serve {section.type.value}; {allowed}")
            continue
        channels[section.serviceIdentifier] = BUILT[section.kind](section, here, report, opener, tls)
    return MappingProxyType(channels)


def invalid_names(written: object, good: Mapping[str, Channel]) -> frozenset[str]:
    """The service identifiers in `channels:` that made no channel; "" for an entry without one."""
    items = written if isinstance(written, list) else [None]
    names = [item.get("serviceIdentifier") if isinstance(item, dict) else None for item in items]
    return frozenset(name if isinstance(name, str) else "" for name in names) - good.keys()


def _kinds(kinds: Iterable[ChannelKind]) -> str:
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


BUILT = MappingProxyType({ChannelKind.SMTP: _mail_channel})
"""The kinds that this version has, each with the function that reads its keys."""
