"""Reports what others could read, forge or misuse, although every value is valid.

Plain connections to other machines, networks of proxies that are too wide, cookies and ports for more than one host,
and a key ring that is missing or open. Most are warnings: an operator may have a reason that no file shows.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from pathlib import Path
from urllib.parse import urlsplit

from gateway.domain.configuration import GatewaySettings, OperatorLimits
from gateway.domain.errors import Misconfigured
from gateway.domain.policy import OnMaximum
from gateway.domain.setting_types import Network
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.domain.urls import is_loopback
from gateway.settings import key_ring
from gateway.settings.checks.tenant_conflicts import TenantEntry
from gateway.settings.source.diagnostics import Diagnostics

_WIDE = {4: 8, 6: 16}
"""Prefix lengths below which a network has more addresses than any operator."""


def check(
    gateway: GatewaySettings,
    entries: Sequence[TenantEntry],
    report: Diagnostics,
    environment: Mapping[str, str],
) -> None:
    """Reports at `gateway.yaml`, and at the file of each tenant."""
    if gateway.forward_auth and not gateway.trusted_proxies:
        proxy = gateway.forward_auth.value
        report.error(("forward_auth",), f"answers no proxy; name the addresses of {proxy} in trusted_proxies")
    _check_proxies(gateway.trusted_proxies, [entry.tenant for entry in entries], report)
    _check_key_ring(gateway, report, environment)
    if host := _in_plain(gateway.store.url.value):
        report.warning(("store", "url"), f"sends password and sessions to {host} unprotected; use rediss:// (TLS)")
    if gateway.operations.everywhere:
        report.hint(
            ("operations",),
            "is on all addresses: publish this port nowhere, or write 127.0.0.1 where probes come from this machine",
        )
    _check_locks(gateway.limits, [entry.tenant for entry in entries], report)
    for entry in entries:
        _check_connections(entry)
        _check_browsers(entry, gateway.trusted_proxies)


def _in_plain(url: str) -> str:
    """The host, when this is a connection without TLS to another machine; else ""."""
    scheme = url.partition("://")[0]
    host = (urlsplit(url).hostname or "") if scheme in ("http", "redis") else ""
    return "" if is_loopback(host) else host


def _check_proxies(networks: Sequence[Network], tenants: Sequence[Tenant], report: Diagnostics) -> None:
    at = ("trusted_proxies",)
    https = next((tenant for tenant in tenants if tenant.secure), None)
    if not networks and https:
        report.warning(
            at,
            f"is empty, but {https.public_url} needs a proxy for TLS in front: all users then have its address, and "
            "share the limits of one address. Name the proxy, as [10.0.0.5]",
        )
    old = collapse_addresses([network for network in networks if isinstance(network, IPv4Network)])
    new = collapse_addresses([network for network in networks if isinstance(network, IPv6Network)])
    wholes: list[Network] = [*old, *new]
    for whole in wholes:
        if whole.prefixlen == 0 and whole not in networks:  # one network of all addresses is reported where it is
            report.error(at, "together let every client claim any address; name the addresses of your proxies")
        elif 0 < whole.prefixlen < _WIDE[whole.version]:
            report.warning(
                at,
                f"let each client in {whole} claim any address, and no network of proxies is so large; name the "
                "addresses of your proxies",
            )


def _check_key_ring(gateway: GatewaySettings, report: Diagnostics, environment: Mapping[str, str]) -> None:
    try:
        if gateway.keys_variable:
            key_ring.from_environment(gateway.keys_variable, environment)
        elif gateway.keys_file and not (gateway.store.in_memory and not Path(gateway.keys_file).exists()):
            key_ring.read(Path(gateway.keys_file))
    except Misconfigured as error:
        report.warning(("keys", "env" if gateway.keys_variable else "file"), str(error))


def _check_locks(limits: OperatorLimits, tenants: Sequence[Tenant], report: Diagnostics) -> None:
    without = [t.id for t in tenants if t.policy.enabled and t.policy.on_max_verify is not OnMaximum.LOCK]
    if without and limits.failure_steps == OperatorLimits().failure_steps:
        count, seconds = limits.failure_steps[0]
        report.hint(
            ("limits", "failure_steps"),
            f"locks a user for {seconds:g} s after {count} wrong codes in all logins; the preset of "
            f"{', '.join(without)} itself has no such lock. Larger numbers, as [[50, 300]], lock later",
        )


def _check_connections(entry: TenantEntry) -> None:
    tenant, report = entry.tenant, entry.report
    if host := _in_plain(tenant.keycloak.url):
        report.warning(
            ("tenantSettings", "keyCloak", "auth-server-url"),
            f"sends passwords and client secrets to {host} unprotected; use https:// unless the network is yours alone",
        )
    if plain := [host for route in tenant.routes if (host := _in_plain(route.to))]:
        report.hint(
            ("gateway", "routes"),
            f"send the users' tokens to {', '.join(dict.fromkeys(plain))} unprotected; use https:// unless the network "
            "is yours alone",
        )
    if tenant.secure and (origin := next((o for o in sorted(tenant.origins) if o.startswith("http://")), None)):
        report.warning(
            ("gateway", "origins"),
            f"{origin} is not protected on the network: an attacker there can act as its pages. Write https://",
        )


def _check_browsers(entry: TenantEntry, proxies: Sequence[Network]) -> None:
    tenant, report = entry.tenant, entry.report
    domain = tenant.token_cookie.domain
    if domain and domain not in tenant.all_hosts:
        report.warning(
            ("gateway", "token_cookie", "domain"),
            f"sends the token to every host below {domain}; leave the domain out if one host has all apps",
        )
    for number, desks in enumerate(tenant.never_trust_from):
        around = [proxy for proxy in proxies if proxy.version == desks.version and proxy.overlaps(desks)]
        if around:
            report.warning(
                ("gateway", "never_trust_from", number),
                f"{desks} overlaps trusted_proxies ({around[0]}): users there can claim any address. Name in "
                "trusted_proxies the proxies alone",
            )
    for number, route in enumerate(tenant.routes):
        if tenant.policy.enabled and route.second_factor is RouteFactor.OFF:
            report.hint(
                ("gateway", "routes", number, "second_factor"),
                f"is an extension: preset {tenant.policy.preset} itself has no app without the second factor",
            )
