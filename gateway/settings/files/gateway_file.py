"""What may stand in `gateway.yaml`: where the gateway runs, and as what?

The model of the file, and how it becomes `settings.snapshot.GatewaySettings`.
"""

from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.domain.channel import TlsSettings
from gateway.domain.configuration import Address, GatewaySettings, OperatorLimits, StoreSettings
from gateway.domain.secret import Secret
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import available
from gateway.settings.files.channels import ChannelSection
from gateway.settings.files.field_types import Count, Network, Seconds, Section, TlsSection, networks, seen_as
from gateway.settings.files.gateway_section import GatewaySection
from gateway.settings.files.urls import socket_address, store_url
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.resolve import Resolver
from gateway.settings.source.secret_refs import SecretSource

LEAST_TOKEN = 16
_OWN = OperatorLimits()


def _address(text: str) -> str:
    socket_address(text)
    return text


def _prefix(text: str) -> str:
    plain = text.isascii() and text.strip("/").replace("-", "").replace("_", "").isalnum()
    if not (text.startswith("/") and text.endswith("/") and (plain or text.strip("/") in ("-", "_", "~"))):
        raise ValueError("must be one segment between slashes, as /-/")
    if text.count("/") != 2:
        raise ValueError("must be one segment between slashes, as /-/")
    return text


def _steps(value: Any) -> Any:
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
    return value


SocketAddress = Annotated[str, AfterValidator(_address), seen_as(pattern="^.*:[0-9]{1,5}$")]


class TlsByClient(TlsSection):
    """Trust and client certificate of outgoing connections: for all, and for one kind of them."""

    keycloak: TlsSection | None = None
    """For Keycloak alone."""

    store: TlsSection | None = None
    """For Redis alone."""

    smtp: TlsSection | None = None
    """For mail servers alone."""

    upstreams: TlsSection | None = None
    """For apps alone."""


class StoreSection(Section):
    """Where logins, sessions and counters live."""

    url: SecretSource = SecretSource(value="memory://")
    """`memory://` for one process, else redis://…, rediss://… (TLS) or unix://… ."""

    prefix: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9:._-]+$")] = "efcx:"
    """What stands before every key."""

    timeout: Seconds = 0.25
    """Seconds until the store counts as down."""


class KeysSection(Section):
    """The key ring that seals registrations and sessions."""

    file: Annotated[str, Field(min_length=1)]
    """File of the ring (`efcx-gateway keys new`), relative to the folder of `gateway.yaml`; mode 0600."""


class LimitsSection(Section):
    """The operator's numbers, for every tenant; times in seconds."""

    failure_steps: Annotated[list[list[float]], BeforeValidator(_steps)] = Field(
        default=[[n, s] for n, s in _OWN.failure_steps]
    )
    """Failures of one user and factor over all logins, and for how many seconds each number, and each one beyond the
    last, locks him; a success or 24 hours in which he might have failed and did not begin the count anew."""

    sends_per_user: Count = _OWN.sends_per_user
    """Codes to one user in `sends_window`."""

    sends_per_address: Count = _OWN.sends_per_address
    """Codes sent to one e-mail address in `sends_window`, for whichever users."""

    sends_window: Seconds = _OWN.sends_window
    """The time in which sends are counted."""

    password_failures_per_user: Count = _OWN.password_failures_per_user
    """Wrong passwords of one user in `password_failures_window`."""

    password_failures_per_client: Count = _OWN.password_failures_per_client
    """Wrong passwords from one client address; a whole contact centre may share one."""

    password_failures_window: Seconds = _OWN.password_failures_window
    """The time in which wrong passwords are counted."""

    grants_per_user_waiting: Count = _OWN.grants_per_user_waiting
    """Password checks of one user name that may wait, in one process."""

    grants_per_user_and_client: Count = _OWN.grants_per_user_and_client
    """Of these, password checks from one client address."""

    grants_at_once: Count = _OWN.grants_at_once
    """Password checks under way at one time, in one process."""

    grant_wait: Seconds = _OWN.grant_wait
    """How long a password check may wait for its turn."""

    login_idle: Seconds = _OWN.login_idle
    """How long an unfinished login lives after its last step."""

    login_absolute: Seconds = _OWN.login_absolute
    """How long an unfinished login lives in all."""


