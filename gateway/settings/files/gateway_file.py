"""`gateway.yaml`: the settings of the process, and everything that all tenants share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import Field, TypeAdapter

from gateway.domain import urls
from gateway.domain.channel import Channel, TlsSettings
from gateway.domain.configuration import Address, GatewayOptions, GatewaySettings, OtpManagerSettings, StoreSettings
from gateway.domain.secret import Secret
from gateway.domain.setting_types import SECTION, Network, Seconds, matching
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import available
from gateway.settings.features import Features
from gateway.settings.files import channels
from gateway.settings.files.channels import ChannelSection
from gateway.settings.files.gateway_section import GatewaySection
from gateway.settings.files.sinch import SINCH_ENTRY
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.secret_refs import CredentialsSection, Resolver, SecretSource
from gateway.settings.source.validation import Section
from gateway.settings.source.yaml_source import Document

LEAST_TOKEN = 16
_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{32,128}")
"""32 hexadecimal digits have 128 bits."""
_LEAST_VARIETY = 8
"""Different characters of a random text of that length, and more."""
_STORE = StoreSettings(Secret("memory://"))


def _address(text: str) -> str:
    urls.socket_address(text)
    return text


SocketAddress = Annotated[str, matching(_address, "^.*:[0-9]{1,5}$")]


@dataclass(frozen=True, slots=True)
class TlsByClient(TlsSettings):
    """Trust and client certificate of outgoing connections, for all of them and for each kind."""

    __pydantic_config__ = SECTION

    keycloak: TlsSettings | None = None
    """Trust and client certificate for Keycloak alone."""

    store: TlsSettings | None = None
    """Trust and client certificate for Redis alone."""

    smtp: TlsSettings | None = None
    """Trust and client certificate for mail servers alone."""

    upstreams: TlsSettings | None = None
    """Trust and client certificate for apps alone."""


# Not `domain.configuration.StoreSettings`: the file may only name the place of the URL, and has `tls` elsewhere.
class StoreSection(Section):
    """Storage of logins, sessions and counters."""

    url: SecretSource = SecretSource(value=_STORE.url.value)
    """Address of the store: `memory://` for one process, else redis://…, rediss://… (TLS) or unix://… ."""

    prefix: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9:._-]+$")] = _STORE.prefix
    """Beginning of every key in the store."""

    timeout: Seconds = _STORE.timeout
    """Seconds until the store counts as down."""

    session_copies: Annotated[float, Field(ge=0, le=60)] = _STORE.session_copies
    """Seconds for which a process may use its copy of a session. `0` reads the store for each request. A sign-out
    drops the copies of all processes at once."""


class SecretsSection(Section):
    """Named secrets, as the vendor's own product has them. Each replaces those of the channels that it is for."""

    sinch: CredentialsSection | None = Field(None, alias=SINCH_ENTRY)
    """Secret of every channel of kind `sinch`."""


class KeysSection(Section):
    """Key ring that seals enrolments and sessions."""

    file: Annotated[str, Field(min_length=1)] | None = None
    """File of the key ring (`efcx-gateway keys new`), relative to the folder of `gateway.yaml`. The gateway's user or
    group alone may read it, or it is on a read-only mount."""

    env: Annotated[str, Field(min_length=1)] | None = None
    """Environment variable with the content of such a file, instead of `file`."""


class OtpManagerServerSection(Section):
    """Listener on which the gateway answers as EFCX's otp-manager, for EFCX's own login. Off without this section."""

    listen: SocketAddress
    """Address and port, other than those of `listen` and `operations`. Keep it off the public network."""

    secret: SecretSource
    """First segment of the address: 128 random bits or more, as `openssl rand -hex 32` prints them. With the secret
    `s` a tenant's `Otp_Manager_Url` is `http://gateway:3000/s/`."""

    clients: Annotated[tuple[Network, ...], MinLen(1)]
    """Addresses or networks of EFCX's services. Any other client gets 404."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFile(GatewayOptions):
    """Settings of the process, and everything that all tenants share."""

    __pydantic_config__ = SECTION

    listen: SocketAddress = "127.0.0.1:8080"
    """Address and port for browsers, or for the load balancer in front of the gateway."""

    operations: SocketAddress = "127.0.0.1:9090"
    """Address and port of health and metrics. Keep it off the public network."""

    operations_token: SecretSource | None = None
    """Token of 16 characters or more. A client that sends it as `Authorization: Bearer` also reads in `/health/ready`
    why a check fails, and is the operator of the API on the port `operations`. With `memory://`, `efcx-gateway user`
    sends it from the gateway's host. Default: no token."""

    tenants: Annotated[str, MinLen(1)] = "tenants"
    """Folder of the tenant files (.yaml, .yml, .json), relative to this file."""

    store: StoreSection = StoreSection()
    """Storage of logins, sessions and counters."""

    keys: KeysSection | None = None
    """Key ring. Redis requires it; with `memory://` the gateway makes one beside this file."""

    tls: TlsByClient = TlsByClient()
    """Trust and client certificate of outgoing connections."""

    channels: tuple[ChannelSection, ...] = ()
    """Configured services that deliver codes."""

    defaults: GatewaySection = GatewaySection()
    """A `gateway:` section that the gateway merges under the section of every tenant."""

    otp_manager_server: OtpManagerServerSection | None = None
    """Listener on which the gateway answers as EFCX's otp-manager."""

    secrets: SecretsSection = SecretsSection()
    """Named secrets, as the vendor's own product has them."""

    audit_file: str = ""
    """File that gets a copy of every audit event, relative to this file; mode 0600. Default: no copy."""


