"""Checks the named paths of tenants: each leads to a page that the operator allows, and each that is used exists."""

import re
from collections.abc import Iterator, Sequence

from gateway.domain.configuration import GatewaySettings
from gateway.domain.tenant import NAME_OF_PATH, NamedPaths, RouteFactor, Tenant
from gateway.settings.checks.tenant_conflicts import TenantEntry
from gateway.settings.files.two_factor import PATH_FIELDS
from gateway.settings.source.diagnostics import Diagnostics, one_of
from gateway.settings.source.yaml_source import Path

_NAME = re.compile(NAME_OF_PATH)


def check(gateway: GatewaySettings, entries: Sequence[TenantEntry]) -> None:
    """Reports at the file of each tenant."""
    for entry in entries:
        tenant, report = entry.tenant, entry.report
        allowed = (*gateway.path_addresses, *tenant.public_paths)
        for at, paths in _all(tenant):
            for name, address in paths.items():
                if not _NAME.fullmatch(name):
                    report.error((*at, name), "must have a name of lower case letters, digits and hyphens, at most 40")
                elif address not in allowed:
                    known = f"; listed: {one_of(allowed)}" if allowed else ""
                    where = "path_addresses of gateway.yaml, or public_paths"
                    report.error((*at, name), f"{address} is not listed in {where}{known}")
        if tenant.policy.enabled:
            _check_used(tenant, report)


def _all(tenant: Tenant) -> Iterator[tuple[Path, NamedPaths]]:
    yield ("gateway", "paths"), tenant.paths
    for number, route in enumerate(tenant.routes):
        yield ("gateway", "routes", number, "paths"), route.paths


def _check_used(tenant: Tenant, report: Diagnostics) -> None:
    """Reports a `path:<name>` that some app does not have: its users would only be told that they cannot sign in."""
    for key, field in PATH_FIELDS.items():
        name = getattr(tenant.policy, field)
        asking = [route.path for route in tenant.routes if route.second_factor is RouteFactor.REQUIRED]
        if name and (without := [path for path in asking if tenant.path_address(name, path) is None]):
            report.error(
                ("tenantSettings", "twoFAConfigs", key),
                f"{without[0] or '/'} has no path {name}; write paths: {{{name}: …}} in the gateway: section",
            )