class GatewayFile(Section):
    """Where the gateway runs and what all tenants share."""

    listen: SocketAddress = "127.0.0.1:8080"
    """Address and port for browsers (or the load balancer before them)."""

    operations: SocketAddress = "127.0.0.1:9090"
    """Address and port of health and metrics; never the public one."""

    operations_token: SecretSource | None = None
    """Who sends it as `Authorization: Bearer` reads in `/health/ready` also why something fails; 16 characters or
    more. Without it nobody does."""

    trusted_proxies: list[Network] = Field(default_factory=list)
    """Addresses or networks whose X-Forwarded-For is believed."""

    insecure_http: bool = False
    """Allow tenants with an http `public_url` on other names than loopback: cookies then travel unprotected."""

    prefix: Annotated[str, AfterValidator(_prefix), seen_as(pattern="^/[A-Za-z0-9_~-]+/$")] = "/-/"
    """Where the gateway's own pages are, on every host."""

    tenants: Annotated[str, Field(min_length=1)] = "tenants"
    """Folder of the tenant files (.yaml, .yml, .json), relative to this file."""

    store: StoreSection = StoreSection()
    """Where logins, sessions and counters live."""

    keys: KeysSection | None = None
    """The key ring; needed with Redis, made once beside this file with `memory://`."""

    tls: TlsByClient = TlsByClient()
    """Trust and client certificate of outgoing connections."""

    channels: list[ChannelSection] = Field(default_factory=list)
    """Pre-configured ways to deliver codes."""

    defaults: GatewaySection = GatewaySection()
    """A `gateway:` section merged under every tenant's own."""

    limits: LimitsSection = LimitsSection()
    """The operator's numbers, for every tenant."""

    languages: list[str] = Field(default=["en", "ar", "ur"], min_length=1)
    """Languages offered on pages, the first one when nothing else decides."""

    shutdown_timeout: Seconds = 30.0
    """Seconds from SIGTERM to the end of the process, whatever is still under way. A supervisor must wait longer than
    that before it kills the process."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on the log is written."""

    audit_file: str = ""
    """A file that gets a copy of every audit event, relative to this file; mode 0600."""


def build(section: GatewayFile, folder: FilePath, report: Diagnostics, opener: Resolver) -> GatewaySettings:
    """The settings; what is wrong goes to `report`."""
    everyone = everyones_tls(section, opener)
    url = opener.secret(section.store.url, ("store", "url"))
    try:
        store_url(url.reveal() or "memory://")
    except ValueError as error:
        report.error(("store", "url"), str(error))
        url = Secret("")
    store = StoreSettings(
        url or Secret("memory://"),
        section.store.prefix,
        section.store.timeout,
        opener.tls(section.tls.store, ("tls", "store"), everyone),
    )
    if not store.in_memory and section.keys is None:
        report.error(
            ("keys",),
            "is missing: with a Redis store name the key ring, keys: {file: …}; efcx-gateway keys new writes one",
        )
    listen, operations = Address(*socket_address(section.listen)), Address(*socket_address(section.operations))
    if listen == operations and listen.port:
        report.error(("operations",), "must not be the address of listen")
    token = opener.secret(section.operations_token, ("operations_token",)) if section.operations_token else Secret("")
    if section.operations_token and 0 < len(token.reveal()) < LEAST_TOKEN:
        report.error(("operations_token",), f"must have {LEAST_TOKEN} characters or more")
    for number, language in enumerate(section.languages):
        if language not in available(data_root() / "locales"):
            ready = one_of(available(data_root() / "locales"))
            report.error(("languages", number), f"{language!r} has no translations; allowed: {ready}")
    for number, network in enumerate(networks(section.trusted_proxies)):
        if network.prefixlen == 0:
            report.error(
                ("trusted_proxies", number),
                "lets everybody say which address he comes from; name the addresses of your proxies",
            )
    limits = section.limits.model_dump(exclude={"failure_steps"})
    return GatewaySettings(
        listen=listen,
        operations=operations,
        operations_token=token,
        store=store,
        keys_file=str(folder / section.keys.file) if section.keys else "",
        trusted_proxies=networks(section.trusted_proxies),
        prefix=section.prefix,
        insecure_http=section.insecure_http,
        languages=tuple(section.languages),
        limits=OperatorLimits(
            failure_steps=tuple((int(n), float(s)) for n, s in section.limits.failure_steps), **limits
        ),
        shutdown_timeout=section.shutdown_timeout,
        log_level=section.log_level,
        audit_file=str(folder / section.audit_file) if section.audit_file else "",
    )


def everyones_tls(section: GatewayFile, opener: Resolver) -> TlsSettings:
    """What `tls:` says for every outgoing connection."""
    return opener.tls(TlsSection(**section.tls.model_dump(include=set(TlsSection.model_fields))), ("tls",))