FILE = TypeAdapter(GatewayFile)


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Everything that `gateway.yaml` gives to every tenant.

    `invalid_channels` are the service identifiers of channels with faults of their own, which are reported already; ""
    is one whose identifier cannot be read.
    """

    gateway: GatewaySettings
    channels: Mapping[str, Channel]
    invalid_channels: frozenset[str]
    defaults: Mapping[str, Any]
    features: Features
    keycloak_tls: TlsSettings
    upstream_tls: TlsSettings


def build(
    section: GatewayFile, document: Document, report: Diagnostics, resolver: Resolver, features: Features
) -> SharedSettings:
    """Makes the settings of the process and those of all tenants; reports what is wrong."""
    everyone = resolver.tls(section.tls, ("tls",))
    store_tls, smtp, keycloak, upstreams = (
        resolver.tls(getattr(section.tls, name), ("tls", name), everyone)
        for name in ("store", "smtp", "keycloak", "upstreams")
    )
    if section.secrets.sinch:
        resolver.named[SINCH_ENTRY] = section.secrets.sinch
    services = channels.build(section.channels, report, resolver, smtp, everyone)
    defaults = document.data.get("defaults")
    return SharedSettings(
        gateway=_settings(section, store_tls, report, resolver),
        channels=services,
        invalid_channels=channels.invalid_names(document.data.get("channels", []), services),
        defaults=defaults if isinstance(defaults, dict) else {},
        features=features,
        keycloak_tls=keycloak,
        upstream_tls=upstreams,
    )


def _settings(section: GatewayFile, store_tls: TlsSettings, report: Diagnostics, resolver: Resolver) -> GatewaySettings:
    folder = resolver.folder
    url = resolver.secret(section.store.url, ("store", "url"))
    try:
        urls.store_url(url.value or "memory://")
    except ValueError as error:
        report.error(("store", "url"), str(error))
        url = Secret("")
    store = StoreSettings(
        url or _STORE.url,
        section.store.prefix,
        section.store.timeout,
        session_copies=section.store.session_copies,
        tls=store_tls,
    )
    if not store.in_memory and section.keys is None:
        report.error(
            ("keys",),
            "is missing: with a Redis store name the key ring, keys: {file: …}; efcx-gateway keys new writes one",
        )
    if section.keys and (section.keys.file is None) is (section.keys.env is None):
        report.error(("keys",), "needs one of file: and env:")
    listen, operations = (
        Address(*urls.socket_address(section.listen)),
        Address(*urls.socket_address(section.operations)),
    )
    if listen == operations and listen.port:
        report.error(("operations",), "must not be the address of listen")
    token = resolver.secret(section.operations_token, ("operations_token",)) if section.operations_token else Secret("")
    if section.operations_token and 0 < len(token.value) < LEAST_TOKEN:
        report.error(("operations_token",), f"must have {LEAST_TOKEN} characters or more")
    translated = available(data_root() / "locales")
    for number, language in enumerate(section.languages):
        if language not in translated:
            report.error(("languages", number), f"{language!r} has no translations; allowed: {one_of(translated)}")
    for number, network in enumerate(section.trusted_proxies):
        if network.prefixlen == 0:
            report.error(
                ("trusted_proxies", number),
                "lets every client claim any address; name the addresses of your proxies",
            )
    return GatewaySettings(
        listen=listen,
        operations=operations,
        operations_token=token,
        store=store,
        otp_manager_server=_otp_manager_server(section, (listen, operations), report, resolver),
        keys_file=str(folder / section.keys.file) if section.keys and section.keys.file else "",
        keys_variable=section.keys.env or "" if section.keys else "",
        audit_file=str(folder / section.audit_file) if section.audit_file else "",
        **{field.name: getattr(section, field.name) for field in fields(GatewayOptions)},
    )


def _otp_manager_server(
    file: GatewayFile, others: tuple[Address, ...], report: Diagnostics, resolver: Resolver
) -> OtpManagerSettings | None:
    section = file.otp_manager_server
    if section is None:
        return None
    at, listen = ("otp_manager_server",), Address(*urls.socket_address(section.listen))
    if listen.port and listen in others:
        report.error((*at, "listen"), "must be an address of its own, not that of listen or operations")
    secret = resolver.secret(section.secret, (*at, "secret"))
    if secret and (not _PATH_SECRET.fullmatch(secret.value) or len(set(secret.value)) < _LEAST_VARIETY):
        report.error((*at, "secret"), "must have 128 random bits or more, as letters and digits: openssl rand -hex 32")
    for number, network in enumerate(section.clients):
        if network.prefixlen == 0:
            report.error((*at, "clients", number), "lets every client ask for codes; name the addresses of EFCX")
    return OtpManagerSettings(listen, secret, section.clients)
