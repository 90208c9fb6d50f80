"""Checks the tenants whose codes EFCX's otp-manager makes: it has an address, it is none of this gateway's own.

An address that leads back here would send each code in a circle, and the gateway would judge codes of its own as those
of another party.
"""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from gateway.domain.channel import Channel, ChannelKind
from gateway.domain.configuration import GatewaySettings
from gateway.domain.policy import SharedAddress
from gateway.domain.tenant import Tenant
from gateway.domain.urls import is_loopback, service_url
from gateway.settings.checks.tenant_conflicts import TenantEntry

_AT = ("tenantSettings", "keyCloak", "Otp_Manager_Url")
_PORTS = {"http": 80, "https": 443}
_SHARED = ("tenantSettings", "twoFAConfigs", "sharedAddress")


def check(gateway: GatewaySettings, entries: Iterable[TenantEntry], channels: Mapping[str, Channel]) -> None:
    """Reports at the file of each tenant that uses a channel of kind `otp-manager`."""
    entries = tuple(entries)
    tenants = [entry.tenant for entry in entries]
    for entry in entries:
        policy = entry.tenant.policy
        used = [channels[m.channel] for m in policy.offered if m.channel and m.channel in channels]
        if policy.enabled and any(channel.kind is ChannelKind.OTP_MANAGER for channel in used):
            _check(entry, gateway, tenants)


def _check(entry: TenantEntry, gateway: GatewaySettings, tenants: Sequence[Tenant]) -> None:
    url = entry.tenant.keycloak.otp_manager_url
    if not url:
        entry.report.error(_AT, "is missing: the channel of this tenant asks an otp-manager there")
    elif problem := _problem(url):
        entry.report.error(_AT, problem)
    elif _is_own(url, gateway, tenants):
        entry.report.error(_AT, "leads back to this gateway; write the address of EFCX's own, or use kind: smtp")
    if entry.tenant.policy.shared_address is SharedAddress.SEPARATE:
        entry.report.error(
            _SHARED, "'separate' is not possible: an otp-manager keeps one code for an address; write newest"
        )


def _problem(url: str) -> str:
    try:
        service_url(url)
    except ValueError as error:
        return str(error)
    return ""


def _is_own(url: str, gateway: GatewaySettings, tenants: Sequence[Tenant]) -> bool:
    """Whether `url` names a tenant's public port, a port of this process, or the secret of its own otp-manager."""
    found, server = urlsplit(url), gateway.otp_manager_server
    if server and server.secret.value in found.path.split("/"):  # whatever the name of the host is inside the cluster
        return True
    port = found.port or _PORTS[found.scheme]
    listening = (gateway.listen, gateway.operations, *((server.listen,) if server else ()))
    if is_loopback(found.hostname or ""):
        return port in {address.port for address in listening}
    public = (urlsplit(tenant.public_url).port for tenant in tenants if found.hostname in tenant.all_hosts)
    return port in {*_PORTS.values(), *(address.port for address in listening), *public} and any(
        found.hostname in tenant.all_hosts for tenant in tenants
    )
