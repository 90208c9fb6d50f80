"""Checks the tenants of one gateway against each other.

A host identifies a tenant, so two tenants share none, also not that of their pages. A browser must never send a token
cookie to the host of another tenant. Two tenants on one realm need clients of their own, or the tokens of one would be
valid for the other. All users whose codes go through one channel share its rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.channel import Channel
from gateway.domain.policy import Policy
from gateway.domain.tenant import Tenant
from gateway.domain.urls import covers
from gateway.settings.source.diagnostics import Diagnostics

LONGEST_QUEUE = 10.0
"""Minutes that the last user at the start of a shift may wait for a code before the check warns."""


@dataclass(frozen=True, slots=True)
class TenantEntry:
    """One tenant, with the report of its file and the name of that file."""

    tenant: Tenant
    report: Diagnostics
    file: str


def check(entries: list[TenantEntry], channels: Mapping[str, Channel]) -> None:
    """Reports conflicts at the later file, and long queues at each tenant that shares the channel."""
    for number, entry in enumerate(entries):
        for other in entries[:number]:
            _check_pair(entry, other)
        for other in entries:
            if other is not entry:
                _check_cookie(entry, other)
    for channel in channels.values():
        _check_rate(channel, entries)


def _check_pair(entry: TenantEntry, other: TenantEntry) -> None:
    tenant, earlier = entry.tenant, other.tenant
    if tenant.id.lower() == earlier.id.lower():
        entry.report.error(("tenantId",), f"{tenant.id} is taken by {other.file}")
    pages, taken = ((one.pages_host,) if one.pages_host else () for one in (tenant, earlier))
    for host in (*tenant.all_hosts, *pages):
        if host in (*earlier.all_hosts, *taken):
            at_fault = "pages_host" if host == tenant.pages_host else "hosts"
            place = ("tenantSettings", "fqdn") if host == tenant.host else ("gateway", at_fault)
            entry.report.error(place, f"{host} already reaches tenant {earlier.id} ({other.file})")
    mine, theirs = tenant.keycloak, earlier.keycloak
    if (mine.url, mine.realm) != (theirs.url, theirs.realm):
        return
    at, also = ("tenantSettings", "keyCloak", "realm"), f"{mine.realm} is also tenant {earlier.id}'s ({other.file})"
    if mine.sign_in.client_id == theirs.sign_in.client_id:
        entry.report.error(at, f"{also}; two tenants on one realm need different sign-in clients")
    elif tenant.policy.enabled and earlier.policy.enabled:
        entry.report.warning(
            at,
            f"{also}: a user who enrolled at one of them cannot sign in at the other. Give each a realm of its own, or "
            "make them one tenant with gateway.hosts",
        )


def _check_cookie(entry: TenantEntry, other: TenantEntry) -> None:
    domain = entry.tenant.token_cookie.domain
    if covered := next((host for host in other.tenant.all_hosts if domain and covers(domain, host)), None):
        at = ("gateway", "token_cookie", "domain")
        entry.report.error(at, f"{domain} would send the token to {covered} of tenant {other.tenant.id}; leave it out")
        entry.report.mute(at)


def _check_rate(channel: Channel, entries: list[TenantEntry]) -> None:
    entries = [entry for entry in entries if entry.tenant.users and _sends_by(entry.tenant.policy, channel)]
    users, rate = sum(entry.tenant.users or 0 for entry in entries), channel.rate_per_minute
    if rate is None or users / rate <= LONGEST_QUEUE:
        return
    together = f" of {len(entries)} tenants together" if len(entries) > 1 else ""
    for entry in entries:
        entry.report.warning(
            ("gateway", "users"),
            f"{users} users{together}, and {channel.service_identifier} sends {rate} mails a minute: at shift start "
            f"the last one waits about {round(users / rate)} minutes for a code. Raise the server's limit and `rate`, "
            "or offer authenticator apps",
        )


def _sends_by(policy: Policy, channel: Channel) -> bool:
    return policy.enabled and any(method.channel == channel.service_identifier for method in policy.methods)
